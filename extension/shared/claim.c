/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Which workflow this session executes: at most one, and no other
 *	  session does.
 *
 * The claim is a word in the session's slot: a hash of database and workflow,
 * written under the attachment lock by who has looked through all slots.  It
 * is not one of the server's locks: those of the user method are released by
 * DISCARD ALL and pg_advisory_unlock_all(), those of the default method with
 * every transaction that aborts, and a session must keep its workflow through
 * both.  A crash clears shared memory, and with it all claims; a session that
 * exits gives its claim back after its transaction has been aborted, so that
 * its successor meets nothing half done.
 *
 *	(none)	  --claim-----------------------> attached
 *	attached  --abort of the claiming one---> (none)
 *	attached  --end_at_commit, commit-------> (none)
 *	attached  --release, exit---------------> (none)
 *
 * Whoever waits for work in the workflow's queue is woken when it is given
 * back.
 *
 * A session that has ended its run (end_at_commit) executes nothing, and holds
 * the workflow still.  So there are three states (DwfAttachmentState), and no
 * function that returns a workflow or NULL: one says whether there is one, and
 * the others return it or raise.  What they return is the caller's own, as a
 * call that commits may lose the workflow in between (a deferred trigger).
 *
 *-------------------------------------------------------------------------
 */
#include "shared/claim.h"

#include <signal.h>

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/client.h"
#include "base/restricted.h"
#include "base/texts.h"
#include "shared/service.h"
#include "shared/shmem.h"
#include "shared/waiter.h"

/* What this session holds, or NULL; in TopMemoryContext */
static text *attached_id = NULL;
static text *attached_queue = NULL;

/* The (sub)transactions that have begun it and that end it, or invalid */
static SubTransactionId begun_by = InvalidSubTransactionId;
static SubTransactionId ended_by = InvalidSubTransactionId;
static bool exit_callback_registered = false;
static bool is_body = false;
static bool is_suspending = false;

/*
 * What does this session execute?  For what runs in it on behalf of somebody
 * else it is nothing.
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
 * in this transaction.  Raises WF008 if there is none (any more).
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

/* It begins, or ends, to do so */
void
dwf_claim_set_body(bool value)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	if (is_body == value || slot == NULL)
		return;
	is_body = value;
	slot->runs_body = value;
	if (value)
		pg_atomic_fetch_add_u32(&dwf_shared->nbodies, 1);
	else
		pg_atomic_fetch_sub_u32(&dwf_shared->nbodies, 1);
}

/* Is the body being left because it is suspended? */
bool
dwf_claim_is_suspending(void)
{
	return is_suspending;
}

void
dwf_claim_set_suspending(bool value)
{
	is_suspending = value;
}

/* What stands for a workflow in a slot: never 0 */
static uint64
claim_hash(text *workflow_id)
{
	DwfAddress	address = {DWF_DOOR_LIFE, workflow_id, NULL};

	return dwf_waiter_hash(&address) | 1;
}

/* The slot that has claimed a workflow, or NULL; the caller holds the lock */
static DwfSlot *
find_claim(uint64 hash)
{
	for (int i = 0; i < dwf_shared->nslots; i++)
		if (pg_atomic_read_u64(&dwf_shared->slots[i].attached) == hash)
			return &dwf_shared->slots[i];
	return NULL;
}

/*
 * Something has changed about a workflow's life, at the address with this
 * hash: if an executor runs its body, interrupt that.  Cannot fail.
 */
void
dwf_claim_interrupt(uint64 life_hash)
{
	DwfSlot    *holder;

	if (dwf_shared == NULL ||
		pg_atomic_read_u32(&dwf_shared->nbodies) == 0)
		return;
	LWLockAcquire(dwf_shmem_claim_lock(), LW_SHARED);
	holder = find_claim(life_hash | 1);
	if (holder && holder->runs_body && holder->attached_pid != MyProcPid)
	{
		holder->is_interrupted = true;	/* all who write it write the same */
		(void) kill(holder->attached_pid, SIGINT);
	}
	LWLockRelease(dwf_shmem_claim_lock());
}

/* Was the body that this session runs told to end? */
bool
dwf_claim_is_interrupted(void)
{
	return is_body && dwf_shmem_my_slot()->is_interrupted;
}

/* How many sessions execute a workflow, in all databases */
int
dwf_claim_count(void)
{
	int			count = 0;

	for (int i = 0; i < dwf_shared->nslots; i++)
		if (pg_atomic_read_u64(&dwf_shared->slots[i].attached) != 0)
			count++;
	return count;
}

/* Does a session execute that workflow now? */
bool
dwf_claim_exists(text *workflow_id)
{
	bool		claimed;

	LWLockAcquire(dwf_shmem_claim_lock(), LW_SHARED);
	claimed = find_claim(claim_hash(workflow_id)) != NULL;
	LWLockRelease(dwf_shmem_claim_lock());
	return claimed;
}

/*
 * What is executed now in this database, of DwfExecution.  If it runs out of
 * memory, the abort unlocks.
 */
List *
dwf_claim_list(void)
{
	List	   *list = NIL;

	LWLockAcquire(dwf_shmem_claim_lock(), LW_SHARED);
	for (int i = 0; i < dwf_shared->nslots; i++)
	{
		DwfSlot    *slot = &dwf_shared->slots[i];
		DwfExecution *execution;

		if (pg_atomic_read_u64(&slot->attached) == 0 ||
			slot->attached_database != MyDatabaseId)
			continue;
		execution = palloc(sizeof(DwfExecution));
		execution->workflow_id = cstring_to_text_with_len(slot->attached_id,
														  slot->attached_length);
		execution->pid = slot->attached_pid;
		execution->is_body = slot->runs_body;
		execution->role = slot->attached_role;
		execution->since = slot->attached_since;
		list = lappend(list, execution);
	}
	LWLockRelease(dwf_shmem_claim_lock());
	return list;
}

