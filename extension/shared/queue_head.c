/*-------------------------------------------------------------------------
 *
 * queue_head.c
 *	  Where the live part of each queue begins, so that a receive need not
 *	  walk over what was received long ago.
 *
 * While any snapshot is old, the index entries of items that were taken stay
 * where they are: in front of the queue.  A receive that starts at the front
 * gets slower with each item that was ever taken.  So each queue in use has a
 * bound here: no item with an id below it is visible, or can become visible,
 * to a new snapshot.  Receives start at the bound.
 *
 * The bound moves in two steps.  The first step notes an id that has been
 * given out, L, and then the next xid, X.  When all transactions older than X
 * have ended, each id up to L has its fate: a transaction has its xid before
 * it takes an id (README, I5).  The second step looks, in a snapshot made
 * after that, for the lowest id that is there, and sets the bound to it, or to
 * L + 1 if that is less.  That look counts items that a transaction holds,
 * since the transaction may give them back.
 *
 * Items whose ids the writer has chosen (COPY, replication) can come in below
 * the bound.  The row trigger reports each row before it is written, by a
 * transaction that has its xid; the bound goes down to it, and a candidate
 * that was noted before that xid was given is void.
 *
 * Losing a bound (restart, eviction by another queue) costs one walk.
 *
 * A spinlock guards each set of heads; no other lock is taken under it.
 * dwf_queue_head_inserting(), which every send calls, first reads without the
 * spinlock, and takes it only if there is something to correct.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/queue_head.h"

#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared/preloaded.h"

#define HEAD_SETS		1024	/* a power of two */
#define HEAD_WAYS		4		/* so many queues share a set */
#define TAKES_TO_MOVE	16		/* a bound is worth moving after so many */
#define NO_BOUND		PG_INT64_MIN

/* The head of one queue, or of none (an invalid table) */
typedef struct Head
{
	DwfQueueId	queue;
	int64		bound;
	DwfQueueHeadCandidate candidate;
	uint32		taken;			/* since the last candidate */
	uint32		used;			/* the set's tick at the last take */
} Head;

/* The heads of queues whose hashes share a remainder */
typedef struct HeadSet
{
	slock_t		lock;			/* guards all of the following */
	uint32		tick;
	Head		heads[HEAD_WAYS];
} HeadSet;

static HeadSet *sets = NULL;

/* How much shared memory this part needs */
Size
dwf_queue_head_size(void)
{
	return mul_size(HEAD_SETS, sizeof(HeadSet));
}

/* Make it the head of a queue of which nothing is known */
static void
clear_head(Head *head, DwfQueueId queue)
{
	head->queue = queue;
	head->bound = NO_BOUND;
	head->candidate.limit = NO_BOUND;
	head->candidate.xid = InvalidTransactionId;
	head->taken = 0;
	head->used = 0;
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_queue_head_init_shared(void)
{
	DwfQueueId	none = {0, InvalidOid};
	bool		found;

	sets = ShmemInitStruct("durable_wf queue heads", dwf_queue_head_size(),
						   &found);
	for (int i = 0; !found && i < HEAD_SETS; i++)
	{
		SpinLockInit(&sets[i].lock);
		sets[i].tick = 0;
		for (int way = 0; way < HEAD_WAYS; way++)
			clear_head(&sets[i].heads[way], none);
	}
}

/* The set of a queue */
static HeadSet *
set_of(DwfQueueId queue)
{
	return &sets[queue.hash & (HEAD_SETS - 1)];
}

/* The queue's head in its set, or NULL; the caller holds the spinlock */
static Head *
find_head(HeadSet *set, DwfQueueId queue)
{
	for (int way = 0; way < HEAD_WAYS; way++)
		if (set->heads[way].queue.hash == queue.hash &&
			set->heads[way].queue.table == queue.table)
			return &set->heads[way];
	return NULL;
}

/*
 * A head for a new queue: that of the queue that was at work longest ago.  The
 * caller holds the spinlock.
 */
static Head *
evict_head(HeadSet *set, DwfQueueId queue)
{
	Head	   *oldest = &set->heads[0];

	for (int way = 1; way < HEAD_WAYS; way++)
		if (set->tick - set->heads[way].used > set->tick - oldest->used)
			oldest = &set->heads[way];
	clear_head(oldest, queue);
	return oldest;
}

/* No new snapshot can receive an item of the queue with a smaller id */
int64
dwf_queue_head_bound(DwfQueueId queue)
{
	HeadSet    *set;
	Head	   *head;
	int64		bound = NO_BOUND;

	if (!dwf_preloaded())
		return NO_BOUND;
	set = set_of(queue);
	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head)
		bound = head->bound;
	SpinLockRelease(&set->lock);
	return bound;
}

