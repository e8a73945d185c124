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
 * A spinlock guards the shared memory; no other lock is taken under it.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/horizon.h"

#include "access/transam.h"
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
	TransactionId ended = GetOldestActiveTransactionId();
	TransactionId next = ReadNextTransactionId();
	TransactionId oldest = GetOldestActiveTransactionId();
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
