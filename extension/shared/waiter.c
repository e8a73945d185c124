/*-------------------------------------------------------------------------
 *
 * waiter.c
 *	  Who waits for what: register, wake, leave.  The only file that sets
 *	  another backend's latch.
 *
 * A waiting session puts one link per thing it waits for into the buckets
 * that the hashes of their addresses select.  Who makes such a thing happen
 * walks the bucket and signals.  The invariants:
 *
 *	W1	A link is in its bucket's list exactly while bucket.nlinks counts it.
 *	W2	signalled goes from 0 to 1 only under the partition lock of a bucket
 *		that holds a link of that slot, and the latch is set after it.
 *	W3	One arrival at a queue's address signals the longest waiting slot
 *		that is not signalled yet, if there is one.  (A slot that is already
 *		signalled has not looked since, so it will see this arrival too.)
 *		At a queue of workflows it is one slot of each role, since what one
 *		may execute another may not.
 *	W4	A signal is used up by a look that found nothing, or that took an item
 *		from the only queue it could have come from.  Who leaves with a signal
 *		that is not used up hands it on, for each queue it waited at: it may
 *		have been cancelled in the middle of its look, or have waited for two
 *		topics, been signalled for one and taken from the other.  After its
 *		last link is gone nobody can signal it, so no signal falls between the
 *		test and the leaving.
 *
 * Two addresses whose 64 bits of seeded hash agree would be taken for one.
 * The seed is random and secret, so this cannot be brought about, and by
 * chance it takes 2^32 different addresses waited for at one time.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/waiter.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "shared/shmem.h"

/* The slot this process has links for, or NULL */
static DwfSlot *my_slot = NULL;
static bool exit_callback_registered = false;

/* A signal was taken and is not used up yet (W4) */
static bool signal_in_use = false;

static inline const char *
bytes_of(const text *value, int *length)
{
	*length = value ? VARSIZE_ANY_EXHDR(value) : 0;
	return value ? VARDATA_ANY(value) : "";
}

/* The identity of an address in this database, as a number */
uint64
dwf_waiter_hash(const DwfAddress *address)
{
	uint64		seed = dwf_shared ? dwf_shared->hash_seed : 0;
	uint64		hash;
	const char *bytes;
	int			length;

	bytes = bytes_of(address->workflow_id, &length);
	hash = hash_bytes_extended((const unsigned char *) bytes, length,
							   seed ^ MyDatabaseId);
	bytes = bytes_of(address->key, &length);
	return hash_combine64(hash,
						  hash_bytes_extended((const unsigned char *) bytes,
											  length,
											  seed + (uint8) address->door));
}

static inline DwfBucket *
bucket_of(uint64 hash)
{
	return &dwf_shared->buckets[hash & (dwf_shared->nbuckets - 1)];
}

/* The lock that guards the bucket of "hash" */
static inline LWLock *
lock_of(uint64 hash)
{
	uint32		bucket = hash & (dwf_shared->nbuckets - 1);

	return &dwf_shared->partitions[bucket % DWF_PARTITIONS].lock;
}

/* Leave the registry when the process exits in the middle of a wait */
static void
waiter_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_waiter_end();
	dwf_waiter_readmit();
}

static void
register_exit_callback(void)
{
	if (exit_callback_registered)
		return;
	before_shmem_exit(waiter_exit, (Datum) 0);
	exit_callback_registered = true;
}

/* Append "key" to the slot's contents; the link is not in a bucket yet */
static void
describe_link(DwfSlot *slot, const DwfWaitKey *key, int *used)
{
	DwfLink    *link = &slot->links[slot->nlinks++];
	const char *bytes;
	int			length;

	bytes = bytes_of(key->address.key, &length);
	Assert(*used + length <= DWF_TOPIC_BYTES_MAX);

	link->hash = dwf_waiter_hash(&key->address);
	link->slot = DWF_MY_PROC_NUMBER;
	link->door = key->address.door;
	link->shown = !key->is_aid;
	link->key_offset = *used;
	link->key_length = length;
	memcpy(slot->keys + *used, bytes, length);
	*used += length;
}

