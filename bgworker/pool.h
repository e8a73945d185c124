/*-------------------------------------------------------------------------
 *
 * pool.h
 *	  The executors of one database, as its worker knows them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_POOL_H
#define DWF_POOL_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

/* An executor is wanted, and there was no slot for it */
extern bool dwf_pool_lacks_slot;

extern bool dwf_pool_reap(void);
extern TimestampTz dwf_pool_start(void);
extern void dwf_pool_end(void);
extern void dwf_pool_abandon(void);

#endif							/* DWF_POOL_H */
