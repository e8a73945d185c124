/*-------------------------------------------------------------------------
 *
 * workflow_rows.c
 *	  The only SQL text in C: the tables of durable_wf behind C functions.
 *
 * How they are run is plan.c's; as it says, each name in them is qualified,
 * the operators too, so that nothing of the caller's search_path can be picked
 * up.  (unnest of several arrays is syntax; it means pg_catalog's, and must be
 * unqualified.)
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "shared/claim.h"
#include "store/store_sql.h"

/*
 * The test for the workflow spares those who wait for it a wake: a row trigger
 * fires before ON CONFLICT is considered.
 */
#define START_QUERY(columns, values) \
	"INSERT INTO durable_wf.workflow (workflow_id, owner, input" columns ")" \
	" SELECT $1, $2::pg_catalog.oid, $3" values \
	" WHERE NOT EXISTS (" \
	"   SELECT FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1)" \
	" ON CONFLICT (workflow_id) DO NOTHING"

/* id, owner, input */
static DwfStatement start_query = {
	START_QUERY("", ""),
	3, {TEXTOID, OIDOID, JSONBOID}, NULL
};

/* id, owner, input, queue, delay, timeout, body; not in objects before 0.3.0 */
static DwfStatement start_timed_query = {
	START_QUERY(", queue, due_at, timeout_at, body",
				", $4, " FROM_NOW("+", "$5") ", " FROM_NOW("+", "$6") ", $7"),
	7, {TEXTOID, OIDOID, JSONBOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID},
	NULL
};

/* id, input, queue, body: NULL is as it is */
static DwfStatement same_start_query = {
	"SELECT FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND ($2 IS NULL OR w.input" EQ "$2)"
	" AND ($3 IS NULL OR w.queue" EQ "$3)"
	" AND ($4 IS NULL OR w.body" EQ "$4)",
	4, {TEXTOID, JSONBOID, TEXTOID, TEXTOID}, NULL
};

/* id */
static DwfStatement life_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement outcome_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL,"
	" w.output, w.error"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id, role, status, output, error */
static DwfStatement finish_query = {
	"UPDATE durable_wf.workflow w SET status = $3, output = $4, error = $5,"
	" finished_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$2"),
	5, {TEXTOID, OIDOID, TEXTOID, JSONBOID, TEXTOID}, NULL
};

/* id, role, new owner */
static DwfStatement set_owner_query = {
	"UPDATE durable_wf.workflow w SET owner = $3::pg_catalog.oid,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND " ROLE_MAY_ACT("$2"),
	3, {TEXTOID, OIDOID, OIDOID}, NULL
};

/* A row that says that something is from elsewhere, kept until we commit */
static DwfStatement lock_home_query = {
	"SELECT FROM durable_wf.home h"
	" WHERE h.system_identifier OPERATOR(pg_catalog.=) 0 FOR KEY SHARE",
	0, {0}, NULL
};

static DwfStatement mark_home_query = {
	"INSERT INTO durable_wf.home (system_identifier, database) VALUES (0, 0)",
	0, {0}, NULL
};

static DwfStatement is_copy_query = {
	"SELECT WHERE durable_wf.is_copy()",
	0, {0}, NULL
};

static DwfStatement has_workflows_query = {
	"SELECT FROM durable_wf.workflow w LIMIT 1",
	0, {0}, NULL
};

static DwfStatement leave_home_query = {
	"DELETE FROM durable_wf.home",
	0, {0}, NULL
};

static DwfStatement enter_home_query = {
	"INSERT INTO durable_wf.home (system_identifier, database)"
	" SELECT h.system_identifier, h.database FROM durable_wf.here() h",
	0, {0}, NULL
};

/* name */
static DwfStatement prepared_xid_query = {
	"SELECT p.transaction FROM pg_catalog.pg_prepared_xacts p"
	" WHERE p.gid" EQ "$1",
	1, {TEXTOID}, NULL
};

/*
 * One statement and one snapshot, so that nothing is left behind: the deleting
 * parts see what the choice saw.
 */
#define PRUNE_QUERY(journal) \
	"WITH victim AS MATERIALIZED (" \
	"   SELECT w.workflow_id FROM durable_wf.workflow w" \
	"   WHERE w.finished_at OPERATOR(pg_catalog.<=) " \
	FROM_NOW("-", "$1") \
	"   AND pg_catalog.age(w.xmin) OPERATOR(pg_catalog.>) pg_catalog.age($3)" \
	"   AND " ROLE_MAY_ACT("$4") \
	"   ORDER BY w.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)," \
	journal \
	" message AS (" \
	"   DELETE FROM durable_wf.message m USING victim v" \
	"   WHERE m.workflow_id" EQ "v.workflow_id)," \
	" event AS (" \
	"   DELETE FROM durable_wf.event e USING victim v" \
	"   WHERE e.workflow_id" EQ "v.workflow_id)," \
	" idempotency AS (" \
	"   DELETE FROM durable_wf.idempotency i USING victim v" \
	"   WHERE i.workflow_id" EQ "v.workflow_id)" \
	" DELETE FROM durable_wf.workflow w USING victim v" \
	" WHERE w.workflow_id" EQ "v.workflow_id"