/* Write down who waits and for what, the first key's workflow for display */
static void
describe_slot(DwfSlot *slot, const DwfWaitKey *keys, int nkeys,
			  TimestampTz deadline, Oid role, bool wants_id)
{
	const char *bytes;
	int			used = 0;

	slot->pid = MyProcPid;
	slot->database = MyDatabaseId;
	slot->role = role;
	pg_atomic_write_u64(&slot->wait_id, !wants_id ? 0 :
						pg_atomic_fetch_add_u64(&dwf_shared->next_wait_id, 1));
	slot->since = GetCurrentTimestamp();
	slot->deadline = deadline;
	bytes = bytes_of(keys[0].address.workflow_id, &slot->workflow_length);
	Assert(slot->workflow_length <= DWF_WORKFLOW_ID_MAX);
	memcpy(slot->workflow_id, bytes, slot->workflow_length);

	slot->nlinks = 0;
	for (int i = 0; i < nkeys; i++)
		describe_link(slot, &keys[i], &used);
}

/* Is this session registered? */
bool
dwf_waiter_is_waiting(void)
{
	return my_slot != NULL;
}

/*
 * Register this session, which is not registered yet, as waiting for the given
 * keys; from now on whatever arrives there signals it.  The caller looks after this, and ends with
 * dwf_waiter_end() on every way out.  Does not block.
 */
void
dwf_waiter_begin(const DwfWaitKey *keys, int nkeys, TimestampTz deadline,
				 Oid role, bool wants_id)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	Assert(slot != NULL);
	Assert(nkeys > 0 && nkeys <= DWF_LINKS_MAX);
	Assert(my_slot == NULL);
	register_exit_callback();
	describe_slot(slot, keys, nkeys, deadline, role, wants_id);
	pg_atomic_write_u32(&slot->signalled, 0);
	pg_atomic_write_u32(&slot->dismissed, 0);
	signal_in_use = false;

	my_slot = slot;
	for (int i = 0; i < slot->nlinks; i++)
	{
		DwfLink    *link = &slot->links[i];
		DwfBucket  *bucket = bucket_of(link->hash);
		LWLock	   *lock = lock_of(link->hash);

		LWLockAcquire(lock, LW_EXCLUSIVE);
		dlist_push_tail(&bucket->links, &link->node);
		/* a full barrier: the caller's next look comes after it */
		pg_atomic_fetch_add_u32(&bucket->nlinks, 1);
		LWLockRelease(lock);
	}
}

/*
 * Was this session signalled since the last call?  To be called before each
 * look, so that what arrives during the look signals anew.
 */
bool
dwf_waiter_take_signal(void)
{
	Assert(my_slot != NULL);
	if (pg_atomic_exchange_u32(&my_slot->signalled, 0) == 0)
		return false;
	signal_in_use = true;
	return true;
}

/* How many queues does a slot wait at? */
static int
count_queues(const DwfSlot *slot)
{
	int			queues = 0;

	for (int i = 0; i < slot->nlinks; i++)
		if (dwf_door_serves_one(slot->links[i].door))
			queues++;
	return queues;
}

/*
 * A look has ended without error: the signal before it is used up, unless it
 * may have come from another queue than the one that was taken from.
 */
void
dwf_waiter_settle_signal(bool took)
{
	Assert(my_slot != NULL);
	if (!took || count_queues(my_slot) <= 1)
		signal_in_use = false;
}

