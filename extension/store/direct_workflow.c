/*-------------------------------------------------------------------------
 *
 * direct_workflow.c
 *	  Rows without a statement: an executor finds and claims bodies, and
 *	  workflows end.
 *
 * A claim and an end each change columns that the index of work depends on, so
 * each is a new version of the row, with an entry in each index whose
 * predicate it meets.  Rows that another transaction has locked or changed,
 * and runs that are not the first (their attempts have to be counted), are the
 * statement's.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/owner.h"
#include "store/probe.h"

#define WORKFLOW_INPUT		6
#define WORKFLOW_OUTPUT		7
#define WORKFLOW_ERROR		8
#define WORKFLOW_ATTEMPTS	9
#define WORKFLOW_CREATED_AT	10
#define WORKFLOW_UPDATED_AT	11
#define WORKFLOW_TIMEOUT_AT	14
#define WORKFLOW_PARENT_ID	17
#define WORKFLOW_COLUMNS	18

#define BIT(column)	(1U << (column))

/* The numbers of the indexes beside the primary key */
enum
{
	BODY_INDEX,
	QUEUE_INDEX,
	TIMEOUT_INDEX,
	FINISHED_INDEX,
	PARENT_INDEX
};

static const DwfDirectIndex workflow_indexes[] = {
	[BODY_INDEX] = {3, {0, DWF_WORKFLOW_DUE_AT, DWF_WORKFLOW_WORKFLOW_ID},
	DWF_WORKFLOW_BODY, true, true},
	[QUEUE_INDEX] = {3, {DWF_WORKFLOW_QUEUE, DWF_WORKFLOW_DUE_AT,
	DWF_WORKFLOW_WORKFLOW_ID}, DWF_WORKFLOW_QUEUE, true, true},
	[TIMEOUT_INDEX] = {1, {WORKFLOW_TIMEOUT_AT}, WORKFLOW_TIMEOUT_AT, true,
	false},
	[FINISHED_INDEX] = {1, {DWF_WORKFLOW_FINISHED_AT},
	DWF_WORKFLOW_FINISHED_AT, false, false},
	[PARENT_INDEX] = {2, {WORKFLOW_PARENT_ID, DWF_WORKFLOW_WORKFLOW_ID},
	WORKFLOW_PARENT_ID, false, false}
};

static const DwfDirectTrigger workflow_triggers[] = {
	{TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT |
	TRIGGER_TYPE_DELETE, 0, false},
	{TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_UPDATE, 4, false},
	{TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE, 1, true}
};

static DwfDirectTable workflows = {
	.name = "workflow",
	.natts = WORKFLOW_COLUMNS,
	.types = {TEXTOID, InvalidOid, TEXTOID, TEXTOID, TEXTOID, JSONBOID,
		JSONBOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID,
		TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID,
	TEXTOID, TEXTOID},
	.nullables = BIT(DWF_WORKFLOW_BODY) | BIT(DWF_WORKFLOW_QUEUE) |
	BIT(WORKFLOW_INPUT) | BIT(WORKFLOW_OUTPUT) | BIT(WORKFLOW_ERROR) |
	BIT(DWF_WORKFLOW_FINISHED_AT) | BIT(WORKFLOW_TIMEOUT_AT) | BIT(15) |
	BIT(16) | BIT(WORKFLOW_PARENT_ID) | BIT(DWF_WORKFLOW_TRACEPARENT),
	.moments = BIT(WORKFLOW_CREATED_AT) | BIT(WORKFLOW_UPDATED_AT) |
	BIT(DWF_WORKFLOW_DUE_AT),
	.has_constants = true,
	.nkeys = 1,
	.keys = {DWF_WORKFLOW_WORKFLOW_ID},
	.nindexes = 1 + lengthof(workflow_indexes),
	.indexes = workflow_indexes,
	.triggers = workflow_triggers,
	.ntriggers = lengthof(workflow_triggers)
};

/* ----- a new version of a row ----- */

/* A column of a row in a slot whose columns were all read */
static Datum
column_of(const TupleTableSlot *row, AttrNumber column)
{
	return row->tts_values[column - 1];
}

/* Is a column of such a row null? */
static bool
is_null(const TupleTableSlot *row, AttrNumber column)
{
	return row->tts_isnull[column - 1];
}

/* Set a column of a row */
static void
set_column(TupleTableSlot *row, AttrNumber column, Datum value, bool isnull)
{
	row->tts_values[column - 1] = value;
	row->tts_isnull[column - 1] = isnull;
}

