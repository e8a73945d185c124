/*-------------------------------------------------------------------------
 *
 * run_rows.c
 *	  The tables as C functions: who is to be executed, and the journal.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "shared/claim.h"
#include "shared/crash.h"
#include "shared/listener.h"
#include "store/plan.h"
#include "store/store_sql.h"

/* Workflows whose row somebody holds are looked at again after this, in ms */
#define HELD_GAP	500

/* More of them than that in a search are not looked at by the next ones */
#define HELD_MANY	100

/* When a body is run again whose process dies now, later after each crash */
#define DUE_AGAIN \
	"(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)" \
	" ('1 s'::pg_catalog.interval OPERATOR(pg_catalog.*)" \
	" pg_catalog.power(2::pg_catalog.float8," \
	" LEAST(w.attempts, 9)::pg_catalog.float8)))"

/*
 * id, role, has the body crashed?  Clients' attempts are counted; of a body, 1
 * and its crashes in a row, those after which it had got further aside.
 */
#define ATTACH(which) \
	"UPDATE durable_wf.workflow w SET status = 'RUNNING'," \
	" attempts = CASE WHEN w.body IS NULL OR w.attempts" EQ "0" \
	"   THEN w.attempts OPERATOR(pg_catalog.+) 1" \
	"   WHEN " GOT_FURTHER " THEN 1" \
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

/* What a search finds, after a place in the order of what is due */
#define SEARCH(which) \
	"SELECT w.workflow_id, w.due_at, w.xmax FROM durable_wf.workflow w" \
	" WHERE " which \
	" AND ROW(w.due_at, w.workflow_id) OPERATOR(pg_catalog.>) ROW($2, $3)" \
	" ORDER BY w.due_at, w.workflow_id LIMIT $4"

/* role, after that, at most so many */
static DwfStatement search_bodies_query = {
	SEARCH("w.body IS NOT NULL AND w.finished_at IS NULL"
		   " AND w.status OPERATOR(pg_catalog.<>) 'WAITING'"
		   " AND w.owner::pg_catalog.oid" EQ "$1"
		   " AND NOT durable_wf.is_copy()"),
	4, {OIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID}, NULL
};

/* role, after that, at most so many, queue */
static DwfStatement search_queue_query = {
	SEARCH("w.queue" EQ "$5 AND w.finished_at IS NULL"
		   " AND " ROLE_MAY_ACT("$1")),
	5, {OIDOID, TIMESTAMPTZOID, TEXTOID, INT4OID, TEXTOID}, NULL
};

/*
 * id, role.  A step that has failed for good is tried anew, too: it is
 * incomplete, with what its attempts said.
 */
static DwfStatement retry_query = {
	"WITH attempts AS ("
	"   DELETE FROM durable_wf.step s WHERE s.workflow_id" EQ "$1"
	"   AND s.completed_at IS NULL AND s.error IS NOT NULL"
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

/* now, at most so many, but not these */
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

/* When the next one will have, not of these; in a second if one is held */
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

/* id */
static DwfStatement last_step_query = {
	"SELECT s.step_no FROM durable_wf.step s WHERE s.workflow_id" EQ "$1"
	" ORDER BY s.step_no DESC LIMIT 1",
	1, {TEXTOID}, NULL
};

/*
 * id, number, function, name, result, error, undone, deadline, started,
 * completed, even if the workflow has ended
 */
static DwfStatement record_query = {
	"INSERT INTO durable_wf.step AS s (workflow_id, step_no, function, name,"
	" result, error, undone, deadline, started_at, completed_at)"
	" SELECT w.workflow_id, $2, $3, $4, $5, $6, $7, $8, $9, $10"
	" FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND (w.finished_at IS NULL OR $11)"
	" ON CONFLICT (workflow_id, step_no) DO UPDATE"
	" SET result = EXCLUDED.result, error = EXCLUDED.error,"
	" undone = EXCLUDED.undone,"
	" deadline = COALESCE(EXCLUDED.deadline, s.deadline),"
	" completed_at = EXCLUDED.completed_at"
	" WHERE s.completed_at IS NULL",
	11, {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
	BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID}, NULL
};

/* id, number */
static DwfStatement read_record_query = {
	"SELECT s.function, s.name, s.result, s.error, s.undone, s.deadline,"
	" s.started_at, s.completed_at"
	" FROM durable_wf.step s"
	" WHERE s.workflow_id" EQ "$1 AND s.step_no" EQ "$2",
	2, {TEXTOID, INT4OID}, NULL
};

/* ----- who is to be executed ----- */

/* Begin to execute a workflow, by one of the two statements for that */
static bool
attach(DwfStatement *statement, text *workflow_id, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		ObjectIdGetDatum(role),
	BoolGetDatum(dwf_crash_is_noted(workflow_id))};

	return dwf_plan_count(statement, values, NULL) > 0;
}

