/*-------------------------------------------------------------------------
 *
 * family_rows.c
 *	  The attributes of workflows, and which workflow has started which.
 *
 * Attributes have a table of their own: a transaction that changes them does
 * not lock the workflow's row, so that a cancel does not wait for it, and a
 * workflow without attributes has nothing to write.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/skey.h"
#include "access/stratnum.h"
#include "access/subtrans.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/owner.h"
#include "store/catalog.h"
#include "store/store_sql.h"

/* $2 without its keys whose value is a JSON null, also taken out of "from" */
#define WITHOUT_NULLS(from) \
	from " OPERATOR(pg_catalog.-) ARRAY(" \
	"   SELECT e.key FROM pg_catalog.jsonb_each($2) e" \
	"   WHERE pg_catalog.jsonb_typeof(e.value)" EQ "'null')"

/* workflow id, attributes, role */
static DwfStatement merge_attributes_query = {
	"INSERT INTO durable_wf.attributes AS a (workflow_id, attributes)"
	" SELECT w.workflow_id, " WITHOUT_NULLS("$2")
	" FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$3")
	" ON CONFLICT (workflow_id) DO UPDATE SET attributes = "
	WITHOUT_NULLS("(a.attributes OPERATOR(pg_catalog.||) $2)")
	" RETURNING a.attributes",
	3, {TEXTOID, JSONBOID, OIDOID}, NULL
};

/*
 * parents, after this child of the first of them, at most so many; in the
 * order of the array, so that a next call can go on after the last row
 */
static DwfStatement children_query = {
	"SELECT p.n::pg_catalog.int4, c.workflow_id,"
	" c.owner::pg_catalog.oid, c.finished_at IS NOT NULL"
	" FROM pg_catalog.unnest($1) WITH ORDINALITY p(id, n)"
	" CROSS JOIN LATERAL ("
	"   SELECT w.workflow_id, w.owner, w.finished_at"
	"   FROM durable_wf.workflow w WHERE w.parent_id" EQ "p.id"
	"   AND w.workflow_id OPERATOR(pg_catalog.>)"
	"     CASE WHEN p.n" EQ "1 THEN $2 ELSE '' END"
	"   ORDER BY w.workflow_id LIMIT $3) c"
	" ORDER BY p.n, c.workflow_id LIMIT $3",
	3, {TEXTARRAYOID, TEXTOID, INT4OID}, NULL
};

/*
 * ids, role, error; locked in the order of their ids, so that two that cancel
 * the same ones do not lock each other out
 */
static DwfStatement cancel_many_query = {
	"UPDATE durable_wf.workflow w SET status = 'CANCELLED', output = NULL,"
	" error = $3, finished_at = pg_catalog.now(),"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "ANY (ARRAY("
	"   SELECT o.workflow_id FROM durable_wf.workflow o"
	"   WHERE o.workflow_id" EQ "ANY ($1) AND o.finished_at IS NULL"
	"   ORDER BY o.workflow_id FOR NO KEY UPDATE))"
	" AND w.finished_at IS NULL AND " ROLE_MAY_ACT("$2"),
	3, {TEXTARRAYOID, OIDOID, TEXTOID}, NULL
};

/* ids */
static DwfStatement first_live_query = {
	"SELECT w.workflow_id FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "ANY ($1) AND w.finished_at IS NULL"
	" ORDER BY w.workflow_id LIMIT 1",
	1, {TEXTARRAYOID}, NULL
};

/* id; waits for a transaction that is ending it */
static DwfStatement lock_parent_query = {
	"SELECT w.finished_at IS NOT NULL, w.xmin"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1 FOR SHARE",
	1, {TEXTOID}, NULL
};

/* Are there columns and tables for these?  Not in objects before 1.0.0. */
bool
dwf_store_knows_families(void)
{
	return OidIsValid(dwf_catalog_find_relation("workflow_parent_idx"));
}

/*
 * Merge attributes into those of a workflow.  Returns all that it has now, or
 * null if the workflow refuses them.  The transaction gets its xid before it
 * looks whether the workflow has ended (README, I5).
 */
DwfValue
dwf_store_merge_attributes(text *workflow_id, Datum attributes, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id), attributes,
	ObjectIdGetDatum(role)};
	DwfValue	merged = {.isnull = true};
	DwfRun		r;

	(void) GetTopTransactionId();
	r = dwf_statement_run(&merge_attributes_query, values, NULL);
	if (SPI_processed > 0)
		merged = dwf_statement_copy_column(r, 0, 1);
	dwf_statement_done(r);
	return merged;
}

