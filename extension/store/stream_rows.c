/*-------------------------------------------------------------------------
 *
 * stream_rows.c
 *	  The tables as C functions: streams and their items.
 *
 * A writer locks the row of its stream and keeps the lock until the
 * transaction ends.  With the lock it looks for the last number, in a snapshot
 * that is made after it has the lock.  So numbers have no gaps, and items
 * become visible in their order.  The row is locked and not updated, so that
 * it has no versions to be cleaned up, whatever snapshot is held for long.
 *
 * The end of a workflow does not wait for a writer.  A writer looks for the
 * end when it has the lock; so one that began before the end and has not ended
 * itself has the lock, and a reader that sees the end and then no such lock
 * knows that nothing more can come.  It has to look for items after that.
 *
 *-------------------------------------------------------------------------
 */
#include "store/stream_rows.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "store/catalog.h"
#include "store/statement.h"
#include "store/probe.h"
#include "store/store_sql.h"

/* Workflow $1 has not ended, and $n, a role, may act on it */
#define LIVE(n) \
	"w.workflow_id" EQ "$1 AND w.finished_at IS NULL AND " ROLE_MAY_ACT(n)

/* The number of the last item of stream $2 of workflow $1, or 0 */
#define LAST \
	"COALESCE((SELECT i.item_no FROM durable_wf.stream_item i" \
	"   WHERE i.workflow_id" EQ "$1 AND i.stream" EQ "$2" \
	"   ORDER BY i.item_no DESC LIMIT 1), 0::pg_catalog.int8)"

/* id, stream, role */
static DwfStatement create_query = {
	"INSERT INTO durable_wf.stream (workflow_id, name)"
	" SELECT w.workflow_id, $2 FROM durable_wf.workflow w WHERE " LIVE("$3")
	" ON CONFLICT (workflow_id, name) DO NOTHING",
	3, {TEXTOID, TEXTOID, OIDOID}, NULL
};

/* id, stream, value, role */
static DwfStatement append_query = {
	"INSERT INTO durable_wf.stream_item (workflow_id, stream, item_no, value)"
	" SELECT w.workflow_id, $2, " LAST " OPERATOR(pg_catalog.+) 1, $3"
	" FROM durable_wf.workflow w WHERE " LIVE("$4")
	" RETURNING item_no",
	4, {TEXTOID, TEXTOID, JSONBOID, OIDOID}, NULL
};

/* id, stream, values, role */
static DwfStatement append_many_query = {
	"INSERT INTO durable_wf.stream_item (workflow_id, stream, item_no, value)"
	" SELECT w.workflow_id, $2, l.item_no OPERATOR(pg_catalog.+) u.ordinal,"
	" u.value"
	" FROM durable_wf.workflow w"
	" CROSS JOIN (SELECT " LAST " AS item_no) l"
	" CROSS JOIN pg_catalog.unnest($3) WITH ORDINALITY u (value, ordinal)"
	" WHERE " LIVE("$4") " ORDER BY u.ordinal"
	" RETURNING item_no",
	4, {TEXTOID, TEXTOID, JSONBARRAYOID, OIDOID}, NULL
};

/* id, stream, role */
static DwfStatement close_query = {
	"UPDATE durable_wf.stream s SET closed_at = pg_catalog.now()"
	" FROM durable_wf.workflow w"
	" WHERE s.workflow_id" EQ "$1 AND s.name" EQ "$2 AND " LIVE("$3"),
	3, {TEXTOID, TEXTOID, OIDOID}, NULL
};

