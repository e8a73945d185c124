/*-------------------------------------------------------------------------
 *
 * answer.c
 *	  Answer clients, when their requests were resumed with or responded to.
 *
 * A request to a webhook of mode "manual" is held.  Its response is a row of
 * durable_wf.request.  All these responses share one address, of door
 * DWF_DOOR_GATEWAY; a commit that writes one sets the gateway's latch, and the
 * gateway fetches all responses there are.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/answer.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/held.h"
#include "bgworker/gateway/reading.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/text.h"
#include "bgworker/gateway/transaction.h"
#include "hook/http_response.h"
#include "shared/waiter.h"
#include "store/store.h"

/*
 * How many responses one transaction fetches, and how long it may take, in ms
 */
#define ANSWERS_MAX		1000
#define FETCH_TIMEOUT	2000

/* So many clients that have gone away are handled at a time */
#define GONE_MAX		64

/* When to try again after an error, in ms */
#define RETRY_AFTER		1000

/* Memory for what one transaction fetches; reset after it */
static MemoryContext answer_context = NULL;

/* ----- responses ----- */

/* A field of an object, into "value"; NULL if there is none */
static JsonbValue *
field(Jsonb *object, const char *name, JsonbValue *value)
{
	if (object == NULL || !JB_ROOT_IS_OBJECT(object))
		return NULL;
	return getKeyJsonValueFromContainer(&object->root, name,
										(int) strlen(name), value);
}

/* A field that is a number; "otherwise" if it is none */
static int64
number_field(Jsonb *object, const char *name, int64 otherwise)
{
	JsonbValue	value;
	Datum		number;

	if (field(object, name, &value) == NULL || value.type != jbvNumeric)
		return otherwise;
	number = NumericGetDatum(value.val.numeric);
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, number));
}

/* A value as UTF-8: a string's text, or else JSON.  Raises 22P05. */
static char *
value_to_text(JsonbValue *value, int *length)
{
	char	   *text;

	/* as text */
	if (value->type == jbvString)
	{
		*length = value->val.string.len;
		text = pnstrdup(value->val.string.val, value->val.string.len);
	}
	else
	{
		Jsonb	   *jsonb = JsonbValueToJsonb(value);
		StringInfoData json;

		initStringInfo(&json);
		(void) JsonbToCString(&json, &jsonb->root, VARSIZE(jsonb));
		*length = json.len;
		text = json.data;
	}

	/* in UTF-8 */
	if (GetDatabaseEncoding() != PG_UTF8 &&
		dwf_text_convert(text, *length, GetDatabaseEncoding(), PG_UTF8, &text,
						 length) != DWF_CONVERTED)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("a response cannot be converted to UTF-8")));
	return text;
}

/* Append a header to a reply */
static void
add_header(DwfReply *reply, const char *name, const char *value)
{
	int			n = reply->nheaders++;

	if (n == 0)
	{
		reply->names = palloc(sizeof(char *));
		reply->values = palloc(sizeof(char *));
	}
	else
	{
		reply->names = repalloc(reply->names, (n + 1) * sizeof(char *));
		reply->values = repalloc(reply->values, (n + 1) * sizeof(char *));
	}
	reply->names[n] = name;
	reply->values[n] = value;
}

/* Append a response's headers; an array is several headers of one name */
static void
take_headers(DwfReply *reply, JsonbValue *headers)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	char	   *name = NULL;
	int			length;

	if (headers->type != jbvBinary ||
		!JsonContainerIsObject(headers->val.binary.data))
		return;
	it = JsonbIteratorInit(headers->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			name = value_to_text(&value, &length);
		else if ((token == WJB_VALUE || token == WJB_ELEM) && name &&
				 value.type != jbvNull)
			add_header(reply, name, value_to_text(&value, &length));
	}
}

/* Has a reply a header of this name? */
static bool
has_header(const DwfReply *reply, const char *name)
{
	for (int i = 0; i < reply->nheaders; i++)
		if (pg_strcasecmp(reply->names[i], name) == 0)
			return true;
	return false;
}

