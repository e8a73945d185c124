/*-------------------------------------------------------------------------
 *
 * direct_step.c
 *	  Rows without a statement: records of the journal.
 *
 * A record that is there already, since it was written before its call had
 * ended, is completed by the statement.  A new one is inserted speculatively,
 * as ON CONFLICT does.
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
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/probe.h"

#define STEP_WORKFLOW_ID	1
#define STEP_STEP_NO		2
#define STEP_FUNCTION		3
#define STEP_NAME			4
#define STEP_RESULT			5
#define STEP_ERROR			6
#define STEP_UNDONE			7
#define STEP_DEADLINE		8
#define STEP_STARTED_AT		9
#define STEP_COMPLETED_AT	10
#define STEP_TAKEN			11
#define STEP_COLUMNS		11

#define BIT(column)	(1U << (column))

static DwfDirectTable steps = {
	.name = "step",
	.natts = STEP_COLUMNS,
	.types = {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
	BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTARRAYOID},
	.nullables = BIT(STEP_NAME) | BIT(STEP_RESULT) | BIT(STEP_ERROR) |
	BIT(STEP_DEADLINE) | BIT(STEP_COMPLETED_AT) | BIT(STEP_TAKEN),
	.has_constants = true,
	.nkeys = 2,
	.keys = {STEP_WORKFLOW_ID, STEP_STEP_NO},
	.nindexes = 1
};

/* Begin to scan the journal of a workflow, or its record of a number */
static SysScanDesc
begin_scan(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
		   int step_no, int nkeys)
{
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], 0, STEP_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, STEP_STEP_NO, BTEqualStrategyNumber,
						   INT4OID, InvalidOid, F_INT4EQ,
						   Int32GetDatum(step_no));
	return systable_beginscan_ordered(direct->table, direct->pkey, snapshot,
									  nkeys, keys);
}

/* Read the highest number in a journal, 0 if it is empty; -1 for ASIDE */
int
dwf_direct_last_step(text *workflow_id)
{
	DwfDirect	direct;
	SysScanDesc scan;
	HeapTuple	row;
	int			last = 0;
	bool		isnull;

	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &steps, AccessShareLock))
		return -1;
	scan = begin_scan(&direct, dwf_direct_push_snapshot(), workflow_id, 0, 1);
	row = systable_getnext_ordered(scan, BackwardScanDirection);
	if (HeapTupleIsValid(row))
		last = DatumGetInt32(heap_getattr(row, STEP_STEP_NO,
										  RelationGetDescr(direct.table),
										  &isnull));
	systable_endscan_ordered(scan);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return last;
}

/* Does the journal have a record of this number? */
static bool
has_record(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
		   int step_no)
{
	SysScanDesc scan = begin_scan(direct, snapshot, workflow_id, step_no, 2);
	HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);
	bool		found = HeapTupleIsValid(row);

	systable_endscan_ordered(scan);
	return found;
}

/* Make the row of a record, in a slot */
static TupleTableSlot *
make_row(DwfDirect *direct, text *workflow_id, const DwfRecord *record)
{
	TupleTableSlot *row =
	MakeSingleTupleTableSlot(RelationGetDescr(direct->table), &TTSOpsVirtual);
	bool		has_taken = !record->taken.isnull && !record->is_undone;
	Datum		values[] = {PointerGetDatum(workflow_id),
		Int32GetDatum(record->step_no), CStringGetTextDatum(record->function),
		PointerGetDatum(record->name), record->result.value,
		record->error.value, BoolGetDatum(record->is_undone),
		TimestampTzGetDatum(record->deadline),
		TimestampTzGetDatum(record->started_at),
	TimestampTzGetDatum(record->completed_at), record->taken.value};
	bool		nulls[] = {false, false, false, record->name == NULL,
		record->result.isnull, record->error.isnull, false,
		record->deadline == 0, false, record->completed_at == 0,
	!has_taken};

	memcpy(row->tts_values, values, sizeof(values));
	memcpy(row->tts_isnull, nulls, sizeof(nulls));
	return ExecStoreVirtualTuple(row);
}

/* Insert a record.  ASIDE: another transaction inserts one of this number. */
static DwfDirectResult
insert_record(DwfDirect *direct, TupleTableSlot *row)
{
	static IndexInfo info =
	{
		.type = T_IndexInfo
	};							/* no B-tree reads it */
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		is_unique;

	table_tuple_insert_speculative(direct->table, row,
								   GetCurrentCommandId(true), 0, NULL, token);
	is_unique = index_insert(direct->pkey, row->tts_values, row->tts_isnull,
							 &row->tts_tid, direct->table,
							 UNIQUE_CHECK_PARTIAL, false, &info);
	table_tuple_complete_speculative(direct->table, row, token, is_unique);
	SpeculativeInsertionLockRelease(xid);
	return is_unique ? DWF_DIRECT_DONE : DWF_DIRECT_ASIDE;
}

/*
 * Write a new record, as dwf_store_record() does.  NOTHING: the workflow has
 * ended.  The transaction has its xid.
 */
DwfDirectResult
dwf_direct_record(text *workflow_id, const DwfRecord *record,
				  bool even_if_ended)
{
	DwfDirectResult result = DWF_DIRECT_ASIDE;
	DwfDirect	direct;
	Snapshot	snapshot;
	DwfLife		life;

	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &steps, RowExclusiveLock))
		return DWF_DIRECT_ASIDE;
	snapshot = dwf_direct_push_snapshot();
	if (!dwf_probe_life(workflow_id, snapshot, &life) ||
		(life.finished && !even_if_ended))
		result = DWF_DIRECT_NOTHING;
	else if (!has_record(&direct, snapshot, workflow_id, record->step_no))
	{
		TupleTableSlot *row = make_row(&direct, workflow_id, record);

		result = insert_record(&direct, row);
		ExecDropSingleTupleTableSlot(row);
		CommandCounterIncrement();
	}
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return result;
}
