/*-------------------------------------------------------------------------
 *
 * horizon.c
 *	  What no running transaction can have seen unfinished.
 *
 * A sender asks without a lock whether its destination has ended, and may then
 * stay open for long.  Its message can appear after the end has committed; so
 * an ended workflow may be removed only when no transaction is left that could
 * have seen it alive.  That the transaction which ended it is older than all
 * that run is not enough: an older one can commit after a younger one looked.
 *
 * It takes two steps, as for the heads of queues.  At some moment all
 * transactions older than E had ended, and after that X was the next xid.  Who
 * could see one of those unfinished has an xid smaller than X, since who
 * writes has its xid before it looks (README, I5).  When all transactions
 * older than X have ended, E is proven.
 *
 * That leaves those who looked before they began to write, and keep their
 * snapshot: REPEATABLE READ.  Their snapshots hold back what VACUUM may remove,
 * so nothing counts that VACUUM would not count as seen by all.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/horizon.h"

#include "access/transam.h"
#include "storage/procarray.h"

#include "shared/shmem.h"

/* Initialise the shared memory; runs in the postmaster */
void
dwf_horizon_init_shared(DwfHorizon *horizon)
{
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

/* Prove the noted moment if it is time, and note another one */
static TransactionId
move_horizon(DwfHorizon *horizon, TransactionId ended, TransactionId next,
			 TransactionId oldest)
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
 * An xid such that nobody who is at work, in the database of "table", could
 * see an older transaction unfinished; or InvalidTransactionId when that is
 * not known of any.  Each call that finds others at work brings it forward for
 * a later one.  To be called before this transaction writes.  Does not block.
 */
TransactionId
dwf_horizon_read(Relation table)
{
	TransactionId seen_by_all = GetOldestNonRemovableTransactionId(table);
	TransactionId ended = GetOldestActiveTransactionId();
	TransactionId next = ReadNextTransactionId();
	TransactionId oldest = GetOldestActiveTransactionId();
	TransactionId proven = InvalidTransactionId;

	if (dwf_shared)
		proven = move_horizon(&dwf_shared->horizon, ended, next, oldest);

	/* nobody else was at work: proven on the spot */
	if (TransactionIdPrecedesOrEquals(next, oldest))
		proven = later_xid(proven, ended);
	if (TransactionIdIsValid(proven) &&
		TransactionIdPrecedes(seen_by_all, proven))
		proven = seen_by_all;
	return proven;
}