/* Hand on signals that this session did not use, for each of its queues */
static void
pass_on(DwfSlot *slot, int signals)
{
	for (int i = 0; i < slot->nlinks; i++)
	{
		DwfLink    *link = &slot->links[i];
		int			woken;

		if (!dwf_door_serves_one(link->door))
			continue;
		woken = dwf_waiter_wake(link->hash, link->door, signals);
		dwf_shmem_count(dwf_shmem_subject(link->door),
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
	DwfSlot    *slot = my_slot;
	int			signals;

	if (slot == NULL)
		return;

	pg_atomic_write_u64(&slot->wait_id, 0);
	for (int i = 0; i < slot->nlinks; i++)
	{
		DwfLink    *link = &slot->links[i];
		DwfBucket  *bucket = bucket_of(link->hash);
		LWLock	   *lock = lock_of(link->hash);

		LWLockAcquire(lock, LW_EXCLUSIVE);
		dlist_delete(&link->node);
		pg_atomic_fetch_sub_u32(&bucket->nlinks, 1);
		LWLockRelease(lock);
	}
	my_slot = NULL;

	signals = (signal_in_use ? 1 : 0) +
		(pg_atomic_exchange_u32(&slot->signalled, 0) != 0 ? 1 : 0);
	if (signals > 0)
		pass_on(slot, signals);
	signal_in_use = false;
	slot->nlinks = 0;
}

/* How many slots of a role may still be signalled */
typedef struct Quota
{
	Oid			role;
	uint64		left;
} Quota;

#define QUOTAS_MAX	16

/* The quota of a role, a new one if it is the first; NULL if there are many */
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
 * Signal who waits at the address with this hash: one slot per arrival at a
 * queue (at a queue of workflows: and role), all of them elsewhere.  Returns how many were signalled.
 *
 * The caller has made the arrival visible and passed a full memory barrier
 * since, so that either it sees the waiter's link or the waiter's look sees
 * the arrival.  Cannot fail; blocks no longer than a partition lock.
 */
int
dwf_waiter_wake(uint64 hash, char door, uint64 arrivals)
{
	DwfBucket  *bucket;
	LWLock	   *lock;
	dlist_iter	iter;
	Quota		quotas[QUOTAS_MAX];
	int			nquotas = 0;
	int			woken = 0;

	if (dwf_shared == NULL)
		return 0;
	bucket = bucket_of(hash);
	if (pg_atomic_read_u32(&bucket->nlinks) == 0)
		return 0;

	lock = lock_of(hash);
	LWLockAcquire(lock, LW_SHARED);
	dlist_foreach(iter, &bucket->links)
	{
		DwfLink    *link = dlist_container(DwfLink, node, iter.cur);
		DwfSlot    *slot = &dwf_shared->slots[link->slot];
		Quota	   *quota = NULL;

		if (link->hash != hash)
			continue;
		if (dwf_door_serves_one(door))
			quota = quota_of(quotas, &nquotas, door == DWF_DOOR_QUEUE ?
							 slot->role : InvalidOid, arrivals);
		if (quota && quota->left == 0)
		{
			if (door == DWF_DOOR_QUEUE)
				continue;
			break;
		}
		if (pg_atomic_exchange_u32(&slot->signalled, 1) != 0)
			continue;

		/* the signal is published, so the latch may be set, and only now */
		SetLatch(&GetPGProcByNumber(link->slot)->procLatch);
		if (quota)
			quota->left--;
		woken++;
	}
	LWLockRelease(lock);

	dwf_shmem_count(dwf_shmem_subject(door), DWF_COUNT_WAKES, woken);
	return woken;
}

/*
 * Signal everyone in this database who waits for anything; and if "dismiss",
 * not to wait any longer.
 */
static void
signal_database(bool dismiss)
{
	for (uint32 b = 0; b < dwf_shared->nbuckets; b++)
	{
		DwfBucket  *bucket = &dwf_shared->buckets[b];
		LWLock	   *lock = lock_of(b);
		dlist_iter	iter;

		if (pg_atomic_read_u32(&bucket->nlinks) == 0)
			continue;
		LWLockAcquire(lock, LW_SHARED);
		dlist_foreach(iter, &bucket->links)
		{
			DwfLink    *link = dlist_container(DwfLink, node, iter.cur);
			DwfSlot    *slot = &dwf_shared->slots[link->slot];

			if (slot->database != MyDatabaseId)
				continue;
			if (dismiss)
				pg_atomic_write_u32(&slot->dismissed, 1);
			pg_atomic_write_u32(&slot->signalled, 1);
			SetLatch(&GetPGProcByNumber(link->slot)->procLatch);
		}
		LWLockRelease(lock);
	}
}

/*
 * Let everyone in this database look again, since something has become
 * visible of which nobody knows what it was.
 */
void
dwf_waiter_wake_database(void)
{
	if (dwf_shared == NULL)
		return;
	pg_memory_barrier();		/* as in dwf_waiter_wake() */
	signal_database(false);
	dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
}

/* Allow waiting again, if this session has forbidden it.  Cannot fail. */
void
dwf_waiter_readmit(void)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	if (slot && pg_atomic_exchange_u32(&slot->dismisses, InvalidOid) !=
		InvalidOid)
		pg_atomic_fetch_sub_u32(&dwf_shared->ndismissing, 1);
}

/*
 * Send everyone in this database who waits away with an error, and let nobody
 * begin to wait until dwf_waiter_readmit(), or the end of this process.
 */
void
dwf_waiter_dismiss(void)
{
	DwfSlot    *slot = dwf_shmem_my_slot();

	register_exit_callback();
	if (slot && pg_atomic_exchange_u32(&slot->dismisses, MyDatabaseId) ==
		InvalidOid)
		pg_atomic_fetch_add_u32(&dwf_shared->ndismissing, 1);

	/* who registers from now on sees it; who has is found */
	pg_memory_barrier();
	signal_database(true);
}

/* Does a session let nobody wait in this database? */
static bool
is_closed(void)
{
	if (pg_atomic_read_u32(&dwf_shared->ndismissing) == 0)
		return false;
	for (int i = 0; i < dwf_shared->nslots; i++)
		if (pg_atomic_read_u32(&dwf_shared->slots[i].dismisses) ==
			MyDatabaseId)
			return true;
	return false;
}

/* Raise 55006 if this session, which is registered, must not wait */
void
dwf_waiter_check_dismissed(void)
{
	Assert(my_slot != NULL);
	if (pg_atomic_read_u32(&my_slot->dismissed) != 0 || is_closed())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("extension \"durable_wf\" is being altered or dropped"),
				 errhint("Wait again when that is done.")));
}

