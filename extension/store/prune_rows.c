/*-------------------------------------------------------------------------
 *
 * prune_rows.c
 *	  The tables as C functions: remove workflows, and all that belongs to
 *	  them.
 *
 * A removal is one statement and hence has one snapshot: its parts see the
 * rows that the choice of the victims saw, and leave none behind.
 *
 * What it costs depends on the victims and on what they have, whatever others
 * have: each part looks an array of ids up in an index.  A join would be made
 * by merging where the statistics say that most rows of a table belong to one
 * workflow, and read all of them to find those of another.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/timestamp.h"

#include "store/catalog.h"
#include "store/store_sql.h"

/* The ids of the victims, to compare with */
#define VICTIMS	"ANY (ARRAY(SELECT v.workflow_id FROM victim v))"

/* Remove the rows of a table that belong to the victims */
#define REMOVE(table) \
	" " table "_row AS (" \
	"   DELETE FROM durable_wf." table " b" \
	"   WHERE b.workflow_id" EQ VICTIMS ")"

/*
 * What belongs to a workflow.  Objects from before 1.0.0 have no table of
 * released hooks, no attributes and no streams, those from before 0.3.0 have
 * no journal.
 */
#define OF_OLD	REMOVE("message") "," REMOVE("event") "," REMOVE("idempotency")
#define OF_UNRELEASED \
	OF_OLD "," REMOVE("step") "," REMOVE("wait") "," REMOVE("hook") "," \
	REMOVE("request")
#define OF_ALL \
	OF_UNRELEASED "," REMOVE("released_hook") "," REMOVE("attributes") "," \
	REMOVE("stream") "," REMOVE("stream_item") "," REMOVE("stream_url") "," \
	REMOVE("delivery") "," REMOVE("dead_letter")

/* The same statement for each of these: "of" is OF_ALL, and so on */
#define REMOVE_QUERY(victim, of, last) \
	"WITH victim AS MATERIALIZED (" victim ")," of last

/* Which workflows wf_prune removes */
#define OLD_ONES \
	"   SELECT w.workflow_id FROM durable_wf.workflow w" \
	"   WHERE w.finished_at OPERATOR(pg_catalog.<=) " \
	FROM_NOW("-", "$1") \
	"   AND pg_catalog.age(w.xmin) OPERATOR(pg_catalog.>) pg_catalog.age($3)" \
	"   AND " ROLE_MAY_ACT("$4") \
	"   ORDER BY w.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED"

/* Which one wf_delete removes */
#define ONE_THAT_HAS_ENDED \
	"   SELECT w.workflow_id FROM durable_wf.workflow w" \
	"   WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NOT NULL" \
	"   AND pg_catalog.age(w.xmin) OPERATOR(pg_catalog.>) pg_catalog.age($2)" \
	"   AND " ROLE_MAY_ACT("$3") \
	"   FOR UPDATE"

/* Whose row somebody deletes by hand */
#define THIS_ONE	"SELECT $1 AS workflow_id"

#define THEMSELVES \
	" DELETE FROM durable_wf.workflow w WHERE w.workflow_id" EQ VICTIMS

#define NOTHING_MORE	" SELECT FROM victim"

/*
 * The same, and the tokens that their hooks had: how many there were, the
 * tokens, and whose they were
 */
#define THEMSELVES_AND_TOKENS \
	", gone AS (" THEMSELVES " RETURNING w.workflow_id)," \
	" named AS (SELECT g.workflow_id, n.token FROM gone g" \
	"  CROSS JOIN LATERAL (" \
	"   SELECT h.token FROM durable_wf.hook h" \
	"   WHERE h.workflow_id" EQ "g.workflow_id AND NOT h.is_webhook" \
	"   UNION ALL SELECT r.token FROM durable_wf.released_hook r" \
	"   WHERE r.workflow_id" EQ "g.workflow_id AND NOT r.is_webhook) n)" \
	" SELECT (SELECT pg_catalog.count(*) FROM gone)," \
	" ARRAY(SELECT n.token FROM named n)," \
	" ARRAY(SELECT n.workflow_id FROM named n)"

/* A statement in its forms for the objects of all versions */
typedef struct Removal
{
	DwfStatement all;
	DwfStatement unreleased;
	DwfStatement old;
} Removal;

