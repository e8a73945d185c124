/*-------------------------------------------------------------------------
 *
 * far_waits.c
 *	  How many sessions of this node wait on other nodes of the cluster.
 *
 * Each of them holds a connection to the other node, which would run out of
 * them; and Citus opens only so many from this node, for all calls.  So there
 * is a limit (far_wait.c).  A session is counted from its first wait there to
 * the end of its call, or to its own.
 *
 * Locks: none, the counter is atomic.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/far_waits.h"

#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

static pg_atomic_uint32 *waiting = NULL;

/* This session is one of them */
static bool is_counted = false;

/* How much shared memory this part needs */
Size
dwf_far_waits_size(void)
{
	return sizeof(pg_atomic_uint32);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_far_waits_init_shared(void)
{
	bool		found;

	waiting = ShmemInitStruct("durable_wf far waits", dwf_far_waits_size(),
							  &found);
	if (!found)
		pg_atomic_init_u32(waiting, 0);
}

/* Callback: the process ends, from the midst of its call if it must */
static void
process_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_far_waits_leave();
}

/* Count this session, unless there are so many already: then false */
bool
dwf_far_waits_enter(int limit)
{
	static bool has_callback = false;
	uint32		count;

	Assert(!is_counted);
	if (waiting == NULL)
		return true;			/* not preloaded: nobody can wait */
	if (!has_callback)
		before_shmem_exit(process_exit, (Datum) 0);
	has_callback = true;
	count = pg_atomic_read_u32(waiting);
	while (count < (uint32) limit)
		if (pg_atomic_compare_exchange_u32(waiting, &count, count + 1))
		{
			is_counted = true;
			return true;
		}
	return false;
}

/* Count it no more.  Cannot fail. */
void
dwf_far_waits_leave(void)
{
	if (!is_counted)
		return;
	is_counted = false;
	pg_atomic_fetch_sub_u32(waiting, 1);
}
