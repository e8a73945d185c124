/*-------------------------------------------------------------------------
 *
 * run_rows.c
 *	  The tables as C functions: begin to execute workflows, restart them, and
 *	  end those that have run out of time.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "shared/crash.h"
#include "store/store_sql.h"

/*
 * id, role, whether its body has crashed, or the session that executed it.
 * "attempts" is 1 and the number of crashes in a row, not counting those
 * before its last progress.
 */
#define ATTACH(which) \
	"UPDATE durable_wf.workflow w SET status = 'RUNNING'," \
	" attempts = CASE WHEN w.attempts" EQ "0 THEN 1" \
	"   WHEN ($3 OR w.attempts OPERATOR(pg_catalog.>) 1)" \
	"     AND " GOT_FURTHER " THEN 1" \
	"   WHEN $3 THEN w.attempts OPERATOR(pg_catalog.+) 1" \
	"   ELSE w.attempts END," \
	" due_at = CASE WHEN w.body IS NULL THEN w.due_at ELSE " DUE_AGAIN \
	" END," \
	" updated_at = pg_catalog.now()" \
	" WHERE w.workflow_id" EQ which " AND w.finished_at IS NULL" \
	" AND " ROLE_MAY_ACT("$2")

static DwfStatement attach_query = {
	ATTACH("$1"),
	3, {TEXTOID, OIDOID, BOOLOID}, NULL
};

static DwfStatement attach_free_query = {
	ATTACH("ANY (ARRAY" ONE_THAT_IS_FREE ")"),
	3, {TEXTOID, OIDOID, BOOLOID}, NULL
};

/* id */
static DwfStatement turn_query = {
	"SELECT w.attempts, w.queue, w.input, w.traceparent"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* The same, for objects from before 1.0.0 */
static DwfStatement turn_old_query = {
	"SELECT w.attempts, w.queue, w.input FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id, role, how long until it is due */
static DwfStatement put_off_query = {
	"UPDATE durable_wf.workflow w SET status = 'PENDING',"
	" due_at = " FROM_NOW("+", "$3") ","
	" attempts = CASE WHEN w.attempts OPERATOR(pg_catalog.>) 1"
	"   AND " GOT_FURTHER " THEN 1 ELSE w.attempts END,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$2"),
	3, {TEXTOID, OIDOID, INTERVALOID}, NULL
};

/* id */
static DwfStatement lock_free_query = {
	ONE_THAT_IS_FREE,
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement queue_query = {
	"SELECT w.queue FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.queue IS NOT NULL",
	1, {TEXTOID}, NULL
};

/*
 * id, role.  A step that has failed for good is tried anew, too: its record,
 * which is incomplete and has the errors of its attempts, is deleted; and that
 * of a step of the client's, if no call has begun after it.
 */
static DwfStatement retry_query = {
	"WITH attempts AS ("
	"   DELETE FROM durable_wf.step s WHERE s.workflow_id" EQ "$1"
	"   AND s.error IS NOT NULL AND (s.completed_at IS NULL"
	"     OR s.function" EQ "'wf_save_step' AND NOT s.undone"
	"     AND NOT EXISTS (SELECT FROM durable_wf.step l"
	"       WHERE l.workflow_id" EQ "$1"
	"       AND l.step_no OPERATOR(pg_catalog.>) s.step_no"
	"       AND l.started_at OPERATOR(pg_catalog.>=) s.completed_at))"
	"   AND EXISTS (SELECT FROM durable_wf.workflow w"
	"     WHERE w.workflow_id" EQ "$1"
	"     AND w.status" EQ "ANY ('{ERROR,CANCELLED}'::pg_catalog.text[])"
	"     AND " ROLE_MAY_ACT("$2") "))"
	" UPDATE durable_wf.workflow w SET status = 'PENDING', output = NULL,"
	" error = NULL, error_state = NULL, error_context = NULL,"
	" finished_at = NULL, timeout_at = NULL, attempts = 0,"
	" due_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1"
	" AND w.status" EQ "ANY ('{ERROR,CANCELLED}'::pg_catalog.text[])"
	" AND " ROLE_MAY_ACT("$2"),
	2, {TEXTOID, OIDOID}, NULL
};

/* id, role, input */
static DwfStatement restart_query = {
	"WITH journal AS ("
	"   DELETE FROM durable_wf.step s WHERE s.workflow_id" EQ "$1)"
	" UPDATE durable_wf.workflow w SET status = 'PENDING', input = $3,"
	" attempts = 0, due_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$2"),
	3, {TEXTOID, OIDOID, JSONBOID}, NULL
};

/* now, limit, ids to leave out */
static DwfStatement overdue_query = {
	"SELECT pg_catalog.array_agg(o.workflow_id) FROM ("
	" SELECT w.workflow_id FROM durable_wf.workflow w"
	" WHERE (SELECT NOT durable_wf.is_copy()) AND w.finished_at IS NULL"
	" AND w.timeout_at OPERATOR(pg_catalog.<=) $1"
	" AND NOT w.workflow_id" EQ "ANY ($3)"
	" ORDER BY w.timeout_at LIMIT $2 FOR UPDATE SKIP LOCKED) o",
	3, {TIMESTAMPTZOID, INT4OID, TEXTARRAYOID}, NULL
};

/* ids, now */
static DwfStatement end_overdue_query = {
	"UPDATE durable_wf.workflow w SET status = 'CANCELLED',"
	" error = 'cancelled by its timeout',"
	" finished_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "ANY (ARRAY("
	"   SELECT o.workflow_id FROM durable_wf.workflow o"
	"   WHERE o.workflow_id" EQ "ANY ($1)"
	"   AND (SELECT NOT durable_wf.is_copy()) AND o.finished_at IS NULL"
	"   AND o.timeout_at OPERATOR(pg_catalog.<=) $2"
	"   ORDER BY o.workflow_id FOR UPDATE SKIP LOCKED))",
	2, {TEXTARRAYOID, TIMESTAMPTZOID}, NULL
};

/* ids to leave out; in a second if the first one is overdue, hence locked */
static DwfStatement next_timeout_query = {
	"SELECT CASE WHEN w.timeout_at OPERATOR(pg_catalog.<=)"
	"   pg_catalog.clock_timestamp()"
	" THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)"
	"   '1 s'::pg_catalog.interval"
	" ELSE w.timeout_at END"
	" FROM durable_wf.workflow w"
	" WHERE w.finished_at IS NULL AND w.timeout_at IS NOT NULL"
	" AND NOT w.workflow_id" EQ "ANY ($1)"
	" ORDER BY w.timeout_at LIMIT 1",
	1, {TEXTARRAYOID}, NULL
};

/*
 * Note that a session begins to execute a workflow, by one of two statements
 */
static bool
attach(DwfStatement *statement, text *workflow_id, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		ObjectIdGetDatum(role),
	BoolGetDatum(dwf_crash_is_noted(workflow_id))};

	return dwf_statement_count(statement, values, NULL) > 0;
}

/*
 * Note that this session begins to execute a workflow; false if it has ended
 * or is not the role's.  Blocks while another transaction has locked its row.
 */
bool
dwf_store_attach(text *workflow_id, Oid role)
{
	return attach(&attach_query, workflow_id, role);
}

/*
 * Do as dwf_store_attach(), but return false, too, if another transaction has
 * locked the row.  Does not block.
 */
bool
dwf_store_attach_free(text *workflow_id, Oid role)
{
	return attach(&attach_free_query, workflow_id, role);
}

/* Read what a session needs that has just attached; false if it is gone */
bool
dwf_store_turn(text *workflow_id, DwfTurn *turn)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	bool		is_new = dwf_store_knows_families();
	DwfRun		r = dwf_statement_run(is_new ? &turn_query : &turn_old_query,
									  values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		turn->attempts = DatumGetInt32(dwf_statement_column(0, 1, &isnull));
		turn->queue = dwf_statement_copy_text(r, 0, 2);
		turn->input = dwf_statement_copy_column(r, 0, 3);
		turn->traceparent = is_new ? dwf_statement_copy_text(r, 0, 4) : NULL;
	}
	dwf_statement_done(r);
	return found;
}

/*
 * Have a workflow that is executed be due again after a span; false if it has
 * ended or is not the role's.  Blocks while another transaction has its row
 * locked.
 */
bool
dwf_store_put_off(text *workflow_id, Oid role, Interval *span)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), IntervalPGetDatum(span)};

	return dwf_statement_count(&put_off_query, values, NULL) > 0;
}

