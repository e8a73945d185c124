/*-------------------------------------------------------------------------
 *
 * listener.c
 *	  Who wants a NOTIFY for what.
 *
 * A session that listens for a workflow, or for all that a role owns, LISTENs
 * to a channel and enters its interest in shared memory: a hash table of keys
 * with the number of sessions behind each, and a filter of counters by which
 * a sender sees in one read that nobody can be interested.
 *
 * A session's interest begins at once, which does no harm, and ends when its
 * LISTEN does: at the abort of the (sub)transaction that began it, at the
 * commit of one that has unlistened, at exit.  The session keeps the list of
 * its interests for that.
 *
 * A channel's name is a digest of its key with a secret of this server run:
 * everyone may LISTEN to any name, so the names must not be guessed.
 *
 *-------------------------------------------------------------------------
 */
#include "listener.h"

#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "shmem.h"

#define LISTENS_MAX		16384

/* An entry of the shared table */
typedef struct Listen
{
	DwfListenKey key;
	int			sessions;
	char		channel[DWF_CHANNEL_SIZE];
} Listen;

/* An interest of this session */
typedef struct MyListen
{
	DwfListenKey key;
	char		channel[DWF_CHANNEL_SIZE];
	SubTransactionId added;		/* by this, which may abort; or invalid */
	SubTransactionId removed;	/* by this, which may commit; or invalid */
} MyListen;

static HTAB *listens = NULL;
static List *my_listens = NIL;	/* of MyListen, in TopMemoryContext */
static bool exit_callback_registered = false;

Size
dwf_listener_size(void)
{
	return hash_estimate_size(LISTENS_MAX, sizeof(Listen));
}

/* Create or find the shared table; runs wherever shared memory is set up */
void
dwf_listener_init_shared(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(DwfListenKey);
	control.entrysize = sizeof(Listen);
	listens = ShmemInitHash("durable_wf listens", LISTENS_MAX, LISTENS_MAX,
							&control, HASH_ELEM | HASH_BLOBS);
}

/* ----- keys and channels ----- */

DwfListenKey
dwf_listener_workflow_key(const char *id, int length)
{
	DwfListenKey key = {MyDatabaseId, InvalidOid, 0};

	key.workflow_hash = hash_bytes_extended((const unsigned char *) id, length,
											dwf_shared->hash_seed) | 1;
	return key;
}

DwfListenKey
dwf_listener_role_key(Oid role)
{
	DwfListenKey key = {MyDatabaseId, role, 0};

	return key;
}

/* The channel of a key, into DWF_CHANNEL_SIZE bytes */
void
dwf_listener_channel(const DwfListenKey *key, char *channel)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);

	if (sha == NULL || pg_cryptohash_init(sha) < 0 ||
		pg_cryptohash_update(sha, dwf_shared->secret,
							 sizeof(dwf_shared->secret)) < 0 ||
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

	return &dwf_shared->filter[i % DWF_FILTER_SIZE];
}

/* ----- shared memory ----- */

/* Count one session in; raises 53400 when the table is full */
static void
share_listen(const DwfListenKey *key, const char *channel)
{
	Listen	   *listen;
	bool		found;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_EXCLUSIVE);
	listen = hash_search(listens, key, HASH_ENTER_NULL, &found);
	if (listen && !found)
	{
		listen->sessions = 0;
		strlcpy(listen->channel, channel, DWF_CHANNEL_SIZE);
	}
	if (listen)
	{
		listen->sessions++;
		pg_atomic_fetch_add_u32(filter_of(key->workflow_hash), 1);
		pg_atomic_fetch_add_u32(&dwf_shared->nlistens, 1);
	}
	LWLockRelease(dwf_shmem_listener_lock());

	if (listen == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many workflows are listened for"),
				 errdetail("At most %d can be, by all sessions together.",
						   LISTENS_MAX),
				 errhint("Call wf_listen() without a workflow: one interest covers all that a role owns.")));
}

/* Count one session out.  Cannot fail. */
static void
unshare_listen(const DwfListenKey *key)
{
	Listen	   *listen;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_EXCLUSIVE);
	listen = hash_search(listens, key, HASH_FIND, NULL);
	if (listen)
	{
		pg_atomic_fetch_sub_u32(filter_of(key->workflow_hash), 1);
		pg_atomic_fetch_sub_u32(&dwf_shared->nlistens, 1);
		if (--listen->sessions == 0)
			(void) hash_search(listens, key, HASH_REMOVE, NULL);
	}
	LWLockRelease(dwf_shmem_listener_lock());
}

