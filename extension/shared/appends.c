/*-------------------------------------------------------------------------
 *
 * appends.c
 *	  Has anything been appended to a stream since?
 *
 * A session that writes a stream again and again knows its last number, unless
 * another one has written in between.  So each append is counted here, before
 * it is made and while its transaction has the lock on the stream.  Another
 * writer gets the lock when that transaction has ended, and sees the count
 * then.  Streams that share a counter cost one another a search of the index.
 *
 * Locks: none, the counters are atomic.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/appends.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#define COUNTERS	4096		/* a power of two */

static pg_atomic_uint64 *counters = NULL;

/* How much shared memory this part needs */
Size
dwf_appends_size(void)
{
	return COUNTERS * sizeof(pg_atomic_uint64);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_appends_init_shared(void)
{
	bool		found;

	counters = ShmemInitStruct("durable_wf appends", dwf_appends_size(),
							   &found);
	for (int i = 0; !found && i < COUNTERS; i++)
		pg_atomic_init_u64(&counters[i], 0);
}

/* Count an append to the stream of this hash; the count, or 0 for nothing */
uint64
dwf_appends_note(uint64 hash)
{
	if (counters == NULL)
		return 0;
	return pg_atomic_add_fetch_u64(&counters[hash & (COUNTERS - 1)], 1);
}

/* Is it sure that nothing was appended since dwf_appends_note() gave this? */
bool
dwf_appends_none_since(uint64 hash, uint64 noted)
{
	return noted != 0 &&
		pg_atomic_read_u64(&counters[hash & (COUNTERS - 1)]) == noted;
}
