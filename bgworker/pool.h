/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The executors of one database, for the worker that starts them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_POOL_H
#define DWF_POOL_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

/* Work is due, and there was no slot for an executor */
extern bool dwf_pool_lacks_slot;

extern bool dwf_pool_reap(void);
extern TimestampTz dwf_pool_start(void);
extern void dwf_pool_end(void);
extern void dwf_pool_abandon(void);

#endif							/* DWF_POOL_H */
