/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  Which roles want a NOTIFY for what.
 *
 * A session that listens for a workflow, or for all that a role owns, LISTENs
 * to a channel and enters its interest (interest.c) in shared memory: a hash
 * table of keys with the number of sessions behind each, and a filter of
 * counters by which a sender sees in one read that no session can be
 * interested.
 *
 * No role can use up the table: it gets another key only while it has fewer
 * keys than are free.  So the first role that takes all it can leaves half,
 * the next one half of that, and LISTENS_KEPT are for roles with less than
 * LISTENS_A_ROLE.
 *
 * A channel's name is a digest of its key with a secret of this server run:
 * every role may LISTEN to any name, so the names must not be guessed.  The
 * key has the role that listens, too: each notification tests whether that
 * role may still see the workflow, and a role that has lost the right knows no
 * channel that others still use.
 *
 * Locks: one LWLock guards the two hash tables; no other lock is taken under
 * it.  All else is atomic, or is written once before any process can read it.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/listener.h"

#include "common/cryptohash.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"

#include "shared/address.h"
#include "shared/preloaded.h"

#define FILTER_SIZE		4096	/* a power of two */
#define DATABASES		64		/* a power of two: counters by database */

/* How many keys are kept for roles with few, and what is few */
#define LISTENS_KEPT	4096
#define LISTENS_A_ROLE	64
#define LISTENS_ROOM	(DWF_LISTENS_MAX + LISTENS_KEPT)

/* An entry of the shared table of keys; the lock */
typedef struct SharedListen
{
	DwfListen	listen;			/* begins with the key */
	int			sessions;
} SharedListen;

/* How many keys a role has, in all databases; the lock */
typedef struct RoleShare
{
	Oid			role;
	int			keys;
} RoleShare;

/* What is shared beside the tables */
typedef struct Listening
{
	uint8		secret[32];		/* written once */
	pg_atomic_uint32 nlistens;	/* interests of all sessions */
	pg_atomic_uint32 filter[FILTER_SIZE];	/* interests, by key */
	pg_atomic_uint32 sessions[DATABASES];	/* that listen, by database */
} Listening;

static Listening *listening = NULL;
static HTAB *listens = NULL;
static HTAB *shares = NULL;
static LWLock *lock = NULL;

/* How much shared memory this part needs */
Size
dwf_listener_size(void)
{
	Size		tables = add_size(hash_estimate_size(LISTENS_ROOM,
													 sizeof(SharedListen)),
								  hash_estimate_size(LISTENS_ROOM,
													 sizeof(RoleShare)));

	return add_size(CACHELINEALIGN(sizeof(Listening)), tables);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_listener_init_shared(LWLockPadded *locks)
{
	HASHCTL		control = {0};
	bool		found;

	lock = &locks[0].lock;

	/* the listens, and how many each role has */
	control.keysize = sizeof(DwfListenKey);
	control.entrysize = sizeof(SharedListen);
	listens = DWF_SHMEM_HASH("durable_wf listens", LISTENS_ROOM, &control,
							 HASH_ELEM | HASH_BLOBS);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RoleShare);
	shares = DWF_SHMEM_HASH("durable_wf shares of listens", LISTENS_ROOM,
							&control, HASH_ELEM | HASH_BLOBS);

	/* what is read without the lock */
	listening = ShmemInitStruct("durable_wf listening", sizeof(Listening),
								&found);
	if (found)
		return;
	if (!pg_strong_random(listening->secret, sizeof(listening->secret)))
		elog(FATAL, "could not get random bytes");
	pg_atomic_init_u32(&listening->nlistens, 0);
	for (int i = 0; i < FILTER_SIZE; i++)
		pg_atomic_init_u32(&listening->filter[i], 0);
	for (int i = 0; i < DATABASES; i++)
		pg_atomic_init_u32(&listening->sessions[i], 0);
}

/* ----- keys and channels ----- */

/* The key of a role's interest in a workflow or, with 0, in all it owns */
DwfListenKey
dwf_listener_key(Oid role, uint64 workflow_hash)
{
	DwfListenKey key = {MyDatabaseId, role, workflow_hash};

	return key;
}

/* The channel of a key, into DWF_CHANNEL_SIZE bytes */
void
dwf_listener_channel(const DwfListenKey *key, char *channel)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);

	if (sha == NULL || pg_cryptohash_init(sha) < 0 ||
		pg_cryptohash_update(sha, listening->secret,
							 sizeof(listening->secret)) < 0 ||
		pg_cryptohash_update(sha, (const uint8 *) key, sizeof(*key)) < 0 ||
		pg_cryptohash_final(sha, digest, sizeof(digest)) < 0)
		elog(ERROR, "could not compute the name of a channel");
	pg_cryptohash_free(sha);

	strcpy(channel, "wf_");
	hex_encode((const char *) digest, 16, channel + 3);
	channel[3 + 32] = '\0';
}

/* The filter's counter for a key */
static pg_atomic_uint32 *
filter_of(uint64 workflow_hash)
{
	/* interests in a role's workflows are interests in any workflow */
	uint32		i = workflow_hash == 0 ? MyDatabaseId :
	(uint32) (workflow_hash >> 8) ^ MyDatabaseId;

	return &listening->filter[i % FILTER_SIZE];
}

