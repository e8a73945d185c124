/*-------------------------------------------------------------------------
 *
 * waiter.c
 *	  The registry of waiting sessions: register, wake, leave.
 *
 * A waiting session puts one link for each thing that it waits for into the
 * bucket that the hash of the thing's address selects.  A session that makes
 * such a thing happen walks the bucket and signals.  The invariants:
 *
 *	W1	A link is in its bucket's list exactly while bucket.nlinks counts it.
 *	W2	waiter.signalled goes from 0 to the number of a link (from 1) only
 *		under the partition lock of its bucket; its latch is set after that.
 *	W3	One arrival at a queue's address signals the longest waiting waiter
 *		that is not signalled yet, if there is one.  (A waiter that is already
 *		signalled has not looked since, so it will see this arrival too.)
 *		At a queue of workflows the arrival signals one waiter of each role,
 *		since what one role may execute another may not.
 *	W4	A signal is used up by a look that found nothing; or, if nothing but
 *		the signal made the look due, by one that found the only thing that
 *		the waiter waited for, or something at the link that the signal came
 *		from.  A waiter that leaves with an unused one passes it on (PROOF.md,
 *		3), when its last link is gone and no session can signal it.
 *	W5	bucket.arrivals counts each wake before bucket.nlinks is read.  So what
 *		became visible after a session had read the counts and looked either
 *		changes the counts before the session, now registered, reads them
 *		again, or finds its link.  (A full barrier is between the steps of
 *		both: count, read nlinks; register, read the counts.)
 *	W6	Latches are set after the partition lock is released: the process that
 *		wakes up may run at once, on this CPU, and want the lock to leave.
 *
 * Locks
 *
 *	partition lock i	guards the list of each bucket b with
 *						b % DWF_WAITER_LOCKS == i: exclusive to put links in
 *						and take them out, shared to walk.  A process holds
 *						one partition lock at a time, and takes no other lock
 *						under it.  Waking and leaving cannot fail; copying a
 *						link out may run out of memory, and the abort unlocks.
 *	a waiter's fields	(but the atomics) the slot's process writes while it
 *						has no link in a bucket.  A process that finds a link
 *						in a bucket may read the link's waiter for as long as
 *						it holds that bucket's partition lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/waiter_registry.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/texts.h"
#include "shared/counters.h"
#include "shared/preloaded.h"
#include "shared/slot.h"

#define BUCKETS_MIN	1024

typedef struct Bucket
{
	pg_atomic_uint32 nlinks;	/* zero: a sender finds no waiter */
	pg_atomic_uint32 arrivals;	/* how many wakes there were; wraps around */
	dlist_head	links;			/* longest waiting first; partition lock */
} Bucket;

/* What is shared; the buckets follow it */
typedef struct Registry
{
	pg_atomic_uint64 next_wait_id;	/* starts at the clock: never used yet */
	pg_atomic_uint32 reconciles;	/* wakes of all; wraps around */
	DwfWaiter	waiters[FLEXIBLE_ARRAY_MEMBER]; /* by slot */
} Registry;

static Registry *registry = NULL;
static Bucket *buckets = NULL;
static uint32 nbuckets = 0;		/* a power of two */
static LWLockPadded *partitions = NULL;

/*
 * The slots whose latches are to be set once a partition lock is released; in
 * this process's memory, with room for all, since a wake must not allocate
 */
static int *slots_to_wake = NULL;
static int	nslots_to_wake = 0;

/* What this process has in the registry, or NULL */
static DwfWaiter *my_waiter = NULL;
static bool exit_callback_registered = false;

/* A signal that is not that of a link, but of all waiters in the database */
#define SIGNAL_OF_ALL	PG_UINT32_MAX

/* The signal that was taken and is not used up yet (W4); 0: none */
static uint32 signal_in_use = 0;

/* The number of buckets: a power of two, with few links in each bucket */
static uint32
count_buckets(void)
{
	return pg_nextpower2_32(Max((uint32) dwf_slot_count() * 4, BUCKETS_MIN));
}