/* A session begins to execute a workflow; false if it has ended */
bool
dwf_store_attach(text *workflow_id, Oid role)
{
	return attach(&attach_query, workflow_id, role);
}

/* The same; false also if somebody holds its row.  Does not wait for that. */
bool
dwf_store_attach_free(text *workflow_id, Oid role)
{
	return attach(&attach_free_query, workflow_id, role);
}

/* Lock a workflow's row; false if somebody holds it, or it is not there */
bool
dwf_store_lock_free(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	return dwf_plan_count(&lock_free_query, values, NULL) > 0;
}

/* The queue of a workflow, or NULL */
text *
dwf_store_queue(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&queue_query, values, NULL);
	text	   *queue = NULL;

	if (SPI_processed > 0)
		queue = DatumGetTextP(dwf_plan_copy_column(r, 0, 1).value);
	dwf_plan_done(r);
	return queue;
}

/*
 * Where the last searches for the bodies of some roles have come to that passed
 * by many, which need not be passed by again before the gap is over
 */
typedef struct Passed
{
	Oid			role;
	TimestampTz until;
	TimestampTz due;
	int			length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
} Passed;

#define PASSED_SIZE	16

static Passed passed[PASSED_SIZE];

static Passed *
passed_of(const DwfSearch *search)
{
	return &passed[search->role % PASSED_SIZE];
}

/* Begin a search where one has to look */
static void
begin_search(DwfSearch *search)
{
	const Passed *last = passed_of(search);

	search->next = DT_NOEND;
	if (search->queue == NULL && last->role == search->role &&
		GetCurrentTimestamp() < last->until)
	{
		search->workflow_id = cstring_to_text_with_len(last->workflow_id,
													   last->length);
		search->due = last->due;
		search->next = last->until;
	}
	else
	{
		search->workflow_id = cstring_to_text("");
		search->due = DT_NOBEGIN;
	}
}

/* The one that was found last is held: the search has to come back to it */
void
dwf_store_search_held(DwfSearch *search)
{
	TimestampTz again = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													HELD_GAP);

	search->next = Min(search->next, again);
	if (search->nheld == 0)
		search->first_held = search->workflow_id;
	if (++search->nheld >= HELD_MANY && search->queue == NULL)
	{
		Passed	   *last = passed_of(search);

		if (search->nheld == HELD_MANY)
			last->until = again;
		last->role = search->role;
		last->due = search->due;
		last->length = VARSIZE_ANY_EXHDR(search->workflow_id);
		memcpy(last->workflow_id, VARDATA_ANY(search->workflow_id),
			   last->length);
	}
}

/*
 * Has somebody locked or changed the row, and not ended?  That is only a hint:
 * of several who share a lock xmax does not tell.
 */
static bool
is_held(Datum xmax)
{
	TransactionId xid = DatumGetTransactionId(xmax);

	return TransactionIdIsNormal(xid) &&
		!TransactionIdIsCurrentTransactionId(xid) &&
		TransactionIdIsInProgress(xid);
}

/* Look at what a page of the search has; true if that is the end of it */
static bool
search_page(DwfSearch *search, int limit, bool *found)
{
	Datum		values[] = {ObjectIdGetDatum(search->role),
		TimestampTzGetDatum(search->due),
		PointerGetDatum(search->workflow_id), Int32GetDatum(limit),
	PointerGetDatum(search->queue)};
	DwfRun		r = dwf_plan_run(search->queue ? &search_queue_query :
								 &search_bodies_query, values, NULL);
	TimestampTz now = GetCurrentTimestamp();
	bool		at_end = SPI_processed < (uint64) limit;

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		TimestampTz due = DatumGetTimestampTz(dwf_plan_column(i, 2, &isnull));

		if (due > now)
		{
			search->next = Min(search->next, due);
			at_end = true;
			break;
		}
		search->due = due;
		search->workflow_id = DatumGetTextP(dwf_plan_copy_column(r, i, 1).value);
		if (dwf_claim_exists(search->workflow_id))
			continue;
		*found = !is_held(dwf_plan_column(i, 3, &isnull));
		if (*found)
			break;
		dwf_store_search_held(search);
	}
	dwf_plan_done(r);
	return at_end;
}

