/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Which workflow this session executes: at most one.
 *
 * What all sessions execute is in shared memory (claims.c).
 *
 *	(none)	  --claim-----------------------> attached
 *	attached  --abort of the claiming one---> (none)
 *	attached  --end_at_commit, commit-------> (none)
 *	attached  --finish_at_commit, commit----> (none)
 *	attached  --release, exit---------------> (none)
 *
 * A claim that is given back wakes a waiter for work in the workflow's queue,
 * unless this session has ended the workflow (finish_at_commit): then there is
 * nothing left to execute.  So what makes the workflow due while this session
 * has the claim wakes nobody by itself (dwf_claim_has_news): the end of the
 * claim does, and only when that has come can another session take it.
 *
 * The queue is that of the workflow when it was claimed.  Meanwhile others can
 * have removed it and started it anew elsewhere, and the session that begins
 * by wf_start_attached does not know yet what there is.  So a session that has
 * looked elsewhere and met the claim makes its end wake all that wait.
 *
 * A session that has ended its run (end_at_commit) executes nothing, and holds
 * the workflow still.  So there are three states (DwfAttachmentState), and no
 * function that returns a workflow or NULL: one says whether there is one, and
 * the others return it or raise.  They return a copy, as a call that commits
 * may lose the workflow in between (a deferred trigger).
 *
 *-------------------------------------------------------------------------
 */
#include "shared/claim.h"

#include "miscadmin.h"
#include "storage/ipc.h"

#include "base/client.h"
#include "base/restricted.h"
#include "base/texts.h"
#include "shared/address.h"
#include "shared/claims.h"
#include "shared/crash.h"
#include "shared/slot.h"
#include "shared/waiter.h"
#include "shared/workers.h"

/* What this session holds, or NULL; in TopMemoryContext */
static text *attached_id = NULL;
static text *attached_queue = NULL;
static uint64 queue_hash = 0;	/* of the queue's address; 0: it has none */

/* The (sub)transactions that have begun and that end the claim, or invalid */
static SubTransactionId begun_by = InvalidSubTransactionId;
static SubTransactionId ended_by = InvalidSubTransactionId;
static bool exit_callback_registered = false;
static bool is_lost = false;	/* "ended_by" is no leave, but a loss */
static bool is_unsure = false;	/* it is not known if there is work in it */
static bool is_over = false;	/* "ended_by" is the end of the workflow */
static bool is_from_queue = false;
static bool is_body = false;
static bool is_suspending = false;

/*
 * What does this session execute?  Nothing, as seen from code that runs in it
 * in a security-restricted operation (restricted.c).
 */
DwfAttachmentState
dwf_claim_state(void)
{
	if (attached_id == NULL || dwf_restricted())
		return DWF_EXECUTES_NOTHING;
	return ended_by == InvalidSubTransactionId ? DWF_EXECUTES :
		DWF_HAS_ENDED_RUN;
}

/* Does this session execute a workflow?  If so, it is *workflow_id. */
bool
dwf_claim_executes(text **workflow_id)
{
	bool		executes = dwf_claim_state() == DWF_EXECUTES;

	*workflow_id = executes ? dwf_texts_copy(attached_id) : NULL;
	return executes;
}

/* Does this session execute that workflow? */
bool
dwf_claim_executes_that(const text *workflow_id)
{
	return dwf_claim_state() == DWF_EXECUTES &&
		dwf_texts_equal(workflow_id, attached_id);
}

/* The workflow that this session executes; raises WF008 if there is none */
text *
dwf_claim_require(const char *function)
{
	if (dwf_claim_state() != DWF_EXECUTES)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NO_CURRENT),
				 errmsg("%s() is for sessions that are attached to a workflow",
						function),
				 is_body ?
				 errhint("This run has ended it, with wf_complete() or its like: let RETURN follow that.") :
				 errhint("Call wf_attach() first; the body of a workflow is run by wf_start().")));
	return dwf_texts_copy(attached_id);
}

/*
 * The workflow that this session holds: it executes it, or has ended its run
 * in this transaction.  Raises WF008 if it holds none.
 */
