/*-------------------------------------------------------------------------
 *
 * webhook.c
 *	  Webhooks: wf_create_webhook, wf_resume_webhook, wf_respond,
 *	  wf_await_response; and what the gateway calls.
 *
 * A webhook is a hook with a URL.  Its payloads are HTTP requests, as JSON;
 * the id of a request is the id of its mailbox item.
 *
 * A request to a webhook of mode "manual" is held until it is answered, and
 * has a row in durable_wf.request:
 *
 *	(none)	 --wf_resume_webhook------------------------> waiting
 *	waiting	 --wf_respond-------------------------------> answered
 *	waiting	 --end of workflow, dispose before the await-> over, no answer
 *	waiting	 --expires_at, if the gateway holds it------> over
 *	waiting	 --its client leaves, if the gateway holds it-> over
 *	over	 --wf_respond (false)-----------------------> answered
 *
 * An answer notes a wake at the address of the request and, if the gateway
 * holds the request, at the gateway's address (wakeup.c).
 *
 *-------------------------------------------------------------------------
 */
#include "hook/webhook.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "hook/http_request.h"
#include "hook/http_response.h"
#include "hook/token.h"
#include "hook/validator.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "shared/waiter.h"
#include "store/anchor.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_resume_held);
PG_FUNCTION_INFO_V1(dwf_take_answers);

/* What wf_create_webhook settles where it is called: what a name means */
static void
settle(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(2))
		fcinfo->args[2].value =
			PointerGetDatum(dwf_validator_qualify(PG_GETARG_TEXT_PP(2)));
}

/*
 * wf_create_webhook(respond_with, metadata, validator, workflow_id)
 *	→ (token, url)
 */
