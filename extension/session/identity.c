/*-------------------------------------------------------------------------
 *
 * identity.c
 *	  Resolve the workflow that a call acts as, and raise the errors that
 *	  refuse one: WF001, WF002, WF003, WF008, 42501; and WF005 and WF006
 *	  for a token.
 *
 *-------------------------------------------------------------------------
 */
#include "session/identity.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/restricted.h"
#include "base/settings.h"
#include "shared/claim.h"

/*
 * The current workflow: the one that the session executes, or the one of the
 * setting durable_wf.workflow_id; NULL if there is none.  Code that runs on
 * behalf of another role does not see the session's setting; a validator has
 * a setting of its own.
 */
text *
dwf_identity_current(void)
{
	text	   *attached;

	if (dwf_claim_executes(&attached))
		return attached;
	if (dwf_setting_workflow_id[0] == '\0' ||
		(dwf_restricted() && !dwf_restricted_is_validator()))
		return NULL;
	return cstring_to_text(dwf_setting_workflow_id);
}

/*
 * The workflow that a call acts as: argument n, unless that is null or n is
 * -1; then the current workflow.  Raises WF008 if there is none.  To be called
 * before a CALL commits, since the commit ends a SET LOCAL.
 */
text *
dwf_identity_argument(FunctionCallInfo fcinfo, int n)
{
	text	   *workflow_id;

	/* the argument */
	if (n >= 0 && !PG_ARGISNULL(n))
		return dwf_args_name(fcinfo, n, "workflow_id", DWF_WORKFLOW_ID_MAX);

	/* or the current one */
	workflow_id = dwf_identity_current();
	if (workflow_id == NULL && dwf_restricted() &&
		!dwf_restricted_is_validator())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot act as the session's workflow within security-restricted operation"),
				 n >= 0 ?
				 errhint("Name one in the call (workflow_id => ...).") : 0));
	if (workflow_id == NULL)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NO_CURRENT),
				 errmsg("there is no current workflow"),
				 dwf_claim_is_body() ?
				 errhint("This run has ended it, with wf_complete() or its like: let RETURN follow that.") :
				 n >= 0 ?
				 errhint("Name one in the call (workflow_id => ...), call wf_attach(), or set durable_wf.workflow_id.") :
				 errhint("Call wf_attach(), or set durable_wf.workflow_id.")));
	return workflow_id;
}

/* Raise 42501 unless a role may act on a workflow */
void
dwf_identity_check_owner(text *workflow_id, const DwfLife *life, Oid role)
{
	if (!dwf_owner_allows(life->owner, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for workflow \"%s\"",
						text_to_cstring(workflow_id)),
				 errdetail("Role \"%s\" does not have the privileges of its owner.",
						   GetUserNameFromId(role, false))));
}

/* Raise WF001 */
static void
report_missing(text *workflow_id)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NO_WORKFLOW),
			 errmsg("workflow \"%s\" does not exist",
					text_to_cstring(workflow_id))));
}

/* Read a workflow's row; raise WF001 or 42501 unless the role may act on it */
void
dwf_identity_check_exists(text *workflow_id, DwfLife *life, Oid role)
{
	if (!dwf_store_life(workflow_id, life))
		report_missing(workflow_id);
	dwf_identity_check_owner(workflow_id, life, role);
}

/*
 * Read what came out of a workflow so far; true if it has ended.  Raises WF001
 * or 42501 unless the role may act on it.
 */
bool
dwf_identity_outcome(text *workflow_id, DwfOutcome *outcome, Oid role)
{
	if (!dwf_store_outcome(workflow_id, outcome))
		report_missing(workflow_id);
	dwf_identity_check_owner(workflow_id, &outcome->life, role);
	return outcome->life.finished;
}

/* Raise WF002 or WF003 for a workflow that has ended */
void
dwf_identity_report_end(text *workflow_id, const DwfLife *life)
{
	Assert(life->finished);
	if (strcmp(life->status, DWF_STATUS_CANCELLED) == 0)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_CANCELLED),
				 errmsg("workflow \"%s\" was cancelled",
						text_to_cstring(workflow_id))));
	ereport(ERROR,
			(errcode(DWF_ERRCODE_FINISHED),
			 errmsg("workflow \"%s\" has already finished",
					text_to_cstring(workflow_id)),
			 errdetail("Its status is %s.", life->status)));
}

/*
 * Raise WF001, 42501, WF002 or WF003 unless the workflow exists, the role may
 * act on it and it has not ended
 */
void
dwf_identity_check_live(text *workflow_id, Oid role)
{
	DwfLife		life;

	dwf_identity_check_exists(workflow_id, &life, role);
	if (life.finished)
		dwf_identity_report_end(workflow_id, &life);
}

/*
 * Raise WF005: a hook of another workflow has the token.  The error names the
 * workflow if the current user may act on it.
 */
void
dwf_identity_report_token(const DwfHook *holder)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_TOKEN_IN_USE),
			 errmsg("token \"%s\" is in use",
					text_to_cstring(holder->token)),
			 dwf_owner_allows(holder->owner, GetUserId()) ?
			 errdetail("It belongs to a hook of workflow \"%s\".",
					   text_to_cstring(holder->workflow_id)) : 0));
	pg_unreachable();
}

/* Raise WF006; the message is the same for each reason */
void
dwf_identity_report_no_hook(void)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NO_HOOK),
			 errmsg("there is no such hook"),
			 errdetail("It never existed, was disposed of, or its workflow has ended.")));
	pg_unreachable();
}

/*
 * The workflow of a hook that a role may await; raises WF006 and 42501.  A
 * session that executes a workflow awaits the hooks of that workflow only: if
 * another workflow has the token now, its own hook is gone.
 */
text *
dwf_identity_hook_workflow(text *token, Oid role)
{
	DwfHook		hook;
	DwfLife		life;

	if (!dwf_store_find_hook(token, &hook) || hook.has_ended ||
		(dwf_claim_state() == DWF_EXECUTES &&
		 !dwf_claim_executes_that(hook.workflow_id)))
		dwf_identity_report_no_hook();
	life.owner = hook.owner;
	dwf_identity_check_owner(hook.workflow_id, &life, role);
	return hook.workflow_id;
}
