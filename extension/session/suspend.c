/*-------------------------------------------------------------------------
 *
 * suspend.c
 *	  Waits that end with the suspension of their workflow.
 *
 * A body waits with its process for durable_wf.suspend_after at most, and not
 * while other workflows are due that have no process (executors.c).  Then it
 * is suspended: what it waits for is written to the table durable_wf.wait, and
 * an error ends the body and frees the process.  When news come for what is
 * written there, or its deadline, the worker has the workflow executed again;
 * the journal replays what the body has done, up to this wait.
 *
 * So does a session that has taken its workflow from a queue, if it has set
 * durable_wf.client_suspend_after: a wait that can commit ends with WF010.  By
 * then the session has given the workflow back, and the client takes another
 * one.
 *
 * The row is written while the waiter is still registered, so that a broadcast
 * finds one or the other.  What committed before the row is seen by the look
 * that follows it; what commits after it is news for the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "session/suspend.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/call_hint.h"
#include "base/settings.h"
#include "session/body_timeout.h"
#include "session/journal.h"
#include "session/journal_open.h"
#include "shared/address.h"
#include "shared/claim.h"
#include "shared/executors.h"
#include "shared/expected.h"
#include "shared/waiter.h"
#include "shared/workers.h"
#include "store/store.h"

/* Raise WF009 unless the wait was CALLed where it can commit */
void
dwf_suspend_check_call(const DwfWait *wait)
{
	if (wait->may_commit || wait->deadline == DWF_WAIT_NEVER)
		return;
	if (wait->is_call)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("%s() cannot wait inside an EXCEPTION block or a function",
						wait->function),
				 errdetail("There it cannot commit what came before."),
				 errhint("CALL it outside of the block, or pass a timeout of 0.")));
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NOT_IN_BODY),
			 errmsg("%s() has to be CALLed in the body of a workflow",
					wait->function),
			 errhint("%s", dwf_call_hint(wait->call, wait->function))));
}

/*
 * Is this a wait of a client's session that may be suspended?  It has to be in
 * a call that a later session makes again, and nothing that the client does
 * meanwhile must be lost with the session: not while a step is open.
 */
bool
dwf_suspend_is_wanted(const DwfWait *wait)
{
	return dwf_setting_client_suspend_after >= 0 && wait->may_commit &&
		wait->call && dwf_claim_is_from_queue() && dwf_journal_in_call() &&
		!dwf_journal_open_any();
}

/*
 * Raise WF003 if this run has ended its workflow.  The end is committed by
 * now, and the error does not undo it.
 */
static void
check_run(const DwfWait *wait)
{
	if (dwf_claim_state() != DWF_EXECUTES)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_FINISHED),
				 errmsg("cannot wait in %s() after the end of the run",
						wait->function),
				 errdetail("There is nothing that could be suspended and go on later."),
				 errhint("This run has ended it, with wf_complete() or its like: let RETURN follow that.")));
}

/*
 * Write down what the workflow waits for, and commit.  From the moment that
 * the worker expects an address, it is told of news there.
 */
static void
write_suspension(DwfWait *wait)
{
	text	   *workflow_id = dwf_claim_require(wait->function);
	DwfAddress	life = {DWF_DOOR_LIFE, workflow_id, NULL};
	int64		wait_id = 0;

	if (wait->wants_id)
		wait_id = dwf_waiter_new_id();

	/* have the worker told of news, before the row shows what to look for */
	dwf_expected_add(dwf_address_hash(&life));
	for (int i = 0; i < wait->nkeys; i++)
		if (wait->keys[i].address.workflow_id)
			dwf_expected_add(dwf_address_hash(&wait->keys[i].address));

	/* an executor that idles may be told instead of it */
	if (dwf_claim_is_body())
		dwf_expected_add_role(dwf_address_hash(&wait->keys[0].address),
							  GetSessionUserId());

	/* what comes on another node is told by that node */
	if (wait->subscribe)
		wait->subscribe(wait);

	/* write the row, and a record in the journal that this call waits */
	dwf_journal_note_wait();
	dwf_store_suspend(workflow_id, dwf_journal_step(), wait->keys, wait->nkeys,
					  wait_id, wait->ends_at);
	dwf_wait_commit();

	/* have the worker look at the deadline */
	if (wait->ends_at != DWF_WAIT_FOREVER)
		dwf_workers_ask_clock(wait->ends_at);
}

