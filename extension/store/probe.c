/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  Read without SQL what decides whether a role may act on a workflow: each
 *	  send and each receive asks.
 *
 * The answer is always read from the table, as it is now.  What the session
 * keeps is the place of the row, its TID: most workflows do not change between
 * two messages, and then the row is still there, so that no index is searched
 * and no snapshot is needed.  At most one row of an id is
 * visible to a snapshot.  So if the row at the kept place is visible and has
 * this id, it is the right one.  If it is not (the row was updated or deleted,
 * its place was reused, the table was rewritten or created anew), the index is
 * searched.  Nothing has to be kept in step with the table.
 *
 *-------------------------------------------------------------------------
 */
#include "store/probe.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/owner.h"
#include "store/catalog.h"
#include "store/store.h"

/* How many places are kept; a power of two */
#define PLACES		4096

/* Where the row of a workflow with this hash was last seen */
typedef struct Place
{
	uint32		hash;
	ItemPointerData tid;		/* invalid if none was seen */
} Place;

static Place places[PLACES];

/* What a row says of its workflow; the status only if it is asked for */
static void
read_life(HeapTuple row, TupleDesc desc, DwfLife *life, bool with_status)
{
	bool		isnull;
	Datum		datum = heap_getattr(row, DWF_WORKFLOW_OWNER, desc, &isnull);

	life->owner = DatumGetObjectId(datum);
	life->finished = !heap_attisnull(row, DWF_WORKFLOW_FINISHED_AT, desc);
	if (!with_status)
		return;
	datum = heap_getattr(row, DWF_WORKFLOW_STATUS, desc, &isnull);
	text_to_cstring_buffer(DatumGetTextPP(datum), life->status,
						   sizeof(life->status));
}

/*
 * Has the table this block?  The size that smgr has seen last may be too small
 * by now.  It is too large only after a truncation, until this process has
 * accepted the invalidation that the truncation has sent.  The caller has
 * locked the table since, which accepts it and keeps the next one away.
 */
bool
dwf_probe_has_block(Relation table, BlockNumber block)
{
	SMgrRelation smgr = RelationGetSmgr(table);
	BlockNumber seen = smgr->smgr_cached_nblocks[MAIN_FORKNUM];

	return (seen != InvalidBlockNumber && block < seen) ||
		block < RelationGetNumberOfBlocks(table);
}

/* Is a row that of this workflow?  texteq() takes a toasted id, too. */
static bool
is_row_of(HeapTuple row, TupleDesc desc, text *workflow_id)
{
	bool		isnull;
	Datum		id = heap_getattr(row, DWF_WORKFLOW_WORKFLOW_ID, desc,
								  &isnull);
	Datum		same = DirectFunctionCall2Coll(texteq, C_COLLATION_OID, id,
											   PointerGetDatum(workflow_id));

	return DatumGetBool(same);
}

/* A search for the row of a workflow */
typedef struct LifeSearch
{
	Relation	table;
	text	   *workflow_id;
	Place	   *place;
	bool		with_status;
	DwfLife    *life;
}			LifeSearch;

/* Read the row at the kept place; false if it is not the workflow's */
static bool
look_at_place(LifeSearch * search, Snapshot snapshot)
{
	Relation	table = search->table;
	ItemPointer tid = &search->place->tid;
	HeapTupleData row;
	Buffer		buffer;
	bool		found;

	/* the place may be beyond the end of a table that has shrunk */
	if (!ItemPointerIsValid(tid) ||
		table->rd_rel->relam != HEAP_TABLE_AM_OID ||
		!dwf_probe_has_block(table, ItemPointerGetBlockNumber(tid)))
		return false;
	row.t_self = *tid;
	if (!heap_fetch(table, snapshot, &row, &buffer, false))
		return false;
	found = is_row_of(&row, RelationGetDescr(table), search->workflow_id);
	if (found)
		read_life(&row, RelationGetDescr(table), search->life,
				  search->with_status);
	ReleaseBuffer(buffer);
	return found;
}

/* Find the row by the index, and keep its place; false if there is none */
static bool
look_by_index(LifeSearch * search, Snapshot snapshot)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyEntryInitialize(&key, 0, DWF_WORKFLOW_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(search->workflow_id));
	scan = systable_beginscan(search->table,
							  dwf_catalog_relation("workflow_pkey"), true,
							  snapshot, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
	{
		search->place->tid = row->t_self;
		read_life(row, RelationGetDescr(search->table), search->life,
				  search->with_status);
	}
	systable_endscan(scan);
	return HeapTupleIsValid(row);
}

