/*-------------------------------------------------------------------------
 *
 * direct_stream.c
 *	  Rows without a statement: streams are read, and items appended to them.
 *
 * To append, the number of the last item is looked for, backward from the end
 * of the stream.  Such a scan reads all entries of the stream on the last page
 * of the index.  So the session keeps the number that it has written last, as
 * a hint, and looks from there on first.
 *
 *-------------------------------------------------------------------------
 */
#include "store/direct.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/owner.h"
#include "store/probe.h"

#define ITEM_WORKFLOW_ID	1
#define ITEM_STREAM			2
#define ITEM_NO				3
#define ITEM_VALUE			4
#define ITEM_WRITTEN_AT		5
#define ITEM_COLUMNS		5

static DwfDirectTable items = {
	.name = "stream_item",
	.natts = ITEM_COLUMNS,
	.types = {TEXTOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID},
	.moment = ITEM_WRITTEN_AT,
	.nkeys = 3,
	.keys = {ITEM_WORKFLOW_ID, ITEM_STREAM, ITEM_NO},
	.nindexes = 1,
	.trigger_type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE |
	TRIGGER_TYPE_INSERT
};

/* Only read here */
static DwfDirectTable streams = {
	.name = "stream",
	.natts = 3,
	.types = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
	.nullable = DWF_STREAM_CLOSED_AT,
	.nkeys = 2,
	.keys = {DWF_STREAM_WORKFLOW_ID, DWF_STREAM_NAME},
	.nindexes = 1,
	.is_only_read = true
};

/*
 * Begin to scan a table for the rows of a stream, if "from" is not the least
 * number for items from this number on
 */
static SysScanDesc
begin_scan(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
		   text *stream, int64 from)
{
	ScanKeyData keys[3];
	int			nkeys = 2;

	ScanKeyEntryInitialize(&keys[0], 0, ITEM_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, ITEM_STREAM, BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(stream));
	if (from != PG_INT64_MIN)
		ScanKeyEntryInitialize(&keys[nkeys++], 0, ITEM_NO,
							   BTGreaterEqualStrategyNumber, INT8OID,
							   InvalidOid, F_INT8GE, Int64GetDatum(from));
	return systable_beginscan_ordered(direct->table, direct->pkey, snapshot,
									  nkeys, keys);
}

/* A column of an item's row */
static Datum
column_of(DwfDirect *direct, HeapTuple row, AttrNumber column)
{
	bool		isnull;

	return heap_getattr(row, column, RelationGetDescr(direct->table), &isnull);
}

/* ----- read ----- */

/*
 * Look at a workflow and one of its streams, as dwf_store_stream_state() does.
 * NOTHING: there is no workflow.
 */
DwfDirectResult
dwf_direct_stream_state(text *workflow_id, text *stream, DwfLife *life,
						bool *closed)
{
	DwfDirect	direct;
	Snapshot	snapshot;
	bool		found;

	if (!dwf_direct_open(&direct, &streams, AccessShareLock))
		return DWF_DIRECT_ASIDE;
	snapshot = dwf_direct_push_snapshot();
	found = dwf_probe_life(workflow_id, snapshot, life);
	*closed = false;
	if (found)
	{
		SysScanDesc scan = begin_scan(&direct, snapshot, workflow_id, stream,
									  PG_INT64_MIN);
		HeapTuple	row = systable_getnext_ordered(scan, ForwardScanDirection);

		*closed = HeapTupleIsValid(row) &&
			!heap_attisnull(row, DWF_STREAM_CLOSED_AT,
							RelationGetDescr(direct.table));
		systable_endscan_ordered(scan);
	}
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return found ? DWF_DIRECT_DONE : DWF_DIRECT_NOTHING;
}

/*
 * Read the items after a number, as dwf_store_read_stream() does; -1: a
 * statement has to
 */
