/*-------------------------------------------------------------------------
 *
 * ahead.h
 *	  Which bodies an executor has found beyond the one that it runs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_AHEAD_H
#define DWF_AHEAD_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "storage/lwlock.h"

/* How many lists there are, a power of two; each has a lock */
#define DWF_AHEAD_LISTS		64

/* How many bodies are in one, and how long their ids may be */
#define DWF_AHEAD_MAX		32
#define DWF_AHEAD_ID_MAX	64

/* A body that was found */
typedef struct DwfAhead
{
	TimestampTz due;
	ItemPointerData tid;		/* where its row was, or invalid */
	uint16		length;
	char		workflow_id[DWF_AHEAD_ID_MAX];
}			DwfAhead;

extern Size dwf_ahead_size(void);
extern void dwf_ahead_init_shared(LWLockPadded *locks);

/* for an executor */
extern bool dwf_ahead_take(uint64 work_hash, DwfAhead * body);
extern uint64 dwf_ahead_begin(uint64 work_hash);
extern void dwf_ahead_end(uint64 work_hash, uint64 search,
						  const DwfAhead * bodies, int count);

/* for what brings work */
extern void dwf_ahead_arrived(uint64 work_hash, TimestampTz due);
extern void dwf_ahead_arrived_all(void);

#endif							/* DWF_AHEAD_H */
