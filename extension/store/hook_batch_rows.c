/*-------------------------------------------------------------------------
 *
 * hook_batch_rows.c
 *	  The tables as C functions: many requests to webhooks at a time, and
 *	  requests whose clients have disconnected.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "store/store_sql.h"

#define FIND_MANY_QUERY \
	"SELECT h.token, h.workflow_id, h.validator, h.respond_with," \
	" w.owner::pg_catalog.oid" \
	" FROM pg_catalog.unnest($1) AS u (token)" \
	" JOIN durable_wf.hook h ON h.token" EQ "u.token" \
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "h.workflow_id" \
	" WHERE h.is_webhook AND w.finished_at IS NULL"

/* tokens */
static DwfStatement find_many_query = {
	FIND_MANY_QUERY,
	1, {TEXTARRAYOID}, NULL
};

/* tokens; locks the hooks against disposal until the transaction ends */
static DwfStatement lock_many_query = {
	FIND_MANY_QUERY " FOR KEY SHARE OF h SKIP LOCKED",
	1, {TEXTARRAYOID}, NULL
};

/* message ids, workflow ids, tokens, payloads */
static DwfStatement deliver_payloads_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload)"
	" SELECT u.message_id, u.workflow_id, 'h', u.token, u.payload"
	" FROM unnest($1, $2, $3, $4)"
	"   AS u (message_id, workflow_id, token, payload)",
	4, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID}, NULL
};

/* The same, and trace contexts; not in objects before 1.0.0 */
static DwfStatement deliver_traced_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload, traceparent)"
	" SELECT u.message_id, u.workflow_id, 'h', u.token, u.payload,"
	"   u.traceparent"
	" FROM unnest($1, $2, $3, $4, $5)"
	"   AS u (message_id, workflow_id, token, payload, traceparent)",
	5, {INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID,
	TEXTARRAYOID}, NULL
};

/* request ids; skips the requests that another transaction is answering */
static DwfStatement leave_query = {
	"UPDATE durable_wf.request r SET expires_at = pg_catalog.clock_timestamp()"
	" WHERE r.ctid" EQ "ANY (ARRAY("
	"   SELECT q.ctid FROM durable_wf.request q"
	"   WHERE q.request_id" EQ "ANY ($1) AND q.held_by_gateway"
	"   AND q.responded_at IS NULL"
	"   AND q.expires_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()"
	"   FOR UPDATE SKIP LOCKED))",
	1, {INT8ARRAYOID}, NULL
};

/* all that a gateway held, but for those that are being answered */
static DwfStatement leave_all_query = {
	"UPDATE durable_wf.request r SET expires_at = pg_catalog.clock_timestamp()"
	" WHERE r.ctid" EQ "ANY (ARRAY("
	"   SELECT q.ctid FROM durable_wf.request q"
	"   WHERE q.held_by_gateway AND q.responded_at IS NULL"
	"   AND q.expires_at OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp()"
	"   FOR UPDATE SKIP LOCKED))",
	0, {0}, NULL
};

/*
 * Find the webhooks of live workflows among these tokens, which are distinct.
 * If "lock", lock them against disposal until the transaction ends, and skip
 * those that another transaction is disposing of.  Does not block.
 */
DwfHook *
dwf_store_find_webhooks(text **tokens, int ntokens, bool lock, int *count)
{
	Datum	   *elements = palloc(ntokens * sizeof(Datum));
	Datum		values[1];
	DwfHook    *hooks;
	DwfRun		r;

	/* make the array of tokens */
	for (int i = 0; i < ntokens; i++)
		elements[i] = PointerGetDatum(tokens[i]);
	values[0] = dwf_arrays_of_text(elements, ntokens);
	hooks = palloc0(ntokens * sizeof(DwfHook));

	/* read the rows, and copy them out of the statement's memory */
	r = dwf_statement_run(lock ? &lock_many_query : &find_many_query, values,
						  NULL);
	*count = (int) SPI_processed;
	Assert(*count <= ntokens);
	for (int i = 0; i < *count; i++)
	{
		bool		isnull;

		hooks[i].token = dwf_statement_copy_text(r, i, 1);
		hooks[i].workflow_id = dwf_statement_copy_text(r, i, 2);
		hooks[i].validator = dwf_statement_copy_text(r, i, 3);
		hooks[i].is_webhook = true;
		hooks[i].respond_with = dwf_statement_copy_column(r, i, 4);
		hooks[i].owner =
			DatumGetObjectId(dwf_statement_column(i, 5, &isnull));
	}
	dwf_statement_done(r);
	return hooks;
}

/* The array of some texts, of which each may be NULL; 0: all are NULL */
static Datum
array_of_texts(text *const *texts, int count)
{
	ArrayBuildState *state = NULL;
	bool		any = false;

	for (int i = 0; i < count; i++)
	{
		any = any || texts[i] != NULL;
		state = accumArrayResult(state, PointerGetDatum(texts[i]),
								 texts[i] == NULL, TEXTOID,
								 CurrentMemoryContext);
	}
	return any ? makeArrayResult(state, CurrentMemoryContext) : (Datum) 0;
}

/*
 * Insert payloads of hooks; each array has "count" elements.  A trace context
 * that is NULL is that of the session.
 */
void
dwf_store_deliver_payloads(int count, const int64 *message_ids,
						   Datum *workflow_ids, Datum *tokens,
						   Datum *payloads, text *const *traceparents)
{
	Datum		traces = dwf_store_knows_families() ?
	array_of_texts(traceparents, count) : (Datum) 0;
	Datum		values[] = {
		dwf_arrays_of_int8(message_ids, count),
		dwf_arrays_of_text(workflow_ids, count),
		dwf_arrays_of_text(tokens, count),
		dwf_arrays_of_jsonb(payloads, count),
		traces
	};

	(void) dwf_statement_count(traces == (Datum) 0 ? &deliver_payloads_query :
							   &deliver_traced_query, values, NULL);
}

/*
 * Note that the clients of these requests have disconnected: an answer to one
 * of them is late.  Does not block.
 */
void
dwf_store_leave_requests(const int64 *request_ids, int count)
{
	Datum		values[] = {dwf_arrays_of_int8(request_ids, count)};

	(void) dwf_statement_count(&leave_query, values, NULL);
}

/* Note that the clients of an ended gateway are all gone.  Does not block. */
void
dwf_store_leave_all_requests(void)
{
	(void) dwf_statement_count(&leave_all_query, NULL, NULL);
}