text *
dwf_claim_held(void)
{
	if (dwf_claim_state() == DWF_EXECUTES_NOTHING)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NO_CURRENT),
				 errmsg("this session has left the workflow that it executed"),
				 errdetail("The call began in the workflow, and a commit in it has ended the run.")));
	return dwf_texts_copy(attached_id);
}

/* Does this session run the body of a SQL workflow? */
bool
dwf_claim_is_body(void)
{
	return is_body;
}

/* This session begins, or ends, to run a body */
void
dwf_claim_set_body(bool value)
{
	if (is_body == value || dwf_slot_mine() == DWF_NO_SLOT)
		return;
	is_body = value;
	dwf_claims_set_body(value);
}

/* Is the workflow being left because it is suspended? */
bool
dwf_claim_is_suspending(void)
{
	return is_suspending;
}

/*
 * The workflow is being left because it is suspended, or it is not left so.
 * In a session this lasts until the transaction has ended.
 */
void
dwf_claim_set_suspending(bool value)
{
	is_suspending = value;
}

/* Was the body that this session runs told to end? */
bool
dwf_claim_is_interrupted(void)
{
	return is_body && dwf_claims_is_interrupted();
}

/*
 * Give the claim back, if this session has one; if there is work in it, wake
 * what may do that work.  "if_skipped": also if another session has met the
 * claim, which may have skipped what became work since.
 */
static void
give_back(bool is_work, bool if_skipped)
{
	bool		was_skipped;
	bool		elsewhere;

	if (attached_id == NULL)
		return;
	was_skipped = dwf_claims_remove(&elsewhere);
	is_work = (is_work && !is_unsure) ||
		((if_skipped || is_unsure) && was_skipped);
	is_over = is_unsure = false;

	/* a client may have held a workflow that has a body */
	if (elsewhere)
	{
		dwf_waiter_wake_database(false);
		dwf_workers_ask_run();
	}
	else if (is_work && attached_queue)
		(void) dwf_waiter_wake(queue_hash, DWF_DOOR_QUEUE, 1);
	else if (is_work && MyBackendType != B_BG_WORKER)
		dwf_workers_ask_run();

	/* this session executes nothing now */
	pfree(attached_id);
	if (attached_queue)
		pfree(attached_queue);
	attached_id = attached_queue = NULL;
	begun_by = ended_by = InvalidSubTransactionId;
	is_lost = is_from_queue = false;
	if (MyBackendType != B_BG_WORKER)
		dwf_crash_leave();		/* an executor says itself what it runs */
	dwf_client_keep_as_set();
}

/* Give the claim back, and wake what may execute it next.  Cannot fail. */
void
dwf_claim_release(void)
{
	give_back(true, false);
}

/*
 * Give the claim back of a workflow that cannot be executed now.  What is
 * woken would try the same workflow, so that wakes nothing, unless another
 * session has met the claim: that one has yet to learn why, and when to look
 * again.  Cannot fail.
 */
void
dwf_claim_pass_by(void)
{
	give_back(false, true);
}

/*
 * Give the claim back of a workflow that this session has suspended; the
 * caller wakes, if it is due again.  Cannot fail.
 */
void
dwf_claim_suspend(void)
{
	give_back(false, false);
}

/* The process exits; its transaction has been aborted already */
static void
claim_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_claim_set_body(false);
	dwf_claim_release();
}

/*
 * Claim a workflow for this session, which has none.  False if another
 * session has it: then *holder_pid is that session's.
 */
bool
dwf_claim_take(text *workflow_id, text *queue, int *holder_pid)
{
	text	   *id_copy = dwf_texts_copy_to_top(workflow_id);
	text	   *queue_copy = dwf_texts_copy_to_top(queue);
	DwfAddress	address = {DWF_DOOR_QUEUE, NULL, queue};
	uint64		hash = queue ? dwf_address_hash(&address) : 0;

	Assert(attached_id == NULL && dwf_slot_mine() != DWF_NO_SLOT &&
		   !dwf_restricted());
	if (!exit_callback_registered)
	{
		on_shmem_exit(claim_exit, (Datum) 0);
		exit_callback_registered = true;
		if (MyBackendType != B_BG_WORKER)
			dwf_crash_watch();
	}
	if (!dwf_claims_append(workflow_id, hash, holder_pid))
	{
		pfree(id_copy);
		if (queue_copy)
			pfree(queue_copy);
		return false;
	}

	/* this session executes it from now on */
	dwf_client_keep_alive();
	attached_id = id_copy;
	attached_queue = queue_copy;
	queue_hash = hash;
	begun_by = GetCurrentSubTransactionId();
	return true;
}

