/*-------------------------------------------------------------------------
 *
 * direct_stream.c
 *	  Rows without a statement: items of streams.
 *
 * Each session keeps the number that it has written last to a stream.  If that
 * is the last one still, no index is searched (is_last()).  Else the search
 * begins there, since a scan of an index reads all entries of a page that fit
 * its keys before it returns the first; and if there is none, at the first.
 * The highest number of those from any number on is the highest of all.
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
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"
#include "shared/appends.h"

#define ITEM_WORKFLOW_ID	1
#define ITEM_STREAM			2
#define ITEM_NO				3
#define ITEM_VALUE			4
#define ITEM_WRITTEN_AT		5
#define ITEM_COLUMNS		5

static DwfDirectTable stream_items = {
	.name = "stream_item",
	.natts = ITEM_COLUMNS,
	.types = {TEXTOID, TEXTOID, INT8OID, JSONBOID, TIMESTAMPTZOID},
	.moment = ITEM_WRITTEN_AT,
	.nkeys = 3,
	.keys = {ITEM_WORKFLOW_ID, ITEM_STREAM, ITEM_NO},
	.nindexes = 1,
	.trigger_type = TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE |
	TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE
};

/* Begin to scan the items of a stream from a number on */
static SysScanDesc
begin_scan(DwfDirect *direct, text *workflow_id, text *stream, int64 from,
		   Snapshot snapshot)
{
	ScanKeyData keys[3];

	ScanKeyEntryInitialize(&keys[0], 0, ITEM_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	ScanKeyEntryInitialize(&keys[1], 0, ITEM_STREAM, BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(stream));
	ScanKeyEntryInitialize(&keys[2], 0, ITEM_NO, BTGreaterEqualStrategyNumber,
						   INT8OID, InvalidOid, F_INT8GE, Int64GetDatum(from));
	return systable_beginscan_ordered(direct->table, direct->pkey, snapshot, 3,
									  keys);
}

/* A column of an item, which is not null */
static Datum
column_of(DwfDirect *direct, HeapTuple row, AttrNumber column)
{
	bool		isnull;

	return heap_getattr(row, column, RelationGetDescr(direct->table), &isnull);
}

/* ----- append ----- */

#define HINTS	64				/* a power of two */

/* What this session has appended last to the stream of this hash */
typedef struct Hint
{
	uint64		hash;
	int64		last;			/* its number */
	uint64		noted;			/* by dwf_appends_note() */
	SubTransactionId subid;		/* in which subtransaction; 0: committed */
	Oid			file;			/* in which file */
	ItemPointerData tid;		/* with which version of the stream's row */
	TransactionId xmin;
} Hint;

static Hint hints[HINTS];

/* Has this transaction appended something that is kept? */
static bool has_appended = false;

/* What this transaction has appended since a subtransaction began is undone */
void
dwf_direct_end_subxact(SubTransactionId subid)
{
	for (int i = 0; has_appended && i < HINTS; i++)
		if (hints[i].subid >= subid)
			hints[i].hash = 0;
}

/* The transaction has ended: what it has appended is committed, or unknown */
void
dwf_direct_end_xact(bool is_committed)
{
	if (!is_committed)
		dwf_direct_end_subxact(TopSubTransactionId);
	for (int i = 0; has_appended && i < HINTS; i++)
		hints[i].subid = InvalidSubTransactionId;
	has_appended = false;
}

/*
 * Is what this session has appended last the last item?  So it is if that was
 * not undone, nobody has appended since, and the stream is the same, and
 * not one that was made anew under its name.
 */
static bool
is_last(const Hint *hint, const DwfStreamTurn *turn, Relation table)
{
	return hint->hash == turn->hash && hint->file == DWF_FILE_OF(table) &&
		ItemPointerIsValid(&hint->tid) && ItemPointerIsValid(&turn->tid) &&
		ItemPointerEquals((ItemPointer) &hint->tid,
						  (ItemPointer) &turn->tid) &&
		hint->xmin == turn->xmin &&
		dwf_appends_none_since(turn->hash, hint->noted);
}

/* The highest number of a stream from a number on; 0 if there is none */
static int64
last_from(DwfDirect *direct, const DwfAddress *stream, int64 from,
		  Snapshot snapshot)
{
	SysScanDesc scan = begin_scan(direct, stream->workflow_id, stream->key,
								  from, snapshot);
	HeapTuple	row = systable_getnext_ordered(scan, BackwardScanDirection);
	int64		last = 0;

	if (HeapTupleIsValid(row))
		last = DatumGetInt64(column_of(direct, row, ITEM_NO));
	systable_endscan_ordered(scan);
	return last;
}

/*
 * The highest number of a stream that this transaction has locked; 0 if there
 * is none.  It may be below "from", since what had that number was undone.
 */
static int64
find_last(DwfDirect *direct, const DwfStreamTurn *turn, int64 from)
{
	Snapshot	snapshot = dwf_direct_push_snapshot();
	int64		last = last_from(direct, &turn->address, from, snapshot);

	if (last == 0 && from > 1)
		last = last_from(direct, &turn->address, 1, snapshot);
	PopActiveSnapshot();
	return last;
}

/* Insert an item */
static void
insert_item(DwfDirect *direct, const DwfAddress *stream, int64 item_no,
			Datum value)
{
	Datum		values[ITEM_COLUMNS] = {
		PointerGetDatum(stream->workflow_id), PointerGetDatum(stream->key),
		Int64GetDatum(item_no), value,
		TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())
	};
	bool		nulls[ITEM_COLUMNS] = {false};
	HeapTuple	row = heap_form_tuple(RelationGetDescr(direct->table), values,
									  nulls);

	simple_heap_insert(direct->table, row);
	(void) index_insert(direct->pkey, values, nulls, &row->t_self,
						direct->table, UNIQUE_CHECK_YES, false,
						BuildIndexInfo(direct->pkey));
	heap_freetuple(row);
}

