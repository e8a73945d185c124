/*-------------------------------------------------------------------------
 *
 * body_rows.c
 *	  The tables as C functions: bodies of SQL workflows, and the waits in
 *	  which they are suspended.
 *
 * Lock order: a transaction that changes both a workflow's row and its waits
 * locks the workflow's row first.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "shared/address.h"
#include "shared/claim.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/store_sql.h"

/*
 * The condition of the partial index workflow_body_idx: bodies to be run, by
 * owner and due time
 */
#define IS_WORK \
	"w.body IS NOT NULL AND w.finished_at IS NULL" \
	" AND w.status OPERATOR(pg_catalog.<>) 'WAITING'"

/* One descent of the index for each role, however much work it has */
static DwfStatement roles_query = {
	"WITH RECURSIVE r(owner) AS ("
	" (SELECT w.owner::pg_catalog.oid FROM durable_wf.workflow w"
	"   WHERE " IS_WORK " ORDER BY w.owner::pg_catalog.oid LIMIT 1)"
	" UNION ALL"
	" SELECT (SELECT w.owner::pg_catalog.oid FROM durable_wf.workflow w"
	"   WHERE " IS_WORK
	"   AND w.owner::pg_catalog.oid OPERATOR(pg_catalog.>) r.owner"
	"   ORDER BY w.owner::pg_catalog.oid LIMIT 1)"
	" FROM r WHERE r.owner IS NOT NULL)"
	" SELECT r.owner FROM r WHERE r.owner IS NOT NULL",
	0, {0}, NULL
};

/* id */
static DwfStatement body_query = {
	"SELECT w.body, w.input, w.attempts FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.body IS NOT NULL"
	" AND w.finished_at IS NULL",
	1, {TEXTOID}, NULL
};

/* id, message, state, context */
static DwfStatement fail_query = {
	"UPDATE durable_wf.workflow w SET status = 'ERROR', error = $2,"
	" error_state = $3, error_context = $4,"
	" finished_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL",
	4, {TEXTOID, TEXTOID, TEXTOID, TEXTOID}, NULL
};

