/*-------------------------------------------------------------------------
 *
 * direct_message.c
 *	  Rows without a statement: items of mailboxes.
 *
 * A receive deletes the first row of its queue that no other transaction is
 * at: table_tuple_delete() that does not wait is what FOR UPDATE SKIP LOCKED
 * and DELETE are together.
 *
 * A scan of an index reads all entries of a page that fit its keys before it
 * returns the first, hundreds where a queue is long and a receive wants one.
 * So each session keeps, for each queue, the id that it has taken last and how
 * far the ids are apart, and ends its first scan some items further on; if
 * that finds too little, a second one goes on behind it.  What is kept is a
 * hint: which items are taken, and in which order, does not depend on it.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "store/catalog.h"

#define MESSAGE_PAYLOAD		5
#define MESSAGE_WAIT_ID		6
#define MESSAGE_CREATED_AT	7
#define MESSAGE_COLUMNS		8
#define DELIVERY_DELIVERIES	5

static DwfDirectTable messages = {
	.name = "message",
	.natts = MESSAGE_COLUMNS,
	.types = {INT8OID, TEXTOID, CHAROID, TEXTOID, JSONBOID, INT8OID,
	TIMESTAMPTZOID, TEXTOID},
	.nullable = MESSAGE_WAIT_ID,
	.nullables = 1U << DWF_MESSAGE_TRACEPARENT,
	.has_tag_index = true,
	.moment = MESSAGE_CREATED_AT,
	.nkeys = 4,
	.keys = {DWF_MESSAGE_WORKFLOW_ID, DWF_MESSAGE_DOOR, DWF_MESSAGE_KEY,
	DWF_MESSAGE_MESSAGE_ID},
	.nindexes = 2,
	.trigger_type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE |
	TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE
};

/* Read only: how often items were given back */
static DwfDirectTable deliveries = {
	.name = "delivery",
	.natts = 5,
	.types = {TEXTOID, CHAROID, TEXTOID, INT8OID, INT8OID},
	.nkeys = 4,
	.keys = {1, 2, 3, 4},
	.nindexes = 2,
	.is_only_read = true
};

/* ----- deliver ----- */

/* Open the table to deliver items; false if statements have to do that */
bool
dwf_direct_open_messages(DwfDirect *direct)
{
	return dwf_direct_open(direct, &messages, RowExclusiveLock);
}

/*
 * Put an item into a mailbox, as dwf_store_deliver() does, with a trace
 * context or NULL.  The caller has done the work of the trigger.
 */
