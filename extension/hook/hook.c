/*-------------------------------------------------------------------------
 *
 * hook.c
 *	  Hooks: wf_create_hook, wf_resume_hook, wf_await_hook, wf_get_hook,
 *	  wf_dispose_hook; and the trigger that releases or restores the hooks
 *	  of a workflow that ends or lives again.
 *
 * A payload is a mailbox item at the door of hooks; its key is the token.  To
 * resume a hook, or to look at it with wf_get_hook, a role needs its token and
 * nothing else; all other functions need the rights of the workflow's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "cluster/token_home.h"
#include "hook/token.h"
#include "hook/validator.h"
#include "mailbox/mailbox.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "store/catalog.h"
#include "store/store.h"
#include "store/stream_rows.h"

PG_FUNCTION_INFO_V1(dwf_release_hooks);

/*
 * What wf_create_hook settles where it is called: what the validator's name
 * means, and that no other node has the token
 */
static void
settle(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(2))
		fcinfo->args[2].value =
			PointerGetDatum(dwf_validator_qualify(PG_GETARG_TEXT_PP(2)));
	if (!PG_ARGISNULL(0))
		dwf_token_home_claim(dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX),
							 dwf_identity_argument(fcinfo, 3));
}

/* wf_create_hook(token, metadata, validator, workflow_id) → token */
DWF_JOURNALLED_ALSO(wf_create_hook, 0, DWF_AT_WORKFLOW(3), settle, NULL);
static Datum
do_wf_create_hook(PG_FUNCTION_ARGS)
{
	DwfHook		hook = {0};
	DwfLife		life;

	/* Read the arguments */
	hook.token = dwf_args_optional_name(fcinfo, 0, "token", DWF_KEY_MAX);
	hook.metadata.isnull = PG_ARGISNULL(1);
	if (!hook.metadata.isnull)
		hook.metadata.value = PG_GETARG_DATUM(1);
	hook.validator = dwf_args_optional_name(fcinfo, 2, "validator", DWF_KEY_MAX);
	hook.workflow_id = dwf_identity_argument(fcinfo, 3);
	hook.respond_with.isnull = true;
	dwf_store_require_writable("wf_create_hook");

	/* Find the validator, which the workflow's owner must be able to run */
	if (hook.validator)
	{
		dwf_identity_check_exists(hook.workflow_id, &life, GetUserId());
		hook.validator = dwf_validator_resolve(hook.validator, life.owner);
	}

	if (hook.token == NULL)
		hook.token = dwf_token_generate(hook.workflow_id);
	dwf_token_claim(&hook);
	PG_RETURN_TEXT_P(hook.token);
}

/* wf_resume_hook(token, payload, idempotency_key) → text, the workflow */
DWF_JOURNALLED(wf_resume_hook, 0, DWF_AT_TOKEN(0));
static Datum
do_wf_resume_hook(PG_FUNCTION_ARGS)
{
	DwfResume	resume = {0};
	Datum		payload;

	resume.token = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);
	payload = dwf_args_payload(fcinfo, 1);
	resume.idempotency_key = dwf_args_optional_name(fcinfo, 2,
													"idempotency_key",
													DWF_KEY_MAX);
	dwf_store_require_writable("wf_resume_hook");

	dwf_token_open(&resume);
	dwf_token_claim_keys(&resume, 1);
	resume.payload = dwf_token_validate(&resume, payload);
	dwf_token_deliver(&resume, 1);
	PG_RETURN_TEXT_P(resume.hook.workflow_id);
}

/* wf_await_hook(token, timeout) → jsonb; also a CALL */
DWF_JOURNALLED(wf_await_hook, 0, DWF_AT_TOKEN(0) | DWF_WAITS(1));
static Datum
do_wf_await_hook(PG_FUNCTION_ARGS)
{
	DwfReceive	receive = {.limit = 1,.nqueues = 1};
	DwfAddress	queue = {.door = DWF_DOOR_HOOK};
	DwfWait		wait;
	bool		isnull;
	Datum		payload;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_await_hook");
	queue.key = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	dwf_store_require_writable("wf_await_hook");
	receive.workflow_id = dwf_identity_hook_workflow(queue.key,
													 wait.role);
	queue.workflow_id = receive.workflow_id;
	receive.queues = &queue;

	/* Wait for a payload */
	isnull = !dwf_mailbox_receive(&receive, &wait);
	payload = isnull ? (Datum) 0 : receive.items[0].payload;

	return dwf_args_return_value(fcinfo, payload, isnull);
}

