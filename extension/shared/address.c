/*-------------------------------------------------------------------------
 *
 * address.c
 *	  What can be sent to and waited for, and its hash.
 *
 * Shared memory knows addresses and workflows by 64 bits of hash.  Two
 * addresses whose hashes agree are taken for one.  The seed is random and
 * secret, so no user can bring that about, and by chance it takes 2^32
 * different addresses that are waited for at one time.
 *
 * The seed is written once, before any process can read it: it needs no lock.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/address.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/shmem.h"

static uint64 *seed = NULL;

/* How much shared memory this part needs */
Size
dwf_address_size(void)
{
	return sizeof(uint64);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_address_init_shared(void)
{
	bool		found;

	seed = ShmemInitStruct("durable_wf hash seed", dwf_address_size(), &found);
	if (!found && !pg_strong_random(seed, sizeof(*seed)))
		elog(FATAL, "could not get random bytes");
}

/* The hash of some bytes, by a seed that the secret one changes */
static uint64
hash_of(const char *bytes, int length, uint64 own_seed)
{
	return hash_bytes_extended((const unsigned char *) bytes, length,
							   own_seed);
}

/* The hash of a text, which may be NULL, likewise */
static uint64
hash_of_text(const text *value, uint64 own_seed)
{
	if (value == NULL)
		return hash_of("", 0, own_seed);
	return hash_of(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), own_seed);
}

/* The hash of an address in this database */
uint64
dwf_address_hash(const DwfAddress *address)
{
	uint64		secret = seed ? *seed : 0;

	return hash_combine64(hash_of_text(address->workflow_id,
									   secret ^ MyDatabaseId),
						  hash_of_text(address->key,
									   secret + (uint8) address->door));
}

/* The hash of a workflow's id; never 0 */
uint64
dwf_address_workflow_hash(const char *id, int length)
{
	return dwf_address_hash_bytes(id, length) | 1;
}

/* The hash of any bytes, whose collisions no user can compute */
uint64
dwf_address_hash_bytes(const char *bytes, int length)
{
	return hash_of(bytes, length, seed ? *seed : 0);
}