/* Set a column to a value that may be null */
static void
set_value(TupleTableSlot *row, AttrNumber column, DwfValue value)
{
	set_column(row, column, value.isnull ? (Datum) 0 : value.value,
			   value.isnull);
}

/* A copy of a row that can be changed, with the columns of "old" */
static TupleTableSlot *
copy_row(DwfDirect *direct, TupleTableSlot *old)
{
	TupleTableSlot *row;

	slot_getallattrs(old);
	row = MakeSingleTupleTableSlot(RelationGetDescr(direct->table),
								   &TTSOpsVirtual);
	memcpy(row->tts_values, old->tts_values,
		   WORKFLOW_COLUMNS * sizeof(Datum));
	memcpy(row->tts_isnull, old->tts_isnull, WORKFLOW_COLUMNS * sizeof(bool));
	return ExecStoreVirtualTuple(row);
}

/* Does a row belong in an index? */
static bool
is_in_index(const TupleTableSlot *row, const DwfDirectIndex * index)
{
	Datum		status = column_of(row, DWF_WORKFLOW_STATUS);

	return !is_null(row, index->not_null) &&
		!(index->is_live && !is_null(row, DWF_WORKFLOW_FINISHED_AT)) &&
		!(index->is_free &&
		  strcmp(TextDatumGetCString(status), DWF_STATUS_WAITING) == 0);
}

/*
 * Write the entry of a row in an index that is open; false: not, as
 * UNIQUE_CHECK_PARTIAL says
 */
static bool
write_entry(DwfDirect *direct, Relation index, const AttrNumber *keys,
			int nkeys, TupleTableSlot *row, IndexUniqueCheck check,
			bool is_unchanged)
{
	static IndexInfo info =
	{
		.type = T_IndexInfo
	};							/* no B-tree reads it */
	Datum		values[3];
	bool		nulls[3] = {false};

	for (int i = 0; i < nkeys; i++)
		values[i] = column_of(row, keys[i] ? keys[i] : DWF_WORKFLOW_OWNER);
	return index_insert(index, values, nulls, &row->tts_tid, direct->table,
						check, is_unchanged, &info);
}

/* Write the entry of a row in the primary key */
static bool
write_key(DwfDirect *direct, TupleTableSlot *row, IndexUniqueCheck check,
		  bool is_unchanged)
{
	return write_entry(direct, direct->pkey, workflows.keys, workflows.nkeys,
					   row, check, is_unchanged);
}

/*
 * Write the entries of a row in the other indexes; of a new version of a row,
 * some are as they were
 */
static void
write_entries(DwfDirect *direct, TupleTableSlot *row, bool is_new)
{
	for (int i = 0; i < (int) lengthof(workflow_indexes); i++)
	{
		const		DwfDirectIndex *made = &workflow_indexes[i];
		Relation	index;

		if (!is_in_index(row, made))
			continue;
		index = index_open(workflows.index_oids[i], RowExclusiveLock);
		(void) write_entry(direct, index, made->keys, made->nkeys, row,
						   UNIQUE_CHECK_NO, !is_new &&
						   (i == TIMEOUT_INDEX || i == PARENT_INDEX));
		index_close(index, NoLock);
	}
}

/*
 * Write a new version of a row, and keep its place.  ASIDE: another
 * transaction is at the row, or has written another version.
 */
static DwfDirectResult
update_row(DwfDirect *direct, Snapshot snapshot, TupleTableSlot *old,
		   TupleTableSlot *row)
{
	TM_FailureData failure;
	LockTupleMode mode;
	DwfUpdateIndexes indexes;

	CheckCmdReplicaIdentity(direct->table, CMD_UPDATE);
	if (dwf_direct_is_held(old) ||
		DWF_TUPLE_UPDATE(direct->table, &old->tts_tid, row, snapshot,
						 &failure, &mode, &indexes) != TM_Ok)
		return DWF_DIRECT_ASIDE;
	if (DWF_UPDATES_INDEXES(indexes))
	{
		(void) write_key(direct, row, UNIQUE_CHECK_YES, true);
		write_entries(direct, row, false);
	}
	dwf_probe_keep(DatumGetTextPP(column_of(row, DWF_WORKFLOW_WORKFLOW_ID)),
				   &row->tts_tid);
	CommandCounterIncrement();
	return DWF_DIRECT_DONE;
}

