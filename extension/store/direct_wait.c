/*-------------------------------------------------------------------------
 *
 * direct_wait.c
 *	  Rows without a statement: what suspended workflows wait for.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define WAIT_WORKFLOW_ID	1
#define WAIT_POSITION		2
#define WAIT_WAIT_ID		7
#define WAIT_DEADLINE		9
#define WAIT_COLUMNS		9

/* To delete a row is not to write to an index, so only their number matters */
static DwfDirectTable waits = {
	.name = "wait",
	.natts = WAIT_COLUMNS,
	.types = {TEXTOID, INT4OID, INT4OID, CHAROID, TEXTOID, TEXTOID, INT8OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID},
	.nullables = (1U << WAIT_WAIT_ID) | (1U << WAIT_DEADLINE),
	.nkeys = 2,
	.keys = {WAIT_WORKFLOW_ID, WAIT_POSITION},
	.nindexes = 4
};

/*
 * Delete what a workflow waits for.  ASIDE: another transaction is at one of
 * the rows, or a statement has to do it; it goes on from where this has come.
 */
DwfDirectResult
dwf_direct_forget_wait(text *workflow_id)
{
	DwfDirectResult result = DWF_DIRECT_DONE;
	DwfDirect	direct;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &waits, RowExclusiveLock))
		return DWF_DIRECT_ASIDE;
	snapshot = dwf_direct_push_snapshot();
	ScanKeyEntryInitialize(&key, 0, WAIT_WORKFLOW_ID, BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(workflow_id));
	CheckCmdReplicaIdentity(direct.table, CMD_DELETE);
	scan = systable_beginscan_ordered(direct.table, direct.pkey, snapshot, 1,
									  &key);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	while (result == DWF_DIRECT_DONE && HeapTupleIsValid(row))
	{
		TM_FailureData failure;

		if (DWF_TUPLE_DELETE(direct.table, &row->t_self, snapshot, false,
							 &failure) != TM_Ok)
			result = DWF_DIRECT_ASIDE;
		row = systable_getnext_ordered(scan, ForwardScanDirection);
	}
	systable_endscan_ordered(scan);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	CommandCounterIncrement();
	return result;
}
