/*-------------------------------------------------------------------------
 *
 * webhook_many.c
 *	  Resume many webhooks in one transaction, for the gateway.
 *
 * The steps and their lock order are those of wf_resume_webhook() (token.c,
 * T5), each taken for all requests before the next: one statement locks all
 * hooks, one claims all idempotency keys, one inserts all payloads.  Only
 * requests that are held take a statement each.
 *
 * Hooks with a validator are left alone: the gateway resumes them in another
 * process, by dwf_webhook_resume().
 *
 *-------------------------------------------------------------------------
 */
#include "hook/webhook.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/args.h"
#include "base/json.h"
#include "hook/elsewhere.h"
#include "hook/http_request.h"
#include "hook/http_response.h"
#include "hook/token.h"

/* The payload that the workflow gets: the request, with its id */
static Datum
add_request_id(Jsonb *request, int64 request_id)
{
	DwfJsonState state = {0};
	JsonbIterator *it = JsonbIteratorInit(&request->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		/* Add the id as the last field */
		if (token == WJB_END_OBJECT)
		{
			JsonbValue	key = {.type = jbvString};
			JsonbValue	id = {.type = jbvNumeric};

			key.val.string.val = "request_id";
			key.val.string.len = strlen("request_id");
			id.val.numeric = int64_to_numeric(request_id);
			dwf_json_add(&state, WJB_KEY, &key);
			dwf_json_add(&state, WJB_VALUE, &id);
		}

		/* Copy the rest as it is */
		result = dwf_json_add(&state, token,
							  token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

/* Fill in what is to be delivered; raises 22023 about a key that cannot be */
static void
fill_in(DwfResume *resume, const DwfWebhookRequest *request)
{
	if (request->has_key)
	{
		resume->idempotency_key = dwf_http_idempotency_key(request->request);
		if (resume->idempotency_key)
			dwf_args_check_name(resume->idempotency_key, "idempotency-key",
								DWF_KEY_MAX, false);
	}
	if (request->has_trace)
		resume->traceparent = dwf_http_traceparent(request->request);
	resume->payload = add_request_id(request->request, resume->message_id);
}

/* Set the fate of a request whose resume is done; hold it if it has to wait */
static void
settle(DwfWebhookRequest *request, const DwfResume *resume)
{
	/* what became of the token decides what the client is told */
	switch (resume->opened)
	{
		case DWF_OPENED_NONE:
			request->fate = dwf_elsewhere_is(request->token) ?
				DWF_FATE_ELSEWHERE : DWF_FATE_UNKNOWN;
			break;
		case DWF_OPENED_LOCKED:
			request->fate = DWF_FATE_LOCKED;
			break;
		case DWF_OPENED_ASIDE:
			request->fate = DWF_FATE_ASIDE;
			request->owner = resume->hook.owner;
			break;
		case DWF_OPENED:
			if (dwf_http_respond_mode(&resume->hook.respond_with) ==
				DWF_RESPOND_ACCEPTED)
				request->fate = DWF_FATE_ACCEPTED;
			else
			{
				request->fate = DWF_FATE_RESPONSE;
				request->response = dwf_webhook_respond(resume, true);
			}
			break;
	}
}

/*
 * Resume webhooks with requests, which are objects as the gateway makes them,
 * and set the fate of each.  If this raises what wf_resume_webhook() raises
 * about one of them, none has been resumed.  Blocks while another transaction
 * uses the key of a request, but not while one disposes of a webhook.
 */
void
dwf_webhook_resume_many(DwfWebhookRequest *requests, int count)
{
	DwfResume  *resumes = palloc0(count * sizeof(DwfResume));

	/* Lock the webhooks, and look at their workflows */
	for (int i = 0; i < count; i++)
	{
		resumes[i].token = requests[i].token;
		resumes[i].only_webhook = true;
		resumes[i].skips_validator = true;
	}
	dwf_token_open_many(resumes, count, false);

	/* Claim the keys, deliver the payloads */
	for (int i = 0; i < count; i++)
		if (resumes[i].opened == DWF_OPENED)
			fill_in(&resumes[i], &requests[i]);
	dwf_token_claim_keys(resumes, count);
	dwf_token_deliver(resumes, count);

	/* Hold the requests to webhooks of mode "manual" */
	for (int i = 0; i < count; i++)
		settle(&requests[i], &resumes[i]);
}