/*
 * Send the reply that a response describes: {"status", "headers", "body"}.
 * Raises 22P05, and what conversions of jsonb raise.
 */
static void
send_response(DwfConn *conn, Jsonb *response)
{
	DwfReply	reply = {0};
	JsonbValue	value;

	/* status, headers, body */
	reply.status = (int) Min(Max(number_field(response, "status", 200), 0), 999);
	reply.body = "";
	if (field(response, "headers", &value))
		take_headers(&reply, &value);
	if (field(response, "body", &value) && value.type != jbvNull)
	{
		int			length;

		reply.body = value_to_text(&value, &length);
		reply.body_length = length;
		if (length > 0 && !has_header(&reply, "content-type"))
			add_header(&reply, "Content-Type", value.type == jbvString ?
					   "text/plain; charset=utf-8" : "application/json");
	}
	dwf_conn_answer(conn, &reply);
}

/* Send the reply that a response describes; 500 if it describes none */
static void
try_response(DwfConn *conn, Jsonb *response)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		send_response(conn, response);
	}
	PG_CATCH();
	{
		FreeErrorData(dwf_transaction_take_error(context));
		dwf_conn_answer_status(conn, 500);
	}
	PG_END_TRY();
}

/*
 * Answer a held request.  A null response tells that the workflow has ended,
 * or disposed of the webhook, without one: 504.
 */
static void
send_answer(DwfConn *conn, const NullableDatum *response)
{
	if (response->isnull)
		dwf_conn_answer_status(conn, 504);
	else
		try_response(conn, DatumGetJsonbP(response->value));
}

/*
 * A response that was fetched before the helper said that its request is to be
 * held, which it says after its commit.  Kept while a helper has a request.
 */
typedef struct Early
{
	DwfAnswer	answer;
	int64		kept_at;		/* by dwf_conn_now() */
} Early;

static List *early = NIL;
static MemoryContext early_context = NULL;