/*
 * Lock a workflow's row; false if another transaction has locked it, or there
 * is none.  Does not block.
 */
bool
dwf_store_lock_free(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	return dwf_statement_count(&lock_free_query, values, NULL) > 0;
}

/* Read the queue of a workflow, or NULL */
text *
dwf_store_queue(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	return dwf_statement_text(&queue_query, values);
}

/*
 * Let a workflow that failed or was cancelled go on; false if it did not, or
 * is not the role's
 */
bool
dwf_store_retry(text *workflow_id, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role)};

	return dwf_statement_count(&retry_query, values, NULL) > 0;
}

/*
 * Delete a workflow's journal, and have it begin anew; false if it has ended
 * or is not the role's
 */
bool
dwf_store_restart(text *workflow_id, Oid role, DwfValue input)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), input.value};
	char		nulls[] = {' ', ' ', input.isnull ? 'n' : ' '};

	return dwf_statement_count(&restart_query, values, nulls) > 0;
}

/*
 * List and lock workflows that have run out of time, except those in "aside";
 * locked ones are skipped
 */
DwfIds
dwf_store_overdue(int limit, Datum aside)
{
	Datum		values[] = {TimestampTzGetDatum(GetCurrentTimestamp()),
	Int32GetDatum(limit), aside};

	return dwf_store_list_ids(&overdue_query, values);
}

/*
 * Cancel those of these workflows that have run out of time and are not locked
 */
void
dwf_store_end_overdue(Datum ids)
{
	Datum		values[] = {ids, TimestampTzGetDatum(GetCurrentTimestamp())};

	(void) dwf_statement_count(&end_overdue_query, values, NULL);
}

/* When the next workflow runs out of time, except of "aside"; or DT_NOEND */
TimestampTz
dwf_store_next_timeout(Datum aside)
{
	return dwf_statement_moment(&next_timeout_query, &aside);
}