/* How much shared memory this part needs */
Size
dwf_waiter_size(void)
{
	Size		waiters = mul_size(dwf_slot_count(), sizeof(DwfWaiter));

	return add_size(add_size(offsetof(Registry, waiters), waiters),
					mul_size(count_buckets(), sizeof(Bucket)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_waiter_init_shared(LWLockPadded *locks)
{
	bool		found;

	registry = ShmemInitStruct("durable_wf waiters", dwf_waiter_size(), &found);
	buckets = (Bucket *) &registry->waiters[dwf_slot_count()];
	nbuckets = count_buckets();
	partitions = locks;
	if (slots_to_wake == NULL)
		slots_to_wake = MemoryContextAlloc(TopMemoryContext,
										   dwf_slot_count() * sizeof(int));
	if (found)
		return;
	/* no backend waits yet, and no bucket has a link */
	memset(registry, 0, dwf_waiter_size());
	pg_atomic_init_u64(&registry->next_wait_id, GetCurrentTimestamp());
	pg_atomic_init_u32(&registry->reconciles, 0);
	for (int i = 0; i < dwf_slot_count(); i++)
	{
		pg_atomic_init_u32(&registry->waiters[i].signalled, 0);
		pg_atomic_init_u32(&registry->waiters[i].dismissed, 0);
		pg_atomic_init_u64(&registry->waiters[i].wait_id, 0);
	}
	for (uint32 b = 0; b < nbuckets; b++)
	{
		pg_atomic_init_u32(&buckets[b].nlinks, 0);
		pg_atomic_init_u32(&buckets[b].arrivals, 0);
		dlist_init(&buckets[b].links);
	}
}

/* The bucket of a hash */
static inline Bucket *
bucket_of(uint64 hash)
{
	return &buckets[hash & (nbuckets - 1)];
}

/* The partition lock of the bucket of a hash */
static inline LWLock *
lock_of(uint64 hash)
{
	uint32		bucket = hash & (nbuckets - 1);

	return &partitions[bucket % DWF_WAITER_LOCKS].lock;
}

/* The waiter that a link belongs to */
static inline DwfWaiter *
waiter_of(const DwfLink *link)
{
	return &registry->waiters[link->slot];
}

/* Leave the registry when the process exits in the middle of a wait */
static void
waiter_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_waiter_end();
}

/* A number that no wait has had, to name one for a broadcast */
int64
dwf_waiter_new_id(void)
{
	return (int64) pg_atomic_fetch_add_u64(&registry->next_wait_id, 1);
}

/* The bytes of a text, which may be NULL, for a copy of them */
static const char *
bytes_of(const text *value, int *length)
{
	*length = value ? VARSIZE_ANY_EXHDR(value) : 0;
	return value ? VARDATA_ANY(value) : "";
}

/*
 * Add a key to the contents of a waiter, which is shown as that of a workflow;
 * the link is not in a bucket yet.  The bytes of the key are for users only,
 * who do not see the link if there is no room for them.
 */
static void
describe_link(DwfWaiter *waiter, const DwfWaitKey *key, text *workflow_id,
			  int *used)
{
	DwfLink    *link = &waiter->links[waiter->nlinks++];
	int			length;
	const char *bytes = bytes_of(key->address.key, &length);
	bool		has_room = *used + length <= DWF_TOPIC_BYTES_MAX;

	link->hash = dwf_address_hash(&key->address);
	link->slot = dwf_slot_mine();
	link->door = key->address.door;
	link->shown = !key->is_aid && has_room &&
		(key->address.workflow_id == workflow_id ||
		 dwf_texts_equal(key->address.workflow_id, workflow_id));
	link->key_offset = *used;
	link->key_length = has_room ? length : 0;
	memcpy(waiter->keys + *used, bytes, link->key_length);
	*used += link->key_length;
	waiter->npurposes += key->is_aid ? 0 : 1;
}

/* Note which session waits for what; the first key's workflow is shown */
static void
describe_waiter(DwfWaiter *waiter, const DwfWaitKey *keys, int nkeys,
				TimestampTz deadline, Oid role, bool wants_id)
{
	const char *bytes = bytes_of(keys[0].address.workflow_id,
								 &waiter->workflow_length);
	int			used = 0;

	Assert(waiter->workflow_length <= DWF_WORKFLOW_ID_MAX);
	memcpy(waiter->workflow_id, bytes, waiter->workflow_length);
	waiter->pid = MyProcPid;
	waiter->database = MyDatabaseId;
	waiter->role = role;
	pg_atomic_write_u64(&waiter->wait_id,
						wants_id ? (uint64) dwf_waiter_new_id() : 0);
	waiter->since = GetCurrentTimestamp();
	waiter->deadline = deadline;
	waiter->nlinks = 0;
	waiter->npurposes = 0;
	for (int i = 0; i < nkeys; i++)
		describe_link(waiter, &keys[i], keys[0].address.workflow_id, &used);
}

/*
 * A number that changes with each arrival that wakes at one of these keys,
 * whether or not a waiter is registered there.  A session that reads it, looks
 * in vain, registers and finds it unchanged need not look again (W5).
 */
uint32
dwf_waiter_arrivals(const DwfWaitKey *keys, int nkeys)
{
	uint32		arrivals = pg_atomic_read_u32(&registry->reconciles);

	for (int i = 0; i < nkeys; i++)
	{
		uint64		hash = dwf_address_hash(&keys[i].address);

		arrivals += pg_atomic_read_u32(&bucket_of(hash)->arrivals);
	}
	pg_memory_barrier();
	return arrivals;
}

/* Is this session registered? */
bool
dwf_waiter_is_waiting(void)
{
	return my_waiter != NULL;
}

/*
 * Register this session, which is not registered yet, as waiting for the
 * given keys; from now on whatever arrives at one of them signals it.  The
 * caller looks after this call, and calls dwf_waiter_end() on every way out.
 * Does not block.
 */
void
dwf_waiter_begin(const DwfWaitKey *keys, int nkeys, TimestampTz deadline,
				 Oid role, bool wants_id)
{
	DwfWaiter  *waiter;

	Assert(dwf_slot_mine() != DWF_NO_SLOT);
	Assert(nkeys > 0 && nkeys <= DWF_LINKS_MAX);
	Assert(my_waiter == NULL);
	if (!exit_callback_registered)
	{
		before_shmem_exit(waiter_exit, (Datum) 0);
		exit_callback_registered = true;
	}

	waiter = &registry->waiters[dwf_slot_mine()];
	describe_waiter(waiter, keys, nkeys, deadline, role, wants_id);
	pg_atomic_write_u32(&waiter->signalled, 0);
	pg_atomic_write_u32(&waiter->dismissed, 0);
	signal_in_use = 0;

	my_waiter = waiter;
	for (int i = 0; i < waiter->nlinks; i++)
	{
		DwfLink    *link = &waiter->links[i];
		Bucket	   *bucket = bucket_of(link->hash);

		LWLockAcquire(lock_of(link->hash), LW_EXCLUSIVE);
		dlist_push_tail(&bucket->links, &link->node);
		/* a full barrier: the caller's next look comes after it */
		pg_atomic_fetch_add_u32(&bucket->nlinks, 1);
		LWLockRelease(lock_of(link->hash));
	}
}

/*
 * Was this session signalled since the last call?  The caller calls this
 * before each look, so that what arrives during the look signals anew.
 */
bool
dwf_waiter_take_signal(void)
{
	uint32		signal;

	Assert(my_waiter != NULL);
	signal = pg_atomic_exchange_u32(&my_waiter->signalled, 0);
	if (signal != 0)
		signal_in_use = signal;
	return signal != 0;
}

/*
 * A look has ended without error: is the signal before it used up (W4)?
 * "was_due": the waiter would have looked without the signal, too.  "key": at
 * which number of key it has taken something, or -1.
 */
void
dwf_waiter_settle_signal(bool found, bool was_due, int key)
{
	Assert(my_waiter != NULL);
	if (!found ||
		(!was_due && (my_waiter->npurposes <= 1 ||
					  (key >= 0 && signal_in_use == (uint32) key + 1))))
		signal_in_use = 0;
}

/* Pass on signals that a waiter did not use, for each of its queues */
static void
pass_on(DwfWaiter *waiter, int signals)
{
	for (int i = 0; i < waiter->nlinks; i++)
	{
		DwfLink    *link = &waiter->links[i];
		int			woken;

		if (!dwf_door_serves_one(link->door))
			continue;
		woken = dwf_waiter_wake(link->hash, link->door, signals);
		dwf_counters_add(dwf_counters_subject(link->door),
						 DWF_COUNT_PASSED_ON, woken);
	}
}

/*
 * Leave the registry, if this session is in it.  Raises nothing, so that it
 * serves every way out: return, error and exit.
 */
void
dwf_waiter_end(void)
{
	DwfWaiter  *waiter = my_waiter;
	int			signals;

	if (waiter == NULL)
		return;

	/* from now on no broadcast is addressed to this wait */
	pg_atomic_write_u64(&waiter->wait_id, 0);
	for (int i = 0; i < waiter->nlinks; i++)
	{
		DwfLink    *link = &waiter->links[i];
		Bucket	   *bucket = bucket_of(link->hash);

		LWLockAcquire(lock_of(link->hash), LW_EXCLUSIVE);
		dlist_delete(&link->node);
		pg_atomic_fetch_sub_u32(&bucket->nlinks, 1);
		LWLockRelease(lock_of(link->hash));
	}
	my_waiter = NULL;

	/* no session can signal this one now: pass on what it has not used (W4) */
	signals = (signal_in_use != 0 ? 1 : 0) +
		(pg_atomic_exchange_u32(&waiter->signalled, 0) != 0 ? 1 : 0);
	if (signals > 0)
		pass_on(waiter, signals);
	signal_in_use = 0;
	waiter->nlinks = 0;
}

/* ----- wake ----- */

/*
 * Have a slot's latch set by set_latches(); its signal is published.  There is
 * room for each slot once; a waiter that takes a signal and gets another one
 * while its bucket is walked may use up another's.
 */
static void
note_latch(int slot)
{
	if (nslots_to_wake < dwf_slot_count())
		slots_to_wake[nslots_to_wake++] = slot;
	else
		dwf_slot_set_latch(slot);
}

/*
 * Set the latches that were noted.  If a slot has another process by now, that
 * finds its latch set for nothing.
 */
static void
set_latches(void)
{
	for (int i = 0; i < nslots_to_wake; i++)
		dwf_slot_set_latch(slots_to_wake[i]);
	nslots_to_wake = 0;
}

/* Signal a waiter, from a link or of all; false if it is signalled already */
static bool
signal_waiter(DwfWaiter *waiter, uint32 signal)
{
	uint32		none = 0;

	return pg_atomic_compare_exchange_u32(&waiter->signalled, &none, signal);
}

/* How many waiters of a role may still be signalled */
typedef struct Quota
{
	Oid			role;
	uint64		left;
} Quota;

#define QUOTAS_MAX	16

/* The quota of a role, a new one if it has none; NULL: too many have one */
static Quota *
quota_of(Quota *quotas, int *nquotas, Oid role, uint64 arrivals)
{
	for (int i = 0; i < *nquotas; i++)
		if (quotas[i].role == role)
			return &quotas[i];
	if (*nquotas == QUOTAS_MAX)
		return NULL;
	quotas[*nquotas].role = role;
	quotas[*nquotas].left = arrivals;
	return &quotas[(*nquotas)++];
}

/*
 * Signal the waiters at the address with this hash: one for each arrival at a
 * queue (at a queue of workflows: and for each role), all of them elsewhere.
 * Returns how many were signalled.
 *
 * The caller has made the arrival visible and passed a full memory barrier
 * since, so that either it sees the waiter's link or the waiter's look sees
 * the arrival.  Cannot fail; blocks no longer than a partition lock.
 */
int
dwf_waiter_wake(uint64 hash, char door, uint64 arrivals)
{
	Bucket	   *bucket;
	dlist_iter	iter;
	Quota		quotas[QUOTAS_MAX];
	int			nquotas = 0;
	int			woken = 0;

	if (!dwf_preloaded())
		return 0;
	bucket = bucket_of(hash);
	pg_atomic_fetch_add_u32(&bucket->arrivals, 1);	/* a full barrier (W5) */
	if (pg_atomic_read_u32(&bucket->nlinks) == 0)
		return 0;

	LWLockAcquire(lock_of(hash), LW_SHARED);
	dlist_foreach(iter, &bucket->links)
	{
		DwfLink    *link = dlist_container(DwfLink, node, iter.cur);
		DwfWaiter  *waiter = waiter_of(link);
		Quota	   *quota = NULL;

		if (link->hash != hash)
			continue;
		if (dwf_door_serves_one(door))
			quota = quota_of(quotas, &nquotas, door == DWF_DOOR_QUEUE ?
							 waiter->role : InvalidOid, arrivals);
		if (quota && quota->left == 0)
		{
			if (door == DWF_DOOR_QUEUE)
				continue;
			break;
		}
		if (!signal_waiter(waiter, link - waiter->links + 1))
			continue;

		note_latch(link->slot);
		if (quota)
			quota->left--;
		woken++;
	}
	LWLockRelease(lock_of(hash));
	/* counted first: who is woken may ask */
	dwf_counters_add(dwf_counters_subject(door), DWF_COUNT_WAKES, woken);
	set_latches();
	return woken;
}

/* The waiter that a slot's process has, or has had */
DwfWaiter *
dwf_waiter_of_slot(int slot)
{
	return &registry->waiters[slot];
}

/* Visit each link of this database, under its partition lock */
void
dwf_waiter_visit_database(DwfVisitLink visit, void *arg)
{
	for (uint32 b = 0; b < nbuckets; b++)
	{
		dlist_iter	iter;

		if (pg_atomic_read_u32(&buckets[b].nlinks) == 0)
			continue;
		LWLockAcquire(lock_of(b), LW_SHARED);
		dlist_foreach(iter, &buckets[b].links)
		{
			DwfLink    *link = dlist_container(DwfLink, node, iter.cur);

			if (waiter_of(link)->database == MyDatabaseId)
				visit(link, waiter_of(link), arg);
		}
		LWLockRelease(lock_of(b));
		set_latches();
	}
}

/* Visit each link at the address with this hash, longest waiting first */
void
dwf_waiter_visit_address(uint64 hash, DwfVisitLink visit, void *arg)
{
	dlist_iter	iter;

	LWLockAcquire(lock_of(hash), LW_SHARED);
	dlist_foreach(iter, &bucket_of(hash)->links)
	{
		DwfLink    *link = dlist_container(DwfLink, node, iter.cur);

		if (link->hash == hash)
			visit(link, waiter_of(link), arg);
	}
	LWLockRelease(lock_of(hash));
}

/*
 * Signal a link's waiter; if the bool says so, it must not wait any longer.
 * Of two links of a waiter in one bucket the second finds it signalled.
 */
static void
signal_link(DwfLink *link, DwfWaiter *waiter, void *dismiss)
{
	if (*(bool *) dismiss)
		pg_atomic_write_u32(&waiter->dismissed, 1);
	if (signal_waiter(waiter, SIGNAL_OF_ALL))
		note_latch(link->slot);
}

/*
 * Signal all waiters in this database: to look again, since something has
 * become visible of which no process knows what it was; or, if "dismiss", to
 * leave.  Cannot fail.
 */
void
dwf_waiter_wake_database(bool dismiss)
{
	if (!dwf_preloaded())
		return;
	/* a full barrier, as in dwf_waiter_wake() */
	pg_atomic_fetch_add_u32(&registry->reconciles, 1);
	dwf_waiter_visit_database(signal_link, &dismiss);
	if (!dismiss)
		dwf_counters_add(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
}

/* Must this session, which is registered, leave? */
bool
dwf_waiter_is_dismissed(void)
{
	Assert(my_waiter != NULL);
	return pg_atomic_read_u32(&my_waiter->dismissed) != 0;
}
