/*-------------------------------------------------------------------------
 *
 * owner_rows.c
 *	  The tables as C functions: workflows get another owner.
 *
 * A role that was dropped is none that pg_roles has; the workflows of all such
 * are meant by InvalidOid.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "store/catalog.h"
#include "store/store_sql.h"

/* Does w belong to role $1, or, if that is 0, to one that was dropped? */
#define IS_OWNED \
	"CASE WHEN $1" EQ "0::pg_catalog.oid THEN NOT EXISTS (" \
	"   SELECT FROM pg_catalog.pg_roles r" \
	"   WHERE r.oid" EQ "w.owner::pg_catalog.oid)" \
	" ELSE w.owner::pg_catalog.oid" EQ "$1 END"

/* id, role, new owner */
static DwfStatement set_owner_query = {
	"UPDATE durable_wf.workflow w SET owner = $3::pg_catalog.oid,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND " ROLE_MAY_ACT("$2"),
	3, {TEXTOID, OIDOID, OIDOID}, NULL
};

/* owner */
static DwfStatement bodies_query = {
	"SELECT DISTINCT w.body FROM durable_wf.workflow w"
	" WHERE w.body IS NOT NULL AND w.finished_at IS NULL AND " IS_OWNED,
	1, {OIDOID}, NULL
};

/* owner, new owner; rows are locked in one order */
static DwfStatement reassign_query = {
	"UPDATE durable_wf.workflow x SET owner = $2::pg_catalog.oid,"
	" updated_at = pg_catalog.now()"
	" WHERE x.workflow_id" EQ "ANY (ARRAY("
	"   SELECT w.workflow_id FROM durable_wf.workflow w"
	"   WHERE " IS_OWNED
	"   ORDER BY w.workflow_id FOR NO KEY UPDATE))",
	2, {OIDOID, OIDOID}, NULL
};

/* owner */
static DwfStatement count_query = {
	"SELECT FROM durable_wf.workflow w WHERE " IS_OWNED,
	1, {OIDOID}, NULL
};

/* Change the owner of a workflow; false if none of the role's has this id */
bool
dwf_store_set_owner(text *workflow_id, Oid role, Oid owner)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), ObjectIdGetDatum(owner)};

	return dwf_statement_count(&set_owner_query, values, NULL) > 0;
}

/* The bodies, as text, of a role's workflows that have not ended */
List *
dwf_store_bodies_of(Oid owner)
{
	Datum		values[] = {ObjectIdGetDatum(owner)};
	List	   *bodies = NIL;
	DwfRun		r = dwf_statement_run(&bodies_query, values, NULL);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		text	   *body = dwf_statement_copy_text(r, i, 1);
		MemoryContext old = MemoryContextSwitchTo(r.caller_context);

		bodies = lappend(bodies, body);
		MemoryContextSwitchTo(old);
	}
	dwf_statement_done(r);
	return bodies;
}

/*
 * Give all workflows of a role to another one; returns how many.  Blocks while
 * another transaction has locked the row of one of them.
 */
uint64
dwf_store_reassign(Oid from, Oid owner)
{
	Datum		values[] = {ObjectIdGetDatum(from), ObjectIdGetDatum(owner)};

	return dwf_statement_count(&reassign_query, values, NULL);
}

/* How many workflows a role owns; reads the whole table */
uint64
dwf_store_count_owned(Oid owner)
{
	Datum		values[] = {ObjectIdGetDatum(owner)};

	return dwf_statement_count(&count_query, values, NULL);
}