/*
 * Has a table a row of this workflow, as seen by the latest snapshot?  "index"
 * is an index of the table that begins with "column", the workflow's id; both
 * names are constants.  Locks the table as a statement that writes would.
 */
bool
dwf_probe_has_row(const char *table_name, const char *index, int column,
				  text *workflow_id)
{
	Relation	table = table_open(dwf_catalog_relation(table_name),
								   RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	ScanKeyEntryInitialize(&key, 0, column, BTEqualStrategyNumber, TEXTOID,
						   C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(workflow_id));
	scan = systable_beginscan(table, dwf_catalog_relation(index), true,
							  snapshot, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return found;
}

/* The place of a workflow; of two that share an entry, the last one has it */
static Place *
place_of(text *workflow_id)
{
	uint32		hash = hash_bytes((unsigned char *) VARDATA_ANY(workflow_id),
								  VARSIZE_ANY_EXHDR(workflow_id));
	Place	   *place = &places[hash & (PLACES - 1)];

	if (place->hash != hash)
	{
		place->hash = hash;
		ItemPointerSetInvalid(&place->tid);
	}
	return place;
}

/* Keep the place of a row that was seen, or has been written, elsewhere */
void
dwf_probe_keep(text *workflow_id, ItemPointer tid)
{
	place_of(workflow_id)->tid = *tid;
}

/*
 * Begin a search.  The table stays locked until the transaction ends, as by a
 * statement.
 */
static void
begin_search(LifeSearch * search, text *workflow_id, DwfLife *life,
			 bool with_status)
{
	search->place = place_of(workflow_id);
	search->workflow_id = workflow_id;
	search->life = life;
	search->with_status = with_status;
	search->table = table_open(dwf_catalog_relation("workflow"),
							   AccessShareLock);
}

/*
 * Fetch the row of a workflow that this snapshot shows, all of it; false if it
 * shows none.  "table" is open, has the engine of our tables, and its indexes
 * are ours; the slot is for rows in buffers.  Locks no row.
 */
bool
dwf_probe_row(Relation table, text *workflow_id, Snapshot snapshot,
			  TupleTableSlot *slot)
{
	DwfLife		life;
	LifeSearch	search = {table, workflow_id, place_of(workflow_id), false,
	&life};

	if (look_at_place(&search, snapshot) || look_by_index(&search, snapshot))
		return table_tuple_fetch_row_version(table, &search.place->tid,
											 snapshot, slot);
	return false;
}

/*
 * Read the owner and status of a workflow in this snapshot; false if it shows
 * none.  Locks no row.
 */
bool
dwf_probe_life(text *workflow_id, Snapshot snapshot, DwfLife *life)
{
	LifeSearch	search;
	bool		found;

	begin_search(&search, workflow_id, life, true);
	found = look_at_place(&search, snapshot) ||
		look_by_index(&search, snapshot);
	table_close(search.table, NoLock);
	return found;
}

/*
 * Is there a workflow of this id that has not ended and that the role may act
 * on?  Locks no row.  Of the lock on the table "unlocks" is given back.
 *
 * In READ COMMITTED the row at the kept place needs no snapshot: if it is
 * valid now, it is the one that a snapshot taken now would show.
 */
static bool
accepts(text *workflow_id, Oid role, LOCKMODE unlocks)
{
	bool		sees_now = !IsolationUsesXactSnapshot();
	LifeSearch	search;
	DwfLife		life;
	bool		found;

	begin_search(&search, workflow_id, &life, false);
	found = sees_now && look_at_place(&search, SnapshotSelf);
	if (!found)
	{
		Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());

		found = (!sees_now && look_at_place(&search, snapshot)) ||
			look_by_index(&search, snapshot);
		UnregisterSnapshot(snapshot);
	}
	table_close(search.table, unlocks);
	return found && !life.finished && dwf_owner_allows(life.owner, role);
}

/*
 * As the head of accepts() says.  After a "no" the caller asks
 * dwf_store_life() for the reason, and goes on if that finds none.  Keeps the
 * table locked until the transaction ends, as a statement would.
 */
bool
dwf_probe_accepts(text *workflow_id, Oid role)
{
	return accepts(workflow_id, role, NoLock);
}

/* The same, but the table is not locked any more when this returns */
bool
dwf_probe_accepts_now(text *workflow_id, Oid role)
{
	return accepts(workflow_id, role, AccessShareLock);
}
