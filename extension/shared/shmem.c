/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Reserve and lay out our shared memory.
 *
 * Each part of it belongs to one file, which alone knows what is in it and
 * keeps a pointer to it.  This file asks each part how much it needs, reserves
 * that and the parts' LWLocks, and has each part lay out its own; so does
 * ipci.c for the server.  No part includes this file's header.
 *
 * Lock order.  A process holds at most one of our locks at a time, LWLock or
 * spinlock: no part calls another one while it holds a lock, except to set a
 * latch.  The head of each part's file says what its lock guards.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/shmem.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/address.h"
#include "shared/ahead.h"
#include "shared/appends.h"
#include "shared/claims.h"
#include "shared/counters.h"
#include "shared/crash.h"
#include "shared/dismissal.h"
#include "shared/executors.h"
#include "shared/expected.h"
#include "shared/far_waits.h"
#include "shared/horizon.h"
#include "shared/listener.h"
#include "shared/news.h"
#include "shared/preloaded.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "shared/progress.h"
#include "shared/queue_head.h"
#include "shared/returned.h"
#include "shared/saturation.h"
#include "shared/waiter.h"
#include "shared/watch.h"
#include "shared/workers.h"

#define LOCK_TRANCHE	"durable_wf"

/* A part, which has LWLocks or not; "size" is NULL if it maps its own memory */
typedef struct Part
{
	Size		(*size) (void);
	void		(*init) (void);
	int			nlocks;
	void		(*init_with_locks) (LWLockPadded *locks);
} Part;

/* A row for a part without LWLocks, and one for a part that has some */
#define PART(name) \
	{.size = dwf_##name##_size, .init = dwf_##name##_init_shared}
#define PART_WITH_LOCKS(name, n) \
	{.size = dwf_##name##_size, .nlocks = n, \
	 .init_with_locks = dwf_##name##_init_shared}

static const Part parts[] = {
	PART(address),
	PART(counters),
	PART_WITH_LOCKS(waiter, DWF_WAITER_LOCKS),
	PART(watch),
	PART(dismissal),
	PART_WITH_LOCKS(claims, 1),
	PART_WITH_LOCKS(listener, 1),
	PART(expected),
	PART_WITH_LOCKS(prepared, 1),
	PART_WITH_LOCKS(workers, 1),
	PART_WITH_LOCKS(news, 1),
	PART_WITH_LOCKS(returned, 1),
	PART(presence),
	PART(queue_head),
	PART(appends),
	PART(far_waits),
	PART(horizon),
	PART(executors),
	PART(progress),
	PART(saturation),
	PART_WITH_LOCKS(ahead, DWF_AHEAD_LISTS),
	{.init = dwf_crash_init_shared},
};

#define NPARTS	((int) lengthof(parts))

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Reserve what all parts need; runs in the postmaster */
static void
request_shmem(void)
{
	int			nlocks = 0;

	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	for (int i = 0; i < NPARTS; i++)
	{
		/* the server aligns each part likewise */
		if (parts[i].size)
			RequestAddinShmemSpace(CACHELINEALIGN(parts[i].size()));
		nlocks += parts[i].nlocks;
	}
	RequestNamedLWLockTranche(LOCK_TRANCHE, nlocks);
}

/*
 * Have each part find its shared memory or lay it out: in the postmaster, for
 * the first time or after a crash, and in each process that does not inherit
 * the parts' pointers
 */
static void
startup_shmem(void)
{
	LWLockPadded *locks;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	locks = GetNamedLWLockTranche(LOCK_TRANCHE);
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	for (int i = 0; i < NPARTS; i++)
	{
		if (parts[i].init)
			parts[i].init();
		else
			parts[i].init_with_locks(locks);
		locks += parts[i].nlocks;
	}
	LWLockRelease(AddinShmemInitLock);
	dwf_preloaded_set();
}

/* Install the hooks, when called from shared_preload_libraries */
void
dwf_shmem_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
