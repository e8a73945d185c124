/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Claim a token for a workflow's hook, and resume hooks by their tokens.
 *
 *	T1	A token has at most one row in durable_wf.hook.  The row is a hook
 *		while its workflow has not ended.  Afterwards it is a dead row, which
 *		no function takes for a hook.
 *	T2	A resume locks the hook's row (FOR KEY SHARE) before it delivers, and
 *		keeps the lock until its transaction ends.  A disposal, which deletes
 *		the row, waits for that lock.  So nothing comes to a hook after its
 *		row is gone.
 *	T3	The end of a workflow moves its hooks to durable_wf.released_hook.  It
 *		must not wait for other transactions, so it skips the rows that are
 *		locked (SKIP LOCKED); these become dead rows.  A claim of the token
 *		moves a dead row to durable_wf.released_hook.  wf_retry makes the dead
 *		rows hooks again and moves the released ones back; if another workflow
 *		has one of the tokens, wf_retry raises WF005.
 *	T4	The payloads of a hook go with the hook.  A disposal waits for the
 *		receivers that hold some of them; what a receiver gives back later is
 *		removed by the next claim at the same address.  Both use the latest
 *		snapshot, whatever the transaction's is.  So a hook gets no payload
 *		that was sent to an earlier one.  The end of a workflow leaves the
 *		payloads in place, for wf_retry.
 *	T5	Each resume, of one hook (wf_resume_hook, wf_resume_webhook) or of
 *		many (the gateway), takes its locks in this order:
 *
 *		1	rows of hook, KEY SHARE				dwf_token_open_many
 *		2	no lock: the xid and the message ids, and only then a look at the
 *			workflows (I5)						dwf_token_open_many
 *		3	keys in idempotency, sorted			dwf_token_claim_keys
 *		4	no lock that could wait: the payloads' rows in message
 *												dwf_token_deliver
 *		5	rows of request, if the requests are held, by their callers
 *
 *		A resume of one hook waits for a disposal in step 1, when it holds
 *		nothing; a resume of many skips the rows that a disposal has locked.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/token.h"

#include "access/xact.h"
#include "common/base64.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/owner.h"
#include "base/texts.h"
#include "cluster/token_home.h"
#include "hook/validator.h"
#include "mailbox/mailbox.h"
#include "session/identity.h"
#include "shared/address.h"
#include "store/probe.h"

#define TOKEN_BYTES		24		/* 192 random bits */
#define TOKEN_LENGTH	32		/* ... in base64 */

/*
 * A new random token of a workflow's, of characters that a URL may have; on a
 * cluster it tells to which node it leads
 */
text *
dwf_token_generate(text *workflow_id)
{
	char		bytes[TOKEN_BYTES];
	char		token[TOKEN_LENGTH];

	if (!pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not get random bytes for a token")));
	if (pg_b64_encode(DWF_BASE64_BYTES(bytes), TOKEN_BYTES, token,
					  TOKEN_LENGTH) != TOKEN_LENGTH)
		elog(ERROR, "could not encode a token");
	for (int i = 0; i < TOKEN_LENGTH; i++)
	{
		if (token[i] == '+')
			token[i] = '-';
		else if (token[i] == '/')
			token[i] = '_';
	}
	return dwf_token_home_mark(workflow_id,
							   cstring_to_text_with_len(token, TOKEN_LENGTH));
}

/* ----- claiming ----- */

/* Are two jsonb equal? */
static bool
is_same_jsonb(Datum left, Datum right)
{
	return compareJsonbContainers(&DatumGetJsonbP(left)->root,
								  &DatumGetJsonbP(right)->root) == 0;
}

/* Raise 42710 unless the present hook is what the caller wants to create */
static void
check_same_hook(const DwfHook *hook, const DwfHook *present)
{
	bool		same = !present->is_webhook;

	if (!hook->metadata.isnull)
		same &= !present->metadata.isnull &&
			is_same_jsonb(hook->metadata.value, present->metadata.value);
	if (hook->validator)
		same &= dwf_texts_equal(hook->validator, present->validator);
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("hook \"%s\" already exists with a different metadata or validator",
						text_to_cstring(hook->token)),
				 errhint("Pass null to take the hook as it is, or dispose of it first.")));
}

/*
 * Create a hook of a workflow that the current user may act on, unless the
 * workflow has it already.  Raises WF005, 42710, WF001, WF002, WF003 and
 * 42501.  Blocks while another transaction claims the token or gives it back.
 */