/* Give the claim back, and if there is work in it wake whom it concerns */
static void
give_back(bool is_work)
{
	DwfAddress	queue = {DWF_DOOR_QUEUE, NULL, attached_queue};

	if (attached_id == NULL)
		return;
	LWLockAcquire(dwf_shmem_claim_lock(), LW_EXCLUSIVE);
	pg_atomic_write_u64(&dwf_shmem_my_slot()->attached, 0);
	LWLockRelease(dwf_shmem_claim_lock());
	ConditionVariableBroadcast(&dwf_shared->attachment_ended);
	if (!is_work)
		;
	else if (attached_queue)
		(void) dwf_waiter_wake(dwf_waiter_hash(&queue), queue.door, 1);
	else if (MyBackendType != B_BG_WORKER)
		dwf_service_ask_run();	/* a client may have held one that has a body */

	pfree(attached_id);
	if (attached_queue)
		pfree(attached_queue);
	attached_id = attached_queue = NULL;
	begun_by = ended_by = InvalidSubTransactionId;
	dwf_client_keep_as_set();
}

/* Give the claim back, and wake whom it concerns.  Cannot fail. */
void
dwf_claim_release(void)
{
	give_back(true);
}

/*
 * Give the claim back of a workflow that cannot be executed now: a wake would
 * have the next one try the same.  Cannot fail.
 */
void
dwf_claim_pass_by(void)
{
	give_back(false);
}

/* Runs when the session's transaction has been aborted already */
static void
attachment_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_claim_set_body(false);
	dwf_claim_release();
}

/*
 * Claim a workflow for this session, which has none.  False if another
 * session has it: then holder_pid says which.
 */
bool
dwf_claim_take(text *workflow_id, text *queue, int *holder_pid)
{
	uint64		hash = claim_hash(workflow_id);
	text	   *id_copy = dwf_texts_copy_to_top(workflow_id);
	text	   *queue_copy = dwf_texts_copy_to_top(queue);
	DwfSlot    *slot = dwf_shmem_my_slot();
	DwfSlot    *holder;

	Assert(attached_id == NULL && slot != NULL && !dwf_restricted());
	if (!exit_callback_registered)
	{
		on_shmem_exit(attachment_exit, (Datum) 0);
		exit_callback_registered = true;
	}

	LWLockAcquire(dwf_shmem_claim_lock(), LW_EXCLUSIVE);
	holder = find_claim(hash);
	if (holder)
		*holder_pid = holder->attached_pid;
	else
	{
		slot->attached_pid = MyProcPid;
		slot->attached_database = MyDatabaseId;
		slot->attached_role = GetSessionUserId();
		slot->attached_since = GetCurrentTimestamp();
		slot->attached_length = VARSIZE_ANY_EXHDR(workflow_id);
		memcpy(slot->attached_id, VARDATA_ANY(workflow_id),
			   slot->attached_length);
		slot->is_interrupted = false;
		pg_atomic_write_u64(&slot->attached, hash);
	}
	LWLockRelease(dwf_shmem_claim_lock());

	if (holder)
	{
		pfree(id_copy);
		if (queue_copy)
			pfree(queue_copy);
		return false;
	}
	dwf_client_keep_alive();
	attached_id = id_copy;
	attached_queue = queue_copy;
	begun_by = GetCurrentSubTransactionId();
	return true;
}

/*
 * End the session that executes a workflow, if there is one, and wait until it
 * has given it back.  Interruptible; the caller may act on the workflow.
 */
void
dwf_claim_evict(text *workflow_id)
{
	uint64		hash = claim_hash(workflow_id);
	int			evicted = 0;

	ConditionVariablePrepareToSleep(&dwf_shared->attachment_ended);
	for (;;)
	{
		DwfSlot    *holder;
		bool		gone;

		/* under the lock the holder is there, and its pid not another's */
		LWLockAcquire(dwf_shmem_claim_lock(), LW_SHARED);
		holder = find_claim(hash);
		gone = holder == NULL ||
			(evicted != 0 && holder->attached_pid != evicted);
		if (!gone && evicted == 0)
		{
			evicted = holder->attached_pid;
			(void) kill(evicted, SIGTERM);
		}
		LWLockRelease(dwf_shmem_claim_lock());
		if (gone)
			break;
		ConditionVariableSleep(&dwf_shared->attachment_ended,
							   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/*
 * If this transaction commits, the session executes nothing any more.  What
 * runs in it on behalf of somebody else cannot do that.
 */
void
dwf_claim_end_at_commit(void)
{
	if (attached_id && !dwf_restricted() && ended_by == InvalidSubTransactionId)
		ended_by = GetCurrentSubTransactionId();
}

/* The transaction has ended.  Cannot fail. */
void
dwf_claim_end_xact(bool commit)
{
	SubTransactionId ends = commit ? ended_by : begun_by;

	begun_by = ended_by = InvalidSubTransactionId;
	if (ends != InvalidSubTransactionId)
		dwf_claim_release();
}

/* A subtransaction has aborted, with what it and its children began or ended */
void
dwf_claim_end_subxact(SubTransactionId subid)
{
	if (ended_by != InvalidSubTransactionId && ended_by >= subid)
		ended_by = InvalidSubTransactionId;
	if (begun_by != InvalidSubTransactionId && begun_by >= subid)
		dwf_claim_release();
}