int
dwf_direct_read_items(text *workflow_id, text *stream, int64 after, int limit,
					  DwfStreamItem **result)
{
	DwfDirect	direct;
	SysScanDesc scan;
	HeapTuple	row;
	int			count = 0;
	int			room = 0;

	if (after == PG_INT64_MAX ||
		!dwf_direct_open(&direct, &items, AccessShareLock))
		return -1;
	*result = NULL;
	scan = begin_scan(&direct, dwf_direct_push_snapshot(), workflow_id, stream,
					  after + 1);
	while (count < limit &&
		   (row = systable_getnext_ordered(scan,
										   ForwardScanDirection)) != NULL)
	{
		DwfStreamItem *item;
		Datum		value = column_of(&direct, row, ITEM_VALUE);

		CHECK_FOR_INTERRUPTS();
		if (count == room)
		{
			room = room == 0 ? Min(limit, 16) : 2 * room;
			*result = *result == NULL ?
				palloc(room * sizeof(DwfStreamItem)) :
				repalloc_huge(*result, room * sizeof(DwfStreamItem));
		}
		item = &(*result)[count++];
		item->item_no = DatumGetInt64(column_of(&direct, row, ITEM_NO));
		item->value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value));
	}
	systable_endscan_ordered(scan);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return count;
}

/* ----- append ----- */

/* Hints: the number of the last item, by the hash of the stream's address */
#define HINTS	1024			/* a power of two */

typedef struct Hint
{
	uint64		hash;
	int64		last;
} Hint;

static Hint hints[HINTS];

/* The number of the last item of a stream from "from" on, or 0 */
static int64
find_last_from(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
			   text *stream, int64 from)
{
	SysScanDesc scan = begin_scan(direct, snapshot, workflow_id, stream, from);
	HeapTuple	row = systable_getnext_ordered(scan, BackwardScanDirection);
	int64		last = 0;

	if (HeapTupleIsValid(row))
		last = DatumGetInt64(column_of(direct, row, ITEM_NO));
	systable_endscan_ordered(scan);
	return last;
}

/* The number of the last item of a stream, or 0 */
static int64
find_last(DwfDirect *direct, Snapshot snapshot, text *workflow_id,
		  text *stream, const Hint *hint)
{
	int64		last = 0;

	if (hint->last > 1)
		last = find_last_from(direct, snapshot, workflow_id, stream,
							  hint->last);
	return last > 0 ? last :
		find_last_from(direct, snapshot, workflow_id, stream, PG_INT64_MIN);
}

/* Write one item */
static void
write_item(DwfDirect *direct, text *workflow_id, text *stream, int64 item_no,
		   Datum value)
{
	Datum		values[ITEM_COLUMNS] = {
		PointerGetDatum(workflow_id), PointerGetDatum(stream),
		Int64GetDatum(item_no), value,
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())
	};
	bool		nulls[ITEM_COLUMNS] = {false};
	HeapTuple	row = heap_form_tuple(RelationGetDescr(direct->table), values,
									  nulls);

	simple_heap_insert(direct->table, row);
	/* the first columns are the key's */
	(void) index_insert(direct->pkey, values, nulls, &row->t_self,
						direct->table, UNIQUE_CHECK_YES, false,
						BuildIndexInfo(direct->pkey));
	heap_freetuple(row);
}

/*
 * Open the table to append items; false if statements have to do that, which
 * can see later than the transaction's snapshot
 */
bool
dwf_direct_open_items(DwfDirect *direct)
{
	return !IsolationUsesXactSnapshot() &&
		dwf_direct_open(direct, &items, RowExclusiveLock);
}

/*
 * Append values to a stream that this transaction has locked, as
 * dwf_store_append() does; "hash" is that of its address.  The caller has done
 * the work of the trigger.
 */
int64
dwf_direct_append(DwfDirect *direct, text *workflow_id, text *stream,
				  uint64 hash, const Datum *values, int count, Oid role)
{
	Snapshot	snapshot = dwf_direct_push_snapshot();
	Hint	   *hint = &hints[hash & (HINTS - 1)];
	DwfLife		life;
	int64		last = 0;

	if (hint->hash != hash)
	{
		hint->hash = hash;
		hint->last = 0;
	}
	if (dwf_probe_life(workflow_id, snapshot, &life) && !life.finished &&
		dwf_owner_allows(life.owner, role))
	{
		last = find_last(direct, snapshot, workflow_id, stream, hint);
		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			write_item(direct, workflow_id, stream, ++last, values[i]);
		}
		hint->last = last;
		CommandCounterIncrement();
	}
	PopActiveSnapshot();
	return last;
}
