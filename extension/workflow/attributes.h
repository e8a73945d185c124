/*-------------------------------------------------------------------------
 *
 * attributes.h
 *	  What workflows are searched by.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ATTRIBUTES_H
#define DWF_ATTRIBUTES_H

#include "base/durable_wf.h"

extern void dwf_attributes_check(Datum attributes);
extern void dwf_attributes_start(text *workflow_id, Datum attributes);

#endif							/* DWF_ATTRIBUTES_H */