/* wf_get_hook(token) → a row, or none */
DWF_JOURNALLED(wf_get_hook, 0, DWF_AT_TOKEN(0));
static Datum
do_wf_get_hook(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *token = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);
	DwfHook		hook;
	Datum		values[4];
	bool		nulls[4] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (!dwf_store_find_hook(token, &hook) || hook.has_ended)
		return (Datum) 0;
	values[0] = PointerGetDatum(hook.workflow_id);
	values[1] = hook.metadata.value;
	nulls[1] = hook.metadata.isnull;
	values[2] = BoolGetDatum(hook.is_webhook);
	values[3] = TimestampTzGetDatum(hook.created_at);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	return (Datum) 0;
}

/*
 * Take the token of a stream back; false when there is none.  Raises 42501.
 * Blocks while another transaction does it.
 */
static bool
dispose_stream_url(text *token)
{
	DwfStreamUrl url;
	DwfLife		life;
	DwfAddress	address = {.door = DWF_DOOR_TURN};

	while (!dwf_store_dispose_stream_url(token, GetUserId(), &url))
	{
		CHECK_FOR_INTERRUPTS();
		if (!dwf_store_find_stream_url(token, &url))
			return false;
		life.owner = url.owner;
		dwf_identity_check_owner(url.workflow_id, &life, GetUserId());
	}

	/* the commit makes the gateway look, and send its readers away */
	address.workflow_id = url.workflow_id;
	address.key = url.stream;
	dwf_wakeup_note_arrival(&address, dwf_address_hash(&address), 0, 0);
	return true;
}

/* What wf_dispose_hook does where it was called: it gives the token back */
static void
give_back(FunctionCallInfo fcinfo, Datum result)
{
	if (DatumGetBool(result))
		dwf_token_home_free(PG_GETARG_TEXT_PP(0));
}

/* wf_dispose_hook(token) → boolean, false when there is none */
DWF_JOURNALLED_ALSO(wf_dispose_hook, 0, DWF_AT_TOKEN(0), NULL, give_back);
static Datum
do_wf_dispose_hook(PG_FUNCTION_ARGS)
{
	DwfAddress	address = {.door = DWF_DOOR_HOOK};
	DwfHook		hook;
	DwfStreamUrl url;
	DwfLife		life;

	address.key = dwf_args_name(fcinfo, 0, "token", DWF_KEY_MAX);
	dwf_store_require_writable("wf_dispose_hook");

	/* Delete the hook, or find that there is none to delete */
	for (;;)
	{
		address.workflow_id = dwf_store_dispose_hook(address.key, GetUserId());
		if (address.workflow_id)
			break;
		CHECK_FOR_INTERRUPTS();
		if (!dwf_store_find_hook(address.key, &hook) || hook.has_ended ||
			dwf_store_find_stream_url(address.key, &url))
			PG_RETURN_BOOL(dispose_stream_url(address.key));
		life.owner = hook.owner;
		dwf_identity_check_owner(hook.workflow_id, &life, GetUserId());
	}

	/* Drop what was not received from it */
	dwf_store_end_requests(&address);
	PG_RETURN_BOOL(true);
}

/*
 * Trigger function of durable_wf.workflow, called AFTER an update that ends a
 * workflow or lets an ended one live again: release the workflow's hooks, or
 * restore them.  Raises 39P01 if it was called otherwise.
 */
Datum
dwf_release_hooks(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool		was_open;
	bool		is_open;
	TupleDesc	desc;
	Datum		workflow_id;
	bool		isnull;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!dwf_catalog_is_ours(trigger->tg_relation))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("durable_wf.release_hooks() serves durable_wf.workflow only")));

	/* Release the hooks of an ended workflow; restore those of a live one */
	desc = RelationGetDescr(trigger->tg_relation);
	was_open = heap_attisnull(trigger->tg_trigtuple, DWF_WORKFLOW_FINISHED_AT,
							  desc);
	is_open = heap_attisnull(trigger->tg_newtuple, DWF_WORKFLOW_FINISHED_AT,
							 desc);
	if (was_open == is_open)
		return PointerGetDatum(NULL);
	workflow_id = heap_getattr(trigger->tg_newtuple, DWF_WORKFLOW_WORKFLOW_ID,
							   desc, &isnull);
	if (is_open)
		dwf_store_restore_hooks(DatumGetTextPP(workflow_id));
	else
		dwf_store_release_hooks(DatumGetTextPP(workflow_id));
	return PointerGetDatum(NULL);
}
