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
 * its interests for that, and, as core does, a stack of what the transaction
 * wants to change at its commit, the last word last.
 *
 * No role can use up the table: it gets another key only while it has fewer
 * than are free.  So the first that takes all leaves half, the next half of
 * that, and LISTENS_KEPT are for those who have less than LISTENS_A_ROLE.
 *
 * A channel's name is a digest of its key with a secret of this server run:
 * everyone may LISTEN to any name, so the names must not be guessed.  The key
 * has the role that listens, too: whether that role may still see a workflow
 * is tested at each notification, and who has lost the right knows no channel
 * that others still use.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/listener.h"

#include "commands/async.h"
#include "common/cryptohash.h"
#include "common/hashfn.h"
#include "common/sha2.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "shared/shmem.h"

/* How many keys the roles share, and what is kept for those with few */
#define LISTENS_MAX		16384
#define LISTENS_KEPT	4096
#define LISTENS_A_ROLE	64

#define CHANGES_TO_KEEP	1024

/* An entry of the shared table */
typedef struct SharedListen
{
	DwfListen	listen;			/* begins with the key */
	int			sessions;
} SharedListen;

/* How many keys are a role's, in all databases */
typedef struct RoleShare
{
	Oid			role;
	int			keys;
} RoleShare;

/* An interest of this session */
typedef struct MyListen
{
	DwfListen	listen;
	SubTransactionId added;		/* by this, which may abort; or invalid */
	bool		ends;			/* used while a transaction commits */
} MyListen;

/* What this transaction's commit does to an interest */
typedef struct Change
{
	MyListen   *mine;			/* NULL: to all of them */
	SubTransactionId subid;
	bool		ends;
} Change;

static HTAB *listens = NULL;
static HTAB *shares = NULL;
static List *my_listens = NIL;	/* of MyListen, in TopMemoryContext */
static bool exit_callback_registered = false;
static bool is_counted = false; /* this session, among those that listen */

/* The stack of changes; it lives in TopMemoryContext and is reused */
static Change *changes = NULL;
static int	nchanges = 0;
static int	max_changes = 0;

Size
dwf_listener_size(void)
{
	return add_size(hash_estimate_size(LISTENS_MAX + LISTENS_KEPT,
									   sizeof(SharedListen)),
					hash_estimate_size(LISTENS_MAX + LISTENS_KEPT,
									   sizeof(RoleShare)));
}

/* Create or find the shared tables; runs wherever shared memory is set up */
void
dwf_listener_init_shared(void)
{
	HASHCTL		control = {0};
	long		size = LISTENS_MAX + LISTENS_KEPT;

	control.keysize = sizeof(DwfListenKey);
	control.entrysize = sizeof(SharedListen);
	listens = ShmemInitHash("durable_wf listens", size, size, &control,
							HASH_ELEM | HASH_BLOBS);
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(RoleShare);
	shares = ShmemInitHash("durable_wf shares of listens", size, size,
						   &control, HASH_ELEM | HASH_BLOBS);
}

/* ----- keys and channels ----- */

/* What stands for a workflow; never 0 */
uint64
dwf_listener_workflow_hash(const char *id, int length)
{
	return hash_bytes_extended((const unsigned char *) id, length,
							   dwf_shared->hash_seed) | 1;
}

/* A role's interest in a workflow or, with 0, in all that it owns */
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

/* How many keys a role has.  The caller holds the lock. */
static int
keys_of_role(Oid role)
{
	RoleShare  *share = hash_search(shares, &role, HASH_FIND, NULL);

	return share ? share->keys : 0;
}

/*
 * Is there room for one more key of a role that has so many?  (The table
 * itself would go on into what memory others have left.)
 */
static bool
has_room(int keys)
{
	long		used = hash_get_num_entries(listens);

	return used + keys < LISTENS_MAX ||
		(keys < LISTENS_A_ROLE && used < LISTENS_MAX + LISTENS_KEPT);
}

/* A new entry for a key; NULL: no room.  The caller holds the lock. */
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

/* Remove an entry.  The caller holds the lock. */
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
 * Count one session in.  Returns -1, or how many keys the role has when there
 * is no room for another.  Cannot fail.
 */
static int
share_listen(const DwfListen *listen)
{
	SharedListen *shared;
	int			keys = -1;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_EXCLUSIVE);
	shared = hash_search(listens, &listen->key, HASH_FIND, NULL);
	if (shared == NULL)
		shared = enter_listen(listen);
	if (shared)
	{
		shared->sessions++;
		pg_atomic_fetch_add_u32(filter_of(listen->key.workflow_hash), 1);
		pg_atomic_fetch_add_u32(&dwf_shared->nlistens, 1);
	}
	else
		keys = keys_of_role(listen->key.role);
	LWLockRelease(dwf_shmem_listener_lock());
	return keys;
}

