/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  May this role act on this workflow?  The question of every send and
 *	  every receive, answered without SQL.
 *
 * The answer is always read from the table, in a snapshot taken for it.  What
 * is remembered is where the row was: most workflows do not change between
 * two messages, and then the row that the snapshot shows is still there, and
 * neither index nor scan is needed.  At most one row of an id is visible to a
 * snapshot; so whatever is found at the remembered place, if it is visible and
 * has this id, is the row.  If not - it was updated or deleted, its place is
 * used by another, the table was rewritten or made anew - the index tells.
 * Nothing has to be kept in step with the table.
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

#define PLACES		4096		/* a power of two */

/* Where the row of a workflow with this hash was last seen */
typedef struct Place
{
	uint32		hash;
	ItemPointerData tid;		/* invalid while there is none */
} Place;

static Place places[PLACES];

/* Does a row say that the role may act, and that the workflow has not ended? */
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
 * Look at the place where the row was.  Returns whether it is there; then
 * *accepts is what it says.  The lock on the table, which the caller has, keeps
 * it from being cut off between the test of its size and the look.
 */
static bool
look_at_place(Relation table, const Place *place, text *workflow_id,
			  Snapshot snapshot, Oid role, bool *accepts)
{
	HeapTupleData row;
	Buffer		buffer;
	bool		isnull;
	bool		found;

	if (!ItemPointerIsValid(&place->tid) ||
		ItemPointerGetBlockNumber(&place->tid) >= RelationGetNumberOfBlocks(table))
		return false;
	row.t_self = place->tid;
	if (!heap_fetch(table, snapshot, &row, &buffer, false))
		return false;

	found = DatumGetBool(DirectFunctionCall2Coll(texteq, C_COLLATION_OID,
												 heap_getattr(&row,
															  DWF_WORKFLOW_WORKFLOW_ID,
															  RelationGetDescr(table),
															  &isnull),
												 PointerGetDatum(workflow_id)));
	if (found)
		*accepts = row_accepts(&row, RelationGetDescr(table), role);
	ReleaseBuffer(buffer);
	return found;
}

/* Find the row by the index, and remember its place */
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

/*
 * Is there a workflow that has not ended and that the role may act on?  On
 * "no", ask dwf_store_life() why; its "yes" counts.  Locks no row, and the
 * table until the transaction ends, as a statement would.
 */
bool
dwf_probe_accepts(text *workflow_id, Oid role)
{
	uint32		hash;
	Place	   *place;
	Relation	table;
	Snapshot	snapshot;
	bool		accepts;

	hash = hash_bytes((const unsigned char *) VARDATA_ANY(workflow_id),
					  VARSIZE_ANY_EXHDR(workflow_id));
	place = &places[hash & (PLACES - 1)];
	if (place->hash != hash)
	{
		place->hash = hash;
		ItemPointerSetInvalid(&place->tid);
	}

	table = table_open(dwf_catalog_relation("workflow"), AccessShareLock);
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	if (!look_at_place(table, place, workflow_id, snapshot, role, &accepts))
		accepts = look_by_index(table, place, workflow_id, snapshot, role);
	UnregisterSnapshot(snapshot);
	table_close(table, NoLock);
	return accepts;
}