/* role, message */
static DwfStatement fail_role_query = {
	"UPDATE durable_wf.workflow w SET status = 'ERROR', error = $2,"
	" finished_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "ANY (ARRAY("
	"   SELECT w.workflow_id FROM durable_wf.workflow w"
	"   WHERE " IS_WORK " AND w.owner::pg_catalog.oid" EQ "$1"
	"   AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.now()"
	"   ORDER BY w.workflow_id FOR NO KEY UPDATE SKIP LOCKED))",
	2, {OIDOID, TEXTOID}, NULL
};

/* id, what to add to the attempts */
static DwfStatement back_off_query = {
	"UPDATE durable_wf.workflow w SET status = 'PENDING',"
	" attempts = CASE WHEN " GOT_FURTHER " THEN 1"
	"   ELSE w.attempts OPERATOR(pg_catalog.+) $2 END,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL",
	2, {TEXTOID, INT4OID}, NULL
};

/* id, position, step, door, target, key, wait id, deadline */
static DwfStatement suspend_query = {
	"INSERT INTO durable_wf.wait (workflow_id, position, step_no, door,"
	" target_id, key, wait_id, deadline)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	8, {TEXTOID, INT4OID, INT4OID, CHAROID, TEXTOID, TEXTOID, INT8OID,
	TIMESTAMPTZOID}, NULL
};

/* id */
static DwfStatement set_waiting_query = {
	"UPDATE durable_wf.workflow w SET status = 'WAITING', attempts = 0,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL",
	1, {TEXTOID}, NULL
};

#define SET_RUNNING(which) \
	"UPDATE durable_wf.workflow w SET status = 'RUNNING', attempts = 1," \
	" due_at = CASE WHEN w.body IS NULL THEN w.due_at" \
	"   ELSE pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)" \
	"   '1 s'::pg_catalog.interval END," \
	" updated_at = pg_catalog.now()" \
	" WHERE w.workflow_id" EQ which " AND w.finished_at IS NULL"

/* id */
static DwfStatement set_running_query = {
	SET_RUNNING("$1"),
	1, {TEXTOID}, NULL
};

static DwfStatement set_running_free_query = {
	SET_RUNNING("ANY (ARRAY" ONE_THAT_IS_FREE ")"),
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement unsuspend_query = {
	"DELETE FROM durable_wf.wait a WHERE a.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* event id */
static DwfStatement suspended_query = {
	"SELECT a.workflow_id, a.wait_id, a.since, a.deadline"
	" FROM durable_wf.wait a"
	" WHERE a.door" EQ "'n' AND a.key" EQ "$1 AND a.wait_id IS NOT NULL",
	1, {TEXTOID}, NULL
};

/* event id, workflow */
static DwfStatement suspended_one_query = {
	"SELECT a.workflow_id, a.wait_id, a.since, a.deadline"
	" FROM durable_wf.wait a"
	" WHERE a.target_id" EQ "$2 AND a.door" EQ "'n' AND a.key" EQ "$1"
	" AND a.workflow_id" EQ "$2 AND a.wait_id IS NOT NULL",
	2, {TEXTOID, TEXTOID}, NULL
};

/* id, wait id */
static DwfStatement is_suspended_query = {
	"SELECT FROM durable_wf.wait a"
	" WHERE a.workflow_id" EQ "$1 AND a.wait_id" EQ "$2",
	2, {TEXTOID, INT8OID}, NULL
};

/*
 * List the roles that have a body which is due and which no session executes.
 * *next says when the next body will be due, DT_NOEND for never.
 */
List *
dwf_store_roles_with_work(TimestampTz *next)
{
	DwfRun		r = dwf_statement_run(&roles_query, NULL, NULL);
	MemoryContext old = MemoryContextSwitchTo(r.caller_context);
	List	   *roles = NIL;
	List	   *due = NIL;
	ListCell   *cell;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		role = dwf_statement_column(i, 1, &isnull);

		roles = lappend_oid(roles, DatumGetObjectId(role));
	}
	MemoryContextSwitchTo(old);
	dwf_statement_done(r);

	/* keep those whose first free body is due */
	*next = DT_NOEND;
	foreach(cell, roles)
	{
		DwfSearch	search = {.role = lfirst_oid(cell)};

		if (dwf_store_search(&search))
			due = lappend_oid(due, lfirst_oid(cell));
		*next = Min(*next, search.next);
	}
	return due;
}

/*
 * Read a live workflow's body, its input, and how often it was tried.  False
 * if there is none; none has a body in the objects of versions before 0.3.0.
 */
bool
dwf_store_body(text *workflow_id, text **body, DwfValue * input, int *attempts)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r;
	bool		found;
	bool		isnull;

	if (get_attnum(dwf_catalog_relation("workflow"),
				   "body") == InvalidAttrNumber)
		return false;
	r = dwf_statement_run(&body_query, values, NULL);
	found = SPI_processed > 0;
	if (found)
	{
		*body = dwf_statement_copy_text(r, 0, 1);
		*input = dwf_statement_copy_column(r, 0, 2);
		*attempts = DatumGetInt32(dwf_statement_column(0, 3, &isnull));
	}
	dwf_statement_done(r);
	return found;
}

/* A string as a parameter: text, or null if it is NULL */
static Datum
text_or_null(const char *value, char *null)
{
	*null = value ? ' ' : 'n';
	return value ? CStringGetTextDatum(value) : (Datum) 0;
}

/* End a workflow whose body has raised an error; false if it had ended */
bool
dwf_store_fail(text *workflow_id, const char *message, const char *state,
			   const char *context)
{
	Datum		values[4] = {PointerGetDatum(workflow_id)};
	char		nulls[4] = {' '};

	values[1] = text_or_null(message, &nulls[1]);
	values[2] = text_or_null(state, &nulls[2]);
	values[3] = text_or_null(context, &nulls[3]);
	return dwf_statement_count(&fail_query, values, nulls) > 0;
}

/*
 * End all bodies of a role that are due with this error, since none can be
 * run. Returns how many; skips locked rows.
 */
uint64
dwf_store_fail_role(Oid role, const char *message)
{
	Datum		values[] = {ObjectIdGetDatum(role),
	CStringGetTextDatum(message)};

	return dwf_statement_count(&fail_role_query, values, NULL);
}

/*
 * Have a workflow tried again when it is due.  Each attempt that "counts"
 * makes the delay after the following ones longer.
 */
void
dwf_store_back_off(text *workflow_id, bool counts)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(counts ? 1 : 0)};

	(void) dwf_statement_count(&back_off_query, values, NULL);
}