/*
 * Find a workflow that is due, that nobody executes and whose row nobody seems
 * to hold; called again, the next one.  False when there is no more.  One more
 * than are executed is enough to find it, mostly.
 */
bool
dwf_store_search(DwfSearch *search)
{
	bool		found = false;
	int			limit = dwf_claim_count() + 1;

	if (search->workflow_id == NULL)
		begin_search(search);
	while (!search_page(search, limit, &found) && !found)
	{
		CHECK_FOR_INTERRUPTS();
		limit = Max(limit, HELD_MANY);
	}
	return found;
}

/* Let a workflow that ended badly go on; false if it did not */
bool
dwf_store_retry(text *workflow_id, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role)};

	return dwf_plan_count(&retry_query, values, NULL) > 0;
}

/* Drop the journal and begin anew; false if the workflow has ended */
bool
dwf_store_restart(text *workflow_id, Oid role, DwfValue input)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), input.value};
	char		nulls[] = {' ', ' ', input.isnull ? 'n' : ' '};

	return dwf_plan_count(&restart_query, values, nulls) > 0;
}

/* A batch of those that have run out of time, but not of "aside" */
DwfIds
dwf_store_overdue(int limit, Datum aside)
{
	Datum		values[] = {TimestampTzGetDatum(GetCurrentTimestamp()),
	Int32GetDatum(limit), aside};

	return dwf_store_list_ids(&overdue_query, values);
}

/* Cancel those of them that have run out of time, and that nobody holds */
void
dwf_store_end_overdue(Datum ids)
{
	Datum		values[] = {ids, TimestampTzGetDatum(GetCurrentTimestamp())};

	(void) dwf_plan_count(&end_overdue_query, values, NULL);
}

/* When the next one has run out of time, but not of "aside"; or DT_NOEND */
TimestampTz
dwf_store_next_timeout(Datum aside)
{
	return dwf_plan_moment(&next_timeout_query, &aside);
}

/* ----- the journal ----- */

/* The highest number in a journal, 0 if it is empty */
int
dwf_store_last_step(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&last_step_query, values, NULL);
	int			step_no = 0;
	bool		isnull;

	if (SPI_processed > 0)
		step_no = DatumGetInt32(dwf_plan_column(0, 1, &isnull));
	dwf_plan_done(r);
	return step_no;
}

/*
 * Write a record, or complete one that waits; false if the step is complete
 * already, or the workflow has ended, unless that does not matter.  The
 * transaction gets its xid before it looks at that (README, I5).
 */
bool
dwf_store_record(text *workflow_id, const DwfRecord *record,
				 bool even_if_ended)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		Int32GetDatum(record->step_no), CStringGetTextDatum(record->function),
		PointerGetDatum(record->name), record->result.value,
		record->error.value, BoolGetDatum(record->is_undone),
		TimestampTzGetDatum(record->deadline),
		TimestampTzGetDatum(record->started_at),
		TimestampTzGetDatum(record->completed_at),
	BoolGetDatum(even_if_ended)};
	char		nulls[] = {' ', ' ', ' ', record->name ? ' ' : 'n',
		record->result.isnull ? 'n' : ' ', record->error.isnull ? 'n' : ' ',
		' ', record->deadline ? ' ' : 'n', ' ',
	record->completed_at ? ' ' : 'n', ' '};

	(void) GetTopTransactionId();
	return dwf_plan_count(&record_query, values, nulls) > 0;
}

/* A moment of a row, 0 if it is null */
static TimestampTz
moment_column(int n)
{
	bool		isnull;
	Datum		value = dwf_plan_column(0, n, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Read a record; false if there is none of that number */
bool
dwf_store_read_record(text *workflow_id, int step_no, DwfRecord *record)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(step_no)};
	DwfRun		r = dwf_plan_run(&read_record_query, values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		DwfValue	name = dwf_plan_copy_column(r, 0, 2);

		record->step_no = step_no;
		record->function = MemoryContextStrdup(r.caller_context,
											   TextDatumGetCString(dwf_plan_column(0, 1, &isnull)));
		record->name = name.isnull ? NULL : DatumGetTextP(name.value);
		record->result = dwf_plan_copy_column(r, 0, 3);
		record->error = dwf_plan_copy_column(r, 0, 4);
		record->is_undone = DatumGetBool(dwf_plan_column(0, 5, &isnull));
		record->deadline = moment_column(6);
		record->started_at = moment_column(7);
		record->completed_at = moment_column(8);
	}
	dwf_plan_done(r);
	return found;
}
