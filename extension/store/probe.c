/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  Test without SQL whether a role may act on a workflow: each send and
 *	  each receive asks.
 *
 * The answer is always read from the table, in a snapshot taken for it.  What
 * the session keeps is the place of the row, its TID: most workflows do not
 * change between two messages, and then the row that the snapshot shows is
 * still there, so that no index is searched.  At most one row of an id is
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
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "storage/bufmgr.h"
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

/*
 * Does a row say that its workflow has not ended and the role may act on it?
 */
static bool
row_accepts(HeapTuple row, TupleDesc desc, Oid role)
{
	bool		isnull;
	Datum		owner;

	if (!heap_attisnull(row, DWF_WORKFLOW_FINISHED_AT, desc))
		return false;
	owner = heap_getattr(row, DWF_WORKFLOW_OWNER, desc, &isnull);
	return dwf_owner_allows(DatumGetObjectId(owner), role);
}

/*
 * Read the row at the kept place.  Returns whether it is the workflow's; then
 * *accepts is what it says.  The caller has locked the table, which keeps the
 * table from being truncated between the test of its size and the read.
 */
static bool
look_at_place(Relation table, const Place *place, text *workflow_id,
			  Snapshot snapshot, Oid role, bool *accepts)
{
	TupleDesc	desc = RelationGetDescr(table);
	HeapTupleData row;
	Buffer		buffer;
	Datum		id;
	Datum		same;
	bool		isnull;
	bool		found;

	/* the place may be beyond the end of a table that has shrunk */
	if (!ItemPointerIsValid(&place->tid) ||
		ItemPointerGetBlockNumber(&place->tid) >=
		RelationGetNumberOfBlocks(table))
		return false;
	row.t_self = place->tid;
	if (!heap_fetch(table, snapshot, &row, &buffer, false))
		return false;

	/* texteq() takes a value that is toasted, too */
	id = heap_getattr(&row, DWF_WORKFLOW_WORKFLOW_ID, desc, &isnull);
	same = DirectFunctionCall2Coll(texteq, C_COLLATION_OID, id,
								   PointerGetDatum(workflow_id));
	found = DatumGetBool(same);
	if (found)
		*accepts = row_accepts(&row, desc, role);
	ReleaseBuffer(buffer);
	return found;
}

/* Find the row by the index, and keep its place; false if there is none */
static bool
look_by_index(Relation table, Place *place, text *workflow_id,
			  Snapshot snapshot, Oid role)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	bool		accepts = false;

	ScanKeyEntryInitialize(&key, 0, DWF_WORKFLOW_WORKFLOW_ID,
						   BTEqualStrategyNumber, TEXTOID, C_COLLATION_OID,
						   F_TEXTEQ, PointerGetDatum(workflow_id));
	scan = systable_beginscan(table, dwf_catalog_relation("workflow_pkey"), true,
							  snapshot, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
	{
		place->tid = row->t_self;
		accepts = row_accepts(row, RelationGetDescr(table), role);
	}
	systable_endscan(scan);
	return accepts;
}

/* A key of a scan: this column is this text */
static void
text_key(ScanKey key, int column, text *value)
{
	ScanKeyEntryInitialize(key, 0, column, BTEqualStrategyNumber, TEXTOID,
						   C_COLLATION_OID, F_TEXTEQ, PointerGetDatum(value));
}

/*
 * Has a table a row that these keys fit, as seen by the latest snapshot?
 * "index" begins with their columns; both names are constants.  Locks the
 * table as a statement that writes would.
 */
static bool
has_row(const char *table_name, const char *index, ScanKey keys, int nkeys)
{
	Relation	table = table_open(dwf_catalog_relation(table_name),
								   RowExclusiveLock);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan;
	bool		found;

	scan = systable_beginscan(table, dwf_catalog_relation(index), true,
							  snapshot, nkeys, keys);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return found;
}

/*
 * Has a table a row of this workflow?  "index" begins with "column", the
 * workflow's id.  Otherwise as has_row().
 */
bool
dwf_probe_has_row(const char *table_name, const char *index, int column,
				  text *workflow_id)
{
	ScanKeyData key;

	text_key(&key, column, workflow_id);
	return has_row(table_name, index, &key, 1);
}

/* Does a suspended workflow wait at this address?  As has_row(). */
bool
dwf_probe_is_awaited(char door, text *target_id, text *key)
{
	ScanKeyData keys[3];

	text_key(&keys[0], DWF_WAIT_TARGET_ID, target_id);
	ScanKeyInit(&keys[1], DWF_WAIT_DOOR, BTEqualStrategyNumber, F_CHAREQ,
				CharGetDatum(door));
	text_key(&keys[2], DWF_WAIT_KEY, key);
	return has_row("wait", "wait_target_idx", keys, 3);
}

/*
 * Is there a workflow of this id that has not ended and that the role may act
 * on?  Locks no row.  Of the lock on the table "unlocks" is given back.
 */
static bool
accepts(text *workflow_id, Oid role, LOCKMODE unlocks)
{
	uint32		hash;
	Place	   *place;
	Relation	table;
	Snapshot	snapshot;
	bool		result;

	hash = hash_bytes((const unsigned char *) VARDATA_ANY(workflow_id),
					  VARSIZE_ANY_EXHDR(workflow_id));

	/* of two workflows that share an entry, the last one has it */
	place = &places[hash & (PLACES - 1)];
	if (place->hash != hash)
	{
		place->hash = hash;
		ItemPointerSetInvalid(&place->tid);
	}

	/* ask the place first, then the index */
	table = table_open(dwf_catalog_relation("workflow"), AccessShareLock);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (!look_at_place(table, place, workflow_id, snapshot, role, &result))
		result = look_by_index(table, place, workflow_id, snapshot, role);
	UnregisterSnapshot(snapshot);
	table_close(table, unlocks);
	return result;
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
