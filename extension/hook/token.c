/*-------------------------------------------------------------------------
 *
 * token.c
 *	  Claim a token for a workflow, and deliver to it.
 *
 *	T1	A token has one row in durable_wf.hook at most.  The row is a hook
 *		while its workflow has not ended; else it is dead, and counts for
 *		nothing.
 *	T2	Who resumes a hook has its row locked (FOR KEY SHARE) from before he
 *		delivers until his transaction ends.  Who deletes the row waits for
 *		that.  So when the row is gone, nothing more comes.
 *	T3	The end of a workflow moves its hooks to durable_wf.released_hook but
 *		must not wait for anybody, so it passes by those that are in use; these
 *		are dead rows.  They go the same way when the token is claimed.  If the
 *		workflow lives again (wf_retry), dead rows are hooks again and the
 *		others come back, or it does not live again: WF005.
 *	T4	What came to a hook goes with it: a disposal waits for who holds a part
 *		of it, and what is left all the same a new hook at the same address
 *		begins with removing.  Both see the latest, whatever the transaction's
 *		snapshot.  So nothing comes to a hook but what was sent to it.  The end
 *		of a workflow leaves that where it is, for when the hook comes back.
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
#include "hook/validator.h"
#include "session/identity.h"
#include "store/probe.h"

#define TOKEN_BYTES		24		/* 192 random bits */
#define TOKEN_LENGTH	32		/* ... in base64 */

/* Raise WF006, which says the same whatever the reason */
void
dwf_token_report_no_hook(void)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NO_HOOK),
			 errmsg("there is no such hook"),
			 errdetail("It never existed, was disposed of, or its workflow has ended.")));
	pg_unreachable();
}

/* A new token that nobody can guess, and that can stand in a URL */
text *
dwf_token_generate(void)
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
	return cstring_to_text_with_len(token, TOKEN_LENGTH);
}

/* ----- claiming ----- */

/* Raise WF005; who holds the token is said to those who may see it */
static void
report_in_use(const DwfHook *holder)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_TOKEN_IN_USE),
			 errmsg("token \"%s\" is in use",
					text_to_cstring(holder->token)),
			 dwf_owner_allows(holder->owner, GetUserId()) ?
			 errdetail("It belongs to a hook of workflow \"%s\".",
					   text_to_cstring(holder->workflow_id)) : 0));
}

/* Raise 42710 unless the hook is what this call would create */
static void
check_same_hook(const DwfHook *hook, const DwfHook *present)
{
	bool		same = !present->is_webhook;

	if (!hook->metadata.isnull)
		same &= !present->metadata.isnull &&
			compareJsonbContainers(&DatumGetJsonbP(hook->metadata.value)->root,
								   &DatumGetJsonbP(present->metadata.value)->root) == 0;
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
 * Take a token from a workflow that has ended.  Raises 40001 where the
 * transaction cannot see that it is not so any more.
 */
static void
displace(text *token)
{
	if (!dwf_store_displace_hook(token) && IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see who has token \"%s\"",
						text_to_cstring(token))));
}

/*
 * Create a hook of a workflow that the current user may act on, unless it is
 * there already.  Raises WF005, 42710, WF001, WF002, WF003 and 42501.  Blocks
 * while another transaction claims the token or gives it back.
 */
void
dwf_token_claim(DwfHook *hook)
{
	DwfAddress	address = {DWF_DOOR_HOOK, hook->workflow_id, hook->token};
	DwfHook		present;

	(void) GetTopTransactionId();	/* before a look at the workflow: I5 */
	while (!dwf_store_create_hook(hook, GetUserId()))
	{
		CHECK_FOR_INTERRUPTS();
		dwf_identity_check_live(hook->workflow_id, GetUserId());
		if (!dwf_store_find_hook(hook->token, &present))
			continue;			/* it has just become free */
		if (present.has_ended)
		{
			displace(hook->token);
			continue;
		}
		if (!dwf_texts_equal(present.workflow_id, hook->workflow_id))
			report_in_use(&present);
		check_same_hook(hook, &present);
		return;
	}
	dwf_store_drop_payloads(&address);
}

/*
 * A workflow that the current user may act on lives again: all the hooks that
 * it had are hooks again.  Raises WF005 when another workflow has one's token.
 * Blocks while another transaction claims one of them, or gives it back.
 */
void
dwf_token_restore(text *workflow_id)
{
	text	   *token;
	DwfHook		holder;

	while ((token = dwf_store_find_unrestored(workflow_id)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (dwf_store_find_hook(token, &holder))
		{
			if (!holder.has_ended)
				report_in_use(&holder);
			displace(token);
		}
		dwf_store_restore_hooks(workflow_id);
	}
}

/* ----- delivering ----- */

/*
 * Begin to deliver to a hook: keep it there, and get an id.  Raises WF006.
 * Blocks while another transaction disposes of it.
 *
 * Who tries tokens that are none gets no transaction id, so the workflow is
 * looked at once more after we have one (I5).
 */
void
dwf_token_open(DwfResume *resume)
{
	DwfHook    *hook = &resume->hook;

	if (!dwf_store_lock_hook(resume->token, hook) ||
		(resume->only_webhook && !hook->is_webhook))
		dwf_token_report_no_hook();
	resume->message_id = dwf_store_next_message_id();
	if (!dwf_probe_accepts(hook->workflow_id, hook->owner))
		dwf_token_report_no_hook();
	resume->is_repeated = false;
}

/*
 * Claim the idempotency key, if there is one, for the message id, or take the
 * id that has it.  Blocks while another transaction uses the same key.
 */
void
dwf_token_claim_key(DwfResume *resume)
{
	Datum		owners;
	Datum		scopes;
	Datum		keys;
	int64		holder;

	if (resume->idempotency_key == NULL)
		return;
	owners = dwf_arrays_of_one_text(resume->hook.workflow_id);
	scopes = dwf_arrays_of_one_text(resume->token);
	keys = dwf_arrays_of_one_text(resume->idempotency_key);
	dwf_store_claim_keys(owners, scopes, keys,
						 dwf_arrays_of_int8(&resume->message_id, 1));
	if (dwf_store_claimed_ids(owners, scopes, keys, &holder) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see an idempotency key that another transaction has used")));
	resume->is_repeated = holder != resume->message_id;
	resume->message_id = holder;
}

/*
 * What the hook's validator makes of a payload, which is that itself when
 * there is none; raises as it does.  One that repeats a key has to be valid,
 * too: its sender gets the answer of the first.
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

/* Deliver a payload, unless it repeats a key */
void
dwf_token_deliver(DwfResume *resume, Datum payload)
{
	DwfAddress	address = {DWF_DOOR_HOOK, resume->hook.workflow_id,
	resume->token};

	if (!resume->is_repeated)
		dwf_store_deliver(resume->message_id, &address, payload);
}
