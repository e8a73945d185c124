/*-------------------------------------------------------------------------
 *
 * direct_step.c
 *	  Rows without a statement: records of the journal.
 *
 * A new record is inserted speculatively, as ON CONFLICT does; one that is
 * there already, since it was written before its call had ended, is completed.
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

#include "base/compat.h"
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

/* Find the record of a number, and read its columns into a slot */
static bool
find_record(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
			int step_no, TupleTableSlot *row)
{
	SysScanDesc scan = begin_scan(direct, snapshot, workflow_id, step_no, 2);
	HeapTuple	found = systable_getnext_ordered(scan, ForwardScanDirection);

	if (HeapTupleIsValid(found))
	{
		ExecForceStoreHeapTuple(found, row, false);
		ExecMaterializeSlot(row);
		slot_getallattrs(row);
	}
	systable_endscan_ordered(scan);
	return HeapTupleIsValid(found);
}

/* A slot for a record */
static TupleTableSlot *
make_slot(DwfDirect *direct, const TupleTableSlotOps * kind)
{
	return MakeSingleTupleTableSlot(RelationGetDescr(direct->table), kind);
}

/* A moment of a record, 0 if it is null */
static TimestampTz
moment_of(const TupleTableSlot *row, AttrNumber column)
{
	return row->tts_isnull[column - 1] ? 0 :
		DatumGetTimestampTz(row->tts_values[column - 1]);
}

/* A column of a record, detoasted and copied */
static DwfValue
value_of(const TupleTableSlot *row, AttrNumber column)
{
	DwfValue	value = {.isnull = row->tts_isnull[column - 1]};
	Datum		datum = row->tts_values[column - 1];

	if (!value.isnull)
		value.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(datum));
	return value;
}

/* Read the record of a number, as dwf_store_read_record() does */
DwfDirectResult
dwf_direct_read_record(text *workflow_id, int step_no, DwfRecord *record)
{
	DwfDirect	direct;
	TupleTableSlot *row;
	bool		found;

	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &steps, AccessShareLock))
		return DWF_DIRECT_ASIDE;
	row = make_slot(&direct, &TTSOpsHeapTuple);
	found = find_record(&direct, dwf_direct_push_snapshot(), workflow_id,
						step_no, row);
	if (found)
	{
		DwfValue	name = value_of(row, STEP_NAME);

		record->step_no = step_no;
		record->function =
			TextDatumGetCString(row->tts_values[STEP_FUNCTION - 1]);
		record->name = name.isnull ? NULL : DatumGetTextP(name.value);
		record->result = value_of(row, STEP_RESULT);
		record->error = value_of(row, STEP_ERROR);
		record->is_undone = DatumGetBool(row->tts_values[STEP_UNDONE - 1]);
		record->deadline = moment_of(row, STEP_DEADLINE);
		record->started_at = moment_of(row, STEP_STARTED_AT);
		record->completed_at = moment_of(row, STEP_COMPLETED_AT);
	}
	ExecDropSingleTupleTableSlot(row);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return found ? DWF_DIRECT_DONE : DWF_DIRECT_NOTHING;
}

/* Keep a column of a record as it was */
static void
keep_column(TupleTableSlot *row, const TupleTableSlot *old, AttrNumber column)
{
	row->tts_values[column - 1] = old->tts_values[column - 1];
	row->tts_isnull[column - 1] = old->tts_isnull[column - 1];
}

/* Make the row of a record, in a slot */
static TupleTableSlot *
make_row(DwfDirect *direct, text *workflow_id, const DwfRecord *record)
{
	TupleTableSlot *row = make_slot(direct, &TTSOpsVirtual);
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

/* Write a record's index entry; false: not, as UNIQUE_CHECK_PARTIAL says */
static bool
write_index(DwfDirect *direct, TupleTableSlot *row, IndexUniqueCheck check,
			bool is_unchanged)
{
	static IndexInfo info =
	{
		.type = T_IndexInfo
	};							/* no B-tree reads it */

	return index_insert(direct->pkey, row->tts_values, row->tts_isnull,
						&row->tts_tid, direct->table, check, is_unchanged,
						&info);
}

/*
 * Complete the record in "old" by what "row" has, as the statement does.
 * NOTHING: it is complete.  ASIDE: another transaction is at it.
 */
static DwfDirectResult
complete_record(DwfDirect *direct, Snapshot snapshot, TupleTableSlot *old,
				TupleTableSlot *row)
{
	static const AttrNumber kept[] = {
		STEP_WORKFLOW_ID, STEP_STEP_NO, STEP_FUNCTION, STEP_NAME,
		STEP_STARTED_AT
	};
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdateIndexes indexes;

	if (!old->tts_isnull[STEP_COMPLETED_AT - 1])
		return DWF_DIRECT_NOTHING;
	for (int i = 0; i < (int) lengthof(kept); i++)
		keep_column(row, old, kept[i]);
	if (row->tts_isnull[STEP_DEADLINE - 1])
		keep_column(row, old, STEP_DEADLINE);
	if (row->tts_isnull[STEP_TAKEN - 1])
		keep_column(row, old, STEP_TAKEN);

	CheckCmdReplicaIdentity(direct->table, CMD_UPDATE);
	if (dwf_direct_is_held(old) ||
		DWF_TUPLE_UPDATE(direct->table, &old->tts_tid, row, snapshot,
						 &failure, &mode, &indexes) != TM_Ok)
		return DWF_DIRECT_ASIDE;
	if (DWF_UPDATES_INDEXES(indexes))
		(void) write_index(direct, row, UNIQUE_CHECK_YES, true);
	return DWF_DIRECT_DONE;
}

/* Insert a record.  ASIDE: another transaction inserts one of this number. */
static DwfDirectResult
insert_record(DwfDirect *direct, TupleTableSlot *row)
{
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		is_unique;

	table_tuple_insert_speculative(direct->table, row,
								   GetCurrentCommandId(true), 0, NULL, token);
	is_unique = write_index(direct, row, UNIQUE_CHECK_PARTIAL, false);
	table_tuple_complete_speculative(direct->table, row, token, is_unique);
	SpeculativeInsertionLockRelease(xid);
	return is_unique ? DWF_DIRECT_DONE : DWF_DIRECT_ASIDE;
}

/*
 * Write a record, or complete an incomplete one, as dwf_store_record() does.
 * NOTHING: the workflow has ended, or the record is complete already.  The
 * transaction has its xid.
 */
DwfDirectResult
dwf_direct_record(text *workflow_id, const DwfRecord *record,
				  bool even_if_ended)
{
	DwfDirectResult result;
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
	else
	{
		TupleTableSlot *row = make_row(&direct, workflow_id, record);
		TupleTableSlot *old = make_slot(&direct, &TTSOpsHeapTuple);

		if (find_record(&direct, snapshot, workflow_id, record->step_no, old))
			result = complete_record(&direct, snapshot, old, row);
		else
			result = insert_record(&direct, row);
		ExecDropSingleTupleTableSlot(row);
		ExecDropSingleTupleTableSlot(old);
		CommandCounterIncrement();
	}
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return result;
}