/* The wait's time is up, but not its deadline */
static void
suspend(DwfWait *wait)
{
	write_suspension(wait);
	wait->is_suspended = true;
}

/*
 * Would a look succeed?  What the look takes is rolled back; what it raises
 * leaves no subtransaction behind, which would be taken for the client's own.
 */
static bool
peek(DwfWait *wait)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile bool found = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		found = dwf_wait_look(wait, wait->acts_as);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	if (error)
		ReThrowError(error);
	return found;
}

/* Leave the body, which is suspended, by an error */
static void
leave_body(const DwfWait *wait)
{
	dwf_claim_set_suspending(true);
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("workflow \"%s\" is suspended",
					text_to_cstring(dwf_claim_require(wait->function)))));
}

/*
 * Leave the workflow, which is suspended, in the session of a client.  If the
 * worker has resumed it by now, those that wait in its queue were woken while
 * this session still had it, and have passed it by: wake one.  If the worker
 * comes later, the session has given it back before.
 */
static void
leave_client(const DwfWait *wait)
{
	text	   *workflow_id = dwf_claim_require(wait->function);
	DwfAddress	queue = {.door = DWF_DOOR_QUEUE};
	DwfLife		life;

	queue.key = dwf_store_queue(workflow_id);
	dwf_claim_set_suspending(true);
	dwf_claim_pass_by();
	if (queue.key && dwf_store_life(workflow_id, &life) && !life.finished &&
		strcmp(life.status, DWF_STATUS_WAITING) != 0)
		(void) dwf_waiter_wake(dwf_address_hash(&queue), queue.door, 1);
	ereport(ERROR,
			(errcode(DWF_ERRCODE_SUSPENDED),
			 errmsg("workflow \"%s\" is suspended in %s()",
					text_to_cstring(workflow_id), wait->function),
			 errdetail("This session is detached. The workflow is due in its queue again when what it waits for has come."),
			 errhint("Unwind, and take the next workflow with wf_attach_any() or wf_attach_next().")));
}

/*
 * Wait in a body, or in a client's session: with this process for a while, and
 * then without it.  Returns true when the look was successful, false when the
 * wait has ended in vain.  Raises WF003 after the end of a body's run; and
 * 57014, or WF010 to a client, when the workflow is suspended.
 */
bool
dwf_suspend_wait(DwfWait *wait)
{
	bool		in_body = dwf_claim_is_body();
	bool		found;

	if (in_body)
	{
		check_run(wait);
		dwf_body_timeout_stop();
		dwf_executors_rest();
		wait->gives_up = dwf_executors_is_wanted;
	}
	for (;;)
	{
		TimestampTz until = GetCurrentTimestamp();

		until = TimestampTzPlusMilliseconds(until, in_body ?
											dwf_setting_suspend_after :
											dwf_setting_client_suspend_after);
		if (wait->subscribe)
			until = GetCurrentTimestamp();
		until = Min(until, wait->ends_at);
		wait->is_suspended = false;
		found = dwf_wait_until(wait, until, suspend);
		if (found || !wait->is_suspended)
			break;
		if (!peek(wait))
		{
			if (in_body)
				leave_body(wait);
			leave_client(wait);
		}

		/*
		 * It came in the meantime, so the workflow goes on here.  Commit that
		 * before the look takes it: otherwise the workflow's row would stay
		 * locked for as long as the body takes to its next commit.
		 */
		dwf_store_unsuspend(dwf_claim_require(wait->function));
		dwf_wait_commit();
		found = dwf_wait_look(wait, wait->acts_as);
		if (found)
			break;
	}
	if (in_body)
		dwf_executors_go_on();
	return found;
}