void
dwf_direct_deliver(DwfDirect *direct, int64 message_id,
				   const DwfAddress *address, Datum payload,
				   const text *traceparent)
{
	Datum		values[MESSAGE_COLUMNS] = {
		Int64GetDatum(message_id), PointerGetDatum(address->workflow_id),
		CharGetDatum(address->door), PointerGetDatum(address->key), payload,
		(Datum) 0, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
		PointerGetDatum(traceparent)
	};
	bool		nulls[MESSAGE_COLUMNS] = {[MESSAGE_WAIT_ID - 1] = true,
	[DWF_MESSAGE_TRACEPARENT - 1] = traceparent == NULL};
	Datum		keys[4] = {values[1], values[2], values[3], values[0]};
	bool		push_snapshot = !ActiveSnapshotSet();
	HeapTuple	row;

	/* a payload may have to be read out of another table */
	if (push_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	row = heap_form_tuple(RelationGetDescr(direct->table), values, nulls);
	simple_heap_insert(direct->table, row);
	(void) index_insert(direct->pkey, keys, nulls, &row->t_self,
						direct->table, UNIQUE_CHECK_YES, false,
						BuildIndexInfo(direct->pkey));
	heap_freetuple(row);
	if (push_snapshot)
		PopActiveSnapshot();
	CommandCounterIncrement();
}

/* ----- hints ----- */

#define HINTS		1024		/* a power of two */
#define BACKLOG		16			/* so many items more make a queue long */

typedef struct Hint
{
	uint64		hash;			/* of the queue */
	int64		last;			/* the id that was taken last */
	int64		window;			/* how far to look behind it; 0: to the end */
} Hint;

static Hint hints[HINTS];

/* The hint for a queue; of two queues that share one, the last has it */
static Hint *
hint_of(uint64 hash)
{
	Hint	   *hint = &hints[hash & (HINTS - 1)];

	if (hint->hash != hash)
	{
		hint->hash = hash;
		hint->last = PG_INT64_MIN;
		hint->window = 0;
	}
	return hint;
}

/* Where a scan that begins at "from" ends first */
static int64
end_of_window(const Hint *hint, int64 from, int64 to)
{
	int64		end;

	if (hint->window == 0 ||
		pg_add_s64_overflow(Max(hint->last, from), hint->window, &end))
		return to;
	return Min(end, to);
}

/* Keep what a receive has learnt: its last id, and whether there were more */
static void
learn(Hint *hint, int64 taken, bool is_long)
{
	if (!is_long)
		hint->window = 0;
	else if (hint->last != PG_INT64_MIN && taken > hint->last &&
			 taken - hint->last < PG_INT32_MAX)
		hint->window = 4 * (taken - hint->last);
	hint->last = taken;
}

/* ----- scans ----- */

/* A scan of a queue; its snapshot is the active one */
typedef struct QueueScan
{
	DwfDirect  *direct;
	const DwfAddress *queue;
	Snapshot	snapshot;
	SysScanDesc desc;
} QueueScan;

/* Fill in the keys that find the rows of a queue; returns how many */
static int
fill_keys(ScanKeyData *keys, const DwfDirectTable *made,
		  const DwfAddress *queue, int64 from, int64 to)
{
	const AttrNumber *columns = made->keys;
	int			n = 3;

	ScanKeyEntryInitialize(&keys[0], 0, columns[0], BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(queue->workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, columns[1], BTEqualStrategyNumber,
						   CHAROID, InvalidOid, F_CHAREQ,
						   CharGetDatum(queue->door));
	ScanKeyEntryInitialize(&keys[2], 0, columns[2], BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(queue->key));
	if (from != PG_INT64_MIN)
		ScanKeyEntryInitialize(&keys[n++], 0, columns[3],
							   BTGreaterEqualStrategyNumber, INT8OID,
							   InvalidOid, F_INT8GE, Int64GetDatum(from));
	if (to != PG_INT64_MAX)
		ScanKeyEntryInitialize(&keys[n++], 0, columns[3],
							   BTLessEqualStrategyNumber, INT8OID,
							   InvalidOid, F_INT8LE, Int64GetDatum(to));
	return n;
}

/* Begin to scan a queue for ids between "from" and "to" */
static void
begin_scan(QueueScan *scan, int64 from, int64 to)
{
	ScanKeyData keys[5];
	int			nkeys = fill_keys(keys, &messages, scan->queue, from, to);

	scan->desc = systable_beginscan_ordered(scan->direct->table,
											scan->direct->pkey,
											scan->snapshot, nkeys, keys);
}

/* The next row of a scan, in a buffer that stays pinned; NULL at the end */
static HeapTuple
next_row(QueueScan *scan)
{
	return systable_getnext_ordered(scan->desc, ForwardScanDirection);
}

/* Are there so many entries behind the last row that the queue is long? */
static bool
sees_backlog(QueueScan *scan)
{
	for (int i = 0; i < BACKLOG; i++)
		if (index_getnext_tid(scan->desc->iscan, ForwardScanDirection) == NULL)
			return false;
	return true;
}

/* A column of a row of a table */
static Datum
column_of(Relation table, HeapTuple row, AttrNumber column)
{
	bool		isnull;

	return heap_getattr(row, column, RelationGetDescr(table), &isnull);
}

/* ----- take ----- */

/* Has an item been given back so often that it is the worker's? */
static bool
is_worn_out(DwfDirect *counts, Snapshot snapshot, const DwfAddress *queue,
			int64 message_id)
{
	ScanKeyData keys[5];
	int			nkeys = fill_keys(keys, &deliveries, queue, message_id,
								  message_id);
	SysScanDesc scan = systable_beginscan_ordered(counts->table, counts->pkey,
												  snapshot, nkeys, keys);
	HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);
	bool		worn_out = HeapTupleIsValid(row) &&
	DatumGetInt64(column_of(counts->table, row, DELIVERY_DELIVERIES)) >=
	dwf_setting_max_deliveries;

	systable_endscan_ordered(scan);
	return worn_out;
}

/* Delete a row, without waiting for other transactions */
static TM_Result
delete_row(Relation table, ItemPointer tid, Snapshot snapshot, bool is_locked)
{
	TM_FailureData failure;

	return DWF_TUPLE_DELETE(table, tid, snapshot, is_locked, &failure);
}

/*
 * Delete a row that a transaction may be at, perhaps only this one, which has
 * locked the row.  The lock comes first: unlike a deletion it gives this
 * transaction no xid if it fails.
 */
static TM_Result
lock_and_delete_row(Relation table, ItemPointer tid, Snapshot snapshot)
{
	TupleTableSlot *slot = table_slot_create(table, NULL);
	TM_FailureData failure;
	TM_Result	result;

	result = table_tuple_lock(table, tid, snapshot, slot,
							  GetCurrentCommandId(true), LockTupleExclusive,
							  LockWaitSkip, 0, &failure);
	ExecDropSingleTupleTableSlot(slot);
	if (result == TM_Ok)
		result = delete_row(table, tid, snapshot, true);
	return result;
}

/*
 * Has another transaction, which has not ended, locked or deleted a row?  It
 * is read without a lock on its page, so a "no" may be out of date, and a lock
 * decides; a "yes" was true a moment ago, and the end of that transaction
 * wakes whom the row may serve.  Of several lockers nothing is said.
 */
static bool
is_held_by_another(HeapTuple row)
{
	volatile uint16 *marks = &row->t_data->t_infomask;
	uint16		infomask = *marks;
	TransactionId xmax;

	/* both belong together unless the marks have changed meanwhile */
	pg_read_barrier();
	xmax = HeapTupleHeaderGetRawXmax(row->t_data);
	pg_read_barrier();
	return infomask == *marks &&
		(infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_COMMITTED |
					 HEAP_XMAX_IS_MULTI)) == 0 &&
		!TransactionIdIsCurrentTransactionId(xmax) &&
		TransactionIdIsInProgress(xmax);
}

