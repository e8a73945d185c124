/*-------------------------------------------------------------------------
 *
 * hook_rows.c
 *	  The tables as C functions: hooks, and requests to webhooks.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "shared/address.h"
#include "store/store_sql.h"

/* How long an answer is kept for who asks again */
#define KEPT_UNTIL \
	"pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)" \
	" '10 min'::pg_catalog.interval"

/* token, id, metadata, validator, is webhook, respond with, role */
static DwfStatement create_query = {
	"INSERT INTO durable_wf.hook"
	" (token, workflow_id, metadata, validator, is_webhook, respond_with)"
	" SELECT $1, w.workflow_id, $3, $4, $5, $6 FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$2 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$7")
	" ON CONFLICT (token) DO NOTHING",
	7, {TEXTOID, TEXTOID, JSONBOID, TEXTOID, BOOLOID, JSONBOID, OIDOID}, NULL
};

#define HOOK_COLUMNS \
	"SELECT h.workflow_id, h.metadata, h.validator, h.is_webhook," \
	" h.respond_with, h.created_at, w.owner::pg_catalog.oid," \
	" w.workflow_id IS NULL OR w.finished_at IS NOT NULL" \
	" FROM durable_wf.hook h"

/* token */
static DwfStatement find_query = {
	HOOK_COLUMNS
	" LEFT JOIN durable_wf.workflow w ON w.workflow_id" EQ "h.workflow_id"
	" WHERE h.token" EQ "$1",
	1, {TEXTOID}, NULL
};

/* token; until the transaction ends nobody disposes of it */
static DwfStatement lock_query = {
	HOOK_COLUMNS
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "h.workflow_id"
	" WHERE h.token" EQ "$1 AND w.finished_at IS NULL"
	" FOR KEY SHARE OF h",
	1, {TEXTOID}, NULL
};

/* token, id */
static DwfStatement has_query = {
	"SELECT FROM durable_wf.hook h"
	" WHERE h.token" EQ "$1 AND h.workflow_id" EQ "$2",
	2, {TEXTOID, TEXTOID}, NULL
};

/* id, token */
static DwfStatement drop_payloads_query = {
	"DELETE FROM durable_wf.message m"
	" WHERE m.workflow_id" EQ "$1 AND m.door" EQ "'h' AND m.key" EQ "$2",
	2, {TEXTOID, TEXTOID}, NULL
};

/* token, role: what has come and is held by a receiver */
static DwfStatement await_receivers_query = {
	"SELECT FROM durable_wf.hook h"
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "h.workflow_id"
	" JOIN durable_wf.message m ON m.workflow_id" EQ "h.workflow_id"
	" AND m.door" EQ "'h' AND m.key" EQ "h.token"
	" WHERE h.token" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$2")
	" FOR UPDATE OF m",
	2, {TEXTOID, OIDOID}, NULL
};

/* token, role */
static DwfStatement dispose_query = {
	"DELETE FROM durable_wf.hook h USING durable_wf.workflow w"
	" WHERE h.token" EQ "$1 AND w.workflow_id" EQ "h.workflow_id"
	" AND w.finished_at IS NULL AND " ROLE_MAY_ACT("$2")
	" RETURNING h.workflow_id",
	2, {TEXTOID, OIDOID}, NULL
};

/*
 * id, token: drop what has come and was not taken, and leave its requests
 * without an answer
 */
static DwfStatement end_requests_query = {
	"WITH payload AS ("
	"   DELETE FROM durable_wf.message m WHERE m.workflow_id" EQ "$1"
	"   AND m.door" EQ "'h' AND m.key" EQ "$2"
	"   RETURNING m.message_id)"
	" UPDATE durable_wf.request r"
	" SET responded_at = pg_catalog.clock_timestamp(), expires_at = NULL"
	" FROM payload p WHERE r.workflow_id" EQ "$1"
	" AND r.request_id" EQ "p.message_id AND r.responded_at IS NULL",
	2, {TEXTOID, TEXTOID}, NULL
};

/* Read the row that HOOK_COLUMNS has found */
static void
read_hook(DwfRun run, text *token, DwfHook *hook)
{
	DwfValue	validator = dwf_plan_copy_column(run, 0, 3);
	bool		isnull;

	hook->token = token;
	hook->workflow_id =
		DatumGetTextP(dwf_plan_copy_column(run, 0, 1).value);
	hook->metadata = dwf_plan_copy_column(run, 0, 2);
	hook->validator = validator.isnull ? NULL :
		DatumGetTextP(validator.value);
	hook->is_webhook = DatumGetBool(dwf_plan_column(0, 4, &isnull));
	hook->respond_with = dwf_plan_copy_column(run, 0, 5);
	hook->created_at = DatumGetTimestampTz(dwf_plan_column(0, 6, &isnull));
	hook->owner = DatumGetObjectId(dwf_plan_column(0, 7, &isnull));
	hook->has_ended = DatumGetBool(dwf_plan_column(0, 8, &isnull));
}