#define PRUNE_JOURNAL \
	" step AS (" \
	"   DELETE FROM durable_wf.step s USING victim v" \
	"   WHERE s.workflow_id" EQ "v.workflow_id)," \
	" wait AS (" \
	"   DELETE FROM durable_wf.wait a USING victim v" \
	"   WHERE a.workflow_id" EQ "v.workflow_id)," \
	" hook AS (" \
	"   DELETE FROM durable_wf.hook h USING victim v" \
	"   WHERE h.workflow_id" EQ "v.workflow_id)," \
	" request AS (" \
	"   DELETE FROM durable_wf.request r USING victim v" \
	"   WHERE r.workflow_id" EQ "v.workflow_id),"

/*
 * ended longer ago than, at most so many, by a transaction older than, role;
 * before 0.4.0 no hook was remembered and there was no stream, and before 0.3.0
 * there was no journal
 */
static DwfStatement prune_query = {
	PRUNE_QUERY(PRUNE_JOURNAL " released AS ("
				"   DELETE FROM durable_wf.released_hook r USING victim v"
				"   WHERE r.workflow_id" EQ "v.workflow_id),"
				" stream AS ("
				"   DELETE FROM durable_wf.stream s USING victim v"
				"   WHERE s.workflow_id" EQ "v.workflow_id),"
				" stream_item AS ("
				"   DELETE FROM durable_wf.stream_item i USING victim v"
				"   WHERE i.workflow_id" EQ "v.workflow_id),"
				" stream_url AS ("
				"   DELETE FROM durable_wf.stream_url u USING victim v"
				"   WHERE u.workflow_id" EQ "v.workflow_id),"),
	4, {INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

static DwfStatement prune_unreleased_query = {
	PRUNE_QUERY(PRUNE_JOURNAL),
	4, {INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

static DwfStatement prune_old_query = {
	PRUNE_QUERY(""),
	4, {INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

/* workflow id, key, value, role */
static DwfStatement set_event_query = {
	"INSERT INTO durable_wf.event (workflow_id, key, value)"
	" SELECT w.workflow_id, $2, $3 FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$4")
	" ON CONFLICT (workflow_id, key) DO UPDATE"
	" SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at",
	4, {TEXTOID, TEXTOID, JSONBOID, OIDOID}, NULL
};

/* workflow id, key; the workflow and its event in one snapshot */
static DwfStatement event_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL,"
	" e.value FROM durable_wf.workflow w"
	" LEFT JOIN durable_wf.event e"
	"   ON e.workflow_id" EQ "w.workflow_id AND e.key" EQ "$2"
	" WHERE w.workflow_id" EQ "$1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* The first three columns of a row, as every query for a life returns them */
static void
read_life(uint64 row, DwfLife *life)
{
	bool		isnull;

	life->owner = DatumGetObjectId(dwf_plan_column(row, 1, &isnull));
	text_to_cstring_buffer(DatumGetTextPP(dwf_plan_column(row, 2, &isnull)),
						   life->status, sizeof(life->status));
	life->finished = DatumGetBool(dwf_plan_column(row, 3, &isnull));
}

/*
 * Raise 25006 on a standby and in a READ ONLY transaction; "function" is an SQL
 * name
 */
void
dwf_store_require_writable(const char *function)
{
	const char *command;

	if (!XactReadOnly)
		return;					/* the usual case; in recovery it is set */
	command = psprintf("%s()", function);
	PreventCommandDuringRecovery(command);
	if (!dwf_claim_is_body())
		PreventCommandIfReadOnly(command);
}

/* ----- workflows ----- */

/* Insert a workflow; false if the id is taken */
bool
dwf_store_start(const DwfStart *start, Oid owner)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		ObjectIdGetDatum(owner), start->input.value,
		PointerGetDatum(start->queue), start->start_after.value,
	start->timeout.value, PointerGetDatum(start->body)};
	char		nulls[] = {' ', ' ', start->input.isnull ? 'n' : ' ',
		start->queue ? ' ' : 'n', start->start_after.isnull ? 'n' : ' ',
	start->timeout.isnull ? 'n' : ' ', start->body ? ' ' : 'n'};
	bool		is_plain = start->body == NULL && start->queue == NULL &&
	!start->is_delayed && start->timeout.isnull;

	return dwf_plan_count(is_plain ? &start_query : &start_timed_query,
						  values, nulls) > 0;
}

/* Was the workflow started with this input and queue, as far as given? */
bool
dwf_store_same_start(const DwfStart *start)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		start->input.value, PointerGetDatum(start->queue),
	PointerGetDatum(start->body)};
	char		nulls[] = {' ', start->input.isnull ? 'n' : ' ',
	start->queue ? ' ' : 'n', start->body ? ' ' : 'n'};

	return dwf_plan_count(&same_start_query, values, nulls) > 0;
}

/* Look at a workflow; false if there is none */
bool
dwf_store_life(text *workflow_id, DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&life_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
		read_life(0, life);
	dwf_plan_done(r);
	return found;
}

/* Look at a workflow and at what came out of it; false if there is none */
bool
dwf_store_outcome(text *workflow_id, DwfOutcome *outcome)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&outcome_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, &outcome->life);
		outcome->output = dwf_plan_copy_column(r, 0, 4);
		outcome->error = dwf_plan_copy_column(r, 0, 5);
	}
	dwf_plan_done(r);
	return found;
}