/* Does anybody listen for anything? */
bool
dwf_listener_any(void)
{
	return dwf_shared && pg_atomic_read_u32(&dwf_shared->nlistens) > 0;
}

/* Can anybody in this database listen for this workflow? */
bool
dwf_listener_wants(uint64 workflow_hash)
{
	return pg_atomic_read_u32(filter_of(0)) > 0 ||
		pg_atomic_read_u32(filter_of(workflow_hash)) > 0;
}

/* Does anybody listen for exactly this? */
bool
dwf_listener_exists(const DwfListenKey *key)
{
	bool		found;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_SHARED);
	found = hash_search(listens, key, HASH_FIND, NULL) != NULL;
	LWLockRelease(dwf_shmem_listener_lock());
	return found;
}

/* The channels that are listened to in this database, as C strings */
List *
dwf_listener_channels(void)
{
	HASH_SEQ_STATUS scan;
	Listen	   *listen;
	List	   *channels = NIL;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_SHARED);
	hash_seq_init(&scan, listens);
	while ((listen = hash_seq_search(&scan)) != NULL)
		if (listen->key.database == MyDatabaseId)
			channels = lappend(channels, pstrdup(listen->channel));
	LWLockRelease(dwf_shmem_listener_lock());
	return channels;
}

/* ----- this session's interests ----- */

static MyListen *
find_mine(const DwfListenKey *key)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (memcmp(&mine->key, key, sizeof(*key)) == 0)
			return mine;
	}
	return NULL;
}

/* Everything ends with the session */
static void
listener_exit(int code, Datum arg)
{
	ListCell   *cell;

	(void) code;
	(void) arg;
	foreach(cell, my_listens)
		unshare_listen(&((MyListen *) lfirst(cell))->key);
	my_listens = NIL;
}

/* This session listens for a key; raises 53400.  Idempotent. */
void
dwf_listener_add(const DwfListenKey *key)
{
	MyListen   *mine = find_mine(key);
	MemoryContext old;

	if (mine)
	{
		mine->removed = InvalidSubTransactionId;
		return;
	}
	if (!exit_callback_registered)
	{
		before_shmem_exit(listener_exit, (Datum) 0);
		exit_callback_registered = true;
	}

	old = MemoryContextSwitchTo(TopMemoryContext);
	mine = palloc0(sizeof(MyListen));
	mine->key = *key;
	mine->added = GetCurrentSubTransactionId();
	dwf_listener_channel(key, mine->channel);
	my_listens = lappend(my_listens, mine);
	MemoryContextSwitchTo(old);

	PG_TRY();
	{
		share_listen(key, mine->channel);
	}
	PG_CATCH();
	{
		my_listens = list_delete_ptr(my_listens, mine);
		pfree(mine);
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* If this transaction commits, this session does not listen for the key */
void
dwf_listener_remove(const DwfListenKey *key)
{
	MyListen   *mine = find_mine(key);

	if (mine)
		mine->removed = GetCurrentSubTransactionId();
}

/* The same for a channel by its name, or for all when it is NULL */
void
dwf_listener_remove_channel(const char *channel)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (channel == NULL || strcmp(mine->channel, channel) == 0)
			mine->removed = GetCurrentSubTransactionId();
	}
}

/* The transaction has ended: so have some interests.  Cannot fail. */
void
dwf_listener_end_xact(bool commit)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);
		SubTransactionId ends = commit ? mine->removed : mine->added;

		mine->added = mine->removed = InvalidSubTransactionId;
		if (ends == InvalidSubTransactionId)
			continue;
		unshare_listen(&mine->key);
		my_listens = foreach_delete_current(my_listens, cell);
		pfree(mine);
	}
}

/* A subtransaction has aborted, with what it and its children changed */
void
dwf_listener_end_subxact(SubTransactionId subid)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (mine->removed >= subid)
			mine->removed = InvalidSubTransactionId;
		if (mine->added < subid)
			continue;
		unshare_listen(&mine->key);
		my_listens = foreach_delete_current(my_listens, cell);
		pfree(mine);
	}
}
