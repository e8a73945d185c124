/*-------------------------------------------------------------------------
 *
 * webhook_many.c
 *	  Resume many webhooks in one transaction, for the gateway.
 *
 * Most requests bring no idempotency key, and most webhooks do not hold them:
 * for these all hooks are locked by one statement and all payloads inserted by
 * another.  The rest goes the way of wf_resume_webhook(), one by one.  What it
 * comes to is the same (token.c): each hook is locked from before its payload
 * is delivered, and a workflow is looked at once more after there is an id.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/webhook.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/texts.h"
#include "hook/http_response.h"
#include "store/probe.h"
#include "store/store.h"

/* Payloads to be inserted together */
typedef struct Payloads
{
	int			count;
	int64	   *message_ids;
	Datum	   *workflow_ids;
	Datum	   *tokens;
	Datum	   *payloads;
} Payloads;

/* Order places of tokens by the tokens */
static int
compare_token_places(const void *a, const void *b)
{
	return dwf_texts_compare(*(text *const *) a, *(text *const *) b);
}

/* Order hooks by their tokens */
static int
compare_hooks(const void *a, const void *b)
{
	return dwf_texts_compare(((const DwfHook *) a)->token,
							 ((const DwfHook *) b)->token);
}

/* Those of an array that have been found */
typedef struct Hooks
{
	int			count;
	DwfHook    *hooks;			/* sorted by token */
} Hooks;

/* The hook of a token, or NULL */
static DwfHook *
find_hook(const Hooks *hooks, text *token)
{
	DwfHook		key = {.token = token};

	return bsearch(&key, hooks->hooks, hooks->count, sizeof(DwfHook),
				   compare_hooks);
}

/*
 * Lock the hooks of all requests.  "all": those too that another transaction
 * disposes of.
 */
static void
lock_hooks(const DwfWebhookRequest *requests, int count, Hooks *ours,
		   Hooks *all)
{
	text	  **tokens = palloc(count * sizeof(text *));
	int			distinct = 0;

	for (int i = 0; i < count; i++)
		tokens[i] = requests[i].token;
	qsort(tokens, count, sizeof(text *), compare_token_places);
	for (int i = 0; i < count; i++)
		if (i == 0 || dwf_texts_compare(tokens[i], tokens[distinct - 1]) != 0)
			tokens[distinct++] = tokens[i];
	ours->hooks = dwf_store_find_webhooks(tokens, distinct, true, &ours->count);
	qsort(ours->hooks, ours->count, sizeof(DwfHook), compare_hooks);
	*all = *ours;
	if (ours->count == distinct)
		return;
	all->hooks = dwf_store_find_webhooks(tokens, distinct, false, &all->count);
	qsort(all->hooks, all->count, sizeof(DwfHook), compare_hooks);
}

/* What the workflow gets: the request, and its id */
static Datum
add_request_id(Jsonb *request, int64 request_id)
{
	JsonbParseState *state = NULL;
	JsonbIterator *it = JsonbIteratorInit(&request->root);
	JsonbIteratorToken token;
	JsonbValue	value;
	JsonbValue *result = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_END_OBJECT)
		{
			JsonbValue	key = {.type = jbvString};
			JsonbValue	id = {.type = jbvNumeric};

			key.val.string.val = "request_id";
			key.val.string.len = strlen("request_id");
			id.val.numeric = int64_to_numeric(request_id);
			(void) pushJsonbValue(&state, WJB_KEY, &key);
			(void) pushJsonbValue(&state, WJB_VALUE, &id);
		}
		result = pushJsonbValue(&state, token,
								token < WJB_BEGIN_ARRAY ? &value : NULL);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(result));
}

/* Take an id for a payload, and keep it to be inserted with the others */
static void
add_payload(Payloads *payloads, const DwfHook *hook, Jsonb *request)
{
	int64		message_id = dwf_store_next_message_id();
	int			n = payloads->count++;

	payloads->message_ids[n] = message_id;
	payloads->workflow_ids[n] = PointerGetDatum(hook->workflow_id);
	payloads->tokens[n] = PointerGetDatum(hook->token);
	payloads->payloads[n] = add_request_id(request, message_id);
}

/* Resume one, now or with the others; raises as wf_resume_webhook() does */
static void
resume_one(DwfWebhookRequest *request, const DwfHook *hook,
		   Payloads *payloads)
{
	DwfRespond	mode;

	request->fate = hook->validator ? DWF_FATE_ASIDE : DWF_FATE_RESPONSE;
	request->owner = hook->owner;
	if (hook->validator)
		return;
	mode = dwf_http_respond_mode(&hook->respond_with);
	if (mode == DWF_RESPOND_MANUAL || request->has_key)
	{
		request->response = dwf_webhook_resume(request->token,
											   JsonbPGetDatum(request->request),
											   true, NULL);
		return;
	}

	(void) GetTopTransactionId();	/* before a look at the workflow: I5 */
	if (!dwf_probe_accepts(hook->workflow_id, hook->owner))
	{
		request->fate = DWF_FATE_UNKNOWN;
		return;
	}
	add_payload(payloads, hook, request->request);
	if (mode == DWF_RESPOND_ACCEPTED)
		request->fate = DWF_FATE_ACCEPTED;
	else
		request->response = dwf_http_immediate_response(&hook->respond_with);
}

/*
 * Resume webhooks with requests, which are objects as the gateway makes them,
 * and set the fate of each.  Raises what wf_resume_webhook() raises about one
 * of them; none has been resumed then.  Blocks as that does, but not for a
 * disposal.
 */
void
dwf_webhook_resume_many(DwfWebhookRequest *requests, int count)
{
	Payloads	payloads = {0};
	Hooks		ours;
	Hooks		all;

	lock_hooks(requests, count, &ours, &all);
	payloads.message_ids = palloc(count * sizeof(int64));
	payloads.workflow_ids = palloc(3 * count * sizeof(Datum));
	payloads.tokens = payloads.workflow_ids + count;
	payloads.payloads = payloads.tokens + count;

	for (int i = 0; i < count; i++)
	{
		DwfHook    *hook = find_hook(&ours, requests[i].token);

		requests[i].fate = find_hook(&all, requests[i].token) ?
			DWF_FATE_LOCKED : DWF_FATE_UNKNOWN;
		if (hook)
			resume_one(&requests[i], hook, &payloads);
	}
	if (payloads.count > 0)
		dwf_store_deliver_payloads(payloads.count, payloads.message_ids,
								   payloads.workflow_ids, payloads.tokens,
								   payloads.payloads);
}