/* Note a take, and publish L if it is time; true if this call published it */
static bool
publish_limit(DwfQueueId queue, int64 message_id, uint32 count)
{
	HeadSet    *set = set_of(queue);
	Head	   *head;
	bool		published = false;

	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head == NULL)
		head = evict_head(set, queue);
	head->used = ++set->tick;
	head->taken += count;
	if (head->taken >= TAKES_TO_MOVE && head->candidate.limit == NO_BOUND)
	{
		head->taken = 0;
		head->candidate.limit = message_id;
		head->candidate.xid = InvalidTransactionId;
		published = true;
	}
	SpinLockRelease(&set->lock);
	return published;
}

/* Publish X for this L, if it still stands */
static void
publish_xid(DwfQueueId queue, int64 limit, TransactionId xid)
{
	HeadSet    *set = set_of(queue);
	Head	   *head;

	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head && head->candidate.limit == limit &&
		!TransactionIdIsValid(head->candidate.xid))
		head->candidate.xid = xid;
	SpinLockRelease(&set->lock);
}

/*
 * "count" items were taken from the queue, with ids up to message_id.  Once in
 * a while this notes a candidate.  Whether the take commits does not matter.
 */
void
dwf_queue_head_taken(DwfQueueId queue, int64 message_id, uint32 count)
{
	if (!dwf_preloaded() || !publish_limit(queue, message_id, count))
		return;

	/* L is published before X is read: see dwf_queue_head_inserting() */
	pg_memory_barrier();
	publish_xid(queue, message_id, ReadNextTransactionId());
}

/* Has the queue a candidate whose older transactions have all ended? */
bool
dwf_queue_head_ready(DwfQueueId queue, DwfQueueHeadCandidate *candidate)
{
	HeadSet    *set;
	Head	   *head;

	if (!dwf_preloaded())
		return false;
	candidate->xid = InvalidTransactionId;
	set = set_of(queue);
	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head)
		*candidate = head->candidate;
	SpinLockRelease(&set->lock);

	return TransactionIdIsValid(candidate->xid) &&
		TransactionIdPrecedesOrEquals(candidate->xid,
									  DWF_OLDEST_ACTIVE_XID());
}

/*
 * Move the bound.  "lowest" is the lowest id from the present bound on that a
 * snapshot shows; PG_INT64_MAX if there is none.  The snapshot was made after
 * dwf_queue_head_ready() returned true, by a transaction that has written
 * nothing.
 */
void
dwf_queue_head_advance(DwfQueueId queue, DwfQueueHeadCandidate candidate,
					   int64 lowest)
{
	HeadSet    *set = set_of(queue);
	Head	   *head;

	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head && head->candidate.limit == candidate.limit &&
		head->candidate.xid == candidate.xid)
	{
		head->bound = Max(head->bound, Min(lowest, candidate.limit + 1));
		pg_write_barrier();		/* dwf_queue_head_inserting() reads the limit
								 * first */
		head->candidate.limit = NO_BOUND;
		head->candidate.xid = InvalidTransactionId;
	}
	SpinLockRelease(&set->lock);
}

/*
 * This transaction is about to write an item, by an id that may be anything.
 *
 * The transaction has its xid, and then reads L.  If L is not published yet, X
 * is still to be read and will be greater than that xid, so the bound will
 * wait for this transaction.  It also waits if L and X are published and the
 * xid is older than X.  Otherwise the candidate is void: X may have been read
 * already and not yet be published.
 */
void
dwf_queue_head_inserting(DwfQueueId queue, int64 message_id)
{
	HeadSet    *set;
	Head	   *head;
	TransactionId xid;
	int64		limit;

	if (!dwf_preloaded())
		return;
	xid = GetTopTransactionId();
	pg_memory_barrier();

	/* a head that appears later has no bound, and its X is still to be read */
	set = set_of(queue);
	head = find_head(set, queue);
	if (head == NULL)
		return;
	limit = head->candidate.limit;
	pg_read_barrier();			/* when the limit is gone, the bound is set */
	if (message_id > limit && message_id >= head->bound)
		return;

	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head)
	{
		head->bound = Min(head->bound, message_id);
		if (message_id <= head->candidate.limit &&
			(!TransactionIdIsValid(head->candidate.xid) ||
			 !TransactionIdPrecedes(xid, head->candidate.xid)))
		{
			head->candidate.limit = NO_BOUND;
			head->candidate.xid = InvalidTransactionId;
		}
	}
	SpinLockRelease(&set->lock);
}
