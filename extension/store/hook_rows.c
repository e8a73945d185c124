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

#include "base/settings.h"
#include "shared/address.h"
#include "store/store_sql.h"

/* Until when an answer is kept, for a client that repeats its request */
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

/* token; locks the hook against disposal until the transaction ends */
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

/* token, role; waits for the receivers that hold payloads of the hook */
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
 * id, token; deletes the payloads that were not taken, and ends their requests
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

/* Read the row of a query of HOOK_COLUMNS */
static void
read_hook(DwfRun run, text *token, DwfHook *hook)
{
	bool		isnull;

	hook->token = token;
	hook->workflow_id = dwf_statement_copy_text(run, 0, 1);
	hook->metadata = dwf_statement_copy_column(run, 0, 2);
	hook->validator = dwf_statement_copy_text(run, 0, 3);
	hook->is_webhook = DatumGetBool(dwf_statement_column(0, 4, &isnull));
	hook->respond_with = dwf_statement_copy_column(run, 0, 5);
	hook->created_at =
		DatumGetTimestampTz(dwf_statement_column(0, 6, &isnull));
	hook->owner = DatumGetObjectId(dwf_statement_column(0, 7, &isnull));
	hook->has_ended = DatumGetBool(dwf_statement_column(0, 8, &isnull));
}

/* Run a query of HOOK_COLUMNS for a token; false if it finds no row */
static bool
query_hook(DwfStatement *statement, text *token, DwfHook *hook)
{
	Datum		values[] = {PointerGetDatum(token)};
	DwfRun		r = dwf_statement_run(statement, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
		read_hook(r, token, hook);
	dwf_statement_done(r);
	return found;
}

/* ----- hooks ----- */

/*
 * Insert a hook; false if its token is in use, or if the workflow does not
 * exist, has ended or is not the role's.  Blocks while another transaction
 * inserts or deletes a hook with this token.
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

	return dwf_statement_count(&create_query, values, nulls) > 0;
}

/*
 * Read the hook of a token, even if its workflow has ended; false if there is
 * none.  Locks nothing.
 */
bool
dwf_store_find_hook(text *token, DwfHook *hook)
{
	return query_hook(&find_query, token, hook);
}

/*
 * Read the hook of a token if its workflow lives, and lock it against disposal
 * until the transaction ends; false if there is none.  Blocks while another
 * transaction disposes of it.
 */
bool
dwf_store_lock_hook(text *token, DwfHook *hook)
{
	return query_hook(&lock_query, token, hook);
}

/* Does the workflow of this address have a hook with its token? */
bool
dwf_store_has_hook(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->key),
	PointerGetDatum(address->workflow_id)};

	return dwf_statement_count(&has_query, values, NULL) > 0;
}

/*
 * Delete the payloads that an earlier hook at this address has left.  Blocks
 * while another transaction holds one of them.
 */
void
dwf_store_drop_payloads(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->workflow_id),
	PointerGetDatum(address->key)};

	(void) dwf_statement_count_latest(&drop_payloads_query, values);
}

/*
 * Delete the hook of a token; returns its workflow, or NULL if no live
 * workflow of the role's has such a hook.  Blocks while another transaction
 * delivers to the hook, or receives from it.
 */
text *
dwf_store_dispose_hook(text *token, Oid role)
{
	Datum		values[] = {PointerGetDatum(token), ObjectIdGetDatum(role)};

	/*
	 * a receiver that holds a payload may lock the hook next: wait for it
	 * before the hook is locked here
	 */
	(void) dwf_statement_count_latest(&await_receivers_query, values);
	return dwf_statement_text(&dispose_query, values);
}

/*
 * Delete the payloads of a hook that was disposed of, and end their requests
 * without an answer.  Blocks while a receiver holds one of the payloads.
 */
void
dwf_store_end_requests(const DwfAddress *address)
{
	Datum		values[] = {PointerGetDatum(address->workflow_id),
	PointerGetDatum(address->key)};

	(void) dwf_statement_count_latest(&end_requests_query, values);
}

/* ----- requests to webhooks ----- */