/*
 * The transaction that was prepared here and has inserted, or changed, a child
 * of a workflow, of an owner that the role may act for; invalid: there is none
 */
static TransactionId
find_prepared(Relation table, AttrNumber column, Datum parent, Oid role)
{
	TransactionId found = InvalidTransactionId;
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	InitDirtySnapshot(dirty);
	ScanKeyEntryInitialize(&key, 0, column, BTEqualStrategyNumber, TEXTOID,
						   C_COLLATION_OID, F_TEXTEQ, parent);
	scan = systable_beginscan(table,
							  dwf_catalog_relation("workflow_parent_idx"),
							  true, &dirty, 1, &key);
	while (!TransactionIdIsValid(found) &&
		   HeapTupleIsValid(row = systable_getnext(scan)))
	{
		TransactionId xid = dirty.xmin;
		bool		isnull;
		Datum		owner = heap_getattr(row, DWF_WORKFLOW_OWNER,
										 RelationGetDescr(table), &isnull);

		if (!TransactionIdIsValid(xid) ||
			!dwf_owner_allows(DatumGetObjectId(owner), role))
			continue;
		xid = SubTransGetTopmostTransaction(xid);
		if (BackendXidGetPid(xid) == 0)
			found = xid;
	}
	systable_endscan(scan);
	return found;
}

/*
 * A page of the workflows that some workflows have started, ended or not.
 * "after" is the last child of the first parent that is known already; of each
 * child, parent_no is its parent's place in the array, from 1.
 */
List *
dwf_store_children(Datum parents, text *after, int limit)
{
	Datum		values[] = {parents, PointerGetDatum(after),
	Int32GetDatum(limit)};
	DwfRun		r = dwf_statement_run(&children_query, values, NULL);
	List	   *children = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		MemoryContext old;
		DwfChild   *child;
		DwfValue	id = dwf_statement_copy_column(r, i, 2);
		bool		isnull;

		old = MemoryContextSwitchTo(r.caller_context);
		child = palloc0(sizeof(DwfChild));
		child->workflow_id = DatumGetTextP(id.value);
		child->parent_no = DatumGetInt32(dwf_statement_column(i, 1, &isnull));
		child->owner = DatumGetObjectId(dwf_statement_column(i, 3, &isnull));
		child->has_ended = DatumGetBool(dwf_statement_column(i, 4, &isnull));
		children = lappend(children, child);
		MemoryContextSwitchTo(old);
	}
	dwf_statement_done(r);
	return children;
}

/*
 * Cancel those workflows that have not ended and that the role may act on.
 * Blocks while another transaction is ending one of them.  Returns one that
 * has still not ended, as it is not the role's, or NULL.
 */
text *
dwf_store_cancel_many(Datum ids, Oid role, Datum error)
{
	Datum		values[] = {ids, ObjectIdGetDatum(role), error};
	DwfRun		r;
	text	   *left = NULL;

	(void) dwf_statement_count(&cancel_many_query, values, NULL);
	r = dwf_statement_run(&first_live_query, values, NULL);
	if (SPI_processed > 0)
		left = DatumGetTextP(dwf_statement_copy_column(r, 0, 1).value);
	dwf_statement_done(r);
	return left;
}

/*
 * On a cluster: wait for transactions that were prepared here and have started
 * children of these workflows, for roles whose privileges this one has.
 * Others that have are not waited for.
 */
void
dwf_store_await_prepared_children(Datum *parents, int count, Oid role)
{
	Relation	table = table_open(dwf_catalog_relation("workflow"),
								   AccessShareLock);
	AttrNumber	column = get_attnum(RelationGetRelid(table), "parent_id");

	for (int i = 0; i < count; i++)
	{
		TransactionId xid;

		while (TransactionIdIsValid(xid = find_prepared(table, column,
														parents[i], role)))
			XactLockTableWait(xid, NULL, NULL, XLTW_None);
	}
	table_close(table, NoLock);
}

/*
 * Lock the row of a workflow against its end, until this transaction ends.
 * False if it has ended, or is gone, by another transaction.  Blocks while one
 * is ending it.
 */
bool
dwf_store_lock_parent(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_statement_run(&lock_parent_query, values, NULL);
	bool		lives = false;

	if (SPI_processed > 0)
	{
		bool		isnull;
		bool		ended = DatumGetBool(dwf_statement_column(0, 1, &isnull));
		Datum		xmin = dwf_statement_column(0, 2, &isnull);

		lives = !ended ||
			TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
	}
	dwf_statement_done(r);
	return lives;
}
