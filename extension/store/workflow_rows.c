/*-------------------------------------------------------------------------
 *
 * workflow_rows.c
 *	  The tables as C functions: start, read and end workflows; publish and
 *	  read their events.
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
#include "store/catalog.h"
#include "store/store_sql.h"

/*
 * The test for an earlier workflow keeps its waiters from being woken for
 * nothing: a row trigger fires before ON CONFLICT is considered.
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

/*
 * id, owner, input, queue, delay, timeout, body; not in objects before 0.3.0
 */
static DwfStatement start_timed_query = {
	START_QUERY(", queue, due_at, timeout_at, body",
				", $4, " FROM_NOW("+", "$5") ", " FROM_NOW("+", "$6") ", $7"),
	7, {TEXTOID, OIDOID, JSONBOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID},
	NULL
};

/* as start_timed_query, and parent; not in objects before 1.0.0 */
static DwfStatement start_child_query = {
	START_QUERY(", queue, due_at, timeout_at, body, parent_id",
				", $4, " FROM_NOW("+", "$5") ", " FROM_NOW("+", "$6")
				", $7, $8"),
	8, {TEXTOID, OIDOID, JSONBOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID,
	TEXTOID}, NULL
};

/* id, owner, input, queue, timeout: one that this session executes at once */
static DwfStatement start_attached_query = {
	START_QUERY(", queue, timeout_at, status, attempts",
				", $4, " FROM_NOW("+", "$5") ", 'RUNNING', 1"),
	5, {TEXTOID, OIDOID, JSONBOID, TEXTOID, INTERVALOID}, NULL
};

/* id, input, queue, body; what is null is not compared */
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
	" w.output, CASE WHEN NOT w.status" EQ "'CANCELLED' THEN w.error END"
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

/* id; not in objects before 1.0.0 */
static DwfStatement traceparent_query = {
	"SELECT w.traceparent FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* name of the prepared transaction */
static DwfStatement prepared_xid_query = {
	"SELECT p.transaction FROM pg_catalog.pg_prepared_xacts p"
	" WHERE p.gid" EQ "$1",
	1, {TEXTOID}, NULL
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

/* workflow id, key; reads the workflow and its event in one snapshot */
static DwfStatement event_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL,"
	" e.value FROM durable_wf.workflow w"
	" LEFT JOIN durable_wf.event e"
	"   ON e.workflow_id" EQ "w.workflow_id AND e.key" EQ "$2"
	" WHERE w.workflow_id" EQ "$1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* Read the columns that life_query and others begin with */
static void
read_life(uint64 row, DwfLife *life)
{
	text	   *status;
	bool		isnull;

	life->owner = DatumGetObjectId(dwf_statement_column(row, 1, &isnull));
	status = DatumGetTextPP(dwf_statement_column(row, 2, &isnull));
	text_to_cstring_buffer(status, life->status, sizeof(life->status));
	life->finished = DatumGetBool(dwf_statement_column(row, 3, &isnull));
}

/*
 * Raise 25006 on a standby and in a READ ONLY transaction.  That of a body is
 * one, too, but our calls in it may write.  "function" is an SQL name.
 */
void
dwf_store_require_writable(const char *function)
{
	const char *command;

	if (!XactReadOnly)
		return;					/* in recovery it is always set */
	command = psprintf("%s()", function);
	PreventCommandDuringRecovery(command);
	if (!dwf_claim_is_body())
		PreventCommandIfReadOnly(command);
}

/* ----- workflows ----- */

/* Insert a workflow that this session executes; false if the id is taken */
static bool
start_attached(const DwfStart *start, Oid owner)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		ObjectIdGetDatum(owner), start->input.value,
	PointerGetDatum(start->queue), start->timeout.value};
	char		nulls[] = {' ', ' ', start->input.isnull ? 'n' : ' ', ' ',
	start->timeout.isnull ? 'n' : ' '};

	return dwf_statement_count(&start_attached_query, values, nulls) > 0;
}

/*
 * Insert a workflow; false if the id is taken.  Blocks while another
 * transaction inserts a workflow of this id.
 */
