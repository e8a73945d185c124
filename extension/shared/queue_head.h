/*-------------------------------------------------------------------------
 *
 * queue_head.h
 *	  Where the live part of each queue begins.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HEAD_H
#define DWF_HEAD_H

#include "base/durable_wf.h"

#include "storage/spin.h"

/* A queue, by the hash of its address and the table that holds it */
typedef struct DwfQueueId
{
	uint64		hash;
	Oid			table;
} DwfQueueId;

/* A bound that is on its way; valid if limit is not PG_INT64_MIN */
typedef struct DwfHeadCandidate
{
	int64		limit;			/* the bound may become limit + 1 at most */
	TransactionId xid;			/* when all older ones have ended; or invalid */
} DwfHeadCandidate;

typedef struct DwfHead
{
	DwfQueueId	queue;
	int64		bound;
	DwfHeadCandidate candidate;
	uint32		taken;			/* since the last candidate */
	uint32		used;			/* the set's tick at the last take */
} DwfHead;

/* The heads that one spinlock guards, of queues that share a remainder */
#define DWF_HEAD_WAYS	4

typedef struct DwfHeadSet
{
	slock_t		lock;
	uint32		tick;
	DwfHead		heads[DWF_HEAD_WAYS];
} DwfHeadSet;

extern Size dwf_head_size(void);
extern void dwf_head_init_shared(DwfHeadSet *sets);
extern int64 dwf_head_bound(DwfQueueId queue);
extern void dwf_head_taken(DwfQueueId queue, int64 message_id, uint32 count);
extern bool dwf_head_ready(DwfQueueId queue, DwfHeadCandidate *candidate);
extern void dwf_head_advance(DwfQueueId queue, DwfHeadCandidate candidate,
							 int64 lowest);
extern void dwf_head_inserting(DwfQueueId queue, int64 message_id);

#endif							/* DWF_HEAD_H */