/* id, stream */
static DwfStatement state_query = {
	"SELECT w.owner::pg_catalog.oid, w.finished_at IS NOT NULL,"
	" s.closed_at IS NOT NULL FROM durable_wf.workflow w"
	" LEFT JOIN durable_wf.stream s"
	"   ON s.workflow_id" EQ "w.workflow_id AND s.name" EQ "$2"
	" WHERE w.workflow_id" EQ "$1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* id, stream, after, at most so many */
static DwfStatement read_query = {
	"SELECT i.item_no, i.value FROM durable_wf.stream_item i"
	" WHERE i.workflow_id" EQ "$1 AND i.stream" EQ "$2"
	" AND i.item_no OPERATOR(pg_catalog.>) $3"
	" ORDER BY i.item_no LIMIT $4",
	4, {TEXTOID, TEXTOID, INT8OID, INT4OID}, NULL
};

/* id, stream, after */
static DwfStatement more_query = {
	"SELECT FROM durable_wf.stream_item i"
	" WHERE i.workflow_id" EQ "$1 AND i.stream" EQ "$2"
	" AND i.item_no OPERATOR(pg_catalog.>) $3"
	" ORDER BY i.item_no LIMIT 1",
	3, {TEXTOID, TEXTOID, INT8OID}, NULL
};

/* Begin to look for a stream's row in its table */
static SysScanDesc
begin_scan(Relation table, text *workflow_id, text *stream, Snapshot snapshot)
{
	ScanKeyData keys[2];

	ScanKeyEntryInitialize(&keys[0], 0, DWF_STREAM_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, DWF_STREAM_NAME,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(stream));
	return systable_beginscan(table, dwf_catalog_relation("stream_pkey"), true,
							  snapshot, 2, keys);
}

/* How many places are kept; a power of two */
#define PLACES		256

/* Where the row of a stream with this hash was last seen */
typedef struct Place
{
	uint64		hash;
	ItemPointerData tid;
} Place;

static Place places[PLACES];

/* Has a row this text in this column? */
static bool
has_text(HeapTuple row, TupleDesc desc, AttrNumber column, text *value)
{
	bool		isnull;
	Datum		datum = heap_getattr(row, column, desc, &isnull);

	return DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID, datum,
												PointerGetDatum(value)));
}

/* The place that is kept for streams of this hash */
static Place *
place_of(uint64 hash)
{
	Place	   *place = &places[hash & (PLACES - 1)];

	if (place->hash != hash)
	{
		place->hash = hash;
		ItemPointerSetInvalid(&place->tid);
	}
	return place;
}

/*
 * Read the row at the kept place, if it is the stream's: is that closed?  As
 * in probe.c, nothing has to be kept in step with the table.
 */
static bool
look_at_place(Relation table, const Place *place, const DwfAddress *stream,
			  Snapshot snapshot, bool *closed)
{
	TupleDesc	desc = RelationGetDescr(table);
	HeapTupleData row;
	Buffer		buffer;
	bool		found;

	/* the place may be beyond the end of a table that has shrunk */
	if (!ItemPointerIsValid(&place->tid) ||
		table->rd_rel->relam != HEAP_TABLE_AM_OID ||
		!dwf_probe_has_block(table, ItemPointerGetBlockNumber(&place->tid)))
		return false;
	row.t_self = place->tid;
	if (!heap_fetch(table, snapshot, &row, &buffer, false))
		return false;
	found = has_text(&row, desc, DWF_STREAM_WORKFLOW_ID,
					 stream->workflow_id) &&
		has_text(&row, desc, DWF_STREAM_NAME, stream->key);
	*closed = found && !heap_attisnull(&row, DWF_STREAM_CLOSED_AT, desc);
	ReleaseBuffer(buffer);
	return found;
}

/* Find where a stream's row is; false if there is none */
static bool
find_place(Relation table, Place *place, const DwfAddress *stream,
		   Snapshot snapshot)
{
	SysScanDesc scan = begin_scan(table, stream->workflow_id, stream->key,
								  snapshot);
	HeapTuple	row = systable_getnext(scan);

	if (HeapTupleIsValid(row))
		place->tid = row->t_self;
	else
		ItemPointerSetInvalid(&place->tid);
	systable_endscan(scan);
	return ItemPointerIsValid(&place->tid);
}

/*
 * Lock the version of a stream's row at this place, and note it.  Returns
 * false, and does nothing, if it is not the last one, or not the only lock.
 */
static bool
lock_version(Relation table, ItemPointer tid, LockWaitPolicy policy,
			 DwfStreamTurn *turn, DwfStreamState *state)
{
	HeapTupleData row;
	TM_FailureData failure;
	Buffer		buffer;
	TM_Result	result;

	row.t_self = *tid;
	result = heap_lock_tuple(table, &row, GetCurrentCommandId(true),
							 LockTupleNoKeyExclusive, policy, false, &buffer,
							 &failure);
	if (result == TM_Ok)
	{
		turn->tid = row.t_self;
		turn->xmin = HeapTupleHeaderGetXmin(row.t_data);
		*state = heap_attisnull(&row, DWF_STREAM_CLOSED_AT,
								RelationGetDescr(table)) ?
			DWF_STREAM_OPEN : DWF_STREAM_CLOSED;
	}
	else if (result == TM_WouldBlock)
		*state = DWF_STREAM_BUSY;
	ReleaseBuffer(buffer);
	return result == TM_Ok || result == TM_WouldBlock;
}

/*
 * Lock the last version of a stream's row that is at this place, or was there.
 * DWF_STREAM_REFUSED: it is gone.  DWF_STREAM_BUSY: another transaction has
 * it, and the policy is not to wait.
 */
