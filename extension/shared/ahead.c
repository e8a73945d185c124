/*-------------------------------------------------------------------------
 *
 * ahead.c
 *	  Which bodies an executor has found beyond the one that it runs.
 *
 * A search for the body that has been due for longest costs as much as the
 * claim of it.  So a search finds some more, and puts them here, for all
 * executors of the role: each of them takes the first one that is left, and
 * claims it as if it had found it just now.  A list is a hint only: nothing in
 * it is claimed, a search finds it none the less, and whatever was taken and
 * could not be claimed is forgotten.  The claim reads the row anew.
 *
 * The order is that of a search at each claim.  A commit that brings work
 * which is due before the end of the list cuts the list off there; if a search
 * is under way, whose snapshot may be older than the commit, what the search
 * finds is cut off.  What becomes due without telling (a body whose process
 * has died) is found when the list is durable_wf.look_ahead_time old, or used
 * up.
 *
 * The last body of a list is never taken, since only a search knows whether
 * more is due behind it.  So each body that was taken has more behind it, for
 * all that is known.
 *
 * A list is at the place that the hash of the address of a role's work
 * selects; of several roles there, the last one that has searched has it.  The
 * lock of the list guards all but "until", which is written under it and read
 * without.  No other lock is taken under it.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/ahead.h"

#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "shared/preloaded.h"

typedef struct AheadList
{
	pg_atomic_uint64 until;		/* a TimestampTz: when the last body is due;
								 * DT_NOEND during a search, DT_NOBEGIN when
								 * there is none */
	uint64		work_hash;		/* of the role */
	uint64		search;			/* counts the searches */
	TimestampTz since;			/* the search has begun */
	TimestampTz earliest;		/* what has arrived during it is due then */
	int			next;			/* the first body that is left */
	int			count;
	DwfAhead	bodies[DWF_AHEAD_MAX];
}			AheadList;

static AheadList * lists = NULL;
static LWLockPadded *locks = NULL;

/* How much shared memory this part needs */
Size
dwf_ahead_size(void)
{
	return mul_size(DWF_AHEAD_LISTS, sizeof(AheadList));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_ahead_init_shared(LWLockPadded *list_locks)
{
	bool		found;

	locks = list_locks;
	lists = ShmemInitStruct("durable_wf ahead", dwf_ahead_size(), &found);
	if (found)
		return;
	memset(lists, 0, dwf_ahead_size());
	for (int i = 0; i < DWF_AHEAD_LISTS; i++)
		pg_atomic_init_u64(&lists[i].until, (uint64) DT_NOBEGIN);
}

/* The place of a role's list */
static AheadList *
list_of(uint64 work_hash)
{
	return &lists[work_hash % DWF_AHEAD_LISTS];
}

/* The lock of that place */
static LWLock *
lock_of(uint64 work_hash)
{
	return &locks[work_hash % DWF_AHEAD_LISTS].lock;
}

/* When is the last body due that the list has?  Without a lock. */
static TimestampTz
end_of(AheadList * list)
{
	return (TimestampTz) pg_atomic_read_u64(&list->until);
}

/* Keep the bodies that are due before a moment; under the lock */
static void
cut_off(AheadList * list, TimestampTz due)
{
	while (list->count > list->next &&
		   list->bodies[list->count - 1].due >= due)
		list->count--;
	pg_atomic_write_u64(&list->until, (uint64)
						(list->count > list->next ?
						 list->bodies[list->count - 1].due : DT_NOBEGIN));
}

/* Is a list of this role, and young enough?  Under the lock. */
static bool
is_good(const AheadList * list, uint64 work_hash)
{
	TimestampTz now = GetCurrentTimestamp();

	return list->work_hash == work_hash && list->count - list->next > 1 &&
		now >= list->since &&
		!TimestampDifferenceExceeds(list->since, now,
									dwf_setting_look_ahead_time);
}

/*
 * Take the body that has been due for longest out of the list of the role
 * whose work has this address.  False if there is none that has more behind
 * it: then the caller has to search.
 */
bool
dwf_ahead_take(uint64 work_hash, DwfAhead * body)
{
	AheadList  *list = list_of(work_hash);
	bool		found;

	if (end_of(list) == DT_NOBEGIN || end_of(list) == DT_NOEND)
		return false;
	LWLockAcquire(lock_of(work_hash), LW_EXCLUSIVE);
	found = is_good(list, work_hash);
	if (found)
		*body = list->bodies[list->next++];
	LWLockRelease(lock_of(work_hash));
	return found;
}

/*
 * An executor of the role begins to search; it takes its snapshot after this,
 * and names the search in dwf_ahead_end().  A full barrier.
 */
uint64
dwf_ahead_begin(uint64 work_hash)
{
	AheadList  *list = list_of(work_hash);
	uint64		search;

	LWLockAcquire(lock_of(work_hash), LW_EXCLUSIVE);
	list->work_hash = work_hash;
	list->next = list->count = 0;
	list->since = GetCurrentTimestamp();
	list->earliest = DT_NOEND;
	search = ++list->search;
	pg_atomic_write_u64(&list->until, (uint64) DT_NOEND);
	LWLockRelease(lock_of(work_hash));
	pg_memory_barrier();
	return search;
}

/*
 * That search has found these bodies, in the order in which they are due,
 * beyond the one that the executor claims.  Has no effect if a later search
 * has begun.
 */
void
dwf_ahead_end(uint64 work_hash, uint64 search, const DwfAhead * bodies,
			  int count)
{
	AheadList  *list = list_of(work_hash);

	Assert(count <= DWF_AHEAD_MAX);
	LWLockAcquire(lock_of(work_hash), LW_EXCLUSIVE);
	if (list->work_hash == work_hash && list->search == search)
	{
		memcpy(list->bodies, bodies, count * sizeof(DwfAhead));
		list->count = count;
		cut_off(list, list->earliest);
	}
	LWLockRelease(lock_of(work_hash));
}

/* Cut off what is due at that time or later, or all that a search finds */
static void
cut_list(AheadList * list, TimestampTz due)
{
	list->earliest = Min(list->earliest, due);
	if (end_of(list) != DT_NOEND)
		cut_off(list, due);
}

/*
 * A commit has brought work of the role, which is due at that time.  Comes
 * after the work has become visible, with a full barrier in between.  Cannot
 * fail.
 */
void
dwf_ahead_arrived(uint64 work_hash, TimestampTz due)
{
	AheadList  *list;

	if (!dwf_preloaded() || due > end_of(list = list_of(work_hash)))
		return;
	LWLockAcquire(lock_of(work_hash), LW_EXCLUSIVE);
	if (list->work_hash == work_hash)
		cut_list(list, due);
	LWLockRelease(lock_of(work_hash));
}

/* A commit has brought what is not known; otherwise as above */
void
dwf_ahead_arrived_all(void)
{
	if (!dwf_preloaded())
		return;
	pg_memory_barrier();
	for (int i = 0; i < DWF_AHEAD_LISTS; i++)
	{
		LWLockAcquire(&locks[i].lock, LW_EXCLUSIVE);
		cut_list(&lists[i], DT_NOBEGIN);
		LWLockRelease(&locks[i].lock);
	}
}