/* Open the table to append items; false if statements have to do that */
bool
dwf_direct_open_items(DwfDirect *direct)
{
	return !IsolationUsesXactSnapshot() &&
		dwf_direct_open(direct, &stream_items, RowExclusiveLock);
}

/*
 * Append a value to a stream that this transaction has locked, as
 * dwf_store_append() does; returns its number.  The caller has looked that the
 * workflow lives, and has done the work of the trigger but for the count.
 */
int64
dwf_direct_append(DwfDirect *direct, const DwfStreamTurn *turn, Datum value)
{
	Hint	   *hint = &hints[turn->hash & (HINTS - 1)];
	int64		last;

	/* find the last number */
	if (is_last(hint, turn, direct->table))
		last = hint->last;
	else
		last = find_last(direct, turn, hint->hash == turn->hash ?
						 hint->last : 1);

	/* keep the next one; an error from now on undoes both */
	hint->hash = turn->hash;
	hint->last = last + 1;
	hint->noted = dwf_appends_note(turn->hash);
	hint->subid = GetCurrentSubTransactionId();
	hint->file = DWF_FILE_OF(direct->table);
	hint->tid = turn->tid;
	hint->xmin = turn->xmin;
	has_appended = true;

	insert_item(direct, &turn->address, last + 1, value);
	CommandCounterIncrement();
	return last + 1;
}

/* ----- read ----- */

/*
 * The items after a number, at most so many, as dwf_store_read_stream() reads
 * them; returns how many there are, or -1 if a statement has to do it
 */
int
dwf_direct_read_items(text *workflow_id, text *stream, int64 after, int limit,
					  DwfStreamItem **items)
{
	DwfDirect	direct;
	SysScanDesc scan;
	HeapTuple	row;
	int			size = Min(limit, 16);
	int			count = 0;

	if (after == PG_INT64_MAX ||
		!dwf_direct_open(&direct, &stream_items, AccessShareLock))
		return -1;
	*items = NULL;
	scan = begin_scan(&direct, workflow_id, stream, after + 1,
					  dwf_direct_push_snapshot());
	while (count < limit)
	{
		CHECK_FOR_INTERRUPTS();
		row = systable_getnext_ordered(scan, ForwardScanDirection);
		if (!HeapTupleIsValid(row))
			break;
		if (*items == NULL)
			*items = palloc(size * sizeof(DwfStreamItem));
		else if (count == size)
			*items = repalloc_huge(*items,
								   (Size) (size *= 2) * sizeof(DwfStreamItem));
		(*items)[count].item_no =
			DatumGetInt64(column_of(&direct, row, ITEM_NO));
		(*items)[count++].value =
			PointerGetDatum(PG_DETOAST_DATUM_COPY(column_of(&direct, row,
															ITEM_VALUE)));
	}
	systable_endscan_ordered(scan);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	return count;
}