void
dwf_token_claim(DwfHook *hook)
{
	DwfAddress	address = {DWF_DOOR_HOOK, hook->workflow_id, hook->token};
	DwfHook		present;

	/* I5: have an xid before the workflow is read */
	(void) GetTopTransactionId();

	/* Insert, or look at the hook that is in the way, until one succeeds */
	while (!dwf_store_create_hook(hook, GetUserId()))
	{
		CHECK_FOR_INTERRUPTS();
		dwf_identity_check_live(hook->workflow_id, GetUserId());
		if (!dwf_store_find_hook(hook->token, &present))
			continue;			/* the token has just become free */
		if (present.has_ended)
		{
			dwf_store_displace_hook(hook->token);
			continue;
		}
		if (!dwf_texts_equal(present.workflow_id, hook->workflow_id))
			dwf_identity_report_token(&present);
		check_same_hook(hook, &present);
		return;
	}

	/* T4: remove what a receiver gave back after a disposal */
	dwf_store_drop_payloads(&address);
}

/* ----- resuming ----- */

/* Order two elements of an array of tokens, for qsort() */
static int
compare_token_places(const void *a, const void *b)
{
	return dwf_texts_compare(*(text *const *) a, *(text *const *) b);
}

/* Order two hooks by their tokens; for qsort() and bsearch() */
static int
compare_hooks(const void *a, const void *b)
{
	return dwf_texts_compare(((const DwfHook *) a)->token,
							 ((const DwfHook *) b)->token);
}

/* Hooks, sorted by token */
typedef struct Hooks
{
	int			count;
	DwfHook    *hooks;
} Hooks;

/*
 * The webhooks of live workflows among these tokens, each named once.  With
 * "lock", those whose rows this has locked.  Does not block.
 */
static Hooks
read_webhooks(text **tokens, int count, bool lock)
{
	Hooks		found;

	found.hooks = dwf_store_find_webhooks(tokens, count, lock, &found.count);
	qsort(found.hooks, found.count, sizeof(DwfHook), compare_hooks);
	return found;
}

/* The hook of a token, or NULL */
static const DwfHook *
find_hook(const Hooks *hooks, text *token)
{
	DwfHook		key = {.token = token};

	return bsearch(&key, hooks->hooks, hooks->count, sizeof(DwfHook),
				   compare_hooks);
}

/*
 * Lock one hook's row until the transaction ends.  Blocks while another
 * transaction disposes of the hook.
 */
static void
lock_hook(DwfResume *resume)
{
	if (dwf_store_lock_hook(resume->token, &resume->hook) &&
		(resume->hook.is_webhook || !resume->only_webhook))
		resume->opened = DWF_OPENED;
}

/*
 * Lock the rows of many webhooks until the transaction ends, but for those
 * that another transaction disposes of.  Does not block.
 */
static void
lock_webhooks(DwfResume *resumes, int count)
{
	text	  **tokens = palloc(count * sizeof(text *));
	int			distinct = 0;
	Hooks		locked;
	Hooks		all;

	/* Name each token once */
	for (int i = 0; i < count; i++)
		tokens[i] = resumes[i].token;
	qsort(tokens, count, sizeof(text *), compare_token_places);
	for (int i = 0; i < count; i++)
		if (i == 0 || dwf_texts_compare(tokens[i], tokens[distinct - 1]) != 0)
			tokens[distinct++] = tokens[i];

	/* Read without a lock, too, if not all could be locked */
	locked = read_webhooks(tokens, distinct, true);
	all = locked.count == distinct ?
		locked : read_webhooks(tokens, distinct, false);

	for (int i = 0; i < count; i++)
	{
		const DwfHook *hook = find_hook(&locked, resumes[i].token);

		Assert(resumes[i].only_webhook);
		if (hook)
		{
			resumes[i].hook = *hook;
			resumes[i].opened = DWF_OPENED;
		}
		else if (find_hook(&all, resumes[i].token))
			resumes[i].opened = DWF_OPENED_LOCKED;
	}
}

/*
 * Begin to resume hooks: lock their rows, give each payload an id, and set
 * "opened" of each.  With "may_wait", which is for one hook, this blocks while
 * another transaction disposes of the hook; without it, this is for webhooks,
 * does not block, and sets DWF_OPENED_LOCKED instead.
 *
 * A resume by a token that has no hook gets no transaction id.
 */
void
dwf_token_open_many(DwfResume *resumes, int count, bool may_wait)
{
	Assert(count == 1 || !may_wait);

	/* T5.1: lock the hooks' rows */
	for (int i = 0; i < count; i++)
		resumes[i].opened = DWF_OPENED_NONE;
	if (may_wait)
		lock_hook(resumes);
	else
		lock_webhooks(resumes, count);

	/* T5.2: take ids, and look at each workflow after its id was taken */
	for (int i = 0; i < count; i++)
	{
		DwfResume  *resume = &resumes[i];

		if (resume->opened != DWF_OPENED)
			continue;
		if (resume->skips_validator && resume->hook.validator)
		{
			resume->opened = DWF_OPENED_ASIDE;
			continue;
		}
		resume->message_id = dwf_store_next_message_id();
		if (!dwf_probe_accepts(resume->hook.workflow_id, resume->hook.owner))
			resume->opened = DWF_OPENED_NONE;
	}
}