/* Count one session out.  Cannot fail. */
static void
unshare_listen(const DwfListen *listen)
{
	SharedListen *shared;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_EXCLUSIVE);
	shared = hash_search(listens, &listen->key, HASH_FIND, NULL);
	if (shared)
	{
		pg_atomic_fetch_sub_u32(filter_of(listen->key.workflow_hash), 1);
		pg_atomic_fetch_sub_u32(&dwf_shared->nlistens, 1);
		if (--shared->sessions == 0)
			remove_listen(&listen->key);
	}
	LWLockRelease(dwf_shmem_listener_lock());
}

/*
 * A suspended workflow waits for news of this one.  That is not taken back: it
 * costs a look at news that nobody waits for, until the server restarts.
 */
void
dwf_listener_expect(text *workflow_id)
{
	pg_atomic_uint32 *counter =
	filter_of(dwf_listener_workflow_hash(VARDATA_ANY(workflow_id),
										 VARSIZE_ANY_EXHDR(workflow_id)));

	if (pg_atomic_read_u32(counter) < PG_INT32_MAX)
		pg_atomic_fetch_add_u32(counter, 1);
	pg_atomic_write_u32(&dwf_shared->nsuspended, 1);
	pg_memory_barrier();
}

/* Does, or did, a suspended workflow wait for news of anything? */
bool
dwf_listener_expects(void)
{
	return pg_atomic_read_u32(&dwf_shared->nsuspended) > 0;
}

/* Does anybody wait for news of anything, by LISTEN or suspended? */
bool
dwf_listener_any(void)
{
	return dwf_shared && (pg_atomic_read_u32(&dwf_shared->nlistens) > 0 ||
						  pg_atomic_read_u32(&dwf_shared->nsuspended) > 0);
}

/* Can anybody in this database listen for this workflow? */
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
	return pg_atomic_read_u32(&dwf_shared->nlistens);
}

/* The number of sessions in this database, and in few others, that listen */
static pg_atomic_uint32 *
session_counter(void)
{
	return &dwf_shared->listeners[MyDatabaseId % DWF_DATABASES];
}

/* How many sessions a notification in this database wakes, about */
uint32
dwf_listener_sessions(void)
{
	return pg_atomic_read_u32(session_counter());
}

/* Count this session in, or out.  Cannot fail. */
static void
count_session(void)
{
	bool		listens_now = my_listens != NIL;

	if (listens_now == is_counted)
		return;
	if (listens_now)
		pg_atomic_fetch_add_u32(session_counter(), 1);
	else
		pg_atomic_fetch_sub_u32(session_counter(), 1);
	is_counted = listens_now;
}

/* What is listened for in this database, in no order */
DwfListen *
dwf_listener_list(int *count)
{
	HASH_SEQ_STATUS scan;
	SharedListen *shared;
	DwfListen  *list;

	LWLockAcquire(dwf_shmem_listener_lock(), LW_SHARED);
	list = palloc(Max(hash_get_num_entries(listens), 1) * sizeof(DwfListen));
	*count = 0;
	hash_seq_init(&scan, listens);
	while ((shared = hash_seq_search(&scan)) != NULL)
		if (shared->listen.key.database == MyDatabaseId)
			list[(*count)++] = shared->listen;
	LWLockRelease(dwf_shmem_listener_lock());
	return list;
}

/* ----- this session's interests ----- */

static MyListen *
find_mine(const DwfListenKey *key)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (memcmp(&mine->listen.key, key, sizeof(*key)) == 0)
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
	{
		unshare_listen(&((MyListen *) lfirst(cell))->listen);
	}
	my_listens = NIL;
	nchanges = 0;
	count_session();
}

/* Make room for one more change; may raise out of memory, before any effect */
static void
reserve_change(void)
{
	if (nchanges < max_changes)
		return;
	if (changes == NULL)
	{
		changes = MemoryContextAlloc(TopMemoryContext, 16 * sizeof(Change));
		max_changes = 16;
	}
	else
	{
		changes = repalloc_huge(changes,
								(Size) max_changes * 2 * sizeof(Change));
		max_changes *= 2;
	}
}

