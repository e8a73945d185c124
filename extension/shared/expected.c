/*-------------------------------------------------------------------------
 *
 * expected.c
 *	  At which addresses suspended workflows may wait.
 *
 * A session that suspends a workflow enters the addresses here; a commit that
 * brings something reads here whether the worker has to be told of it at once.
 * It is a set of bits by the hash of the address, which depends on the
 * database: a workflow that is suspended elsewhere, in this database or
 * another, does not make the worker look at what nothing waits for.  A bit
 * that is set in vain costs such a look.
 *
 * Bits are only set: they last until the server ends.  With a million
 * workflows that were ever suspended, which wait at two addresses each, one
 * address in nine is expected in vain.
 *
 * All of it is atomic; there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/expected.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/preloaded.h"

#define BITS		(1 << 24)	/* a power of two: 2 MB */
#define DATABASES	64			/* a power of two: flags by database */

typedef struct Expected
{
	pg_atomic_uint32 databases[DATABASES];	/* 1 if one was suspended there */
	pg_atomic_uint32 words[BITS / 32];
} Expected;

static Expected *expected = NULL;

/* How much shared memory this part needs */
Size
dwf_expected_size(void)
{
	return sizeof(Expected);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_expected_init_shared(void)
{
	bool		found;

	expected = ShmemInitStruct("durable_wf expected", dwf_expected_size(),
							   &found);
	if (found)
		return;
	for (int i = 0; i < DATABASES; i++)
		pg_atomic_init_u32(&expected->databases[i], 0);
	for (int i = 0; i < BITS / 32; i++)
		pg_atomic_init_u32(&expected->words[i], 0);
}

/* The flag of this database, and of few others */
static pg_atomic_uint32 *
my_database(void)
{
	return &expected->databases[MyDatabaseId % DATABASES];
}

/* The word that has the bit for an address */
static pg_atomic_uint32 *
word_of(uint64 hash)
{
	return &expected->words[hash / 32 % (BITS / 32)];
}

/* The bit for an address in its word */
static uint32
mask_of(uint64 hash)
{
	return (uint32) 1 << hash % 32;
}

/*
 * A suspended workflow of this database waits at an address with this hash.  A
 * full barrier: what is read after this was not committed, or is followed by a
 * commit that sees the bit.
 */
void
dwf_expected_add(uint64 hash)
{
	if (pg_atomic_read_u32(my_database()) == 0)
		pg_atomic_write_u32(my_database(), 1);
	if ((pg_atomic_read_u32(word_of(hash)) & mask_of(hash)) == 0)
		(void) pg_atomic_fetch_or_u32(word_of(hash), mask_of(hash));
	pg_memory_barrier();
}

/* May a suspended workflow wait at an address with this hash? */
bool
dwf_expected_has(uint64 hash)
{
	return dwf_preloaded() &&
		(pg_atomic_read_u32(word_of(hash)) & mask_of(hash)) != 0;
}

/* May there be any in this database?  One read. */
bool
dwf_expected_any(void)
{
	return dwf_preloaded() && pg_atomic_read_u32(my_database()) != 0;
}
