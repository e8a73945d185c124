/*-------------------------------------------------------------------------
 *
 * session_lock.c
 *	  The advisory locks that this session holds beyond transactions.
 *
 * The server lists the locks of all sessions, which costs, and does not tell
 * those of the session from those of its transaction.  So nobody asks before
 * the session has called a function that takes one; and of each lock that this
 * process has, its own table of locks is asked who holds it, and how often.
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

static const Oid takers[] = {
	F_PG_ADVISORY_LOCK_INT8, F_PG_ADVISORY_LOCK_SHARED_INT8,
	F_PG_TRY_ADVISORY_LOCK_INT8, F_PG_TRY_ADVISORY_LOCK_SHARED_INT8,
	F_PG_ADVISORY_LOCK_INT4_INT4, F_PG_ADVISORY_LOCK_SHARED_INT4_INT4,
	F_PG_TRY_ADVISORY_LOCK_INT4_INT4, F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4
};

static bool may_exist = false;

/* This function is about to be called, as the server's hook says */
void
dwf_session_lock_note_function(Oid function)
{
	for (int i = 0; !may_exist && i < (int) lengthof(takers); i++)
		may_exist = function == takers[i];
}

/* Can this session hold any? */
bool
dwf_session_lock_may_exist(void)
{
	return may_exist;
}

/* How often the session holds a lock, which this process has in some way */
static int64
count_holds(const LOCKTAG *tag, LOCKMODE mode)
{
	LOCALLOCK  *local = NULL;
	int64		count = 0;

	/* we have it, so this only counts, and tells where it is counted */
	if (DWF_LOCK_ACQUIRE_LOCAL(tag, mode, &local) == LOCKACQUIRE_NOT_AVAIL)
		return 0;
	for (int i = 0; i < local->numLockOwners; i++)
		if (local->lockOwners[i].owner == NULL)
			count = local->lockOwners[i].nLocks;
	(void) LockRelease(tag, mode, false);
	return count;
}

/* Those that it holds, as SessionLock */
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

/* How often a lock is held in a list */
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

/* Do two lists say the same? */
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
 * Give back what the session did not hold then, and take again what it does
 * not hold any more, unless somebody else has it by now.
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
