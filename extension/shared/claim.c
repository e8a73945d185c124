/*-------------------------------------------------------------------------
 *
 * claim.c
 *	  Which workflow this session executes: at most one, and no other
 *	  session does.
 *
 * The claim is a word in the session's slot: a hash of database and workflow,
 * which the session writes after it has looked through all slots, under the
 * claim lock.  It is not one of the server's locks: those of the user method
 * are released by DISCARD ALL and pg_advisory_unlock_all(), those of the
 * default method with every transaction that aborts, and a session must keep
 * its workflow through both.  A crash clears shared memory, and with it all
 * claims; a session that exits gives its claim back after its transaction has
 * been aborted, so that its successor meets nothing half done.
 *
 *	(none)	  --claim-----------------------> attached
 *	attached  --abort of the claiming one---> (none)
 *	attached  --end_at_commit, commit-------> (none)
 *	attached  --release, exit---------------> (none)
 *
 * A claim that is given back wakes a waiter for work in the workflow's queue.
 *
 * A session that has ended its run (end_at_commit) executes nothing, and holds
 * the workflow still.  So there are three states (DwfAttachmentState), and no
 * function that returns a workflow or NULL: one says whether there is one, and
 * the others return it or raise.  They return a copy, as a call that commits
 * may lose the workflow in between (a deferred trigger).
 *
 * Locks: one LWLock guards the claims; no other lock is taken under it.  A
 * process that holds it may send a signal to the session that has a claim: the
 * session cannot give the claim back and exit meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/claim.h"

#include <signal.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/client.h"
#include "base/restricted.h"
#include "base/texts.h"
#include "shared/address.h"
#include "shared/crash.h"
#include "shared/preloaded.h"
#include "shared/slot.h"
#include "shared/waiter.h"
#include "shared/workers.h"

/* What the session in a slot executes */
typedef struct Claim
{
	pg_atomic_uint64 hash;		/* of the workflow, or 0: none.  Written under
								 * the lock, exclusive; read without it by
								 * dwf_claim_count() */
	int			pid;			/* this and the following as hash, and while
								 * that is not 0 they stay */
	Oid			database;
	Oid			role;
	TimestampTz since;
	int			length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	bool		runs_body;		/* it is an executor that runs the body: its
								 * process alone writes this, without a lock */
	bool		is_interrupted; /* the body has to end: reset with the lock
								 * exclusive, set with the lock shared (all
								 * set the same), read without it */
} Claim;

typedef struct Claims
{
	ConditionVariable given_back;	/* a claim was */
	pg_atomic_uint32 nbodies;	/* how many slots run a body */
	Claim		claims[FLEXIBLE_ARRAY_MEMBER];	/* by slot */
} Claims;

static Claims *shared = NULL;
static LWLock *lock = NULL;

/* What this session holds, or NULL; in TopMemoryContext */
static text *attached_id = NULL;
static text *attached_queue = NULL;

/* The (sub)transactions that have begun and that end the claim, or invalid */
static SubTransactionId begun_by = InvalidSubTransactionId;
static SubTransactionId ended_by = InvalidSubTransactionId;
static bool exit_callback_registered = false;
static bool is_lost = false;	/* "ended_by" is no leave, but a loss */
static bool is_from_queue = false;
static bool is_body = false;
static bool is_suspending = false;