/*
 * id; deletes the two oldest requests whose answers have been kept for long
 * enough.  Each new request deletes up to two, so they do not pile up.  A
 * request without an answer stays, so that a late answer to it can be told
 * from one to no request.
 *
 * The time is statement_timestamp(), which is stable, so that the index can be
 * searched with it: with clock_timestamp() each new request would read all
 * that wait.
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
 * id, request, token, by the gateway, for how many milliseconds.  If the
 * request is repeated, the gateway holds it again, and gets its answer again.
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

/* request, response, role, its workflow or null */
static DwfStatement respond_query = {
	"UPDATE durable_wf.request r SET response = $2,"
	" responded_at = pg_catalog.clock_timestamp(),"
	" expires_at = " KEPT_UNTIL
	" FROM durable_wf.workflow w"
	" WHERE r.request_id" EQ "$1 AND r.responded_at IS NULL"
	" AND (r.expires_at IS NULL"
	"   OR r.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())"
	" AND w.workflow_id" EQ "r.workflow_id AND w.finished_at IS NULL"
	" AND ($4 IS NULL OR w.workflow_id" EQ "$4)"
	" AND " ROLE_MAY_ACT("$3"),
	4, {INT8OID, JSONBOID, OIDOID, TEXTOID}, NULL
};

/* the same; answers a request whose client waits no more */
static DwfStatement respond_late_query = {
	"UPDATE durable_wf.request r SET response = $2,"
	" responded_at = pg_catalog.clock_timestamp(),"
	" expires_at = " KEPT_UNTIL
	" FROM durable_wf.workflow w"
	" WHERE r.request_id" EQ "$1 AND r.response IS NULL"
	" AND w.workflow_id" EQ "r.workflow_id"
	" AND ($4 IS NULL OR w.workflow_id" EQ "$4)"
	" AND " ROLE_MAY_ACT("$3"),
	4, {INT8OID, JSONBOID, OIDOID, TEXTOID}, NULL
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

/* limit */
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
 * Note a request that waits for its answer: in the gateway until
 * durable_wf.http_response_timeout is over, else without limit.
 */
void
dwf_store_hold_request(text *workflow_id, int64 request_id, text *token,
					   bool by_gateway)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		Int64GetDatum(request_id), PointerGetDatum(token),
		BoolGetDatum(by_gateway),
	Int32GetDatum(dwf_setting_http_response_timeout)};

	(void) dwf_statement_count(&expire_query, values, NULL);
	(void) dwf_statement_count(&hold_query, values, NULL);
}

/*
 * Answer a request, of this workflow unless that is NULL.  A late answer is
 * kept, too: it is the only one that the request can have, and a client that
 * repeats the request gets it.  Blocks while another transaction answers the
 * same request.
 */
DwfAnswered
dwf_store_respond(int64 request_id, Datum response, Oid role,
				  text *workflow_id)
{
	Datum		values[] = {Int64GetDatum(request_id), response,
	ObjectIdGetDatum(role), PointerGetDatum(workflow_id)};
	const char *nulls = workflow_id ? NULL : "   n";

	if (dwf_statement_count(&respond_query, values, nulls) > 0)
		return DWF_ANSWERED;
	if (dwf_statement_count(&respond_late_query, values, nulls) > 0)
		return DWF_ANSWERED_LATE;
	return DWF_NOT_ANSWERED;
}

/* Read a request that was sent to this token; false if there is none */
bool
dwf_store_answer_of(int64 request_id, text *token, DwfAnswer *answer)
{
	Datum		values[] = {Int64GetDatum(request_id), PointerGetDatum(token)};
	DwfRun		r = dwf_statement_run(&answer_query, values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		answer->request_id = request_id;
		answer->response = dwf_statement_copy_column(r, 0, 2);
		answer->workflow_id = dwf_statement_copy_text(r, 0, 3);
		answer->is_over = DatumGetBool(dwf_statement_column(0, 4, &isnull));
	}
	dwf_statement_done(r);
	return found;
}

/*
 * Take up to "limit" answers to requests that the gateway holds; returns how
 * many.  A null response says that the request gets no answer.  Does not
 * block.
 */
int
dwf_store_take_answers(int limit, DwfAnswer **answers)
{
	Datum		values[] = {Int32GetDatum(limit)};
	DwfRun		r = dwf_statement_run(&take_query, values, NULL);
	int			count = SPI_processed;
	bool		isnull;

	*answers = MemoryContextAllocZero(r.caller_context,
									  Max(count, 1) * sizeof(DwfAnswer));
	for (int i = 0; i < count; i++)
	{
		(*answers)[i].request_id =
			DatumGetInt64(dwf_statement_column(i, 1, &isnull));
		(*answers)[i].response = dwf_statement_copy_column(r, i, 2);
		(*answers)[i].is_over = true;
	}
	dwf_statement_done(r);
	return count;
}