/* Take the row that the scan has come to, unless it is another's */
static DwfDirectResult
take_row(QueueScan *scan, HeapTuple row, DwfItem *item)
{
	Relation	table = scan->direct->table;
	ItemPointerData tid = row->t_self;
	TM_Result	result = TM_BeingModified;

	if (is_held_by_another(row))
		return DWF_DIRECT_NOTHING;
	if (row->t_data->t_infomask & HEAP_XMAX_INVALID)
		result = delete_row(table, &tid, scan->snapshot, false);
	if (result == TM_BeingModified)
		result = lock_and_delete_row(table, &tid, scan->snapshot);
	switch (result)
	{
		case TM_Ok:
			break;
		case TM_WouldBlock:
		case TM_Deleted:
		case TM_SelfModified:
			return DWF_DIRECT_NOTHING;
		default:				/* a newer version has to be tested */
			return DWF_DIRECT_ASIDE;
	}

	/* the deleted row is still in its pinned buffer */
	item->message_id =
		DatumGetInt64(column_of(table, row, DWF_MESSAGE_MESSAGE_ID));
	item->payload =
		PointerGetDatum(PG_DETOAST_DATUM_COPY(column_of(table, row,
														MESSAGE_PAYLOAD)));
	item->sent_at =
		DatumGetTimestampTz(column_of(table, row, MESSAGE_CREATED_AT));
	item->traceparent = heap_attisnull(row, DWF_MESSAGE_TRACEPARENT, NULL) ?
		NULL : DatumGetTextPCopy(column_of(table, row,
										   DWF_MESSAGE_TRACEPARENT));
	return DWF_DIRECT_DONE;
}

/* What a receive has taken so far */
typedef struct Taking
{
	DwfDirect  *counts;			/* of deliveries; NULL: they do not matter */
	int			limit;
	int			count;
	int			room;
	DwfItem    *items;
} Taking;

/*
 * Take items of one scan, up to the limit.  DONE: the limit is reached;
 * NOTHING: there are no more; ASIDE: the statement has to go on.
 */
static DwfDirectResult
take_scanned(QueueScan *scan, Taking *taking)
{
	HeapTuple	row;

	while ((row = next_row(scan)) != NULL)
	{
		DwfDirectResult result;

		CHECK_FOR_INTERRUPTS();
		if (taking->counts &&
			is_worn_out(taking->counts, scan->snapshot, scan->queue,
						DatumGetInt64(column_of(scan->direct->table, row,
												DWF_MESSAGE_MESSAGE_ID))))
			continue;
		if (taking->count == taking->room)
		{
			taking->room *= 2;
			taking->items = repalloc_huge(taking->items,
										  taking->room * sizeof(DwfItem));
		}
		result = take_row(scan, row, &taking->items[taking->count]);
		if (result == DWF_DIRECT_ASIDE)
			return result;
		if (result == DWF_DIRECT_DONE && ++taking->count == taking->limit)
			return DWF_DIRECT_DONE;
	}
	return DWF_DIRECT_NOTHING;
}