DWF_JOURNALLED_ALSO(wf_create_webhook, -1, DWF_AT_WORKFLOW(3), settle, NULL);
static Datum
do_wf_create_webhook(PG_FUNCTION_ARGS)
{
	DwfHook		hook = {.is_webhook = true};
	Datum		values[2];
	bool		nulls[2] = {false, false};
	DwfLife		life;

	/* Read and check the arguments */
	hook.respond_with.isnull = PG_ARGISNULL(0);
	if (!hook.respond_with.isnull)
	{
		hook.respond_with.value = PG_GETARG_DATUM(0);
		dwf_http_check_respond_with(PG_GETARG_JSONB_P(0));
	}
	hook.metadata.isnull = PG_ARGISNULL(1);
	if (!hook.metadata.isnull)
		hook.metadata.value = PG_GETARG_DATUM(1);
	hook.validator = dwf_args_optional_name(fcinfo, 2, "validator", DWF_KEY_MAX);
	hook.workflow_id = dwf_identity_argument(fcinfo, 3);
	dwf_store_require_writable("wf_create_webhook");

	/* Find the validator, which the workflow's owner must be able to run */
	if (hook.validator)
	{
		dwf_identity_check_exists(hook.workflow_id, &life, GetUserId());
		hook.validator = dwf_validator_resolve(hook.validator, life.owner);
	}
	hook.token = dwf_token_generate(hook.workflow_id);
	dwf_token_claim(&hook);

	values[0] = PointerGetDatum(hook.token);
	values[1] = PointerGetDatum(dwf_http_url(hook.token));
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* ----- requests ----- */

/*
 * The payload that the hook's validator makes of a request; "trace", if not
 * NULL, says that an error comes from the validator.
 */
static Datum
validate(const DwfResume *resume, Datum payload, DwfWebhookTrace *trace)
{
	if (resume->hook.validator == NULL)
		return payload;
	if (trace)
	{
		trace->workflow_id = resume->hook.workflow_id;
		trace->validator = resume->hook.validator;
		trace->is_validating = true;
	}
	payload = dwf_token_validate(resume, payload);
	if (trace)
		trace->is_validating = false;
	return payload;
}

/* Has a live workflow a webhook of this token?  Takes its owner. */
bool
dwf_webhook_find(text *token, Oid *owner)
{
	DwfHook		hook;

	if (!dwf_store_find_hook(token, &hook) || hook.has_ended ||
		!hook.is_webhook)
		return false;
	*owner = hook.owner;
	return true;
}

/*
 * The response to give at once to a request that was delivered, or repeats
 * one that was.  For a webhook of mode "manual" the response has the request's
 * id, and the request is held: by the gateway, or for wf_await_response().
 */
Datum
dwf_webhook_respond(const DwfResume *resume, bool by_gateway)
{
	const DwfHook *hook = &resume->hook;

	if (dwf_http_respond_mode(&hook->respond_with) != DWF_RESPOND_MANUAL)
		return dwf_http_immediate_response(&hook->respond_with);
	if (!resume->is_repeated || by_gateway)
		dwf_store_hold_request(hook->workflow_id, resume->message_id,
							   resume->token, by_gateway);
	return dwf_http_held_response(resume->message_id);
}

/*
 * Deliver a request to a webhook, and return the response to give at once.  A
 * request that repeats an idempotency key stands for the request that had the
 * key first; the validator may name another key than the client did.
 *
 * A request whose content is encoded is not delivered, since no workflow could
 * read it; the response says so.
 *
 * Raises 22023, WF006 and what the validator raises; "trace", if not NULL,
 * tells the validator's errors from others.  Blocks while another transaction
 * disposes of the webhook, or uses the same key.
 */
Datum
dwf_webhook_resume(text *token, Datum request, bool by_gateway,
				   DwfWebhookTrace *trace)
{
	DwfResume	resume = {.token = token,.only_webhook = true};
	Jsonb	   *object = DatumGetJsonbP(request);
	Datum		payload;
	text	   *key;

	/* Check the request before anything is locked */
	dwf_http_check_request(object);
	key = dwf_http_idempotency_key(object);
	if (key)
		dwf_args_check_name(key, "idempotency-key", DWF_KEY_MAX, false);
	if (dwf_http_is_encoded(object))
	{
		Oid			owner;

		if (!dwf_webhook_find(token, &owner))
			dwf_identity_report_no_hook();
		return dwf_http_unsupported_response();
	}

	/* Lock the webhook (T5), then run its validator */
	dwf_token_open(&resume);
	payload = validate(&resume, dwf_http_request(object, resume.message_id),
					   trace);
	if (resume.hook.validator && dwf_http_named_key(DatumGetJsonbP(payload)))
	{
		key = dwf_http_named_key(DatumGetJsonbP(payload));
		dwf_args_check_name(key, "idempotency-key", DWF_KEY_MAX, false);
	}

	/* Deliver it, unless its key is taken */
	resume.idempotency_key = key;
	resume.payload = payload;
	resume.traceparent = dwf_http_traceparent(object);
	dwf_token_claim_keys(&resume, 1);
	dwf_token_deliver(&resume, 1);
	return dwf_webhook_respond(&resume, by_gateway);
}

/* wf_resume_webhook(token, request) → jsonb, the response */
DWF_JOURNALLED(wf_resume_webhook, 0, DWF_AT_TOKEN(0));
static Datum
do_wf_resume_webhook(PG_FUNCTION_ARGS)
{
	text	   *token = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);

	dwf_args_require(fcinfo, 1, "request");
	dwf_store_require_writable("wf_resume_webhook");
	return dwf_webhook_resume(token, PG_GETARG_DATUM(1), false, NULL);
}

/*
 * wf_respond(request_id, status, headers, body) → boolean: false if it comes
 * too late, when no client waits for the response
 */
