/*-------------------------------------------------------------------------
 *
 * queue_head.c
 *	  Where the live part of each queue begins, so that a receive need not
 *	  walk over what was received long ago.
 *
 * While any snapshot is old, the index entries of items that were taken stay
 * where they are: in front of the queue.  A receive that starts at the front
 * gets slower with each item that was ever taken.  So for queues in use we
 * keep a bound: no item with an id below it is, or can become, visible to a
 * new snapshot.  Receives start there.
 *
 * The bound moves in two steps.  First note an id, L, that has been given out,
 * and then X, the next xid.  When all transactions older than X have ended,
 * every id up to L has its fate: who takes an id has an xid before (README,
 * I5).  Then look, in a snapshot made after that, for the lowest id there is
 * - counting items that somebody holds, since he may give them back - and set
 * the bound to it, or to L + 1 if that is less.
 *
 * Items written with ids of the writer's choice (COPY, replication) can come
 * in below the bound.  The row trigger reports each row before it is written,
 * by a transaction that has its xid; the bound goes down to it, and a
 * candidate that was noted before that xid was given is void.
 *
 * Losing a bound (restart, eviction by another queue) costs one walk.
 *
 * Each set of heads has a spinlock.  dwf_queue_head_inserting(), which every send
 * calls, takes it only if there is something to correct.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/queue_head.h"

#include "access/transam.h"
#include "access/xact.h"
#include "storage/procarray.h"

#include "shared/shmem.h"

#define HEAD_SETS		1024	/* a power of two */
#define TAKES_TO_MOVE	64		/* how often it is worth to move a bound */
#define NO_BOUND		PG_INT64_MIN

/* Shared memory for the heads of up to 4096 queues */
Size
dwf_queue_head_size(void)
{
	return MAXALIGN(mul_size(HEAD_SETS, sizeof(DwfQueueHeadSet)));
}

static void
clear_head(DwfQueueHead *head, DwfQueueId queue)
{
	head->queue = queue;
	head->bound = NO_BOUND;
	head->candidate.limit = NO_BOUND;
	head->candidate.xid = InvalidTransactionId;
	head->taken = 0;
	head->used = 0;
}

/* Initialise the shared memory; runs in the postmaster */
void
dwf_queue_head_init_shared(DwfQueueHeadSet *sets)
{
	DwfQueueId	none = {0, InvalidOid};

	for (int i = 0; i < HEAD_SETS; i++)
	{
		SpinLockInit(&sets[i].lock);
		sets[i].tick = 0;
		for (int way = 0; way < DWF_HEAD_WAYS; way++)
			clear_head(&sets[i].heads[way], none);
	}
}

static DwfQueueHeadSet *
set_of(DwfQueueId queue)
{
	return &dwf_shared->heads[queue.hash & (HEAD_SETS - 1)];
}

/* The queue's head in its set, or NULL */
static DwfQueueHead *
find_head(DwfQueueHeadSet *set, DwfQueueId queue)
{
	for (int way = 0; way < DWF_HEAD_WAYS; way++)
		if (set->heads[way].queue.hash == queue.hash &&
			set->heads[way].queue.table == queue.table)
			return &set->heads[way];
	return NULL;
}

/* A head for a new queue: that of the queue that was at work longest ago */
static DwfQueueHead *
evict_head(DwfQueueHeadSet *set, DwfQueueId queue)
{
	DwfQueueHead *oldest = &set->heads[0];

	for (int way = 1; way < DWF_HEAD_WAYS; way++)
		if (set->tick - set->heads[way].used > set->tick - oldest->used)
			oldest = &set->heads[way];
	clear_head(oldest, queue);
	return oldest;
}

/* No item of the queue with a smaller id can be received by a new snapshot */
int64
dwf_queue_head_bound(DwfQueueId queue)
{
	DwfQueueHeadSet *set;
	DwfQueueHead *head;
	int64		bound = NO_BOUND;

	if (dwf_shared == NULL)
		return NO_BOUND;
	set = set_of(queue);
	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head)
		bound = head->bound;
	SpinLockRelease(&set->lock);
	return bound;
}

/* Publish L; true if it is this call that has done it */
static bool
publish_limit(DwfQueueId queue, int64 message_id, uint32 count)
{
	DwfQueueHeadSet *set = set_of(queue);
	DwfQueueHead *head;
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
	DwfQueueHeadSet *set = set_of(queue);
	DwfQueueHead *head;

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
	if (dwf_shared == NULL || !publish_limit(queue, message_id, count))
		return;

	/*
	 * L is there for all to see before X is read: see
	 * dwf_queue_head_inserting()
	 */
	pg_memory_barrier();
	publish_xid(queue, message_id, ReadNextTransactionId());
}

/* Has the queue a candidate whose older transactions have all ended? */
bool
dwf_queue_head_ready(DwfQueueId queue, DwfQueueHeadCandidate *candidate)
{
	DwfQueueHeadSet *set;
	DwfQueueHead *head;

	if (dwf_shared == NULL)
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
									  GetOldestActiveTransactionId());
}

/*
 * Move the bound.  "lowest" is the lowest id from the present bound on that a
 * snapshot shows which was made after dwf_queue_head_ready() said yes, by a
 * transaction that has written nothing; PG_INT64_MAX if there is none.
 */
void
dwf_queue_head_advance(DwfQueueId queue, DwfQueueHeadCandidate candidate, int64 lowest)
{
	DwfQueueHeadSet *set = set_of(queue);
	DwfQueueHead *head;

	SpinLockAcquire(&set->lock);
	head = find_head(set, queue);
	if (head && head->candidate.limit == candidate.limit &&
		head->candidate.xid == candidate.xid)
	{
		head->bound = Max(head->bound, Min(lowest, candidate.limit + 1));
		pg_write_barrier();		/* read the other way round when inserting */
		head->candidate.limit = NO_BOUND;
		head->candidate.xid = InvalidTransactionId;
	}
	SpinLockRelease(&set->lock);
}

/*
 * This transaction is about to write an item, by an id that may be anything.
 *
 * It has its xid, and then reads L.  If L is not there yet, X is still to be
 * read and will be greater than its xid, so the bound will wait for this
 * transaction.  If L is there and X too, and its xid is older than X, the
 * same.  Else - X may be read already, and not yet be there - the candidate is
 * void.
 */
void
dwf_queue_head_inserting(DwfQueueId queue, int64 message_id)
{
	DwfQueueHeadSet *set;
	DwfQueueHead *head;
	TransactionId xid;
	int64		limit;

	if (dwf_shared == NULL)
		return;
	xid = GetTopTransactionId();
	pg_memory_barrier();

	/* a head that appears now has no bound, and its X is still to be read */
	set = set_of(queue);
	head = find_head(set, queue);
	if (head == NULL)
		return;
	limit = head->candidate.limit;
	pg_read_barrier();			/* no limit any more: see the bound it left */
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
