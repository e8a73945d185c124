/*-------------------------------------------------------------------------
 *
 * claims.c
 *	  Which workflows all sessions execute: no two the same.
 *
 * The claims that exist stand side by side in a list, each with a hash of
 * database and workflow, so that a look for one reads no more than there are.
 * A session appends its claim after it has looked through the list, under the
 * claim lock.  It is not one of the server's locks: those of the user method
 * are released by DISCARD ALL and pg_advisory_unlock_all(), those of the
 * default method with every transaction that aborts, and a session must keep
 * its workflow through both.  A crash clears shared memory, and with it all
 * claims; a session that exits gives its claim back after its transaction has
 * been aborted, so that its successor meets nothing half done.
 *
 * Locks: one LWLock guards the claims; no other lock is taken under it.  A
 * process that holds it may send a signal to the session that has a claim: the
 * session cannot give the claim back and exit meanwhile.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/claims.h"

#include <signal.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/address.h"
#include "shared/preloaded.h"
#include "shared/slot.h"

/* What the session in a slot executes, if the slot is in the list */
typedef struct Claim
{
	int			entry;			/* its place in the list.  This and the
								 * following are written under the lock,
								 * exclusive; while the slot is in the list
								 * they stay, but for the place */
	int			pid;
	Oid			database;
	Oid			role;
	TimestampTz since;
	int			length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	bool		runs_body;		/* it is an executor that runs the body: its
								 * process alone writes this, without a lock */
	uint64		queue_hash;		/* of the queue's address; 0: it has none */
	bool		was_skipped;	/* a session that looked in that queue has met
								 * it.  Both are set with the lock */
	bool		was_skipped_elsewhere;	/* one that looked elsewhere has */
	bool		is_interrupted; /* the body has to end: reset with the lock
								 * exclusive, set with the lock shared (all
								 * set the same), read without it */
} Claim;

/* An entry of the list; the lock, exclusive to write */
typedef struct Entry
{
	uint64		hash;			/* of the workflow */
	int			slot;			/* of the session that has claimed it */
} Entry;

typedef struct Claims
{
	ConditionVariable given_back;	/* a claim was */
	pg_atomic_uint32 nbodies;	/* how many slots run a body */
	pg_atomic_uint32 count;		/* entries of the list; written as these, read
								 * without the lock by dwf_claims_count() */
	Entry		list[FLEXIBLE_ARRAY_MEMBER];	/* room for one a slot */
} Claims;

static Claims *shared = NULL;
static Claim *claims = NULL;	/* by slot; behind the list */
static LWLock *lock = NULL;

