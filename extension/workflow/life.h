/*-------------------------------------------------------------------------
 *
 * life.h
 *	  Write that a workflow starts, and that it ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LIFE_H
#define DWF_LIFE_H

#include "base/durable_wf.h"

#include "store/store.h"

extern bool dwf_life_start(const DwfStart *start, Oid owner);
extern bool dwf_life_end(text *workflow_id, Oid role, const char *status,
						 DwfValue output, DwfValue error);
extern void dwf_life_end_free(text *workflow_id, Oid role,
							  const char *status);

#endif							/* DWF_LIFE_H */