DWF_JOURNALLED(wf_respond, -1, DWF_AT_CURRENT);
static Datum
do_wf_respond(PG_FUNCTION_ARGS)
{
	int64		request_id;
	int			status;
	Jsonb	   *headers;
	text	   *body;
	DwfAnswered answered;
	text	   *workflow_id = NULL;

	/* Read and check the arguments */
	dwf_args_require(fcinfo, 0, "request_id");
	dwf_args_require(fcinfo, 1, "status");
	request_id = PG_GETARG_INT64(0);
	status = PG_GETARG_INT32(1);
	dwf_http_check_status(status);
	headers = PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2);
	if (headers)
		dwf_http_check_headers(headers);
	body = PG_ARGISNULL(3) ? cstring_to_text("") : PG_GETARG_TEXT_PP(3);
	dwf_store_require_writable("wf_respond");

	/* Answer the request; on a cluster others may have its id */
	if (dwf_anchor_exists())
		workflow_id = dwf_identity_argument(fcinfo, -1);
	answered = dwf_store_respond(request_id,
								 dwf_http_response(status, headers, body),
								 GetUserId(), workflow_id);
	if (answered == DWF_NOT_ANSWERED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("request " INT64_FORMAT " does not wait for a response of yours",
						request_id),
				 errdetail("It was never held, was answered, or it is another role's.")));
	PG_RETURN_BOOL(answered == DWF_ANSWERED);
}

/* ----- waiting for the answer ----- */

/* What wf_await_response waits for, and what it found */
typedef struct ResponseWait
{
	text	   *token;
	DwfAnswer	answer;
} ResponseWait;

/* The wait's look: true for an answer, or once there can be none */
static bool
look_for_answer(DwfWait *wait)
{
	ResponseWait *response = wait->arg;
	DwfAnswer	answer;

	response->answer.response.isnull = true;
	if (!dwf_store_answer_of(response->answer.request_id, response->token,
							 &answer))
		return true;
	response->answer.response = answer.response;
	return answer.is_over;
}

/* wf_await_response(token, request_id, timeout) → jsonb; also a CALL */
DWF_JOURNALLED(wf_await_response, 0, DWF_AT_TOKEN(0) | DWF_WAITS(2));
static Datum
do_wf_await_response(PG_FUNCTION_ARGS)
{
	ResponseWait response = {0};
	DwfWait		wait;
	int64		request_id;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_await_response");
	response.token = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);
	dwf_args_require(fcinfo, 1, "request_id");
	request_id = PG_GETARG_INT64(1);
	wait.deadline = dwf_args_deadline(fcinfo, 2, "timeout");

	/* Find out which workflow the request went to */
	if (!dwf_store_answer_of(request_id, response.token, &response.answer))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no request " INT64_FORMAT " of this webhook",
						request_id)));

	/* Wait for the answer, or for the end of the workflow */
	dwf_wait_at(&wait, DWF_DOOR_RESPONSE, response.answer.workflow_id,
				cstring_to_text(psprintf(INT64_FORMAT, request_id)));
	wait.look = look_for_answer;
	wait.arg = &response;
	(void) dwf_wait(&wait);

	return dwf_args_return_value(fcinfo, response.answer.response.value,
								 response.answer.response.isnull);
}

/* ----- the gateway ----- */

/*
 * durable_wf.resume_held(token, request) → jsonb: wf_resume_webhook(), for a
 * session that fetches the answers with durable_wf.take_answers()
 */
Datum
dwf_resume_held(PG_FUNCTION_ARGS)
{
	text	   *token = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);

	dwf_args_require(fcinfo, 1, "request");
	dwf_store_require_writable("durable_wf.resume_held");
	return dwf_webhook_resume(token, PG_GETARG_DATUM(1), true, NULL);
}

/*
 * durable_wf.take_answers(max_answers) → rows of (request_id, response): the
 * answers to requests that the gateway holds, each taken once
 */
Datum
dwf_take_answers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DwfAnswer  *answers;
	int			count;

	dwf_args_require(fcinfo, 0, "max_answers");
	dwf_store_require_writable("durable_wf.take_answers");
	InitMaterializedSRF(fcinfo, 0);
	count = dwf_store_take_answers(PG_GETARG_INT32(0), &answers);
	for (int i = 0; i < count; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, answers[i].response.isnull};

		values[0] = Int64GetDatum(answers[i].request_id);
		values[1] = answers[i].response.value;
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