static DwfStreamState
lock_row(Relation table, ItemPointer tid, LockWaitPolicy policy,
		 DwfStreamTurn *turn)
{
	TupleTableSlot *slot;
	DwfStreamState state = DWF_STREAM_REFUSED;
	TM_FailureData failure;
	TM_Result	result;

	/* no slot, and nothing else that only the rare case needs */
	if (table->rd_rel->relam == HEAP_TABLE_AM_OID &&
		lock_version(table, tid, policy, turn, &state))
		return state;

	slot = table_slot_create(table, NULL);
	result = table_tuple_lock(table, tid, SnapshotSelf, slot,
							  GetCurrentCommandId(true),
							  LockTupleNoKeyExclusive, policy,
							  TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (result == TM_Ok)
	{
		bool		isnull;
		Datum		xmin = slot_getsysattr(slot,
										   MinTransactionIdAttributeNumber,
										   &isnull);

		turn->tid = slot->tts_tid;
		turn->xmin = DatumGetTransactionId(xmin);
		state = slot_attisnull(slot, DWF_STREAM_CLOSED_AT) ?
			DWF_STREAM_OPEN : DWF_STREAM_CLOSED;
	}
	else if (result == TM_WouldBlock)
		state = DWF_STREAM_BUSY;
	else if (result != TM_Deleted)
		elog(ERROR, "could not lock a stream: %d", (int) result);
	ExecDropSingleTupleTableSlot(slot);
	return state;
}

/* Find by a new snapshot where a stream's row is; false if there is none */
static bool
find_place_now(Relation table, Place *place, const DwfAddress *stream)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	bool		found = find_place(table, place, stream, snapshot);

	UnregisterSnapshot(snapshot);
	return found;
}

/*
 * Lock a stream that is there; DWF_STREAM_REFUSED: there is none.  The row at
 * the kept place needs no snapshot: the lock is on its last version anyway.
 */
static DwfStreamState
lock_present(DwfStreamTurn *turn, LockWaitPolicy policy)
{
	Relation	table = table_open(dwf_catalog_relation("stream"), RowShareLock);
	Place	   *place = place_of(turn->hash);
	DwfStreamState state = DWF_STREAM_REFUSED;
	bool		closed;

	/* what this command has changed is to be locked, too */
	CommandCounterIncrement();
	if (look_at_place(table, place, &turn->address, SnapshotSelf, &closed) ||
		find_place_now(table, place, &turn->address))
	{
		/* locking may go on to another version */
		ItemPointerData tid = place->tid;

		state = lock_row(table, &tid, policy, turn);
	}
	table_close(table, NoLock);
	return state;
}

/*
 * Lock a stream of a workflow that has not ended and that the role may act on,
 * and make it if there is none.  Blocks while another transaction has it, if
 * the role may act on it.  DWF_STREAM_REFUSED: there is no such workflow, or
 * another transaction has just made the stream.  That the workflow has not
 * ended was asked with the lock.
 */
DwfStreamState
dwf_store_lock_stream(DwfStreamTurn *turn, Oid role)
{
	text	   *workflow_id = turn->address.workflow_id;
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(turn->address.key), ObjectIdGetDatum(role)};
	DwfStreamState state;

	/* before a look at the workflow: README, I5 */
	(void) GetTopTransactionId();
	ItemPointerSetInvalid(&turn->tid);

	/* only those who may wait for their turn do; nobody else keeps it */
	state = lock_present(turn, LockWaitSkip);
	if (!dwf_probe_accepts(workflow_id, role))
		return DWF_STREAM_REFUSED;
	if (state == DWF_STREAM_BUSY)
	{
		state = lock_present(turn, LockWaitBlock);
		if (!dwf_probe_accepts(workflow_id, role))
			return DWF_STREAM_REFUSED;
	}
	if (state == DWF_STREAM_REFUSED &&
		dwf_statement_count_latest(&create_query, values) > 0 &&
		dwf_probe_accepts(workflow_id, role))
		state = DWF_STREAM_OPEN;
	return state;
}

/* Run a statement that appends; the number of the last item, or 0 */
static int64
append(DwfStatement *statement, text *workflow_id, text *stream, Datum value,
	   Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(stream), value, ObjectIdGetDatum(role)};
	DwfRun		r = dwf_statement_run_latest(statement, values);
	int64		last = 0;
	bool		isnull;

	if (SPI_processed > 0)
		last = DatumGetInt64(dwf_statement_column(SPI_processed - 1, 1,
												  &isnull));
	dwf_statement_done(r);
	return last;
}

/*
 * Append a value to a stream that this transaction has locked; its number, or
 * 0 when the workflow has ended or is not the role's
 */
