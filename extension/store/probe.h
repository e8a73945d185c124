/*-------------------------------------------------------------------------
 *
 * probe.h
 *	  Test without SQL whether a role may act on a workflow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PROBE_H
#define DWF_PROBE_H

#include "base/durable_wf.h"

#include "executor/tuptable.h"
#include "storage/block.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "store/store.h"

extern bool dwf_probe_has_block(Relation table, BlockNumber block);
extern bool dwf_probe_has_row(const char *table_name, const char *index,
							  int column, text *workflow_id);
extern void dwf_probe_keep(text *workflow_id, ItemPointer tid);
extern bool dwf_probe_row(Relation table, text *workflow_id,
						  Snapshot snapshot, TupleTableSlot *slot);
extern bool dwf_probe_life(text *workflow_id, Snapshot snapshot,
						   DwfLife *life);
extern bool dwf_probe_accepts(text *workflow_id, Oid role);
extern bool dwf_probe_accepts_now(text *workflow_id, Oid role);

#endif							/* DWF_PROBE_H */
