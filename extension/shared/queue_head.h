/*-------------------------------------------------------------------------
 *
 * queue_head.h
 *	  Where the live part of each queue begins.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_QUEUE_HEAD_H
#define DWF_QUEUE_HEAD_H

#include "base/durable_wf.h"

#include "storage/spin.h"

/* A queue, by the hash of its address and the table that holds it */
typedef struct DwfQueueId
{
	uint64		hash;
	Oid			table;
} DwfQueueId;

/* A bound that is on its way; valid if limit is not PG_INT64_MIN */
typedef struct DwfQueueHeadCandidate
{
	int64		limit;			/* the bound may become limit + 1 at most */
	TransactionId xid;			/* when all older ones have ended; or invalid */
} DwfQueueHeadCandidate;

typedef struct DwfQueueHead
{
	DwfQueueId	queue;
	int64		bound;
	DwfQueueHeadCandidate candidate;
	uint32		taken;			/* since the last candidate */
	uint32		used;			/* the set's tick at the last take */
} DwfQueueHead;

/* The heads that one spinlock guards, of queues that share a remainder */
#define DWF_HEAD_WAYS	4

typedef struct DwfQueueHeadSet
{
	slock_t		lock;
	uint32		tick;
	DwfQueueHead heads[DWF_HEAD_WAYS];
} DwfQueueHeadSet;

extern Size dwf_queue_head_size(void);
extern void dwf_queue_head_init_shared(DwfQueueHeadSet *sets);
extern int64 dwf_queue_head_bound(DwfQueueId queue);
extern void dwf_queue_head_taken(DwfQueueId queue, int64 message_id, uint32 count);
extern bool dwf_queue_head_ready(DwfQueueId queue, DwfQueueHeadCandidate *candidate);
extern void dwf_queue_head_advance(DwfQueueId queue, DwfQueueHeadCandidate candidate,
								   int64 lowest);
extern void dwf_queue_head_inserting(DwfQueueId queue, int64 message_id);

#endif							/* DWF_QUEUE_HEAD_H */