/* ----- shared memory ----- */

/* How many keys has a role?  The caller holds the lock. */
static int
keys_of_role(Oid role)
{
	RoleShare  *share = hash_search(shares, &role, HASH_FIND, NULL);

	return share ? share->keys : 0;
}

/*
 * Is there room for one more key of a role that has so many?  The caller holds
 * the lock.  (The table itself would go on into memory that others have left.)
 */
static bool
has_room(int keys)
{
	long		used = hash_get_num_entries(listens);

	return used + keys < DWF_LISTENS_MAX ||
		(keys < LISTENS_A_ROLE && used < LISTENS_ROOM);
}

/* Enter a key; NULL if there is no room.  The caller holds the lock. */
static SharedListen *
enter_listen(const DwfListen *listen)
{
	int			keys = keys_of_role(listen->key.role);
	SharedListen *shared;
	RoleShare  *share;

	if (!has_room(keys))
		return NULL;
	share = hash_search(shares, &listen->key.role, HASH_ENTER_NULL, NULL);
	if (share == NULL)
		return NULL;
	share->keys = keys;			/* which is 0 when it is new */
	shared = hash_search(listens, &listen->key, HASH_ENTER_NULL, NULL);
	if (shared)
	{
		shared->listen = *listen;
		shared->sessions = 0;
		share->keys++;
	}
	else if (keys == 0)
		(void) hash_search(shares, &listen->key.role, HASH_REMOVE, NULL);
	return shared;
}

/* Remove a key.  The caller holds the lock. */
static void
remove_listen(const DwfListenKey *key)
{
	Oid			role = key->role;
	RoleShare  *share = hash_search(shares, &role, HASH_FIND, NULL);

	(void) hash_search(listens, key, HASH_REMOVE, NULL);
	if (share && --share->keys == 0)
		(void) hash_search(shares, &role, HASH_REMOVE, NULL);
}

/*
 * Count one session in that listens.  Returns -1, or how many keys the role
 * has when there is no room for another.  Cannot fail.
 */
int
dwf_listener_enter(const DwfListen *listen)
{
	SharedListen *shared;
	int			keys = -1;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	shared = hash_search(listens, &listen->key, HASH_FIND, NULL);
	if (shared == NULL)
		shared = enter_listen(listen);
	if (shared)
	{
		shared->sessions++;
		pg_atomic_fetch_add_u32(filter_of(listen->key.workflow_hash), 1);
		pg_atomic_fetch_add_u32(&listening->nlistens, 1);
	}
	else
		keys = keys_of_role(listen->key.role);
	LWLockRelease(lock);
	return keys;
}

/* Count one session out that has listened.  Cannot fail. */
void
dwf_listener_leave(const DwfListen *listen)
{
	SharedListen *shared;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	shared = hash_search(listens, &listen->key, HASH_FIND, NULL);
	if (shared)
	{
		pg_atomic_fetch_sub_u32(filter_of(listen->key.workflow_hash), 1);
		pg_atomic_fetch_sub_u32(&listening->nlistens, 1);
		if (--shared->sessions == 0)
			remove_listen(&listen->key);
	}
	LWLockRelease(lock);
}

/* Does any session listen in the server?  One read. */
bool
dwf_listener_any(void)
{
	return dwf_preloaded() && pg_atomic_read_u32(&listening->nlistens) > 0;
}

/* May a session of this database listen for news of this workflow? */
bool
dwf_listener_wants(uint64 workflow_hash)
{
	return pg_atomic_read_u32(filter_of(0)) > 0 ||
		pg_atomic_read_u32(filter_of(workflow_hash)) > 0;
}

/* How many interests all sessions of the server have together */
uint32
dwf_listener_count(void)
{
	return pg_atomic_read_u32(&listening->nlistens);
}

/* The counter of this database's sessions that listen, and of few others' */
static pg_atomic_uint32 *
session_counter(void)
{
	return &listening->sessions[MyDatabaseId % DATABASES];
}

/* About how many sessions does a notification in this database wake? */
uint32
dwf_listener_sessions(void)
{
	return pg_atomic_read_u32(session_counter());
}

/* A session of this database begins, or ends, to listen.  Cannot fail. */
void
dwf_listener_count_session(bool listens_now)
{
	if (listens_now)
		pg_atomic_fetch_add_u32(session_counter(), 1);
	else
		pg_atomic_fetch_sub_u32(session_counter(), 1);
}

/* What is listened for in this database, in no order */
DwfListen *
dwf_listener_list(int *count)
{
	HASH_SEQ_STATUS scan;
	SharedListen *shared;
	DwfListen  *list;

	LWLockAcquire(lock, LW_SHARED);
	list = palloc(Max(hash_get_num_entries(listens), 1) * sizeof(DwfListen));
	*count = 0;
	hash_seq_init(&scan, listens);
	while ((shared = hash_seq_search(&scan)) != NULL)
		if (shared->listen.key.database == MyDatabaseId)
		{
			list[*count] = shared->listen;
			list[(*count)++].sessions = shared->sessions;
		}
	LWLockRelease(lock);
	return list;
}