/* Run a query of HOOK_COLUMNS; false if it finds nothing */
static bool
query_hook(DwfStatement *statement, text *token, DwfHook *hook)
{
	Datum		values[] = {PointerGetDatum(token)};
	DwfRun		r = dwf_plan_run(statement, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
		read_hook(r, token, hook);
	dwf_plan_done(r);
	return found;
}

/* ----- hooks ----- */

/*
 * Insert a hook; false if its token is taken, or the workflow is not there,
 * has ended or is not the role's.  Blocks while another transaction claims the
 * token, or gives it back.
 */
bool
dwf_store_create_hook(const DwfHook *hook, Oid role)
{
	Datum		values[] = {PointerGetDatum(hook->token),
		PointerGetDatum(hook->workflow_id), hook->metadata.value,
		PointerGetDatum(hook->validator), BoolGetDatum(hook->is_webhook),
	hook->respond_with.value, ObjectIdGetDatum(role)};
	char		nulls[] = {' ', ' ', hook->metadata.isnull ? 'n' : ' ',
		hook->validator ? ' ' : 'n', ' ',
	hook->respond_with.isnull ? 'n' : ' ', ' '};

	return dwf_plan_count(&create_query, values, nulls) > 0;
}

/* Look at a hook, also one of a workflow that has ended; false if none */
bool
dwf_store_find_hook(text *token, DwfHook *hook)
{
	return query_hook(&find_query, token, hook);
}

/*
 * Look at a hook of a live workflow, and keep it from being disposed of until
 * the transaction ends.  Blocks while another transaction disposes of it.
 */
bool
dwf_store_lock_hook(text *token, DwfHook *hook)
{
	return query_hook(&lock_query, token, hook);
}

/* Is there a hook at this address? */
bool
dwf_store_has_hook(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->key),
	PointerGetDatum(address->workflow_id)};

	return dwf_plan_count(&has_query, values, NULL) > 0;
}

/*
 * Remove what an earlier hook at this address has left.  Blocks while somebody
 * holds a part of it.
 */
void
dwf_store_drop_payloads(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->workflow_id),
	PointerGetDatum(address->key)};

	(void) dwf_plan_count_latest(&drop_payloads_query, values);
}

/*
 * Delete a hook; returns its workflow, or NULL if there is none of a live
 * workflow of the role's.  Blocks while another transaction resumes it.
 */
text *
dwf_store_dispose_hook(text *token, Oid role)
{
	Datum		values[] = {PointerGetDatum(token), ObjectIdGetDatum(role)};
	DwfRun		r;
	text	   *workflow_id = NULL;

	/* before the hook is locked: a receiver may want it, too */
	(void) dwf_plan_count_latest(&await_receivers_query, values);
	r = dwf_plan_run(&dispose_query, values, NULL);
	if (SPI_processed > 0)
		workflow_id = DatumGetTextP(dwf_plan_copy_column(r, 0, 1).value);
	dwf_plan_done(r);
	return workflow_id;
}

/*
 * Drop what nobody has taken from a hook that is disposed of.  Blocks while a
 * receiver holds a part of it.
 */
void
dwf_store_end_requests(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->workflow_id),
	PointerGetDatum(address->key)};

	(void) dwf_plan_count_latest(&end_requests_query, values);
}

/* ----- requests to webhooks ----- */

/*
 * id: the oldest whose answers have had their time, faster than new ones come.
 * What was not answered stays: who does so later is told that it is too late.  By a
 * clock that stands still in a statement, so that the index can be asked: the
 * other one would have each new request look at all that wait.
 */
static DwfStatement expire_query = {
	"DELETE FROM durable_wf.request r WHERE r.ctid" EQ "ANY (ARRAY("
	"   SELECT q.ctid FROM durable_wf.request q"
	"   WHERE q.workflow_id" EQ "$1 AND q.responded_at IS NOT NULL"
	"   AND q.expires_at OPERATOR(pg_catalog.<)"
	"     pg_catalog.statement_timestamp()"
	"   ORDER BY q.expires_at LIMIT 2 FOR UPDATE SKIP LOCKED))",
	1, {TEXTOID}, NULL
};

/*
 * id, request, token, by the gateway, for how many milliseconds.  A request
 * that is repeated is held again, and its answer asked for again.
 */
static DwfStatement hold_query = {
	"INSERT INTO durable_wf.request AS r"
	" (workflow_id, request_id, token, held_by_gateway, expires_at)"
	" VALUES ($1, $2, $3, $4, CASE WHEN $4 THEN"
	"   pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+)"
	"   ($5 OPERATOR(pg_catalog.*) '1 ms'::pg_catalog.interval) END)"
	" ON CONFLICT (workflow_id, request_id) DO UPDATE"
	" SET held_by_gateway = EXCLUDED.held_by_gateway,"
	" expires_at = CASE WHEN r.responded_at IS NULL"
	"   AND r.expires_at IS NOT NULL THEN EXCLUDED.expires_at"
	"   ELSE r.expires_at END"
	" WHERE EXCLUDED.held_by_gateway",
	5, {TEXTOID, INT8OID, TEXTOID, BOOLOID, INT4OID}, NULL
};