/* Take items by one scan or two, in the active snapshot; see take_scanned() */
static DwfDirectResult
take_in_windows(QueueScan *scan, Taking *taking, Hint *hint, int64 from,
				int64 to)
{
	for (;;)
	{
		int64		end = end_of_window(hint, from, to);
		DwfDirectResult result;
		bool		is_long = end < to;

		begin_scan(scan, from, end);
		result = take_scanned(scan, taking);
		if (result == DWF_DIRECT_DONE && from != to)
			learn(hint, taking->items[taking->count - 1].message_id,
				  is_long || sees_backlog(scan));
		systable_endscan_ordered(scan->desc);
		if (result != DWF_DIRECT_NOTHING || end == to)
			return result;
		from = end + 1;
		hint->window = 0;		/* the next scan goes on to the end */
	}
}

/*
 * Take up to "limit" of a queue's oldest items, as dwf_store_take() does, and
 * return how many; -1: a statement has to.
 */
int
dwf_direct_take(const DwfAddress *queue, uint64 hash, int64 from, int64 to,
				int limit, DwfItem **items)
{
	DwfDirect	direct;
	DwfDirect	counts;
	QueueScan	scan = {.direct = &direct,.queue = queue};
	Taking		taking = {.limit = limit,.room = Min(limit, 64)};
	DwfDirectResult result;

	/* in an older snapshot the row may have newer versions */
	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &messages, RowExclusiveLock))
		return -1;

	/* objects from before 1.0.0 count no deliveries */
	if (dwf_setting_max_deliveries > 0 &&
		OidIsValid(dwf_catalog_find_relation("delivery")))
	{
		if (!dwf_direct_open(&counts, &deliveries, AccessShareLock))
		{
			dwf_direct_close(&direct);
			return -1;
		}
		taking.counts = &counts;
	}

	/* Take them, in a new snapshot */
	CheckCmdReplicaIdentity(direct.table, CMD_DELETE);
	taking.items = palloc(taking.room * sizeof(DwfItem));
	scan.snapshot = dwf_direct_push_snapshot();
	result = take_in_windows(&scan, &taking, hint_of(hash), from, to);
	PopActiveSnapshot();
	if (taking.counts)
		dwf_direct_close(&counts);
	dwf_direct_close(&direct);

	/* A part is enough, the statement need not take the rest */
	if (taking.count == 0)
		return result == DWF_DIRECT_ASIDE ? -1 : 0;
	CommandCounterIncrement();
	*items = taking.items;
	return taking.count;
}

/* ----- look ----- */

/* The lowest id of a queue from "from" on; PG_INT64_MAX if there is none */
static int64
find_lowest(QueueScan *scan, const Hint *hint, int64 from)
{
	int64		end = end_of_window(hint, from, PG_INT64_MAX);

	for (;;)
	{
		int64		lowest = PG_INT64_MAX;
		HeapTuple	row;

		begin_scan(scan, from, end);
		row = next_row(scan);
		if (HeapTupleIsValid(row))
			lowest = DatumGetInt64(column_of(scan->direct->table, row,
											 DWF_MESSAGE_MESSAGE_ID));
		systable_endscan_ordered(scan->desc);
		if (lowest != PG_INT64_MAX || end == PG_INT64_MAX)
			return lowest;
		from = end + 1;
		end = PG_INT64_MAX;
	}
}

/*
 * Read the lowest id from "from" on that a queue holds, as dwf_store_lowest()
 * does; false: a statement has to
 */
bool
dwf_direct_lowest(const DwfAddress *queue, uint64 hash, int64 from,
				  int64 *lowest)
{
	int			oldest;

	if (!dwf_direct_oldest(queue, &hash, &from, 1, &oldest, lowest))
		return false;
	if (oldest < 0)
		*lowest = PG_INT64_MAX;
	return true;
}

/*
 * Find which of several queues has the oldest item, as dwf_store_oldest()
 * does, and its id; -1 if all are empty.  False: a statement has to.
 */
bool
dwf_direct_oldest(const DwfAddress *queues, const uint64 *hashes,
				  const int64 *start, int count, int *oldest,
				  int64 *message_id)
{
	DwfDirect	direct;
	QueueScan	scan = {.direct = &direct};

	if (!dwf_direct_open(&direct, &messages, AccessShareLock))
		return false;
	scan.snapshot = dwf_direct_push_snapshot();
	*oldest = -1;
	for (int i = 0; i < count; i++)
	{
		int64		lowest;

		CHECK_FOR_INTERRUPTS();
		scan.queue = &queues[i];
		lowest = find_lowest(&scan, hint_of(hashes[i]), start[i]);
		if (lowest == PG_INT64_MAX || (*oldest >= 0 && lowest >= *message_id))
			continue;
		*oldest = i;
		*message_id = lowest;
	}
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return true;
}