/* How much shared memory this part needs */
Size
dwf_claims_size(void)
{
	return add_size(offsetof(Claims, list),
					mul_size(dwf_slot_count(), sizeof(Entry) + sizeof(Claim)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_claims_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	shared = ShmemInitStruct("durable_wf claims", dwf_claims_size(), &found);
	claims = (Claim *) &shared->list[dwf_slot_count()];
	if (found)
		return;
	memset(shared, 0, dwf_claims_size());
	ConditionVariableInit(&shared->given_back);
	pg_atomic_init_u32(&shared->nbodies, 0);
	pg_atomic_init_u32(&shared->count, 0);
}

/* This session's own claim */
static Claim *
my_claim(void)
{
	return &claims[dwf_slot_mine()];
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
	int			count = dwf_claims_count();

	for (int i = 0; i < count; i++)
		if (shared->list[i].hash == hash)
			return &claims[shared->list[i].slot];
	return NULL;
}

/*
 * A session that looks for work in the queue of that hash has met a claim; 0
 * is for bodies.  The caller holds the lock.
 */
static void
meet(Claim *claim, uint64 queue_hash)
{
	if (claim->queue_hash == queue_hash)
		claim->was_skipped = true;
	else
		claim->was_skipped_elsewhere = true;
}

/*
 * Append this session's claim of a workflow to the list, as one of the queue
 * whose address has that hash.  False if another session has claimed it: then
 * *holder_pid is that session's.
 */
bool
dwf_claims_append(text *workflow_id, uint64 queue_hash, int *holder_pid)
{
	uint64		hash = claim_hash(workflow_id);
	Claim	   *mine = my_claim();
	Claim	   *other;
	int			at;

	/* look through the list and append to it, under one lock */
	LWLockAcquire(lock, LW_EXCLUSIVE);
	other = find_claim(hash);
	if (other)
	{
		*holder_pid = other->pid;
		meet(other, queue_hash);
	}
	else
	{
		mine->queue_hash = queue_hash;
		mine->was_skipped = mine->was_skipped_elsewhere = false;
		mine->pid = MyProcPid;
		mine->database = MyDatabaseId;
		mine->role = GetSessionUserId();
		mine->since = GetCurrentTimestamp();
		mine->length = VARSIZE_ANY_EXHDR(workflow_id);
		memcpy(mine->workflow_id, VARDATA_ANY(workflow_id), mine->length);
		mine->is_interrupted = false;

		at = dwf_claims_count();
		shared->list[at].hash = hash;
		shared->list[at].slot = dwf_slot_mine();
		mine->entry = at;
		pg_atomic_write_u32(&shared->count, at + 1);
	}
	LWLockRelease(lock);
	return other == NULL;
}

/* From now on, note anew whether another session meets this session's claim */
void
dwf_claims_forget_skips(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_claim()->was_skipped = my_claim()->was_skipped_elsewhere = false;
	LWLockRelease(lock);
}

/*
 * Remove this session's claim from the list; the last one takes its place.
 * Wakes what waits for that, and returns whether another session has met the
 * claim; *elsewhere: one that looked elsewhere than in its queue.  Cannot
 * fail.
 */
bool
dwf_claims_remove(bool *elsewhere)
{
	Entry		last;
	int			at;
	bool		was_skipped;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	was_skipped = my_claim()->was_skipped;
	*elsewhere = my_claim()->was_skipped_elsewhere;
	at = my_claim()->entry;
	last = shared->list[dwf_claims_count() - 1];
	Assert(shared->list[at].slot == dwf_slot_mine());
	shared->list[at] = last;
	claims[last.slot].entry = at;
	pg_atomic_write_u32(&shared->count, dwf_claims_count() - 1);
	LWLockRelease(lock);
	ConditionVariableBroadcast(&shared->given_back);
	return was_skipped;
}

/* This session begins, or ends, to run the body of the workflow it claims */
void
dwf_claims_set_body(bool value)
{
	my_claim()->runs_body = value;
	if (value)
		pg_atomic_fetch_add_u32(&shared->nbodies, 1);
	else
		pg_atomic_fetch_sub_u32(&shared->nbodies, 1);
}

/*
 * A workflow's life, the address with this hash, has changed: if an executor
 * runs the workflow's body, interrupt that executor.  Cannot fail.
 */
void
dwf_claims_interrupt(uint64 life_hash)
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

/* Was this session told, since it appended its claim, to end its body? */
bool
dwf_claims_is_interrupted(void)
{
	return my_claim()->is_interrupted;
}

/* How many sessions execute a workflow, in all databases */
int
dwf_claims_count(void)
{
	return (int) pg_atomic_read_u32(&shared->count);
}

/* Does any session execute that workflow now? */
bool
dwf_claims_exists(text *workflow_id)
{
	bool		claimed;

	LWLockAcquire(lock, LW_SHARED);
	claimed = find_claim(claim_hash(workflow_id)) != NULL;
	LWLockRelease(lock);
	return claimed;
}

/*
 * The same for a session that looks for work in the queue of that hash, or for
 * bodies (0), and skips the workflow if so
 */
bool
dwf_claims_skip(text *workflow_id, uint64 queue_hash)
{
	Claim	   *claim;

	LWLockAcquire(lock, LW_SHARED);
	claim = find_claim(claim_hash(workflow_id));
	if (claim)
		meet(claim, queue_hash);
	LWLockRelease(lock);
	return claim != NULL;
}

/* What sessions of this database execute now, as DwfExecution */
List *
dwf_claims_list(void)
{
	List	   *list = NIL;

	/* palloc may raise out of memory: then the abort unlocks */
	LWLockAcquire(lock, LW_SHARED);
	for (int i = 0; i < dwf_claims_count(); i++)
	{
		Claim	   *claim = &claims[shared->list[i].slot];
		DwfExecution *execution;

		if (claim->database != MyDatabaseId)
			continue;
		execution = palloc(sizeof(DwfExecution));
		execution->workflow_id = cstring_to_text_with_len(claim->workflow_id,
														  claim->length);
		execution->pid = claim->pid;
		execution->is_body = claim->runs_body;
		execution->role = claim->role;
		execution->since = claim->since;
		execution->slot = shared->list[i].slot;
		list = lappend(list, execution);
	}
	LWLockRelease(lock);
	return list;
}

/*
 * End the session that executes a workflow, if there is one, and wait until it
 * has given the workflow back.  Interruptible; the caller has tested that its
 * role may act on the workflow.
 */
void
dwf_claims_evict(text *workflow_id)
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
dwf_claims_await_release(text *workflow_id, int timeout)
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