/* Copy one link out; the caller holds its partition lock */
static DwfWaiterInfo *
copy_link(const DwfLink *link)
{
	const DwfSlot *slot = &dwf_shared->slots[link->slot];
	DwfWaiterInfo *info = palloc(sizeof(DwfWaiterInfo));

	info->pid = slot->pid;
	info->role = slot->role;
	info->slot = link->slot;
	info->wait_id = (int64) pg_atomic_read_u64(&dwf_shared->slots[link->slot].wait_id);
	info->since = slot->since;
	info->deadline = slot->deadline;
	info->door = link->door;
	info->workflow_id = cstring_to_text_with_len(slot->workflow_id,
												 slot->workflow_length);
	info->key = cstring_to_text_with_len(slot->keys + link->key_offset,
										 link->key_length);
	return info;
}

/* Everything that sessions of this database wait for, as DwfWaiterInfo */
List *
dwf_waiter_list(void)
{
	List	   *found = NIL;

	for (uint32 b = 0; b < dwf_shared->nbuckets; b++)
	{
		DwfBucket  *bucket = &dwf_shared->buckets[b];
		LWLock	   *lock = lock_of(b);
		dlist_iter	iter;

		if (pg_atomic_read_u32(&bucket->nlinks) == 0)
			continue;
		LWLockAcquire(lock, LW_SHARED);
		dlist_foreach(iter, &bucket->links)
		{
			DwfLink    *link = dlist_container(DwfLink, node, iter.cur);

			if (link->shown &&
				dwf_shared->slots[link->slot].database == MyDatabaseId)
				found = lappend(found, copy_link(link));
		}
		LWLockRelease(lock);
	}
	return found;
}

/* The sessions of this database that wait for an event id, longest first */
List *
dwf_waiter_list_broadcast(text *event_id)
{
	DwfAddress	address = {DWF_DOOR_BROADCAST, NULL, event_id};
	uint64		hash = dwf_waiter_hash(&address);
	DwfBucket  *bucket = bucket_of(hash);
	LWLock	   *lock = lock_of(hash);
	List	   *found = NIL;
	dlist_iter	iter;

	LWLockAcquire(lock, LW_SHARED);
	dlist_foreach(iter, &bucket->links)
	{
		DwfLink    *link = dlist_container(DwfLink, node, iter.cur);

		DwfWaiterInfo *info;

		if (link->hash != hash)
			continue;
		info = copy_link(link);
		if (info->wait_id != 0) /* else it has just ended */
			found = lappend(found, info);
	}
	LWLockRelease(lock);
	return found;
}

/* Does this wait, which a broadcast can answer, still go on? */
bool
dwf_waiter_still_waits(const DwfWaiterInfo *waiter)
{
	DwfSlot    *slot = &dwf_shared->slots[waiter->slot];

	return waiter->wait_id != 0 &&
		pg_atomic_read_u64(&slot->wait_id) == (uint64) waiter->wait_id;
}
