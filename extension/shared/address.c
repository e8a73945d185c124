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

/* The bytes of a text, and how many; none of NULL */
const char *
dwf_address_bytes(const text *value, int *length)
{
	*length = value ? VARSIZE_ANY_EXHDR(value) : 0;
	return value ? VARDATA_ANY(value) : "";
}

/* The hash of an address in this database, from its parts */
uint64
dwf_address_hash_parts(char door, const char *id, int id_length,
					   const char *key, int key_length)
{
	uint64		secret = seed ? *seed : 0;

	return hash_combine64(hash_of(id, id_length, secret ^ MyDatabaseId),
						  hash_of(key, key_length, secret + (uint8) door));
}

/* The hash of an address in this database */
uint64
dwf_address_hash(const DwfAddress *address)
{
	int			id_length;
	int			key_length;
	const char *id = dwf_address_bytes(address->workflow_id, &id_length);
	const char *key = dwf_address_bytes(address->key, &key_length);

	return dwf_address_hash_parts(address->door, id, id_length, key,
								  key_length);
}

/*
 * The hash of the address that bodies of a role come to, to be executed.
 * Allocates nothing.
 */
uint64
dwf_address_work_hash(Oid role)
{
	char		key[16];
	int			length = snprintf(key, sizeof(key), "%u", role);

	return dwf_address_hash_parts(DWF_DOOR_WORK, "", 0, key, length);
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