/* Open the table; false if statements have to do what is to be done */
bool
dwf_direct_open_workflows(DwfDirect *direct, LOCKMODE mode)
{
	/* in an older snapshot the row may have newer versions */
	return !IsolationUsesXactSnapshot() &&
		dwf_direct_open(direct, &workflows, mode);
}

/* The row of a workflow that is to be changed */
typedef struct RowAccess
{
	DwfDirect	direct;
	Snapshot	snapshot;
	TupleTableSlot *old;
	bool		exists;
}			RowAccess;

/*
 * Open the table, and read the row of a workflow; false if a statement has to
 * change it
 */
static bool
open_row(RowAccess * row, text *workflow_id)
{
	if (!dwf_direct_open_workflows(&row->direct, RowExclusiveLock))
		return false;
	row->snapshot = dwf_direct_push_snapshot();
	row->old = MakeSingleTupleTableSlot(RelationGetDescr(row->direct.table),
										&TTSOpsBufferHeapTuple);
	row->exists = dwf_probe_row(row->direct.table, workflow_id,
								row->snapshot, row->old);
	return true;
}

/* Close what open_row() has opened */
static void
close_row(RowAccess * row)
{
	ExecDropSingleTupleTableSlot(row->old);
	PopActiveSnapshot();
	dwf_direct_close(&row->direct);
}

/* The index of work, in the order in which it is due; the caller closes it */
Relation
dwf_direct_open_work(void)
{
	return index_open(workflows.index_oids[BODY_INDEX], AccessShareLock);
}

/* ----- start ----- */

/* Is there a workflow of this id, as this transaction sees it now? */
static bool
exists(text *workflow_id)
{
	Snapshot	snapshot = dwf_direct_push_snapshot();
	DwfLife		life;
	bool		found = dwf_probe_life(workflow_id, snapshot, &life);

	PopActiveSnapshot();
	return found;
}

/*
 * Open the table to start a workflow, if that can be due at once; the caller
 * closes it.  NOTHING: the id is taken.
 */
DwfDirectResult
dwf_direct_open_start(DwfDirect *direct, const DwfStart *start)
{
	if (start->is_delayed || start->is_attached || !start->timeout.isnull ||
		!dwf_direct_open_workflows(direct, RowExclusiveLock))
		return DWF_DIRECT_ASIDE;
	if (start->has_new_id || !exists(start->workflow_id))
		return DWF_DIRECT_DONE;
	dwf_direct_close(direct);
	return DWF_DIRECT_NOTHING;
}

/* Make the row of a workflow that starts */
static TupleTableSlot *
make_row(DwfDirect *direct, const DwfStart *start, Oid owner)
{
	Datum		now =
	TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	TupleTableSlot *row =
	MakeSingleTupleTableSlot(RelationGetDescr(direct->table), &TTSOpsVirtual);

	for (int column = 1; column <= WORKFLOW_COLUMNS; column++)
		set_column(row, column, (Datum) 0, true);
	set_column(row, DWF_WORKFLOW_WORKFLOW_ID,
			   PointerGetDatum(start->workflow_id), false);
	set_column(row, DWF_WORKFLOW_OWNER, ObjectIdGetDatum(owner), false);
	set_column(row, DWF_WORKFLOW_STATUS,
			   CStringGetTextDatum(DWF_STATUS_PENDING), false);
	set_column(row, DWF_WORKFLOW_BODY, PointerGetDatum(start->body),
			   start->body == NULL);
	set_column(row, DWF_WORKFLOW_QUEUE, PointerGetDatum(start->queue),
			   start->queue == NULL);
	set_value(row, WORKFLOW_INPUT, start->input);
	set_column(row, WORKFLOW_ATTEMPTS, Int32GetDatum(0), false);
	set_column(row, WORKFLOW_CREATED_AT, now, false);
	set_column(row, WORKFLOW_UPDATED_AT, now, false);
	set_column(row, DWF_WORKFLOW_DUE_AT, now, false);
	set_column(row, WORKFLOW_PARENT_ID, PointerGetDatum(start->parent),
			   start->parent == NULL);
	set_column(row, DWF_WORKFLOW_TRACEPARENT,
			   PointerGetDatum(start->traceparent),
			   start->traceparent == NULL);
	return ExecStoreVirtualTuple(row);
}

