/*-------------------------------------------------------------------------
 *
 * retry.c
 *	  A workflow goes on, or back to a step: wf_retry.
 *
 *	ERROR, CANCELLED  --wf_retry(id)--------->  PENDING
 *	SUCCESS, ERROR, CANCELLED, WAITING
 *					  --wf_retry(id, step)--->  PENDING
 *
 * A workflow that goes back loses the records from that step on, and what
 * these steps had taken is in its queues again.  A session that has executed
 * the workflow until its end may still write to the journal until it gives
 * its claim back.  So that is waited for, before the workflow's row is locked:
 * the session may need the row to give up.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/texts.h"
#include "cluster/token_home.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/journal_taken.h"
#include "session/wakeup.h"
#include "shared/claims.h"
#include "shared/crash.h"
#include "store/store.h"

/* For so many ms a retry waits for a session that leaves an ended workflow */
#define LEAVE_TIME	5000

/* Raise 55000 about a workflow that a session executes */
DWF_NORETURN static void
report_executed(text *workflow_id, int pid)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a session still executes workflow \"%s\"",
					text_to_cstring(workflow_id)),
			 errdetail("Its process id is %d.", pid),
			 errhint("It goes back when that session has left it.")));
	pg_unreachable();
}

/*
 * Raise 55000 unless a workflow has ended, or is suspended, and no session
 * executes it.  Blocks for LEAVE_TIME at most while one leaves it.
 */
static void
check_can_go_back(text *workflow_id)
{
	DwfLife		life;
	int			pid;

	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	if (!life.finished && strcmp(life.status, DWF_STATUS_WAITING) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" has not ended, and is not suspended in a wait",
						text_to_cstring(workflow_id)),
				 errdetail("Its status is %s.", life.status),
				 errhint("Cancel it first, with wf_cancel().")));
	pid = dwf_claims_await_release(workflow_id, LEAVE_TIME);
	if (pid != 0)
		report_executed(workflow_id, pid);
}

/*
 * Put what a step has taken back into the queues.  Raises 55000 if the journal
 * does not know what that was, and 42501 if the mailbox is another role's now.
 */
static void
put_back(text *workflow_id, const DwfRecord *record)
{
	DwfTaken	taken;
	DwfLife		life;
	int			count = dwf_journal_taken_decode(record, workflow_id, &taken);

	if (count < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot put back what step %d of workflow \"%s\" received",
						record->step_no, text_to_cstring(workflow_id)),
				 errdetail("%s() was recorded by an earlier version, without its message's place in the queue.",
						   record->function),
				 errhint("Go back to step %d or a later one.",
						 record->step_no + 1)));
	for (int i = 0; i < count; i++)
	{
		text	   *mailbox = DatumGetTextPP(taken.workflow_ids[i]);

		if (!dwf_texts_equal(mailbox, workflow_id) &&
			dwf_store_life(mailbox, &life))
			dwf_identity_check_owner(mailbox, &life, GetUserId());
	}
	if (count > 0)
		dwf_store_put_back(&taken, count, GetUserId());
}

/* Put back what the steps from "from_step" on have taken, and drop them */
static void
drop_steps(text *workflow_id, int from_step)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "durable_wf retry",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	DwfRecord	record = {0};
	int			step_no = from_step;

	while (dwf_store_next_taken(workflow_id, step_no, &record))
	{
		CHECK_FOR_INTERRUPTS();
		put_back(workflow_id, &record);
		step_no = record.step_no + 1;
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	dwf_store_drop_steps(workflow_id, from_step);
}

/*
 * Take a workflow back to a step.  Raises 22023 if it has not come so far, and
 * the errors of check_can_go_back() and put_back().
 */
static void
go_back(text *workflow_id, int from_step)
{
	int			last_step;
	int			pid;

	check_can_go_back(workflow_id);
	while (!dwf_store_go_back(workflow_id, GetUserId()))
		check_can_go_back(workflow_id);
	pid = dwf_claims_await_release(workflow_id, 0);
	if (pid != 0)
		report_executed(workflow_id, pid);

	last_step = dwf_store_last_step(workflow_id);
	if (from_step > last_step + 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workflow \"%s\" has no step %d",
						text_to_cstring(workflow_id), from_step),
				 errdetail("Its journal has %d steps.", last_step)));
	drop_steps(workflow_id, from_step);
	dwf_wakeup_note_work(workflow_id, true);
}

/* Have a workflow that ended badly go on; raises 55000 if it did not */
static void
go_on(text *workflow_id)
{
	DwfLife		life;

	if (dwf_store_retry(workflow_id, GetUserId()))
		return;
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("workflow \"%s\" did not end with an error or a cancellation",
					text_to_cstring(workflow_id)),
			 errdetail("Its status is %s.", life.status)));
}

/* What wf_retry settles where it is called: the tokens are the workflow's */
static void
settle_retry(FunctionCallInfo fcinfo)
{
	if (!PG_ARGISNULL(0))
		dwf_token_home_claim_all(PG_GETARG_TEXT_PP(0));
}

/* wf_retry(workflow_id, from_step) → void */
DWF_JOURNALLED_ALSO(wf_retry, 0, DWF_AT_WORKFLOW(0), settle_retry, NULL);
static Datum
do_wf_retry(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	DwfHook		holder;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	dwf_store_require_writable("wf_retry");
	if (PG_NARGS() > 1 && !PG_ARGISNULL(1))
	{
		int			from_step = PG_GETARG_INT32(1);

		if (from_step < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("from_step must be at least 1")));
		go_back(workflow_id, from_step);
	}
	else
		go_on(workflow_id);
	if (!dwf_store_restore_taken_hooks(workflow_id, &holder))
		dwf_identity_report_token(&holder);
	dwf_crash_forget(workflow_id);
	PG_RETURN_VOID();
}
