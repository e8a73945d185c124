/*-------------------------------------------------------------------------
 *
 * session_lock.c
 *	  The advisory locks that this session holds beyond transactions.
 *
 * The server can list the locks of all sessions only, which costs, and the
 * list does not tell the session's locks from those of its transaction.  So
 * the list is not asked for before the session has called a function that
 * takes such a lock.  Then the process's own table of locks says, for each
 * lock in the list, how often the session holds it.
 *
 *-------------------------------------------------------------------------
 */
#include "session/session_lock.h"

#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgroids.h"

/* A lock, in one mode */
typedef struct SessionLock
{
	LOCKTAG		tag;
	LOCKMODE	mode;
	int64		count;			/* how often the session holds it */
} SessionLock;

/* The functions that take an advisory lock for the session */
static const Oid takers[] = {
	F_PG_ADVISORY_LOCK_INT8, F_PG_ADVISORY_LOCK_SHARED_INT8,
	F_PG_TRY_ADVISORY_LOCK_INT8, F_PG_TRY_ADVISORY_LOCK_SHARED_INT8,
	F_PG_ADVISORY_LOCK_INT4_INT4, F_PG_ADVISORY_LOCK_SHARED_INT4_INT4,
	F_PG_TRY_ADVISORY_LOCK_INT4_INT4, F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4
};

/* One of these functions was called, so the session may hold a lock */
static bool may_exist = false;

/* The server's hook says that this function is about to be called */
void
dwf_session_lock_note_function(Oid function)
{
	for (int i = 0; !may_exist && i < (int) lengthof(takers); i++)
		may_exist = function == takers[i];
}

/* Can this session hold an advisory lock beyond its transactions? */
bool
dwf_session_lock_may_exist(void)
{
	return may_exist;
}

/* How often the session holds a lock that it or its transaction holds */
static int64
count_holds(const LOCKTAG *tag, LOCKMODE mode)
{
	LOCALLOCK  *local = NULL;
	int64		count = 0;

	/* the process has the lock, so this only counts, and gives us its entry */
	if (DWF_LOCK_ACQUIRE_LOCAL(tag, mode, &local) == LOCKACQUIRE_NOT_AVAIL)
		return 0;
	for (int i = 0; i < local->numLockOwners; i++)
		if (local->lockOwners[i].owner == NULL)
			count = local->lockOwners[i].nLocks;
	(void) LockRelease(tag, mode, false);
	return count;
}

/* The advisory locks of the session, as SessionLock */
List *
dwf_session_lock_list(void)
{
	LockData   *all = GetLockStatusData();
	List	   *locks = NIL;

	for (int i = 0; i < all->nelements; i++)
	{
		LockInstanceData *instance = &all->locks[i];

		if (instance->pid != MyProcPid ||
			instance->locktag.locktag_type != LOCKTAG_ADVISORY)
			continue;
		/* in each mode that it is held in, count what the session holds */
		for (LOCKMODE mode = 1; mode <= MaxLockMode; mode++)
		{
			SessionLock lock = {instance->locktag, mode, 0};

			if (!(instance->holdMask & LOCKBIT_ON(mode)))
				continue;
			lock.count = count_holds(&lock.tag, mode);
			if (lock.count > 0)
			{
				SessionLock *copy = palloc(sizeof(SessionLock));

				*copy = lock;
				locks = lappend(locks, copy);
			}
		}
	}
	return locks;
}

/* How often a lock is held, according to a list */
static int64
count_in(List *locks, const SessionLock *wanted)
{
	ListCell   *cell;

	foreach(cell, locks)
	{
		SessionLock *lock = lfirst(cell);

		if (lock->mode == wanted->mode &&
			memcmp(&lock->tag, &wanted->tag, sizeof(LOCKTAG)) == 0)
			return lock->count;
	}
	return 0;
}

/* Do two lists hold the same locks, equally often? */
bool
dwf_session_lock_same(List *before, List *after)
{
	ListCell   *cell;

	if (list_length(before) != list_length(after))
		return false;
	foreach(cell, after)
	{
		SessionLock *lock = lfirst(cell);

		if (count_in(before, lock) != lock->count)
			return false;
	}
	return true;
}

/*
 * Make the session hold the locks that it held before: release those that are
 * new, and take again those that it has released, without waiting for any that
 * another session holds by now.
 */
void
dwf_session_lock_restore(List *before)
{
	List	   *after = dwf_session_lock_list();
	ListCell   *cell;

	foreach(cell, after)
	{
		SessionLock *lock = lfirst(cell);

		for (int64 n = count_in(before, lock); n < lock->count; n++)
			(void) LockRelease(&lock->tag, lock->mode, true);
	}
	foreach(cell, before)
	{
		SessionLock *lock = lfirst(cell);

		for (int64 n = count_in(after, lock); n < lock->count; n++)
			(void) LockAcquire(&lock->tag, lock->mode, true, true);
	}
}
