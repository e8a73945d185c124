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
 * Beside it stands, as a hint, whose body has last begun to wait at such an
 * address: an executor of that role may be told instead of the worker
 * (handed.c).  Addresses share the places of hints, those of other databases
 * among them, whose executors would look in their own: so a hint names its
 * database.
 *
 * All of it is atomic; there is no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/expected.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/address.h"
#include "shared/preloaded.h"

#define BITS		(1 << 24)	/* a power of two: 2 MB */
#define DATABASES	64			/* a power of two: flags by database */
#define ROLES		(1 << 15)	/* a power of two: hints, 256 kB */

typedef struct Expected
{
	pg_atomic_uint32 databases[DATABASES];	/* 1 if one was suspended there */
	pg_atomic_uint32 words[BITS / 32];
	pg_atomic_uint64 roles[ROLES];	/* a database and a role of it, or 0 */
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
	for (int i = 0; i < ROLES; i++)
		pg_atomic_init_u64(&expected->roles[i], 0);
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

/* A body of this role waits at an address with this hash: a hint */
void
dwf_expected_add_role(uint64 hash, Oid role)
{
	pg_atomic_write_u64(&expected->roles[hash % ROLES],
						(uint64) MyDatabaseId << 32 | role);
}

/* No body waits at an address with this hash, by a hint */
void
dwf_expected_forget_role(uint64 hash)
{
	pg_atomic_write_u64(&expected->roles[hash % ROLES], 0);
}

/*
 * The address of the work of the role whose body, of this database, may wait
 * at an address with this hash; 0: it is not known, or none does
 */
uint64
dwf_expected_work(uint64 hash)
{
	uint64		hint = pg_atomic_read_u64(&expected->roles[hash % ROLES]);

	return hint >> 32 == MyDatabaseId ? dwf_address_work_hash((Oid) hint) : 0;
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