/*
 * Reset the attempts of a body that has got further before it crashed.  Does
 * nothing if another transaction holds the row: then the next run sees the
 * progress in the journal.
 */
void
dwf_store_note_progress(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	(void) dwf_statement_count(&set_running_free_query, values, NULL);
}

/*
 * Suspend a workflow in a wait: store the wait's keys, so that the worker
 * finds it when one of them is signalled or the deadline has come.  Does
 * nothing if the workflow has ended.
 */
void
dwf_store_suspend(text *workflow_id, int step_no, const DwfWaitKey *keys,
				  int nkeys, int64 wait_id, TimestampTz deadline)
{
	Datum		id[] = {PointerGetDatum(workflow_id)};

	if (dwf_statement_count(&set_waiting_query, id, NULL) == 0)
		return;					/* the next run finds that it has ended */

	/* what removes the rows of an ended workflow's wait skips locked ones */
	(void) dwf_statement_count(&unsuspend_query, id, NULL);

	/* a broadcast finds its waiters by their key at DWF_DOOR_NOTIFY */
	for (int i = 0; i < nkeys; i++)
	{
		const DwfAddress *address = &keys[i].address;
		text	   *key = address->key ? address->key : cstring_to_text("");
		text	   *target = address->workflow_id ? address->workflow_id :
		cstring_to_text("");
		Datum		values[] = {PointerGetDatum(workflow_id),
			Int32GetDatum(i), Int32GetDatum(step_no),
			CharGetDatum(address->door), PointerGetDatum(target),
			PointerGetDatum(key), Int64GetDatum(wait_id),
		TimestampTzGetDatum(deadline)};
		char		nulls[] = {' ', ' ', ' ', ' ', ' ', ' ',
			wait_id && address->door == DWF_DOOR_NOTIFY ? ' ' : 'n',
		deadline == DT_NOEND ? 'n' : ' '};

		if (address->door != DWF_DOOR_BROADCAST)
			(void) dwf_statement_count(&suspend_query, values, nulls);
	}
}

/* Have a workflow that was being suspended go on as running */
void
dwf_store_unsuspend(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	(void) dwf_statement_count(&set_running_query, values, NULL);
	(void) dwf_statement_count(&unsuspend_query, values, NULL);
}

/*
 * List the suspended workflows that wait for an event id, or only this one:
 * DwfWaiterInfo
 */
List *
dwf_store_suspended(text *event_id, text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(event_id),
	PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_statement_run(workflow_id ? &suspended_one_query :
									  &suspended_query, values, NULL);
	List	   *waiters = NIL;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		deadline = dwf_statement_column(i, 4, &isnull);
		text	   *id = dwf_statement_copy_text(r, i, 1);
		MemoryContext old = MemoryContextSwitchTo(r.caller_context);
		DwfWaiterInfo *waiter = palloc0(sizeof(DwfWaiterInfo));

		/* it has no slot: no process waits */
		waiter->slot = -1;
		waiter->door = DWF_DOOR_BROADCAST;
		waiter->workflow_id = id;
		waiter->key = event_id;
		waiter->deadline = isnull ? DT_NOEND : DatumGetTimestampTz(deadline);
		waiter->wait_id = DatumGetInt64(dwf_statement_column(i, 2, &isnull));
		waiter->since =
			DatumGetTimestampTz(dwf_statement_column(i, 3, &isnull));
		waiters = lappend(waiters, waiter);
		MemoryContextSwitchTo(old);
	}
	dwf_statement_done(r);
	return waiters;
}

/* Is a suspended workflow still in the wait that was listed? */
bool
dwf_store_is_suspended(const DwfWaiterInfo *waiter)
{
	Datum		values[] = {PointerGetDatum(waiter->workflow_id),
	Int64GetDatum(waiter->wait_id)};

	return dwf_statement_count(&is_suspended_query, values, NULL) > 0;
}