/* If this transaction commits, an interest (NULL: all) ends, or does not */
static void
push_change(MyListen *mine, bool ends)
{
	reserve_change();
	changes[nchanges].mine = mine;
	changes[nchanges].subid = GetCurrentSubTransactionId();
	changes[nchanges].ends = ends;
	nchanges++;
}

/* Forget all changes; the stack stays unless it has grown large */
static void
forget_changes(void)
{
	nchanges = 0;
	if (max_changes > CHANGES_TO_KEEP)
	{
		pfree(changes);
		changes = NULL;
		max_changes = 0;
	}
}

/* This session listens for a key; raises 53400.  Idempotent. */
void
dwf_listener_add(const DwfListenKey *key)
{
	MyListen   *mine = find_mine(key);
	MemoryContext old;
	int			keys;

	if (mine)
	{
		push_change(mine, false);
		return;
	}
	if (!exit_callback_registered)
	{
		before_shmem_exit(listener_exit, (Datum) 0);
		exit_callback_registered = true;
	}

	reserve_change();
	old = MemoryContextSwitchTo(TopMemoryContext);
	mine = palloc0(sizeof(MyListen));
	mine->listen.key = *key;
	mine->added = GetCurrentSubTransactionId();
	dwf_listener_channel(key, mine->listen.channel);
	my_listens = lappend(my_listens, mine);
	MemoryContextSwitchTo(old);

	keys = share_listen(&mine->listen);
	if (keys >= 0)
	{
		my_listens = list_delete_ptr(my_listens, mine);
		pfree(mine);
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("too many workflows are listened for"),
				 errdetail("Role \"%s\" listens for %d, which is its share of the %d that all roles have: no role gets more than are left for the others.",
						   GetUserNameFromId(key->role, false), keys,
						   LISTENS_MAX),
				 errhint("Call wf_listen() without a workflow: one interest covers all that a role owns.")));
	}
	count_session();
	push_change(mine, false);
}

/*
 * If this transaction commits, this session does not listen for the key, nor,
 * if it is a workflow's, for that workflow as any other role.
 */
void
dwf_listener_remove(const DwfListenKey *key)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (mine->listen.key.workflow_hash != key->workflow_hash ||
			(key->workflow_hash == 0 && mine->listen.key.role != key->role))
			continue;
		Async_Unlisten(mine->listen.channel);
		push_change(mine, true);
	}
}

/* The same for a channel by its name, or for all when it is NULL */
void
dwf_listener_remove_channel(const char *channel)
{
	ListCell   *cell;

	if (channel == NULL && my_listens != NIL)
		push_change(NULL, true);
	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (channel && strcmp(mine->listen.channel, channel) == 0)
			push_change(mine, true);
	}
}

/* End the interests that "ends" says so of.  Cannot fail. */
static void
end_listens(bool (*ends) (MyListen *mine, SubTransactionId subid),
			SubTransactionId subid)
{
	ListCell   *cell;

	foreach(cell, my_listens)
	{
		MyListen   *mine = lfirst(cell);

		if (!ends(mine, subid))
			continue;
		unshare_listen(&mine->listen);
		my_listens = foreach_delete_current(my_listens, cell);
		pfree(mine);
	}
	count_session();
}

/* At commit: did the last word on this interest end it? */
static bool
ends_at_commit(MyListen *mine, SubTransactionId subid)
{
	(void) subid;
	mine->added = InvalidSubTransactionId;
	return mine->ends;
}

/* At abort: was it begun by this subtransaction or one in it? */
static bool
ends_at_abort(MyListen *mine, SubTransactionId subid)
{
	return mine->added >= subid;
}

/* The transaction has ended: so have some interests.  Cannot fail. */
void
dwf_listener_end_xact(bool commit)
{
	if (nchanges == 0)
		return;
	if (commit)
	{
		ListCell   *cell;

		for (int i = 0; i < nchanges; i++)
		{
			if (changes[i].mine)
				changes[i].mine->ends = changes[i].ends;
			else
				foreach(cell, my_listens)
			{
				((MyListen *) lfirst(cell))->ends = true;
			}
		}
		end_listens(ends_at_commit, InvalidSubTransactionId);
	}
	else
		end_listens(ends_at_abort, TopSubTransactionId);
	forget_changes();
}

/* A subtransaction has aborted, with what it and its children changed */
void
dwf_listener_end_subxact(SubTransactionId subid)
{
	int			bottom = nchanges;

	while (bottom > 0 && changes[bottom - 1].subid >= subid)
		bottom--;
	if (bottom == nchanges)
		return;
	nchanges = bottom;
	end_listens(ends_at_abort, subid);
}
