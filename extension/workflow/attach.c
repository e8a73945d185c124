/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  Sessions that execute workflows: wf_attach, wf_detach,
 *	  wf_continue_as_new.
 *
 *	PENDING  --attach--------------->  RUNNING
 *	RUNNING  --attach--------------->  RUNNING	when no session has it
 *	WAITING  --wf_attach------------>  RUNNING
 *	RUNNING  --wf_detach(retry_after)->  PENDING
 *	RUNNING  --wf_continue_as_new--->  PENDING
 *
 * Sessions attach by wf_attach, or take workflows from queues (next.c).
 *
 * RUNNING says that the workflow was executed, not that it is: a session that
 * dies leaves the status.  claim.c knows which session executes it now.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/attach.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/client.h"
#include "base/restricted.h"
#include "cluster/route.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/light_commit.h"
#include "session/trace.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/claims.h"
#include "shared/crash.h"
#include "shared/preloaded.h"
#include "shared/waiter.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(wf_attach);
PG_FUNCTION_INFO_V1(wf_detach);

/* Raise WF009 in the body of a SQL workflow, which its executor keeps */
static void
refuse_in_body(const char *function)
{
	if (dwf_claim_is_body())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot call %s() in the body of a workflow",
						function)));
}

/*
 * Raise unless this session can begin to execute a workflow.  One that another
 * session has ended meanwhile is released.
 */
void
dwf_attach_check(const char *function)
{
	text	   *current;
	DwfLife		life;

	refuse_in_body(function);
	dwf_store_require_writable(function);
	dwf_preloaded_require(function);
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot attach in a REPEATABLE READ or SERIALIZABLE transaction"),
				 errhint("Begin it, and all that follow, with BEGIN ISOLATION LEVEL READ COMMITTED, or SET default_transaction_isolation = 'read committed'.")));
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot attach inside a step")));
	if (dwf_claim_state() == DWF_EXECUTES_NOTHING)
		return;

	current = dwf_claim_held();
	if (dwf_claim_state() == DWF_HAS_ENDED_RUN)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this session is attached to workflow \"%s\" until the transaction commits",
						text_to_cstring(current)),
				 errhint("Commit, and attach then.")));

	/* release a workflow that another session has ended */
	if (!dwf_store_life(current, &life) || life.finished)
		dwf_claim_release();
	else
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this session is attached to workflow \"%s\"",
						text_to_cstring(current)),
				 errhint("Call wf_detach(), or finish it, first.")));
}

/*
 * Attach this session to a workflow.  Returns 0, or the process id of the
 * session that executes it; *ended tells that it has ended, and that this
 * session is not attached.  Blocks while another transaction has its row
 * locked.
 */
int
dwf_attach_try(text *workflow_id, Oid role, bool *ended)
{
	int			holder_pid;

	*ended = false;
	if (!dwf_claim_take(workflow_id, dwf_store_queue(workflow_id),
						&holder_pid))
		return holder_pid;

	/* no other session executes it now, so the journal is complete */
	if (dwf_store_attach(workflow_id, role))
	{
		dwf_journal_begin(workflow_id, dwf_store_last_step(workflow_id));
		dwf_trace_begin(false, NULL);
		dwf_client_note_taken();
	}
	else
	{
		dwf_claim_release();
		*ended = true;
	}
	return 0;
}

/*
 * Attach this session to a workflow, for a search that can take another one.
 * Returns false if another session executes the workflow, if it has ended, or
 * if another transaction has its row locked: *held.  Does not block for that.
 */
bool
dwf_attach_pass(text *workflow_id, Oid role, bool *held)
{
	int			holder_pid;
	DwfLife		life;

	*held = false;
	if (!dwf_claim_take(workflow_id, dwf_store_queue(workflow_id),
						&holder_pid))
		return false;
	if (dwf_store_attach_free(workflow_id, role))
	{
		dwf_journal_begin(workflow_id, dwf_store_last_step(workflow_id));
		dwf_trace_begin(false, NULL);
		return true;
	}
	dwf_claim_pass_by();
	*held = dwf_store_life(workflow_id, &life) && !life.finished;
	return false;
}

/*
 * Attach this process, an executor, to a workflow to run its body, which is
 * due, or suspended; *claimed gets what that needs.  Returns false if another
 * session executes it, if its body is so no more, or if another transaction
 * has its row locked: *held.  Does not block for that.
 */