/* Insert a row whose id nobody else has */
static DwfDirectResult
insert_new(DwfDirect *direct, TupleTableSlot *row)
{
	table_tuple_insert(direct->table, row, GetCurrentCommandId(true), 0,
					   NULL);
	(void) write_key(direct, row, UNIQUE_CHECK_YES, false);
	return DWF_DIRECT_DONE;
}

/* Insert a row.  ASIDE: another transaction inserts one of this id. */
static DwfDirectResult
insert_row(DwfDirect *direct, TupleTableSlot *row)
{
	TransactionId xid = GetCurrentTransactionId();
	uint32		token = SpeculativeInsertionLockAcquire(xid);
	bool		is_unique;

	table_tuple_insert_speculative(direct->table, row,
								   GetCurrentCommandId(true), 0, NULL, token);
	is_unique = write_key(direct, row, UNIQUE_CHECK_PARTIAL, false);
	table_tuple_complete_speculative(direct->table, row, token, is_unique);
	SpeculativeInsertionLockRelease(xid);
	return is_unique ? DWF_DIRECT_DONE : DWF_DIRECT_ASIDE;
}

/*
 * Insert a workflow, as dwf_store_start() does.  The caller does the work of
 * the trigger.
 */
DwfDirectResult
dwf_direct_start(DwfDirect *direct, const DwfStart *start, Oid owner)
{
	TupleTableSlot *row;
	DwfDirectResult result;
	bool		push_snapshot = !ActiveSnapshotSet();

	/* an input may have to be read out of another table */
	if (push_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	row = make_row(direct, start, owner);
	result = start->has_new_id ? insert_new(direct, row) :
		insert_row(direct, row);
	if (result == DWF_DIRECT_DONE)
		write_entries(direct, row, true);
	ExecDropSingleTupleTableSlot(row);
	if (push_snapshot)
		PopActiveSnapshot();
	CommandCounterIncrement();
	return result;
}

/* Is a row that of a suspended body? */
static bool
is_suspended_body(TupleTableSlot *row)
{
	Datum		status;

	slot_getallattrs(row);
	status = column_of(row, DWF_WORKFLOW_STATUS);
	return !is_null(row, DWF_WORKFLOW_BODY) &&
		strcmp(TextDatumGetCString(status), DWF_STATUS_WAITING) == 0;
}

/* ----- claim ----- */

/* Is a row, whose id was found a while ago, still work of a role? */
static bool
is_due_work(TupleTableSlot *row, Oid role)
{
	slot_getallattrs(row);
	return !is_null(row, DWF_WORKFLOW_BODY) &&
		is_null(row, DWF_WORKFLOW_FINISHED_AT) &&
		is_in_index(row, &workflow_indexes[BODY_INDEX]) &&
		DatumGetObjectId(column_of(row, DWF_WORKFLOW_OWNER)) == role &&
		DatumGetTimestampTz(column_of(row, DWF_WORKFLOW_DUE_AT)) <=
		GetCurrentTimestamp();
}

/*
 * Is a row, whose columns were all read, as it was inserted?  Then there is no
 * journal, since a workflow is claimed or attached to before it has one.  (A
 * restore inserts rows that were updated; then the two moments differ.)
 */
static bool
is_as_inserted(TupleTableSlot *row)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(row, false, NULL);

	return (tuple->t_data->t_infomask & HEAP_UPDATED) == 0 &&
		column_of(row, WORKFLOW_UPDATED_AT) ==
		column_of(row, WORKFLOW_CREATED_AT);
}

/*
 * Write the first claim of a body, and say what the run needs; the last step
 * only if that is known without a look at the journal, or -1
 */
static DwfDirectResult
claim_row(DwfDirect *direct, Snapshot snapshot, TupleTableSlot *old,
		  bool has_crashed, DwfClaimed *claimed)
{
	TupleTableSlot *row = copy_row(direct, old);
	TimestampTz again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													1000);
	DwfDirectResult result;

	claimed->attempts = has_crashed ? 2 : 1;
	claimed->last_step = is_as_inserted(old) ? 0 : -1;
	set_column(row, DWF_WORKFLOW_STATUS, CStringGetTextDatum("RUNNING"),
			   false);
	set_column(row, WORKFLOW_ATTEMPTS, Int32GetDatum(claimed->attempts),
			   false);
	set_column(row, DWF_WORKFLOW_DUE_AT, TimestampTzGetDatum(again), false);
	set_column(row, WORKFLOW_UPDATED_AT,
			   TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
			   false);
	result = update_row(direct, snapshot, old, row);
	if (result == DWF_DIRECT_DONE)
	{
		Datum		input = column_of(old, WORKFLOW_INPUT);

		claimed->body = DatumGetTextPCopy(column_of(old, DWF_WORKFLOW_BODY));
		claimed->input.isnull = is_null(old, WORKFLOW_INPUT);
		if (!claimed->input.isnull)
			claimed->input.value =
				PointerGetDatum(PG_DETOAST_DATUM_COPY(input));
		claimed->traceparent = is_null(old, DWF_WORKFLOW_TRACEPARENT) ? NULL :
			DatumGetTextPCopy(column_of(old, DWF_WORKFLOW_TRACEPARENT));
	}
	ExecDropSingleTupleTableSlot(row);
	return result;
}

