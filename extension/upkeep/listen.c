/*-------------------------------------------------------------------------
 *
 * listen.c
 *	  For clients that LISTEN: wf_listen, wf_unlisten.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "commands/async.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/restricted.h"
#include "cluster/route.h"
#include "session/identity.h"
#include "session/step_scope.h"
#include "shared/address.h"
#include "shared/interest.h"
#include "shared/listener.h"
#include "shared/preloaded.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(wf_listen);
PG_FUNCTION_INFO_V1(wf_unlisten);

/*
 * The interest that argument 0 names: a workflow or, without one, all of the
 * user's.  With "check", raises WF001 and 42501 about the workflow.
 */
static DwfListenKey
listen_key(FunctionCallInfo fcinfo, const char *function, bool check)
{
	text	   *workflow_id;
	DwfLife		life;
	uint64		hash;

	dwf_preloaded_require(function);
	workflow_id = dwf_args_optional_name(fcinfo, 0, "workflow_id",
										 DWF_WORKFLOW_ID_MAX);
	if (workflow_id == NULL)
		return dwf_listener_key(GetUserId(), 0);
	if (check)
	{
		dwf_route_require_here(function, workflow_id);
		dwf_identity_check_exists(workflow_id, &life, GetUserId());
	}
	hash = dwf_address_workflow_hash(VARDATA_ANY(workflow_id),
									 VARSIZE_ANY_EXHDR(workflow_id));
	return dwf_listener_key(GetUserId(), hash);
}

/* wf_listen(workflow_id) → text, the channel */
Datum
wf_listen(PG_FUNCTION_ARGS)
{
	DwfListenKey key;
	char		channel[DWF_CHANNEL_SIZE];

	/* Refuse where LISTEN could not work */
	dwf_restricted_refuse("wf_listen");
	key = listen_key(fcinfo, "wf_listen", true);
	PreventCommandDuringRecovery("wf_listen()");
	dwf_step_scope_refuse("wf_listen()");
	if (MyBackendType != B_BACKEND)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only a client's session can listen")));

	/* The interest begins now, the LISTEN at the commit */
	dwf_listener_channel(&key, channel);
	dwf_interest_add(&key);
	Async_Listen(channel);
	PG_RETURN_TEXT_P(cstring_to_text(channel));
}

/* wf_unlisten(workflow_id) → void */
Datum
wf_unlisten(PG_FUNCTION_ARGS)
{
	DwfListenKey key;
	char		channel[DWF_CHANNEL_SIZE];

	dwf_restricted_refuse("wf_unlisten");
	dwf_step_scope_refuse("wf_unlisten()");
	key = listen_key(fcinfo, "wf_unlisten", false);
	dwf_listener_channel(&key, channel);
	Async_Unlisten(channel);
	dwf_interest_remove(&key);
	PG_RETURN_VOID();
}
