/*-------------------------------------------------------------------------
 *
 * horizon.c
 *	  What no running transaction can have seen unfinished.
 *
 * A sender asks without a lock whether its destination has ended, and its
 * transaction may then stay open for long.  Its message can appear after the
 * end has committed; so an ended workflow may be removed only when no
 * transaction is left that could have seen it alive.  It is not enough that
 * the transaction which ended it is older than all that run: an older one can
 * commit after a younger one looked.
 *
 * The proof takes two steps, as the one for the bounds of queues does.  At
 * some moment all transactions older than E had ended, and after that X was
 * the next xid.  A transaction that could see one of those unfinished has an
 * xid smaller than X, since a writer has its xid before it looks (README, I5).
 * When all transactions older than X have ended, E is proven.
 *
 * That leaves transactions that looked before they began to write and keep
 * their snapshot: REPEATABLE READ.  Their snapshots hold back what VACUUM may
 * remove, so the horizon is never later than what VACUUM takes for seen by
 * all.
 *
 * wf_prune leaves what is not proven for a later call.  wf_delete, which is
 * told to remove one workflow now, waits instead until X is the next xid and
 * all of both kinds have ended, as CREATE INDEX CONCURRENTLY does.  Two that
 * wait so would wait for the snapshot of each other; but a snapshot of that
 * function does not send.  So it takes a lock of its own, shared, while it
 * waits, and does not wait for the snapshots of those that have it.
 *
 * A spinlock guards the shared memory; no other lock is taken under it.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/horizon.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared/preloaded.h"

typedef struct Horizon
{
	slock_t		lock;			/* guards all of the following */
	TransactionId proven;		/* see dwf_horizon_read(); or invalid */
	TransactionId ended;		/* E: all older transactions had ended ... */
	TransactionId next;			/* X: ... before this xid was given; or
								 * invalid, when no E is noted */
} Horizon;

static Horizon *horizon = NULL;

/* How much shared memory this part needs */
Size
dwf_horizon_size(void)
{
	return sizeof(Horizon);
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_horizon_init_shared(void)
{
	bool		found;

	horizon = ShmemInitStruct("durable_wf horizon", dwf_horizon_size(),
							  &found);
	if (found)
		return;
	SpinLockInit(&horizon->lock);
	horizon->proven = InvalidTransactionId;
	horizon->ended = InvalidTransactionId;
	horizon->next = InvalidTransactionId;
}

/* The later of two xids, of which either may be invalid */
static TransactionId
later_xid(TransactionId a, TransactionId b)
{
	if (!TransactionIdIsValid(a) || !TransactionIdIsValid(b))
		return TransactionIdIsValid(a) ? a : b;
	return TransactionIdPrecedes(a, b) ? b : a;
}

/* Prove the noted E if it is time, and note another one; what is proven */
static TransactionId
move_horizon(TransactionId ended, TransactionId next, TransactionId oldest)
{
	TransactionId proven;

	SpinLockAcquire(&horizon->lock);
	if (TransactionIdIsValid(horizon->next) &&
		TransactionIdPrecedesOrEquals(horizon->next, oldest))
	{
		horizon->proven = later_xid(horizon->proven, horizon->ended);
		horizon->next = InvalidTransactionId;
	}
	if (!TransactionIdIsValid(horizon->next))
	{
		horizon->ended = ended;
		horizon->next = next;
	}
	proven = horizon->proven;
	SpinLockRelease(&horizon->lock);
	return proven;
}

/*
 * An xid such that no transaction that is at work, in the database of "table",
 * can have seen an older one unfinished; or InvalidTransactionId when no such
 * xid is known.  Each call that finds others at work brings the horizon
 * forward for a later call.  The caller has not written yet in its
 * transaction.  Does not block.
 */
TransactionId
dwf_horizon_read(Relation table)
{
	TransactionId seen_by_all = GetOldestNonRemovableTransactionId(table);
	TransactionId ended = DWF_OLDEST_ACTIVE_XID();
	TransactionId next = ReadNextTransactionId();
	TransactionId oldest = DWF_OLDEST_ACTIVE_XID();
	TransactionId proven = InvalidTransactionId;

	if (dwf_preloaded())
		proven = move_horizon(ended, next, oldest);

	/* when no other transaction was at work, E is proven on the spot */
	if (TransactionIdPrecedesOrEquals(next, oldest))
		proven = later_xid(proven, ended);
	if (TransactionIdIsValid(proven) &&
		TransactionIdPrecedes(seen_by_all, proven))
		proven = seen_by_all;
	return proven;
}

/* ----- to wait for it ----- */

/* The lock of those that wait: no other has a number of that kind */
#define AWAITS	1

/* Is a transaction, by its xid, at work in another database? */
static bool
is_elsewhere(TransactionId xid)
{
	int			pid = BackendXidGetPid(xid);
	PGPROC	   *proc = pid == 0 ? NULL : BackendPidGetProc(pid);

	return proc && OidIsValid(proc->databaseId) &&
		proc->databaseId != MyDatabaseId;
}

/* Wait for the end of all other transactions that have an xid by now */
static void
await_writers(void)
{
	RunningTransactions running = GetRunningTransactionData();
	int			count = running->xcnt;
	TransactionId *xids = palloc(count * sizeof(TransactionId));

	memcpy(xids, running->xids, count * sizeof(TransactionId));
	LWLockRelease(ProcArrayLock);
	LWLockRelease(XidGenLock);
	for (int i = 0; i < count; i++)
		if (!TransactionIdIsCurrentTransactionId(xids[i]) &&
			!is_elsewhere(xids[i]))
			XactLockTableWait(xids[i], NULL, NULL, XLTW_None);
	pfree(xids);
}

/* Is this transaction one of those in a list, which an invalid one ends? */
static bool
is_listed(VirtualTransactionId transaction, const VirtualTransactionId * list)
{
	for (; VirtualTransactionIdIsValid(*list); list++)
		if (VirtualTransactionIdEquals(*list, transaction))
			return true;
	return false;
}

/*
 * Wait until no other transaction in this database has a snapshot that is so
 * old that it may not show what transaction "ended" has done
 */
static void
await_snapshots(const LOCKTAG *tag, TransactionId ended)
{
	int			count;
	VirtualTransactionId *old =
	GetCurrentVirtualXIDs(ended, true, false,
						  PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &count);
	VirtualTransactionId *waiting = GetLockConflicts(tag, ExclusiveLock, NULL);

	for (int i = 0; i < count; i++)
		if (!is_listed(old[i], waiting))
			(void) VirtualXactLock(old[i], true);
	pfree(old);
	pfree(waiting);
}

/*
 * Wait until no other transaction is at work that can have seen unfinished
 * what "ended", a transaction that has committed, has ended.  Returns an xid
 * that is later.  "table" is that of the workflows.  Blocks as long as such a
 * transaction is open, a prepared one included.
 */
TransactionId
dwf_horizon_await(Oid table, TransactionId ended)
{
	LOCKTAG		tag;
	TransactionId next = ReadNextTransactionId();

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, table, AWAITS);
	(void) LockAcquire(&tag, ShareLock, false, false);
	await_writers();
	await_snapshots(&tag, ended);
	(void) LockRelease(&tag, ShareLock, false);
	return next;
}
