/*-------------------------------------------------------------------------
 *
 * saturation.c
 *	  For whose work the worker can do nothing now.
 *
 * A role is *saturated* when its work is due, it has executors, and the worker
 * can neither wake nor start another one, nor have one give way.  Each of its
 * executors looks for work when it has ended a body; the worker looks again
 * when an executor has ended, or tells it something (executors.c), and each
 * half second.  So a session that brings more such work need not tell it.
 *
 * The worker publishes at the end of each look which roles are saturated.
 * When one is not any more, it looks again: a session that has still seen the
 * role published, and has told nobody, had committed before that, so that the
 * next look sees what it has brought.
 *
 * There is a word for each hash of the address that stands for a role's work.
 * Two roles may share a word: then only one of them is published.  All is
 * atomic; there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/saturation.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/preloaded.h"

#define WORDS		1024		/* a power of two */

/* A worker publishes so many roles at most */
#define ROLES_MAX	64

static pg_atomic_uint64 *words = NULL;

/* What this process, a worker, has published, and what its look has found */
static uint64 published[ROLES_MAX];
static int	npublished = 0;
static uint64 found[ROLES_MAX];
static int	nfound = 0;

/* How much shared memory this part needs */
Size
dwf_saturation_size(void)
{
	return mul_size(WORDS, sizeof(pg_atomic_uint64));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_saturation_init_shared(void)
{
	bool		exists;

	words = ShmemInitStruct("durable_wf saturation", dwf_saturation_size(),
							&exists);
	for (int i = 0; !exists && i < WORDS; i++)
		pg_atomic_init_u64(&words[i], 0);
}

/*
 * Is the role saturated whose work has this address?  The caller's work is
 * visible, with a full barrier in between.
 */
bool
dwf_saturation_exists(uint64 work_hash)
{
	return dwf_preloaded() &&
		pg_atomic_read_u64(&words[work_hash % WORDS]) == work_hash;
}

/* ----- for a worker ----- */

/* A look begins */
void
dwf_saturation_begin(void)
{
	nfound = 0;
}

/* The look has found that a role is saturated */
void
dwf_saturation_add(uint64 work_hash)
{
	if (nfound < ROLES_MAX)
		found[nfound++] = work_hash;
}

/* Has the look found this role? */
static bool
was_found(uint64 work_hash)
{
	for (int i = 0; i < nfound; i++)
		if (found[i] == work_hash)
			return true;
	return false;
}

/*
 * Publish what the look has found.  Returns whether a role is withdrawn, so
 * that the worker has to look again.  A full barrier.
 */
bool
dwf_saturation_end(void)
{
	bool		is_withdrawn = false;

	for (int i = 0; i < npublished; i++)
	{
		uint64		expected = published[i];

		if (was_found(expected))
			continue;
		(void) pg_atomic_compare_exchange_u64(&words[expected % WORDS],
											  &expected, 0);
		is_withdrawn = true;
	}
	npublished = nfound;
	for (int i = 0; i < nfound; i++)
	{
		published[i] = found[i];
		pg_atomic_write_u64(&words[found[i] % WORDS], found[i]);
	}
	pg_memory_barrier();
	return is_withdrawn;
}

/* This process ends as a worker: withdraw all.  Cannot fail. */
void
dwf_saturation_exit(void)
{
	dwf_saturation_begin();
	(void) dwf_saturation_end();
}