/* Keep a copy of a response, in case that its request is held later */
static void
keep_early(const DwfAnswer *answer)
{
	MemoryContext old;
	Early	   *copy;

	if (early_context == NULL)
		early_context = AllocSetContextCreate(TopMemoryContext,
											  "durable_wf early answers",
											  ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(early_context);
	copy = palloc(sizeof(Early));
	copy->answer = *answer;
	copy->kept_at = dwf_conn_now();
	if (!answer->response.isnull)
		copy->answer.response.value =
			PointerGetDatum(PG_DETOAST_DATUM_COPY(answer->response.value));
	early = lappend(early, copy);
	MemoryContextSwitchTo(old);
}

/*
 * Forget kept responses that are older than the oldest request of a helper: no
 * request that is held later can be theirs
 */
static void
forget_early(void)
{
	DwfConn    *oldest;
	ListCell   *cell;

	if (early == NIL)
		return;

	/* without a request at a helper no answer can be early */
	if (dwf_conn_ready(DWF_CONN_CHECKED, &oldest, 1) == 0)
	{
		early = NIL;
		MemoryContextReset(early_context);
		return;
	}

	/* an answer is kept as long as an older request is at a helper */
	foreach(cell, early)
	{
		Early	   *one = lfirst(cell);

		if (one->kept_at >= oldest->since)
			break;				/* the list is in the order of time */
		if (!one->answer.response.isnull)
			pfree(DatumGetPointer(one->answer.response.value));
		pfree(one);
		early = foreach_delete_current(early, cell);
	}
}

/* Hold a request; answer it at once if its response was kept */
static void
hold(DwfConn *conn, int64 request_id)
{
	ListCell   *cell;

	dwf_conn_hold(conn, request_id);
	foreach(cell, early)
	{
		DwfAnswer  *answer = &((Early *) lfirst(cell))->answer;

		if (answer->request_id != request_id)
			continue;
		send_answer(conn, &answer->response);
		break;
	}
}

/* Answer with a plain answer, for a stream as browsers want it */
static void
answer_status(DwfConn *conn, int status)
{
	if (conn->route == DWF_ROUTE_STREAM)
		dwf_conn_answer(conn, dwf_reading_refuse(&conn->incoming, status));
	else
		dwf_conn_answer_status(conn, status);
}

/*
 * Send a client to the node that its request is for: 307, so that it sends the
 * same there.  421 if the URLs of that node begin as those of this one.
 */
static void
send_on(DwfConn *conn, const char *base_url)
{
	static const char *names[] = {"Location"};
	const char *target = dwf_incoming_target(&conn->incoming);
	const char *location = psprintf("%s%s", base_url,
									dwf_request_path(target));
	DwfReply	reply = {
		.status = 307,.nheaders = 1,.names = names,.values = &location,
		.body = ""
	};

	if (strcmp(base_url, dwf_http_base_url()) == 0)
		answer_status(conn, 421);
	else if (conn->route == DWF_ROUTE_STREAM)
		dwf_conn_answer(conn, dwf_reading_send_on(&conn->incoming, &reply));
	else
		dwf_conn_answer(conn, &reply);
}

/* The transaction has committed, or failed: answer the client, or hold it */
void
dwf_answer_settle(DwfTask *task)
{
	Jsonb	   *response;
	JsonbValue	value;

	/* an error has its status; else the hook's fate decides */
	if (task->status != 0)
	{
		answer_status(task->conn, task->status);
		return;
	}
	switch (task->request->fate)
	{
		case DWF_FATE_UNKNOWN:
			answer_status(task->conn, 404);
			break;
		case DWF_FATE_ELSEWHERE:
			dwf_conn_pass_on(task->conn, false);
			break;
		case DWF_FATE_PLACE:
			send_on(task->conn, TextDatumGetCString(task->request->response));
			break;
		case DWF_FATE_LOCKED:
			dwf_conn_answer_status(task->conn, 503);
			break;
		case DWF_FATE_ASIDE:
			task->conn->owner = task->request->owner;
			dwf_conn_enter(task->conn, DWF_CONN_ASIDE);
			break;
		case DWF_FATE_ACCEPTED:
			dwf_conn_answer_status(task->conn, 202);
			break;
		case DWF_FATE_RESPONSE:
			response = DatumGetJsonbP(task->request->response);
			if (field(response, "request_id", &value))
				hold(task->conn, number_field(response, "request_id", 0));
			else
				try_response(task->conn, response);
			break;
	}
}

/* ----- answers to held requests ----- */

/*
 * Note in the tables that the clients of these requests have gone away; a
 * count of -1: of all requests that a gateway has held.  It is given up after
 * "time" ms, unless that is 0.
 */
static void
note_gone(int64 *request_ids, int count, int time)
{
	PG_TRY();
	{
		/* in a transaction of its own, whose failure is only logged */
		dwf_transaction_begin(time);
		MemoryContextSwitchTo(answer_context);
		PushActiveSnapshot(GetTransactionSnapshot());
		if (count < 0)
			dwf_store_leave_all_requests();
		else
			dwf_store_leave_requests(request_ids, count);
		PopActiveSnapshot();
		dwf_transaction_commit(false);
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(answer_context);

		dwf_transaction_log_failure(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(answer_context);
}

/*
 * Register as a waiter: responses to held requests set this process's latch.
 * Note, too, that the clients of a gateway that has crashed have gone away.
 */
void
dwf_answer_watch(void)
{
	DwfWaitKey	key = {0};

	answer_context = AllocSetContextCreate(TopMemoryContext,
										   "durable_wf answers",
										   ALLOCSET_DEFAULT_SIZES);
	key.address.door = DWF_DOOR_GATEWAY;
	key.is_aid = true;			/* wf_waiters does not show it */
	dwf_waiter_begin(&key, 1, DT_NOEND, GetUserId(), false);

	/* no client waits yet, and it is not done again: without a time limit */
	note_gone(NULL, -1, 0);
}

/*
 * Let go held requests whose clients have gone away, and note that in the
 * tables: wf_respond() to such a request returns false
 */
void
dwf_answer_drop_gone(void)
{
	int64		request_ids[GONE_MAX];
	int			count;

	while (dwf_conn_count(DWF_CONN_GONE) > 0)
	{
		count = dwf_conn_drop_gone(request_ids, GONE_MAX);
		if (count > 0 && dwf_server_is_open)
			note_gone(request_ids, count, FETCH_TIMEOUT);
	}
}

/*
 * Note in the tables which held requests are about to get their 504 (from
 * dwf_conn_cut_slow): wf_respond() to them returns false from now on.  (The
 * time that a request was given as it was delivered may be a longer one, since
 * settings change.)
 */
void
dwf_answer_note_late(void)
{
	int64		until = dwf_conn_now() - dwf_setting_http_response_timeout;
	DwfConn    *oldest;
	DwfConn   **held;
	int64	   *request_ids;
	int			nheld;
	int			count = 0;

	/* the oldest held connection comes first */
	if (!dwf_server_is_open || dwf_setting_http_response_timeout <= 0 ||
		dwf_conn_ready(DWF_CONN_HELD, &oldest, 1) == 0 ||
		oldest->since > until)
		return;

	/* collect the late ones, but for requests that another client awaits */
	nheld = dwf_conn_count(DWF_CONN_HELD);
	held = palloc(nheld * sizeof(DwfConn *));
	request_ids = palloc(nheld * sizeof(int64));
	nheld = dwf_conn_ready(DWF_CONN_HELD, held, nheld);
	for (int i = 0; i < nheld && held[i]->since <= until; i++)
	{
		if (dwf_held_find(held[i]->request_id)->since <= until)
			request_ids[count++] = held[i]->request_id;
	}

	if (count > 0)
		note_gone(request_ids, count, FETCH_TIMEOUT);
	pfree(held);
	pfree(request_ids);
}

/*
 * Fetch responses, in a transaction, and send them after its commit; returns
 * how many were fetched.  Raises errors of the transaction.
 */
static int
send_answers(void)
{
	DwfAnswer  *answers;
	int			count;

	dwf_transaction_begin(FETCH_TIMEOUT);
	MemoryContextSwitchTo(answer_context);
	PushActiveSnapshot(GetTransactionSnapshot());
	count = dwf_store_take_answers(ANSWERS_MAX, &answers);
	PopActiveSnapshot();
	dwf_transaction_commit(false);
	MemoryContextSwitchTo(answer_context);

	/* none may be held: the client has gone, or its time was over */
	for (int i = 0; i < count; i++)
	{
		DwfConn    *conn = dwf_held_find(answers[i].request_id);

		if (dwf_conn_count(DWF_CONN_CHECKED) > 0)
			keep_early(&answers[i]);

		/* several are: clients that have sent one idempotency key */
		for (; conn; conn = dwf_held_find(answers[i].request_id))
			send_answer(conn, &answers[i].response);
	}
	return count;
}

/*
 * Send the responses that have come; returns whether there were any.
 * "retry_after" takes in how many ms to try again after an error, else -1.
 */
bool
dwf_answer_held(long *retry_after)
{
	static bool again = false;
	static TimestampTz again_at = 0;
	int volatile count = 0;

	/* has the latch been set for a response, and is an error's delay over? */
	*retry_after = -1;
	if (!dwf_server_is_open)
		return false;
	forget_early();
	again |= dwf_waiter_take_signal();
	dwf_waiter_settle_signal(false, false, -1, false);
	if (!again)
		return false;
	*retry_after = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
												   again_at);
	if (*retry_after > 0)
		return false;

	/* fetch and send; after an error try again later */
	*retry_after = -1;
	again = true;
	PG_TRY();
	{
		count = send_answers();
		again = count == ANSWERS_MAX;
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(answer_context);

		dwf_transaction_log_failure(error);
		FreeErrorData(error);
		*retry_after = RETRY_AFTER;
		again_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   RETRY_AFTER);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(answer_context);
	return count > 0;
}

/* The gateway ends: send what has come, and none of the others can be sent */
void
dwf_answer_end(void)
{
	long		retry_after;

	if (!dwf_server_is_open)
		return;
	note_gone(NULL, -1, FETCH_TIMEOUT);
	while (dwf_answer_held(&retry_after))
		dwf_server_run();
}
