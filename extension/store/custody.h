/*-------------------------------------------------------------------------
 *
 * custody.h
 *	  On a cluster: the rows of a shard's workflows, and their move.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CUSTODY_H
#define DWF_CUSTODY_H

#include "base/durable_wf.h"

#include "store/store.h"

extern void dwf_custody_share(int32 hash);
extern bool dwf_custody_hold(int32 hash);
extern void dwf_custody_check_snapshot(int32 hash);
extern void dwf_custody_share_all(void);
extern void dwf_custody_check_waiting(text *workflow_id);
extern void dwf_custody_seize(int32 start);
extern Datum dwf_custody_give(int32 start, int32 end);
extern DwfIds dwf_custody_take(int32 start, int32 end, Datum rows);

#endif							/* DWF_CUSTODY_H */