bool
dwf_attach_body(text *workflow_id, Oid role, bool is_waiting,
				DwfClaimed *claimed, bool *held)
{
	int			holder_pid;
	bool		has_crashed;
	DwfLife		life;

	*held = false;
	if (!dwf_claim_take(workflow_id, NULL, &holder_pid))
		return false;
	has_crashed = dwf_crash_is_noted(workflow_id);
	if (is_waiting ?
		dwf_store_claim_waiting(workflow_id, role, has_crashed, claimed) :
		dwf_store_claim(workflow_id, role, has_crashed, claimed))
	{
		if (claimed->attempts == 1 && !has_crashed)
			dwf_light_commit_note_claim();
		dwf_journal_begin(workflow_id, claimed->last_step);
		dwf_trace_begin(true, claimed->traceparent);
		return true;
	}
	dwf_claim_pass_by();
	*held = dwf_store_life(workflow_id, &life) && !life.finished &&
		life.owner == role && strcmp(life.status, DWF_STATUS_WAITING) != 0;
	return false;
}

/* wf_attach(workflow_id, takeover) → text, the status */
Datum
wf_attach(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	bool		takeover;
	bool		ended;
	int			holder_pid;
	DwfLife		life;

	dwf_restricted_refuse("wf_attach");
	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	dwf_args_require(fcinfo, 1, "takeover");
	takeover = PG_GETARG_BOOL(1);
	dwf_route_require_here("wf_attach", workflow_id);
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	if (life.finished || dwf_claim_executes_that(workflow_id))
		PG_RETURN_TEXT_P(cstring_to_text(life.status));
	dwf_attach_check("wf_attach");

	/* attach, if need be after the end of the session that has it */
	holder_pid = dwf_attach_try(workflow_id, GetUserId(), &ended);
	if (holder_pid != 0 && takeover)
	{
		dwf_claims_evict(workflow_id);
		holder_pid = dwf_attach_try(workflow_id, GetUserId(), &ended);
	}
	if (holder_pid != 0)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_ELSEWHERE),
				 errmsg("workflow \"%s\" is executed by another session",
						text_to_cstring(workflow_id)),
				 errdetail("Its process id is %d.", holder_pid),
				 errhint("If it hangs, end it with takeover => true.")));

	/* what it was suspended in is waited for by this session now */
	if (!ended && strcmp(life.status, DWF_STATUS_WAITING) == 0)
		dwf_store_forget_wait(workflow_id);

	/* the status; it may have ended since the first look */
	if (!ended)
		PG_RETURN_TEXT_P(cstring_to_text("RUNNING"));
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	PG_RETURN_TEXT_P(cstring_to_text(life.status));
}

/*
 * The attached workflow is due again after "retry_after", if that is not zero.
 * Raises 42501.  Blocks while another transaction has its row locked.
 */
static void
put_off(Interval *retry_after)
{
	text	   *workflow_id;
	DwfLife		life;

	if (!dwf_args_is_positive(retry_after, "retry_after") ||
		!dwf_claim_executes(&workflow_id))
		return;
	dwf_store_require_writable("wf_detach");
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	if (!life.finished &&
		dwf_store_put_off(workflow_id, GetUserId(), retry_after))
		dwf_wakeup_note_work(workflow_id, false);
}

/* wf_detach(retry_after) → void; before 1.0.0 without an argument */
Datum
wf_detach(PG_FUNCTION_ARGS)
{
	dwf_restricted_refuse("wf_detach");
	refuse_in_body("wf_detach");
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot detach inside a step")));
	if (PG_NARGS() > 0)
	{
		dwf_args_require(fcinfo, 0, "retry_after");
		put_off(PG_GETARG_INTERVAL_P(0));
	}
	dwf_claim_end_at_commit();
	PG_RETURN_VOID();
}

/* wf_continue_as_new(input) → void */
DWF_JOURNALLED_END(wf_continue_as_new);
static Datum
do_wf_continue_as_new(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	DwfValue	input = {.isnull = PG_ARGISNULL(0)};

	workflow_id = dwf_journal_require("wf_continue_as_new");
	dwf_store_require_writable("wf_continue_as_new");
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot continue as new inside a step")));
	if (!input.isnull)
		input.value = PG_GETARG_DATUM(0);
	while (!dwf_store_restart(workflow_id, GetUserId(), input))
		dwf_identity_check_live(workflow_id, GetUserId());
	dwf_claim_end_at_commit();
	PG_RETURN_VOID();
}