/* request, response, role */
static DwfStatement respond_query = {
	"UPDATE durable_wf.request r SET response = $2,"
	" responded_at = pg_catalog.clock_timestamp(),"
	" expires_at = " KEPT_UNTIL
	" FROM durable_wf.workflow w"
	" WHERE r.request_id" EQ "$1 AND r.responded_at IS NULL"
	" AND (r.expires_at IS NULL"
	"   OR r.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())"
	" AND w.workflow_id" EQ "r.workflow_id AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$3"),
	3, {INT8OID, JSONBOID, OIDOID}, NULL
};

/* the same, of one that nobody waits for any more */
static DwfStatement respond_late_query = {
	"UPDATE durable_wf.request r SET response = $2,"
	" responded_at = pg_catalog.clock_timestamp(),"
	" expires_at = " KEPT_UNTIL
	" FROM durable_wf.workflow w"
	" WHERE r.request_id" EQ "$1 AND r.response IS NULL"
	" AND w.workflow_id" EQ "r.workflow_id"
	" AND " ROLE_MAY_ACT("$3"),
	3, {INT8OID, JSONBOID, OIDOID}, NULL
};

/* request, token */
static DwfStatement answer_query = {
	"SELECT r.request_id, r.response, r.workflow_id,"
	" r.responded_at IS NOT NULL OR w.workflow_id IS NULL"
	"   OR w.finished_at IS NOT NULL"
	" FROM durable_wf.request r"
	" LEFT JOIN durable_wf.workflow w ON w.workflow_id" EQ "r.workflow_id"
	" WHERE r.request_id" EQ "$1 AND r.token" EQ "$2",
	2, {INT8OID, TEXTOID}, NULL
};

/* at most so many */
static DwfStatement take_query = {
	"UPDATE durable_wf.request r SET held_by_gateway = false"
	" WHERE r.ctid" EQ "ANY (ARRAY("
	"   SELECT q.ctid FROM durable_wf.request q"
	"   WHERE q.held_by_gateway AND q.responded_at IS NOT NULL"
	"   ORDER BY q.request_id LIMIT $1 FOR UPDATE SKIP LOCKED))"
	" RETURNING r.request_id, r.response",
	1, {INT4OID}, NULL
};

/*
 * A request waits for its answer: with the gateway until the time for that is
 * over, else until somebody has answered it.
 */
void
dwf_store_hold_request(text *workflow_id, int64 request_id, text *token,
					   bool by_gateway)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		Int64GetDatum(request_id), PointerGetDatum(token),
		BoolGetDatum(by_gateway),
	Int32GetDatum(dwf_setting_http_response_timeout)};

	(void) dwf_plan_count(&expire_query, values, NULL);
	(void) dwf_plan_count(&hold_query, values, NULL);
}

/*
 * Answer a request.  One that comes too late is an answer, too, which counts as
 * the one that there can be, and which whoever repeats the request gets.
 * Blocks while another transaction answers it.
 */
DwfAnswered
dwf_store_respond(int64 request_id, Datum response, Oid role)
{
	Datum		values[] = {Int64GetDatum(request_id), response,
	ObjectIdGetDatum(role)};

	if (dwf_plan_count(&respond_query, values, NULL) > 0)
		return DWF_ANSWERED;
	if (dwf_plan_count(&respond_late_query, values, NULL) > 0)
		return DWF_ANSWERED_LATE;
	return DWF_NOT_ANSWERED;
}

/* Look at a request that came by this token; false if there is none */
bool
dwf_store_answer_of(int64 request_id, text *token, DwfAnswer *answer)
{
	Datum		values[] = {Int64GetDatum(request_id), PointerGetDatum(token)};
	DwfRun		r = dwf_plan_run(&answer_query, values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		answer->request_id = request_id;
		answer->response = dwf_plan_copy_column(r, 0, 2);
		answer->workflow_id =
			DatumGetTextP(dwf_plan_copy_column(r, 0, 3).value);
		answer->is_over = DatumGetBool(dwf_plan_column(0, 4, &isnull));
	}
	dwf_plan_done(r);
	return found;
}

/*
 * Take up to "limit" answers to requests that the gateway holds; returns how
 * many.  A null response says that there will be none.  Does not block.
 */
int
dwf_store_take_answers(int limit, DwfAnswer **answers)
{
	Datum		values[] = {Int32GetDatum(limit)};
	DwfRun		r = dwf_plan_run(&take_query, values, NULL);
	int			count = SPI_processed;
	bool		isnull;

	*answers = MemoryContextAllocZero(r.caller_context,
									  Max(count, 1) * sizeof(DwfAnswer));
	for (int i = 0; i < count; i++)
	{
		(*answers)[i].request_id =
			DatumGetInt64(dwf_plan_column(i, 1, &isnull));
		(*answers)[i].response = dwf_plan_copy_column(r, i, 2);
		(*answers)[i].is_over = true;
	}
	dwf_plan_done(r);
	return count;
}
