/*-------------------------------------------------------------------------
 *
 * direct_wait.c
 *	  Rows without a statement: what suspended workflows wait for.
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
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/compat.h"

#define WAIT_WORKFLOW_ID	1
#define WAIT_POSITION		2
#define WAIT_DOOR			4
#define WAIT_TARGET_ID		5
#define WAIT_KEY			6
#define WAIT_WAIT_ID		7
#define WAIT_DEADLINE		9
#define WAIT_COLUMNS		9

/* To delete a row is not to write to an index, so only their number matters */
static DwfDirectTable waits = {
	.name = "wait",
	.natts = WAIT_COLUMNS,
	.types = {TEXTOID, INT4OID, INT4OID, CHAROID, TEXTOID, TEXTOID, INT8OID,
	TIMESTAMPTZOID, TIMESTAMPTZOID},
	.nullables = (1U << WAIT_WAIT_ID) | (1U << WAIT_DEADLINE),
	.nkeys = 2,
	.keys = {WAIT_WORKFLOW_ID, WAIT_POSITION},
	.nindexes = 4
};

/* ----- who waits at an address ----- */

/* Is an index the one by address? */
static bool
is_by_address(Relation index)
{
	const AttrNumber columns[] = {WAIT_TARGET_ID, WAIT_DOOR, WAIT_KEY};
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisvalid ||
		form->indcheckxmin || form->indnatts != lengthof(columns) ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < (int) lengthof(columns); i++)
		if (form->indkey.values[i] != columns[i] ||
			(columns[i] != WAIT_DOOR &&
			 index->rd_indcollation[i] != C_COLLATION_OID))
			return false;
	return true;
}

/* Open the index by address of the table, which is open; NULL if none is */
static Relation
open_by_address(const DwfDirect *direct)
{
	static Oid	known = InvalidOid;
	static Oid	relation = InvalidOid;
	static uint64 as_of = 0;
	List	   *oids;
	ListCell   *cell;

	if (relation == waits.relation && as_of == waits.as_of)
		return index_open(known, AccessShareLock);
	oids = RelationGetIndexList(direct->table);
	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_by_address(index))
		{
			known = lfirst_oid(cell);
			relation = waits.relation;
			as_of = waits.as_of;
			return index;
		}
		index_close(index, AccessShareLock);
	}
	return NULL;
}

/* Compare two ids, by their bytes; for qsort() */
static int
compare_ids(const void *a, const void *b)
{
	text	   *left = DatumGetTextPP(*(const Datum *) a);
	text	   *right = DatumGetTextPP(*(const Datum *) b);
	int			length = VARSIZE_ANY_EXHDR(left);
	int			other = VARSIZE_ANY_EXHDR(right);
	int			result = memcmp(VARDATA_ANY(left), VARDATA_ANY(right),
								Min(length, other));

	return result != 0 ? result : length - other;
}

/* Sort ids, and leave out those that are there twice; returns their number */
static int
sort_ids(Datum *ids, int count)
{
	int			nunique = 0;

	qsort(ids, count, sizeof(Datum), compare_ids);
	for (int i = 0; i < count; i++)
		if (nunique == 0 || compare_ids(&ids[nunique - 1], &ids[i]) != 0)
			ids[nunique++] = ids[i];
	return nunique;
}

/*
 * List the workflows that wait at one of these addresses, each once; returns
 * how many there are, or -1 if a statement has to do it: also when they are
 * found more than "limit" times.
 */
int
dwf_direct_waiters(const DwfAddress *addresses, int count, int limit,
				   Datum **found)
{
	DwfDirect	direct;
	Relation	index;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	IndexScanDesc scan;
	ScanKeyData keys[3];
	int			nfound = 0;

	if (!dwf_direct_open(&direct, &waits, AccessShareLock))
		return -1;
	index = open_by_address(&direct);
	if (index == NULL)
	{
		dwf_direct_close(&direct);
		return -1;
	}
	*found = palloc((limit + 1) * sizeof(Datum));
	snapshot = dwf_direct_push_snapshot();
	slot = MakeSingleTupleTableSlot(RelationGetDescr(direct.table),
									&TTSOpsBufferHeapTuple);
	scan = DWF_INDEX_BEGINSCAN(direct.table, index, snapshot, 3);
	for (int i = 0; i < count && nfound <= limit; i++)
	{
		ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, TEXTOID,
							   C_COLLATION_OID, F_TEXTEQ,
							   PointerGetDatum(addresses[i].workflow_id));
		ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_CHAREQ,
					CharGetDatum(addresses[i].door));
		ScanKeyEntryInitialize(&keys[2], 0, 3, BTEqualStrategyNumber, TEXTOID,
							   C_COLLATION_OID, F_TEXTEQ,
							   PointerGetDatum(addresses[i].key));
		index_rescan(scan, keys, 3, NULL, 0);
		while (nfound <= limit &&
			   index_getnext_slot(scan, ForwardScanDirection, slot))
		{
			bool		isnull;
			Datum		id = slot_getattr(slot, WAIT_WORKFLOW_ID, &isnull);

			(*found)[nfound++] = PointerGetDatum(DatumGetTextPCopy(id));
		}
	}
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	PopActiveSnapshot();
	index_close(index, NoLock);
	dwf_direct_close(&direct);
	return nfound > limit ? -1 : sort_ids(*found, nfound);
}

/* ----- what a workflow waits for ----- */

/*
 * Delete what a workflow waits for.  ASIDE: another transaction is at one of
 * the rows, or a statement has to do it; it goes on from where this has come.
 */
DwfDirectResult
dwf_direct_forget_wait(text *workflow_id)
{
	DwfDirectResult result = DWF_DIRECT_DONE;
	DwfDirect	direct;
	Snapshot	snapshot;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	if (IsolationUsesXactSnapshot() ||
		!dwf_direct_open(&direct, &waits, RowExclusiveLock))
		return DWF_DIRECT_ASIDE;
	snapshot = dwf_direct_push_snapshot();
	ScanKeyEntryInitialize(&key, 0, WAIT_WORKFLOW_ID, BTEqualStrategyNumber,
						   TEXTOID, C_COLLATION_OID, F_TEXTEQ,
						   PointerGetDatum(workflow_id));
	CheckCmdReplicaIdentity(direct.table, CMD_DELETE);
	scan = systable_beginscan_ordered(direct.table, direct.pkey, snapshot, 1,
									  &key);
	row = systable_getnext_ordered(scan, ForwardScanDirection);
	while (result == DWF_DIRECT_DONE && HeapTupleIsValid(row))
	{
		TM_FailureData failure;

		if (DWF_TUPLE_DELETE(direct.table, &row->t_self, snapshot, false,
							 &failure) != TM_Ok)
			result = DWF_DIRECT_ASIDE;
		row = systable_getnext_ordered(scan, ForwardScanDirection);
	}
	systable_endscan_ordered(scan);
	PopActiveSnapshot();
	dwf_direct_close(&direct);
	CommandCounterIncrement();
	return result;
}
