/*-------------------------------------------------------------------------
 *
 * executors.h
 *	  What executors and the worker that has started them tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_EXECUTORS_H
#define DWF_EXECUTORS_H

#include "base/durable_wf.h"

/* What an executor has done so far, as bits of its cell */
#define DWF_EXECUTOR_CONNECTED	0x2 /* it could log in */
#define DWF_EXECUTOR_CLAIMED	0x4 /* it has claimed a body */
#define DWF_EXECUTOR_SERVED		0x8 /* and has come to the end of its run */
#define DWF_EXECUTOR_LEFT		0x10	/* it has left by itself */

/* What it does; none of these while it looks for work */
#define DWF_EXECUTOR_RUNS		0x20	/* it has a body, */
#define DWF_EXECUTOR_RESTS		0x40	/* ... which waits */
#define DWF_EXECUTOR_IDLE		0x80	/* it has looked and found no work */

/* What the worker asks of it */
#define DWF_EXECUTOR_WANTED		0x100	/* suspend the body when it waits */
#define DWF_EXECUTOR_MUST_TELL	0x200	/* tell when it rests or is idle */
#define DWF_EXECUTOR_MUST_LEAVE	0x400	/* leave, if it is idle */

#define DWF_EXECUTOR_ASKED \
	(DWF_EXECUTOR_WANTED | DWF_EXECUTOR_MUST_TELL | DWF_EXECUTOR_MUST_LEAVE)

/* The claims counted in the state of a cell: how often it changed bodies */
#define DWF_EXECUTOR_CLAIMS(state)	((uint16) ((state) >> 16))

/* Names no cell */
#define DWF_NO_CELL	0

extern Size dwf_executors_size(void);
extern TimestampTz dwf_executors_since(void);
extern void dwf_executors_init_shared(void);

/* for the worker */
extern uint64 dwf_executors_take(void);
extern void dwf_executors_free(uint64 cell);
extern void dwf_executors_plan(uint64 cell, TimestampTz next);
extern uint64 dwf_executors_state(uint64 cell);
extern bool dwf_executors_ask(uint64 cell, uint64 state, uint32 asked);

/* for an executor */
extern void dwf_executors_begin(uint64 cell);
extern void dwf_executors_tell(uint32 bit);
extern void dwf_executors_claim(bool more, TimestampTz later,
								uint64 work_hash);
extern void dwf_executors_end_run(void);
extern void dwf_executors_idle(void);
extern bool dwf_executors_must_leave(void);

/* for the body that it runs */
extern void dwf_executors_rest(void);
extern void dwf_executors_go_on(void);
extern bool dwf_executors_is_wanted(void);

#endif							/* DWF_EXECUTORS_H */
