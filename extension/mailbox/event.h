/*-------------------------------------------------------------------------
 *
 * event.h
 *	  What a workflow publishes, read without waiting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_EVENT_H
#define DWF_EVENT_H

#include "base/durable_wf.h"

#include "store/statement.h"

extern bool dwf_event_look(text *workflow_id, text *key, DwfValue * value,
						   Oid role);

#endif							/* DWF_EVENT_H */