int64
dwf_store_append(text *workflow_id, text *stream, Datum value, Oid role)
{
	return append(&append_query, workflow_id, stream, value, role);
}

/* Append the elements of a jsonb[] without nulls; the number of the last */
int64
dwf_store_append_many(text *workflow_id, text *stream, Datum values, Oid role)
{
	return append(&append_many_query, workflow_id, stream, values, role);
}

/*
 * Close a stream that this transaction has locked; false when the workflow has
 * ended or is not the role's
 */
bool
dwf_store_close_stream(text *workflow_id, text *stream, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(stream), ObjectIdGetDatum(role)};

	return dwf_statement_count_latest(&close_query, values) > 0;
}

/*
 * Look at a workflow and one of its streams; false if there is no workflow.
 * Of the life only owner and finished are filled in.
 */
bool
dwf_store_stream_state(text *workflow_id, text *stream, DwfLife *life,
					   bool *closed)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(stream)};
	DwfRun		r = dwf_statement_run(&state_query, values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		life->owner = DatumGetObjectId(dwf_statement_column(0, 1, &isnull));
		life->finished = DatumGetBool(dwf_statement_column(0, 2, &isnull));
		*closed = DatumGetBool(dwf_statement_column(0, 3, &isnull));
	}
	dwf_statement_done(r);
	return found;
}

/* Is a stream closed?  As far as a statement would see it here. */
bool
dwf_store_stream_is_closed(text *workflow_id, text *stream)
{
	DwfAddress	address = {DWF_DOOR_STREAM, workflow_id, stream};
	Relation	table = table_open(dwf_catalog_relation("stream"), AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	Place	   *place = place_of(dwf_address_hash(&address));
	bool		closed = false;

	if (!look_at_place(table, place, &address, snapshot, &closed) &&
		find_place(table, place, &address, snapshot))
		(void) look_at_place(table, place, &address, snapshot, &closed);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return closed;
}

/* Does another transaction that has not ended hold this version of a row? */
static bool
is_held(HeapTuple row)
{
	uint16		infomask = row->t_data->t_infomask;
	TransactionId xmax = HeapTupleHeaderGetRawXmax(row->t_data);

	if (infomask & HEAP_XMAX_INVALID)
		return false;
	if (infomask & HEAP_XMAX_IS_MULTI)
		return MultiXactIdIsRunning(xmax,
									HEAP_XMAX_IS_LOCKED_ONLY(infomask));
	return !TransactionIdIsCurrentTransactionId(xmax) &&
		TransactionIdIsInProgress(xmax);
}

/*
 * Has a transaction that has not ended locked this stream, or made it?  Blocks
 * for nothing.  A lock that is taken while this looks is of no interest: its
 * owner looks at the workflow after that.
 */
bool
dwf_store_stream_has_writer(text *workflow_id, text *stream)
{
	Relation	table = table_open(dwf_catalog_relation("stream"), AccessShareLock);
	SysScanDesc scan;
	SnapshotData dirty;
	HeapTuple	row;
	bool		found = false;

	InitDirtySnapshot(dirty);
	scan = begin_scan(table, workflow_id, stream, &dirty);
	while (!found && HeapTupleIsValid(row = systable_getnext(scan)))
		found = TransactionIdIsValid(dirty.xmin) || is_held(row);
	systable_endscan(scan);
	table_close(table, NoLock);
	return found;
}

/*
 * Are there committed items after a number that this transaction's snapshot
 * may be too old for?
 */
bool
dwf_store_stream_has_more(text *workflow_id, text *stream, int64 after)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(stream), Int64GetDatum(after)};

	return IsolationUsesXactSnapshot() &&
		dwf_statement_count_latest(&more_query, values) > 0;
}

/* The items after a number, at most so many; returns how many there are */
int
dwf_store_read_stream(text *workflow_id, text *stream, int64 after, int limit,
					  DwfStreamItem **items)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		PointerGetDatum(stream), Int64GetDatum(after),
	Int32GetDatum(limit)};
	DwfRun		r = dwf_statement_run(&read_query, values, NULL);
	int			count = (int) SPI_processed;
	bool		isnull;

	*items = NULL;
	if (count > 0)
		*items = MemoryContextAllocHuge(r.caller_context,
										count * sizeof(DwfStreamItem));
	for (int i = 0; i < count; i++)
	{
		(*items)[i].item_no =
			DatumGetInt64(dwf_statement_column(i, 1, &isnull));
		(*items)[i].value = dwf_statement_copy_column(r, i, 2).value;
	}
	dwf_statement_done(r);
	return count;
}
