/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Prepared transactions that hold something to wake for.
 *
 * COMMIT PREPARED and ROLLBACK PREPARED run in whichever session, and fire no
 * callback of ours.  So the names of prepared transactions with notes are kept
 * in shared memory; the utility hook asks for them and wakes everybody in the
 * database, who then look for themselves.  Only the session that prepared
 * keeps the notes themselves; see stash.c.
 *
 * A restart loses the names, and a standby that is promoted has never known
 * those of its primary.  So every transaction that is older than this server's
 * life as a primary is taken for one of ours.  Age goes by transaction ids: two
 * servers' clocks may differ.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/prepared.h"

#include "access/transam.h"
#include "access/twophase.h"
#include "storage/procarray.h"

#include "shared/presence.h"
#include "shared/shmem.h"

/* PREPARE TRANSACTION of this name is on its way; '' if none is */
static char announced_gid[GIDSIZE];

/* ... and has been put into shared memory, with this xid */
static TransactionId remembered_xid = InvalidTransactionId;

/* How many names there is room for: as many as can be prepared at a time */
int
dwf_prepared_count(void)
{
	return max_prepared_xacts;
}

/* The entry of a name, '' for a free one; the caller holds the lock */
static DwfPrepared *
find_prepared(const char *gid)
{
	for (int i = 0; i < max_prepared_xacts; i++)
		if (strcmp(dwf_shared->prepared[i].gid, gid) == 0)
			return &dwf_shared->prepared[i];
	return NULL;
}

/* The present transaction is to be prepared under this name */
void
dwf_prepared_announce(const char *gid)
{
	strlcpy(announced_gid, gid, sizeof(announced_gid));
}

/* Under which name is it to be prepared?  '' if it is not. */
const char *
dwf_prepared_announced(void)
{
	return announced_gid;
}

/* What has been remembered of it: its xid, or an invalid one */
TransactionId
dwf_prepared_remembered(void)
{
	return remembered_xid;
}

/* Give the entry of one transaction back, if it has one */
static void
free_entry(const char *gid, TransactionId xid)
{
	LWLockAcquire(dwf_shmem_prepared_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		DwfPrepared *entry = &dwf_shared->prepared[i];

		if (entry->xid == xid && strcmp(entry->gid, gid) == 0)
			entry->gid[0] = '\0';
	}
	LWLockRelease(dwf_shmem_prepared_lock());
}

/*
 * The present transaction has something to tell at its commit and is about to
 * be prepared: remember its name.  Raises 0A000 when the name is not known, as
 * it was not a statement that prepares it.
 */
void
dwf_prepared_remember(bool has_notes)
{
	DwfPrepared *entry;

	if (announced_gid[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot prepare a transaction that has sent, received or published through durable_wf, other than by PREPARE TRANSACTION")));
	if (dwf_shared == NULL || max_prepared_xacts == 0)
		return;					/* nobody waits; or core is about to refuse */

	dwf_prepared_forget_ended();
	LWLockAcquire(dwf_shmem_prepared_lock(), LW_EXCLUSIVE);
	entry = find_prepared("");
	if (entry)
	{
		entry->xid = GetTopTransactionId();
		entry->has_notes = has_notes;
		entry->has_change = dwf_presence_has_change(&entry->changed_database);
		strlcpy(entry->gid, announced_gid, GIDSIZE);
	}
	LWLockRelease(dwf_shmem_prepared_lock());

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
 * have had that name, of which one has ended, any of them.
 */
bool
dwf_prepared_find(const char *gid, DwfPrepared *found)
{
	DwfPrepared *entry;

	if (dwf_shared == NULL)
		return false;
	LWLockAcquire(dwf_shmem_prepared_lock(), LW_SHARED);
	entry = find_prepared(gid);
	if (entry)
		*found = *entry;
	LWLockRelease(dwf_shmem_prepared_lock());
	return entry != NULL;
}

/* Is a prepared transaction so old that its name may have been lost? */
bool
dwf_prepared_may_be_lost(TransactionId xid)
{
	uint64		own_from = pg_atomic_read_u64(&dwf_shared->own_from);
	uint64		next = U64FromFullTransactionId(ReadNextFullTransactionId());

	if (own_from == 0)
		return true;			/* the launcher has not yet told */
	/* what is still prepared is less than half the xids away */
	return next - own_from < PG_INT32_MAX &&
		TransactionIdPrecedes(xid, (TransactionId) own_from);
}

/*
 * Forget the names whose transactions have ended: they are committed or rolled
 * back.  A name may meanwhile belong to another transaction, too.
 */
void
dwf_prepared_forget_ended(void)
{
	if (dwf_shared == NULL)
		return;
	for (int i = 0; i < max_prepared_xacts; i++)
	{
		DwfPrepared entry;

		LWLockAcquire(dwf_shmem_prepared_lock(), LW_SHARED);
		entry = dwf_shared->prepared[i];
		LWLockRelease(dwf_shmem_prepared_lock());
		if (entry.gid[0] != '\0' && !TransactionIdIsInProgress(entry.xid))
			free_entry(entry.gid, entry.xid);
	}
}

/*
 * Recovery is over: from here on, names are known.  Transactions that were
 * prepared between its end and this call are known, too; at worst some that
 * are not ours are taken for ours.
 */
void
dwf_prepared_begin_own(void)
{
	uint64		unset = 0;

	(void) pg_atomic_compare_exchange_u64(&dwf_shared->own_from, &unset,
										  U64FromFullTransactionId(ReadNextFullTransactionId()));
}
