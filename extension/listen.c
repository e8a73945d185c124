/*-------------------------------------------------------------------------
 *
 * listen.c
 *	  For clients that LISTEN: wf_listen, wf_unlisten.
 *
 *-------------------------------------------------------------------------
 */
#include "durable_wf.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "args.h"
#include "identity.h"
#include "listener.h"
#include "shmem.h"
#include "step_scope.h"
#include "store.h"

PG_FUNCTION_INFO_V1(wf_listen);
PG_FUNCTION_INFO_V1(wf_unlisten);

/* What argument 0 asks to listen for; raises unless the caller may */
static DwfListenKey
listen_key(FunctionCallInfo fcinfo, const char *function, bool check)
{
	text	   *workflow_id;
	DwfLife		life;

	dwf_shmem_require(function);
	workflow_id = dwf_arg_optional_name(fcinfo, 0, "workflow_id",
										DWF_WORKFLOW_ID_MAX);
	if (workflow_id == NULL)
		return dwf_listener_key(GetUserId(), 0);
	if (check)
		dwf_identity_check_exists(workflow_id, &life, GetUserId());
	return dwf_listener_key(GetUserId(),
							dwf_listener_workflow_hash(VARDATA_ANY(workflow_id),
													   VARSIZE_ANY_EXHDR(workflow_id)));
}

/*
 * As core does with LISTEN: what runs in a session on behalf of somebody else
 * must not change what that session listens to.
 */
static void
refuse_restricted(const char *function)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot execute %s within security-restricted operation",
						function)));
}

/* wf_listen(workflow_id) → text, the channel */
Datum
wf_listen(PG_FUNCTION_ARGS)
{
	DwfListenKey key = listen_key(fcinfo, "wf_listen", true);
	char		channel[DWF_CHANNEL_SIZE];

	PreventCommandDuringRecovery("wf_listen()");
	refuse_restricted("wf_listen()");
	dwf_step_scope_refuse("wf_listen()");
	if (MyBackendType != B_BACKEND)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only a client's session can listen")));

	dwf_listener_channel(&key, channel);
	dwf_listener_add(&key);
	Async_Listen(channel);
	PG_RETURN_TEXT_P(cstring_to_text(channel));
}

/* wf_unlisten(workflow_id) → void */
Datum
wf_unlisten(PG_FUNCTION_ARGS)
{
	DwfListenKey key = listen_key(fcinfo, "wf_unlisten", false);
	char		channel[DWF_CHANNEL_SIZE];

	refuse_restricted("wf_unlisten()");
	dwf_step_scope_refuse("wf_unlisten()");
	dwf_listener_channel(&key, channel);
	Async_Unlisten(channel);
	dwf_listener_remove(&key);
	PG_RETURN_VOID();
}
