/*-------------------------------------------------------------------------
 *
 * direct_search.c
 *	  Rows without a statement: find the bodies that are due.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "store/home.h"
#include "store/probe.h"

/* The id in a row whose columns were read up to the two that are asked for */
static Datum
id_of(const TupleTableSlot *row)
{
	return row->tts_values[DWF_WORKFLOW_WORKFLOW_ID - 1];
}

/* When such a row is due */
static TimestampTz
due_of(const TupleTableSlot *row)
{
	return DatumGetTimestampTz(row->tts_values[DWF_WORKFLOW_DUE_AT - 1]);
}

/* Add a row of the index of work to what was found */
static void
add_found(DwfFound * found, TupleTableSlot *slot)
{
	HeapTuple	row = ExecFetchSlotHeapTuple(slot, false, NULL);

	found->workflow_id = DatumGetTextPCopy(id_of(slot));
	found->due = due_of(slot);
	found->xmax = HeapTupleHeaderGetRawXmax(row->t_data);
	found->tid = slot->tts_tid;
}

/* Add what a scan of the index of work returns, until "limit" are found */
static int
add_scanned(DwfDirect *direct, Relation index, Snapshot snapshot,
			ScanKey keys, int nkeys, DwfFound * found, int count, int limit)
{
	TupleTableSlot *slot =
	MakeSingleTupleTableSlot(RelationGetDescr(direct->table),
							 &TTSOpsBufferHeapTuple);
	IndexScanDesc scan = DWF_INDEX_BEGINSCAN(direct->table, index, snapshot,
											 nkeys);

	index_rescan(scan, keys, nkeys, NULL, 0);
	while (count < limit &&
		   index_getnext_slot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getsomeattrs(slot, Max(DWF_WORKFLOW_WORKFLOW_ID,
									DWF_WORKFLOW_DUE_AT));
		add_found(&found[count++], slot);
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return count;
}

/*
 * Find bodies of a role, at most so many, behind a place in the order in which
 * they are due, as the statement of dwf_store_search() does; returns how many
 * there are, or -1 if the statement has to do it.
 */
int
dwf_direct_search(Oid role, TimestampTz due, text *workflow_id, int limit,
				  DwfFound * *found)
{
	DwfDirect	direct;
	Relation	index;
	ScanKeyData keys[3];
	Snapshot	snapshot;
	int			count;

	if (!dwf_direct_open_workflows(&direct, AccessShareLock))
		return -1;
	index = dwf_direct_open_work();
	*found = palloc(limit * sizeof(DwfFound));
	snapshot = dwf_direct_push_snapshot();
	if (dwf_home_is_copy_in(snapshot))
		limit = 0;

	/*
	 * The order of the index is the order in which they are due: first those
	 * of the same moment behind the id, then those of later moments.  Those
	 * that share a moment may be many.
	 */
	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(role));
	ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_TIMESTAMPTZ_EQ,
				TimestampTzGetDatum(due));
	ScanKeyEntryInitialize(&keys[2], 0, 3, BTGreaterStrategyNumber, TEXTOID,
						   C_COLLATION_OID, F_TEXT_GT,
						   PointerGetDatum(workflow_id));
	count = due == DT_NOBEGIN ? 0 :
		add_scanned(&direct, index, snapshot, keys, 3, *found, 0, limit);
	ScanKeyInit(&keys[1], 2, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT,
				TimestampTzGetDatum(due));
	count = add_scanned(&direct, index, snapshot, keys, 2, *found, count,
						limit);
	PopActiveSnapshot();

	index_close(index, NoLock);
	dwf_direct_close(&direct);
	return count;
}