/* End a workflow; false if it has ended, is not there or not the role's */
bool
dwf_store_finish(text *workflow_id, Oid role, const char *status,
				 DwfValue output, DwfValue error)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		ObjectIdGetDatum(role), CStringGetTextDatum(status), output.value,
	error.value};
	char		nulls[] = {' ', ' ', ' ', output.isnull ? 'n' : ' ',
	error.isnull ? 'n' : ' '};

	return dwf_plan_count(&finish_query, values, nulls) > 0;
}

/* Give a workflow to another role; false if it is not there or not the role's */
bool
dwf_store_set_owner(text *workflow_id, Oid role, Oid owner)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), ObjectIdGetDatum(owner)};

	return dwf_plan_count(&set_owner_query, values, NULL) > 0;
}

/* See to it that durable_wf.home has a row of an unknown database */
void
dwf_store_mark_home(void)
{
	if (dwf_plan_count(&lock_home_query, NULL, NULL) == 0)
		(void) dwf_plan_count(&mark_home_query, NULL, NULL);
}

/* Have workflows come from another database, and were not adopted? */
bool
dwf_store_is_copy(void)
{
	return dwf_plan_count(&is_copy_query, NULL, NULL) > 0;
}

/* Is there any workflow in this database, as far as has committed? */
bool
dwf_store_has_workflows(void)
{
	return dwf_plan_count_latest(&has_workflows_query, NULL) > 0;
}

/* All that is in this database is at home here, as wf_adopt() has it */
void
dwf_store_adopt(void)
{
	(void) dwf_plan_count(&leave_home_query, NULL, NULL);
	(void) dwf_plan_count(&enter_home_query, NULL, NULL);
}

/* The prepared transaction of this name, or an invalid id */
TransactionId
dwf_store_prepared_xid(const char *gid)
{
	TransactionId xid = InvalidTransactionId;
	Datum		values[] = {CStringGetTextDatum(gid)};
	DwfRun		r = dwf_plan_run(&prepared_xid_query, values, NULL);
	bool		isnull;

	if (SPI_processed > 0)
		xid = DatumGetTransactionId(dwf_plan_column(0, 1, &isnull));
	dwf_plan_done(r);
	return xid;
}

/*
 * Remove up to "batch" workflows that ended longer ago than "older_than", by a
 * transaction older than "horizon", with all that belongs to them.  Returns
 * how many.  Blocks only for a receiver that still holds a message of one.
 */
uint64
dwf_store_prune(Interval *older_than, int batch, TransactionId horizon,
				Oid role)
{
	Datum		values[] = {IntervalPGetDatum(older_than), Int32GetDatum(batch),
	TransactionIdGetDatum(horizon), ObjectIdGetDatum(role)};
	DwfStatement *query = &prune_query;

	if (!OidIsValid(dwf_plan_find_relation("step")))
		query = &prune_old_query;
	else if (!OidIsValid(dwf_plan_find_relation("released_hook")))
		query = &prune_unreleased_query;
	return dwf_plan_count(query, values, NULL);
}

/* ----- events ----- */

/*
 * Publish a value; false if the workflow refuses it.  The transaction gets its
 * xid before it looks whether the workflow has ended (README, I5).
 */
bool
dwf_store_set_event(text *workflow_id, text *key, Datum value, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(key), value, ObjectIdGetDatum(role)};

	(void) GetTopTransactionId();
	return dwf_plan_count(&set_event_query, values, NULL) > 0;
}

/* Look at a workflow and one of its events; false if there is no workflow */
bool
dwf_store_event(text *workflow_id, text *key, DwfValue * value, DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id), PointerGetDatum(key)};
	DwfRun		r = dwf_plan_run(&event_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, life);
		*value = dwf_plan_copy_column(r, 0, 4);
	}
	dwf_plan_done(r);
	return found;
}