/* The workflow that this session holds was taken from a queue */
void
dwf_claim_set_from_queue(void)
{
	is_from_queue = true;
}

/* Was the workflow that this session executes taken from a queue? */
bool
dwf_claim_is_from_queue(void)
{
	return is_from_queue && dwf_claim_state() == DWF_EXECUTES;
}

/*
 * If this transaction commits, the session executes nothing after it.  Code in
 * a security-restricted operation cannot bring that about.
 */
void
dwf_claim_end_at_commit(void)
{
	if (attached_id && !dwf_restricted() &&
		ended_by == InvalidSubTransactionId)
	{
		ended_by = GetCurrentSubTransactionId();
		is_lost = false;
	}
}

/*
 * Is it unknown yet whether the claimed workflow is work?  Then the end of the
 * claim wakes only if another session has met the claim.
 */
void
dwf_claim_set_unsure(bool value)
{
	is_unsure = value;
}

/*
 * As dwf_claim_end_at_commit(), of a workflow that this session has ended: if
 * it is not made to go on in this transaction, no session can execute it then
 */
void
dwf_claim_finish_at_commit(void)
{
	if (ended_by != InvalidSubTransactionId)
		return;
	dwf_claim_end_at_commit();
	is_over = ended_by != InvalidSubTransactionId;

	/* another session may make it go on between our commit and our release */
	if (is_over)
		dwf_claims_forget_skips();
}

/*
 * A row is about to make a workflow due, in that queue or, if NULL, elsewhere.
 * Does this session have its claim, whose end will wake a waiter in the queue?
 */
bool
dwf_claim_has_news(const text *workflow_id, const text *queue)
{
	if (attached_id == NULL || !dwf_texts_equal(workflow_id, attached_id))
		return false;
	is_over = false;
	return attached_queue && queue && dwf_texts_equal(queue, attached_queue);
}

/*
 * As dwf_claim_end_at_commit(), but that counts as if the session had died in
 * its workflow: a pool cleans up after a client that has gone
 */
void
dwf_claim_lose_at_commit(void)
{
	if (attached_id && !dwf_restricted() &&
		ended_by == InvalidSubTransactionId)
	{
		ended_by = GetCurrentSubTransactionId();
		is_lost = true;
	}
}

/*
 * The transaction has ended.  From the commit of the attach on, the death of
 * the session is noted.  Cannot fail.
 */
void
dwf_claim_end_xact(bool commit)
{
	SubTransactionId ends = commit ? ended_by : begun_by;
	bool		is_work = !commit || !is_over;

	if (commit && begun_by != InvalidSubTransactionId &&
		ends == InvalidSubTransactionId && MyBackendType != B_BG_WORKER)
		dwf_crash_enter(attached_id);
	if (commit && is_lost && MyBackendType != B_BG_WORKER)
		dwf_crash_note();
	begun_by = ended_by = InvalidSubTransactionId;
	is_lost = is_over = false;
	if (!is_body && MyBackendType != B_BG_WORKER)
		is_suspending = false;
	if (ends != InvalidSubTransactionId)
		give_back(is_work, true);
}

/* A subtransaction aborts, with what it and its children began or ended */
void
dwf_claim_end_subxact(SubTransactionId subid)
{
	if (ended_by != InvalidSubTransactionId && ended_by >= subid)
	{
		ended_by = InvalidSubTransactionId;
		is_lost = is_over = false;
	}
	if (begun_by != InvalidSubTransactionId && begun_by >= subid)
		dwf_claim_release();
}