/* How much shared memory this part needs */
Size
dwf_claim_size(void)
{
	return add_size(offsetof(Claims, claims),
					mul_size(dwf_slot_count(), sizeof(Claim)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_claim_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	shared = ShmemInitStruct("durable_wf claims", dwf_claim_size(), &found);
	if (found)
		return;
	memset(shared, 0, dwf_claim_size());
	ConditionVariableInit(&shared->given_back);
	pg_atomic_init_u32(&shared->nbodies, 0);
	for (int i = 0; i < dwf_slot_count(); i++)
		pg_atomic_init_u64(&shared->claims[i].hash, 0);
}

/* This session's own claim */
static Claim *
my_claim(void)
{
	return &shared->claims[dwf_slot_mine()];
}

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
	my_claim()->runs_body = value;
	if (value)
		pg_atomic_fetch_add_u32(&shared->nbodies, 1);
	else
		pg_atomic_fetch_sub_u32(&shared->nbodies, 1);
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

/* The hash that stands for a workflow in a claim; never 0 */
static uint64
claim_hash(text *workflow_id)
{
	DwfAddress	address = {DWF_DOOR_LIFE, workflow_id, NULL};

	return dwf_address_hash(&address) | 1;
}

/* The claim of a workflow, or NULL; the caller holds the lock */
static Claim *
find_claim(uint64 hash)
{
	for (int i = 0; i < dwf_slot_count(); i++)
		if (pg_atomic_read_u64(&shared->claims[i].hash) == hash)
			return &shared->claims[i];
	return NULL;
}

/*
 * A workflow's life, the address with this hash, has changed: if an executor
 * runs the workflow's body, interrupt that executor.  Cannot fail.
 */
void
dwf_claim_interrupt(uint64 life_hash)
{
	Claim	   *claim;

	if (!dwf_preloaded() || pg_atomic_read_u32(&shared->nbodies) == 0)
		return;
	LWLockAcquire(lock, LW_SHARED);
	claim = find_claim(life_hash | 1);
	if (claim && claim->runs_body && claim->pid != MyProcPid)
	{
		claim->is_interrupted = true;
		(void) kill(claim->pid, SIGINT);
	}
	LWLockRelease(lock);
}

/* Was the body that this session runs told to end? */
bool
dwf_claim_is_interrupted(void)
{
	return is_body && my_claim()->is_interrupted;
}

/* How many sessions execute a workflow, in all databases */
int
dwf_claim_count(void)
{
	int			count = 0;

	for (int i = 0; i < dwf_slot_count(); i++)
		if (pg_atomic_read_u64(&shared->claims[i].hash) != 0)
			count++;
	return count;
}

/* Does any session execute that workflow now? */
bool
dwf_claim_exists(text *workflow_id)
{
	bool		claimed;

	LWLockAcquire(lock, LW_SHARED);
	claimed = find_claim(claim_hash(workflow_id)) != NULL;
	LWLockRelease(lock);
	return claimed;
}

/* What sessions of this database execute now, as DwfExecution */
List *
dwf_claim_list(void)
{
	List	   *list = NIL;

	/* palloc may raise out of memory: then the abort unlocks */
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < dwf_slot_count(); i++)
	{
		Claim	   *claim = &shared->claims[i];
		DwfExecution *execution;

		if (pg_atomic_read_u64(&claim->hash) == 0 ||
			claim->database != MyDatabaseId)
			continue;
		execution = palloc(sizeof(DwfExecution));
		execution->workflow_id = cstring_to_text_with_len(claim->workflow_id,
														  claim->length);
		execution->pid = claim->pid;
		execution->is_body = claim->runs_body;
		execution->role = claim->role;
		execution->since = claim->since;
		execution->slot = (int) (claim - shared->claims);
		list = lappend(list, execution);
	}
	LWLockRelease(lock);
	return list;
}

/*
 * Give the claim back, if this session has one; if there is work in it, wake
 * what may do that work
 */
static void
give_back(bool is_work)
{
	DwfAddress	queue = {DWF_DOOR_QUEUE, NULL, attached_queue};

	if (attached_id == NULL)
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	pg_atomic_write_u64(&my_claim()->hash, 0);
	LWLockRelease(lock);
	ConditionVariableBroadcast(&shared->given_back);

	/* a client may have held a workflow that has a body */
	if (is_work && attached_queue)
		(void) dwf_waiter_wake(dwf_address_hash(&queue), queue.door, 1);
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
	give_back(true);
}

/*
 * Give the claim back of a workflow that cannot be executed now, and wake
 * nothing: what is woken would try the same workflow.  Cannot fail.
 */
void
dwf_claim_pass_by(void)
{
	give_back(false);
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
	uint64		hash = claim_hash(workflow_id);
	text	   *id_copy = dwf_texts_copy_to_top(workflow_id);
	text	   *queue_copy = dwf_texts_copy_to_top(queue);
	Claim	   *mine = my_claim();
	Claim	   *other;

	Assert(attached_id == NULL && dwf_slot_mine() != DWF_NO_SLOT &&
		   !dwf_restricted());
	if (!exit_callback_registered)
	{
		on_shmem_exit(claim_exit, (Datum) 0);
		exit_callback_registered = true;
		if (MyBackendType != B_BG_WORKER)
			dwf_crash_watch();
	}

	/* look through all slots and write ours, under one lock */
	LWLockAcquire(lock, LW_EXCLUSIVE);
	other = find_claim(hash);
	if (other)
		*holder_pid = other->pid;
	else
	{
		mine->pid = MyProcPid;
		mine->database = MyDatabaseId;
		mine->role = GetSessionUserId();
		mine->since = GetCurrentTimestamp();
		mine->length = VARSIZE_ANY_EXHDR(workflow_id);
		memcpy(mine->workflow_id, VARDATA_ANY(workflow_id), mine->length);
		mine->is_interrupted = false;
		pg_atomic_write_u64(&mine->hash, hash);
	}
	LWLockRelease(lock);

	if (other)
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
	begun_by = GetCurrentSubTransactionId();
	return true;
}

/*
 * End the session that executes a workflow, if there is one, and wait until it
 * has given the workflow back.  Interruptible; the caller has tested that its
 * role may act on the workflow.
 */
void
dwf_claim_evict(text *workflow_id)
{
	uint64		hash = claim_hash(workflow_id);
	int			evicted = 0;

	ConditionVariablePrepareToSleep(&shared->given_back);
	for (;;)
	{
		Claim	   *claim;
		bool		gone;

		/* under the lock the pid is that session's, and no later process's */
		LWLockAcquire(lock, LW_SHARED);
		claim = find_claim(hash);
		gone = claim == NULL || (evicted != 0 && claim->pid != evicted);
		if (!gone && evicted == 0)
		{
			evicted = claim->pid;
			(void) kill(evicted, SIGTERM);
		}
		LWLockRelease(lock);
		if (gone)
			break;
		ConditionVariableSleep(&shared->given_back, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/*
 * Wait until no session executes a workflow, for so many ms.  Returns 0, or
 * the process id of the session that does, at once if that is this one.
 */
int
dwf_claim_await_release(text *workflow_id, int timeout)
{
	uint64		hash = claim_hash(workflow_id);
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												  timeout);
	int			pid;

	if (!dwf_preloaded())
		return 0;
	ConditionVariablePrepareToSleep(&shared->given_back);
	for (;;)
	{
		Claim	   *claim;
		long		left;

		LWLockAcquire(lock, LW_SHARED);
		claim = find_claim(hash);
		pid = claim ? claim->pid : 0;
		LWLockRelease(lock);
		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);
		if (pid == 0 || pid == MyProcPid || left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&shared->given_back, left,
										   PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return pid;
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

	if (commit && begun_by != InvalidSubTransactionId &&
		ends == InvalidSubTransactionId && MyBackendType != B_BG_WORKER)
		dwf_crash_enter(attached_id);
	if (commit && is_lost && MyBackendType != B_BG_WORKER)
		dwf_crash_note();
	begun_by = ended_by = InvalidSubTransactionId;
	is_lost = false;
	if (!is_body && MyBackendType != B_BG_WORKER)
		is_suspending = false;
	if (ends != InvalidSubTransactionId)
		dwf_claim_release();
}

/* A subtransaction aborts, with what it and its children began or ended */
void
dwf_claim_end_subxact(SubTransactionId subid)
{
	if (ended_by != InvalidSubTransactionId && ended_by >= subid)
	{
		ended_by = InvalidSubTransactionId;
		is_lost = false;
	}
	if (begun_by != InvalidSubTransactionId && begun_by >= subid)
		dwf_claim_release();
}
