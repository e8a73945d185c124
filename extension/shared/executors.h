/*-------------------------------------------------------------------------
 *
 * executors.h
 *	  What executors tell the worker that has started them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_EXECUTORS_H
#define DWF_EXECUTORS_H

#include "base/durable_wf.h"

/* What an executor has done so far, as bits */
#define DWF_EXECUTOR_CONNECTED	0x2 /* it could log in */
#define DWF_EXECUTOR_CLAIMED	0x4 /* it has claimed a body */
#define DWF_EXECUTOR_SERVED		0x8 /* and has come to the end of its run */
#define DWF_EXECUTOR_LEFT		0x10	/* it has left by itself */

extern Size dwf_executors_size(void);
extern void dwf_executors_init_shared(void);
extern int	dwf_executors_take(void);
extern void dwf_executors_free(int cell);
extern void dwf_executors_tell(int cell, uint32 bit);
extern uint32 dwf_executors_ask(int cell);

#endif							/* DWF_EXECUTORS_H */