/*
 * Claim a body, as dwf_store_claim() does, if this is its first run since its
 * start, its resumption or its retry.  The journal is not read: *claimed has
 * the last step, or -1 if a look is needed.
 */
DwfDirectResult
dwf_direct_claim(text *workflow_id, Oid role, bool has_crashed,
				 DwfClaimed *claimed)
{
	DwfDirectResult result = DWF_DIRECT_NOTHING;
	RowAccess	row;

	if (!open_row(&row, workflow_id))
		return DWF_DIRECT_ASIDE;
	if (row.exists && is_due_work(row.old, role))
		result = DatumGetInt32(column_of(row.old, WORKFLOW_ATTEMPTS)) == 0 ?
			claim_row(&row.direct, row.snapshot, row.old, has_crashed,
					  claimed) : DWF_DIRECT_ASIDE;
	close_row(&row);
	return result;
}

/* ----- resume ----- */

/*
 * Have a suspended body be due, as dwf_store_resume() does, and tell whose it
 * is; its wait is the caller's to delete.  ASIDE also for what is no suspended
 * body.
 */
DwfDirectResult
dwf_direct_resume(text *workflow_id, Oid *owner)
{
	DwfDirectResult result = DWF_DIRECT_ASIDE;
	RowAccess	access;

	if (!open_row(&access, workflow_id))
		return DWF_DIRECT_ASIDE;
	if (access.exists && is_suspended_body(access.old))
	{
		TupleTableSlot *row = copy_row(&access.direct, access.old);
		Datum		now =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

		set_column(row, DWF_WORKFLOW_STATUS,
				   CStringGetTextDatum(DWF_STATUS_PENDING), false);
		set_column(row, DWF_WORKFLOW_DUE_AT,
				   TimestampTzGetDatum(GetCurrentTimestamp()), false);
		set_column(row, WORKFLOW_UPDATED_AT, now, false);
		*owner = DatumGetObjectId(column_of(access.old, DWF_WORKFLOW_OWNER));
		result = update_row(&access.direct, access.snapshot, access.old, row);
		ExecDropSingleTupleTableSlot(row);
	}
	close_row(&access);
	return result;
}

/* ----- end ----- */

/* May a role end the workflow of a row? */
static bool
may_end(TupleTableSlot *row, Oid role)
{
	slot_getallattrs(row);
	return is_null(row, DWF_WORKFLOW_FINISHED_AT) &&
		dwf_owner_allows(DatumGetObjectId(column_of(row,
													DWF_WORKFLOW_OWNER)),
						 role);
}

/*
 * End a workflow, as dwf_store_finish() does.  The caller does the work of the
 * triggers.
 */
DwfDirectResult
dwf_direct_finish(text *workflow_id, Oid role, const char *status,
				  DwfValue output, DwfValue error)
{
	DwfDirectResult result = DWF_DIRECT_NOTHING;
	RowAccess	access;

	if (!open_row(&access, workflow_id))
		return DWF_DIRECT_ASIDE;
	if (access.exists && may_end(access.old, role))
	{
		TupleTableSlot *row = copy_row(&access.direct, access.old);
		Datum		now =
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

		set_column(row, DWF_WORKFLOW_STATUS, CStringGetTextDatum(status),
				   false);
		set_value(row, WORKFLOW_OUTPUT, output);
		set_value(row, WORKFLOW_ERROR, error);
		set_column(row, WORKFLOW_UPDATED_AT, now, false);
		set_column(row, DWF_WORKFLOW_FINISHED_AT, now, false);
		result = update_row(&access.direct, access.snapshot, access.old, row);
		ExecDropSingleTupleTableSlot(row);
	}
	close_row(&access);
	return result;
}