bool
dwf_store_start(const DwfStart *start, Oid owner)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		ObjectIdGetDatum(owner), start->input.value,
		PointerGetDatum(start->queue), start->start_after.value,
		start->timeout.value, PointerGetDatum(start->body),
	PointerGetDatum(start->parent)};
	char		nulls[] = {' ', ' ', start->input.isnull ? 'n' : ' ',
		start->queue ? ' ' : 'n', start->start_after.isnull ? 'n' : ' ',
	start->timeout.isnull ? 'n' : ' ', start->body ? ' ' : 'n', ' '};
	bool		is_plain = start->body == NULL && start->queue == NULL &&
	!start->is_delayed && start->timeout.isnull;

	if (start->is_attached)
		return start_attached(start, owner);
	if (start->parent)
		return dwf_statement_count(&start_child_query, values, nulls) > 0;
	return dwf_statement_count(is_plain ? &start_query : &start_timed_query,
							   values, nulls) > 0;
}

/* Was a workflow started with this input, queue and body, as far as given? */
bool
dwf_store_same_start(const DwfStart *start)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		start->input.value, PointerGetDatum(start->queue),
	PointerGetDatum(start->body)};
	char		nulls[] = {' ', start->input.isnull ? 'n' : ' ',
	start->queue ? ' ' : 'n', start->body ? ' ' : 'n'};

	return dwf_statement_count(&same_start_query, values, nulls) > 0;
}

/* Read the owner and status of a workflow; false if there is none */
bool
dwf_store_life(text *workflow_id, DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_statement_run(&life_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
		read_life(0, life);
	dwf_statement_done(r);
	return found;
}

/* Read a workflow's status and its outcome; false if there is none */
bool
dwf_store_outcome(text *workflow_id, DwfOutcome *outcome)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_statement_run(&outcome_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, &outcome->life);
		outcome->output = dwf_statement_copy_column(r, 0, 4);
		outcome->error = dwf_statement_copy_column(r, 0, 5);
	}
	dwf_statement_done(r);
	return found;
}

/*
 * End a workflow; false if it has ended, does not exist or is not the role's.
 * Blocks while another transaction has locked its row.
 */
bool
dwf_store_finish(text *workflow_id, Oid role, const char *status,
				 DwfValue output, DwfValue error)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		ObjectIdGetDatum(role), CStringGetTextDatum(status), output.value,
	error.value};
	char		nulls[] = {' ', ' ', ' ', output.isnull ? 'n' : ' ',
	error.isnull ? 'n' : ' '};

	return dwf_statement_count(&finish_query, values, nulls) > 0;
}

/* The trace context that a workflow was started with, or NULL */
text *
dwf_store_traceparent(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	if (!dwf_store_knows_families())
		return NULL;
	return dwf_statement_text(&traceparent_query, values);
}

/* Find the xid of a prepared transaction by its name, or an invalid xid */
TransactionId
dwf_store_prepared_xid(const char *gid)
{
	TransactionId xid = InvalidTransactionId;
	Datum		values[] = {CStringGetTextDatum(gid)};
	DwfRun		r = dwf_statement_run(&prepared_xid_query, values, NULL);
	bool		isnull;

	if (SPI_processed > 0)
		xid = DatumGetTransactionId(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(r);
	return xid;
}

/* ----- events ----- */

/*
 * Publish a value under a key; false if the workflow has ended, does not exist
 * or is not the role's.  The transaction gets its xid before it reads whether
 * the workflow has ended (README, I5).  Blocks while another transaction
 * publishes under the same key.
 */
bool
dwf_store_set_event(text *workflow_id, text *key, Datum value, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(key), value, ObjectIdGetDatum(role)};

	(void) GetTopTransactionId();
	return dwf_statement_count(&set_event_query, values, NULL) > 0;
}

/* Read a workflow and one of its events; false if there is no workflow */
bool
dwf_store_event(text *workflow_id, text *key, DwfValue * value,
				DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(key)};
	DwfRun		r = dwf_statement_run(&event_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, life);
		*value = dwf_statement_copy_column(r, 0, 4);
	}
	dwf_statement_done(r);
	return found;
}