/*
 * Begin to resume one hook.  Raises WF006 if there is none.  Blocks while
 * another transaction disposes of it.
 */
void
dwf_token_open(DwfResume *resume)
{
	dwf_token_open_many(resume, 1, true);
	if (resume->opened != DWF_OPENED)
		dwf_identity_report_no_hook();
}

/*
 * Claim the idempotency keys of the resumes that are open and have one, each
 * for its message id.  A resume whose key is taken, by an earlier resume or by
 * one of these, is repeated: it gets the message id that has the key.  Raises
 * 40001 if the snapshot does not show which id that is.  Blocks while another
 * transaction claims one of the keys; all claim them in one order (T5).
 */
void
dwf_token_claim_keys(DwfResume *resumes, int count)
{
	DwfResume **keyed;
	Datum	   *elements;
	Datum		workflows;
	Datum		scopes;
	Datum		keys;
	Datum		ids;
	int64	   *holders;
	int			n = 0;

	/* Find those that have a key; in most calls there is none */
	for (int i = 0; i < count; i++)
		n += resumes[i].opened == DWF_OPENED && resumes[i].idempotency_key;
	if (n == 0)
		return;
	keyed = palloc(n * sizeof(DwfResume *));
	n = 0;
	for (int i = 0; i < count; i++)
		if (resumes[i].opened == DWF_OPENED && resumes[i].idempotency_key)
			keyed[n++] = &resumes[i];

	/* Make the statements' arrays */
	elements = palloc(n * sizeof(Datum));
	for (int i = 0; i < n; i++)
		elements[i] = PointerGetDatum(keyed[i]->hook.workflow_id);
	workflows = dwf_arrays_of_text(elements, n);
	for (int i = 0; i < n; i++)
		elements[i] = PointerGetDatum(keyed[i]->token);
	scopes = dwf_arrays_of_text(elements, n);
	for (int i = 0; i < n; i++)
		elements[i] = PointerGetDatum(keyed[i]->idempotency_key);
	keys = dwf_arrays_of_text(elements, n);
	holders = palloc(n * sizeof(int64));
	for (int i = 0; i < n; i++)
		holders[i] = keyed[i]->message_id;
	ids = dwf_arrays_of_int8(holders, n);

	/* Claim the keys, and read which message ids have them now */
	dwf_store_claim_keys(workflows, scopes, keys, ids);
	if (dwf_store_claimed_ids(workflows, scopes, keys, holders) != n)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see an idempotency key that another transaction has used")));
	for (int i = 0; i < n; i++)
	{
		keyed[i]->is_repeated = holders[i] != keyed[i]->message_id;
		keyed[i]->message_id = holders[i];
	}
}

/*
 * The payload that the hook's validator makes of the given one, or the given
 * one if the hook has no validator.  Raises what the validator raises.  A
 * payload that repeats a key has to be valid, too: its sender gets the answer
 * of the first.
 */
Datum
dwf_token_validate(const DwfResume *resume, Datum payload)
{
	const DwfHook *hook = &resume->hook;

	if (hook->validator == NULL)
		return payload;
	payload = dwf_validator_run(hook->validator, hook->owner, payload);
	return payload == (Datum) 0 ? dwf_args_json_null() : payload;
}

/*
 * Deliver the payloads of the resumes that are open and do not repeat a key
 */
void
dwf_token_deliver(const DwfResume *resumes, int count)
{
	int64	   *message_ids = palloc(count * sizeof(int64));
	DwfAddress *addresses = palloc(count * sizeof(DwfAddress));
	Datum	   *payloads = palloc(3 * count * sizeof(Datum));
	Datum	   *workflow_ids = payloads + count;
	Datum	   *tokens = workflow_ids + count;
	text	  **traces = palloc(count * sizeof(text *));
	int			n = 0;

	/* Collect what to deliver */
	for (int i = 0; i < count; i++)
	{
		if (resumes[i].opened != DWF_OPENED || resumes[i].is_repeated)
			continue;
		message_ids[n] = resumes[i].message_id;
		addresses[n].door = DWF_DOOR_HOOK;
		addresses[n].workflow_id = resumes[i].hook.workflow_id;
		addresses[n].key = resumes[i].token;
		traces[n] = resumes[i].traceparent;
		payloads[n++] = resumes[i].payload;
	}
	if (n == 0 ||
		dwf_mailbox_put_many(n, message_ids, addresses, payloads, traces,
							 false))
		return;

	/* Deliver by a statement, which is another one for one plain payload */
	if (n == 1 && traces[0] == NULL)
	{
		dwf_store_deliver(message_ids[0], &addresses[0], payloads[0]);
		return;
	}
	for (int i = 0; i < n; i++)
	{
		workflow_ids[i] = PointerGetDatum(addresses[i].workflow_id);
		tokens[i] = PointerGetDatum(addresses[i].key);
	}
	dwf_store_deliver_payloads(n, message_ids, workflow_ids, tokens, payloads,
							   traces);
}
