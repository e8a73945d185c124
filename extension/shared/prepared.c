/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Prepared transactions that hold something to wake for.
 *
 * COMMIT PREPARED and ROLLBACK PREPARED run in any session, and fire no
 * callback of ours.  So the names of prepared transactions with notes are kept
 * in shared memory; the utility hook (utility.c) asks for them and wakes all
 * waiters of the database, which then look for themselves.  Only the session
 * that has prepared keeps the notes themselves; see stash.c.
 *
 * A restart loses the names, and a standby that is promoted has never known
 * those of its primary.  So every transaction that is older than this server's
 * life as a primary is taken for one of ours.  Age goes by transaction ids:
 * two servers' clocks may differ.
 *
 * One LWLock guards the entries; no other lock is taken under it but the
 * server's own for an xid.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/prepared.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "port/atomics.h"
#include "storage/procarray.h"
#include "storage/shmem.h"

#include "shared/preloaded.h"
#include "shared/presence.h"

typedef struct Names
{
	pg_atomic_uint64 own_from;	/* this server's life as a primary began with
								 * this full xid; 0 while that is not known */
	DwfPrepared entries[FLEXIBLE_ARRAY_MEMBER]; /* max_prepared_transactions
												 * of them; the lock */
} Names;

static Names *names = NULL;
static LWLock *lock = NULL;

/* PREPARE TRANSACTION of this name is on its way; '' if none is */
static char announced_gid[GIDSIZE];

/* ... and has been put into shared memory, with this xid */
static TransactionId remembered_xid = InvalidTransactionId;

/* How much shared memory this part needs */
Size
dwf_prepared_size(void)
{
	return add_size(offsetof(Names, entries),
					mul_size(max_prepared_xacts, sizeof(DwfPrepared)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_prepared_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	names = ShmemInitStruct("durable_wf prepared", dwf_prepared_size(),
							&found);
	if (found)
		return;
	memset(names, 0, dwf_prepared_size());
	pg_atomic_init_u64(&names->own_from, 0);
}

/* The entry of a name, '' for a free one; the caller holds the lock */
static DwfPrepared *
find_prepared(const char *gid)
{
	for (int i = 0; i < max_prepared_xacts; i++)
		if (strcmp(names->entries[i].gid, gid) == 0)
			return &names->entries[i];
	return NULL;
}

/* The present transaction is about to be prepared under this name */
void
dwf_prepared_announce(const char *gid)
{
	strlcpy(announced_gid, gid, sizeof(announced_gid));
}

/* The name under which this transaction is about to be prepared, or '' */
const char *
dwf_prepared_announced(void)
{
	return announced_gid;
}

/* The xid of this transaction if it was remembered, else an invalid one */
TransactionId
dwf_prepared_remembered(void)
{
	return remembered_xid;
}

/* Free the entry of a transaction, if it has one */
static void
free_entry(const char *gid, TransactionId xid)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		DwfPrepared *entry = &names->entries[i];

		if (entry->xid == xid && strcmp(entry->gid, gid) == 0)
			entry->gid[0] = '\0';
	}
	LWLockRelease(lock);
}

/*
 * The present transaction has something to tell at its commit and is about to
 * be prepared: remember its name.  Raises 0A000 when the name is not known,
 * because no PREPARE TRANSACTION prepares it; 53200 when there is no room.
 */
void
dwf_prepared_remember(bool has_notes)
{
	DwfPrepared *entry;

	if (announced_gid[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prepare a transaction that has sent, received or published through durable_wf, other than by PREPARE TRANSACTION")));
	if (!dwf_preloaded() || max_prepared_xacts == 0)
		return;					/* no waiters; or core is about to refuse */

	dwf_prepared_forget_ended();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	entry = find_prepared("");
	if (entry)
	{
		entry->xid = GetTopTransactionId();
		entry->has_notes = has_notes;
		entry->has_change = dwf_presence_has_change(&entry->changed_database);
		strlcpy(entry->gid, announced_gid, GIDSIZE);
	}
	LWLockRelease(lock);

	/* core refuses it too, a little later */
	if (entry == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("maximum number of prepared transactions reached"),
				 errhint("Increase max_prepared_transactions (currently %d).",
						 max_prepared_xacts)));
	remembered_xid = GetTopTransactionId();
}

/* The transaction was prepared, or has ended otherwise.  Cannot fail. */
void
dwf_prepared_settle(bool prepared)
{
	if (TransactionIdIsValid(remembered_xid) && !prepared)
		free_entry(announced_gid, remembered_xid);
	remembered_xid = InvalidTransactionId;
	announced_gid[0] = '\0';
}

/*
 * Has the prepared transaction of this name something to wake for?  If two
 * transactions have had that name, of which one has ended, finds either.
 */
bool
dwf_prepared_find(const char *gid, DwfPrepared *found)
{
	DwfPrepared *entry;

	if (!dwf_preloaded())
		return false;
	LWLockAcquire(lock, LW_SHARED);
	entry = find_prepared(gid);
	if (entry)
		*found = *entry;
	LWLockRelease(lock);
	return entry != NULL;
}

/* Is a prepared transaction so old that its name may have been lost? */
bool
dwf_prepared_may_be_lost(TransactionId xid)
{
	uint64		own_from = pg_atomic_read_u64(&names->own_from);
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	if (own_from == 0)
		return true;			/* the launcher has not yet told */
	/* a transaction that is still prepared is less than half the xids away */
	return next - own_from < PG_INT32_MAX &&
		TransactionIdPrecedes(xid, (TransactionId) own_from);
}

/*
 * Forget the names of transactions that are committed or rolled back.  A name
 * may belong to another transaction as well by now.
 */
void
dwf_prepared_forget_ended(void)
{
	if (!dwf_preloaded())
		return;
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		DwfPrepared entry;

		LWLockAcquire(lock, LW_SHARED);
		entry = names->entries[i];
		LWLockRelease(lock);
		if (entry.gid[0] != '\0' && !TransactionIdIsInProgress(entry.xid))
			free_entry(entry.gid, entry.xid);
	}
}

/*
 * Recovery is over: from here on, names are known.  Transactions that were
 * prepared between the end of recovery and this call are known, too; at worst
 * some that are not ours are taken for ours.
 */
void
dwf_prepared_begin_own(void)
{
	uint64		unset = 0;
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	(void) pg_atomic_compare_exchange_u64(&names->own_from, &unset, next);
}