#define REMOVAL(victim, last, nargs, ...) { \
	{REMOVE_QUERY(victim, OF_ALL, last), nargs, {__VA_ARGS__}, NULL}, \
	{REMOVE_QUERY(victim, OF_UNRELEASED, last), nargs, {__VA_ARGS__}, NULL}, \
	{REMOVE_QUERY(victim, OF_OLD, last), nargs, {__VA_ARGS__}, NULL} \
}

/* age since the end, limit, xid before which it ended, role */
static Removal prune = REMOVAL(OLD_ONES, THEMSELVES, 4,
							   INTERVALOID, INT4OID, XIDOID, OIDOID);

/* the same */
static DwfStatement prune_named = {
	REMOVE_QUERY(OLD_ONES, OF_ALL, THEMSELVES_AND_TOKENS), 4,
	{INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

/* id, xid before which it ended, role */
static Removal delete_one = REMOVAL(ONE_THAT_HAS_ENDED, THEMSELVES, 3,
									TEXTOID, XIDOID, OIDOID);

/* id */
static Removal drop_belongings = REMOVAL(THIS_ONE, NOTHING_MORE, 1, TEXTOID);

/* id: the transaction that has changed it last */
static DwfStatement changed_by_query = {
	"SELECT w.xmin FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* The form of a statement that fits the tables that there are */
static DwfStatement *
fitting(Removal *removal)
{
	if (!OidIsValid(dwf_catalog_find_relation("step")))
		return &removal->old;
	if (!OidIsValid(dwf_catalog_find_relation("released_hook")))
		return &removal->unreleased;
	return &removal->all;
}

/*
 * Delete up to "batch" of the role's workflows, with all that belongs to them,
 * that ended longer ago than "older_than" by a transaction older than
 * "horizon".  Returns how many.  Blocks only while a receiver holds a message
 * of one of them.
 */
uint64
dwf_store_prune(Interval *older_than, int batch, TransactionId horizon,
				Oid role)
{
	Datum		values[] = {IntervalPGetDatum(older_than),
		Int32GetDatum(batch),
	TransactionIdGetDatum(horizon), ObjectIdGetDatum(role)};

	return dwf_statement_count(fitting(&prune), values, NULL);
}

/*
 * The same on a node of a cluster.  Takes the tokens that their hooks had, and
 * the workflows that had them, as arrays.
 */
uint64
dwf_store_prune_named(Interval *older_than, int batch, TransactionId horizon,
					  Oid role, Datum *tokens, Datum *workflow_ids)
{
	Datum		values[] = {IntervalPGetDatum(older_than),
		Int32GetDatum(batch),
	TransactionIdGetDatum(horizon), ObjectIdGetDatum(role)};
	DwfRun		r = dwf_statement_run(&prune_named, values, NULL);
	bool		isnull;
	uint64		count = DatumGetInt64(dwf_statement_column(0, 1, &isnull));

	*tokens = dwf_statement_copy_column(r, 0, 2).value;
	*workflow_ids = dwf_statement_copy_column(r, 0, 3).value;
	dwf_statement_done(r);
	return count;
}

/*
 * Delete a workflow of the role's, with all that belongs to it, if it has
 * ended by a transaction older than "horizon"; false if not.  Blocks while
 * another transaction has locked its row, or holds one of its messages.
 */
bool
dwf_store_delete(text *workflow_id, TransactionId horizon, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	TransactionIdGetDatum(horizon), ObjectIdGetDatum(role)};

	return dwf_statement_count(fitting(&delete_one), values, NULL) > 0;
}

/* The transaction that has changed a workflow last; invalid: there is none */
TransactionId
dwf_store_changed_by(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_statement_run(&changed_by_query, values, NULL);
	TransactionId xid = InvalidTransactionId;
	bool		isnull;

	if (SPI_processed > 0)
		xid = DatumGetTransactionId(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(r);
	return xid;
}

/*
 * Delete all that belongs to a workflow whose row is about to be deleted.
 * Blocks while a receiver holds one of its messages.
 */
void
dwf_store_drop_belongings(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	(void) dwf_statement_count(fitting(&drop_belongings), values, NULL);
}
