/*-------------------------------------------------------------------------
 *
 * queue_head.h
 *	  Where the live part of each queue begins.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_QUEUE_HEAD_H
#define DWF_QUEUE_HEAD_H

#include "base/durable_wf.h"

/* A queue, by the hash of its address and the table that holds it */
typedef struct DwfQueueId
{
	uint64		hash;
	Oid			table;
} DwfQueueId;

/* A bound that is on its way; there is none if limit is PG_INT64_MIN */
typedef struct DwfQueueHeadCandidate
{
	int64		limit;			/* L: the bound may become L + 1 at most */
	TransactionId xid;			/* X: when all older ones have ended; or
								 * invalid while it is still to be read */
} DwfQueueHeadCandidate;

extern Size dwf_queue_head_size(void);
extern void dwf_queue_head_init_shared(void);
extern int64 dwf_queue_head_bound(DwfQueueId queue);
extern void dwf_queue_head_taken(DwfQueueId queue, int64 message_id,
								 uint32 count);
extern bool dwf_queue_head_ready(DwfQueueId queue,
								 DwfQueueHeadCandidate *candidate);
extern void dwf_queue_head_advance(DwfQueueId queue,
								   DwfQueueHeadCandidate candidate,
								   int64 lowest);
extern void dwf_queue_head_inserting(DwfQueueId queue, int64 message_id);

#endif							/* DWF_QUEUE_HEAD_H */
