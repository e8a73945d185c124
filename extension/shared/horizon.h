/*-------------------------------------------------------------------------
 *
 * horizon.h
 *	  What no running transaction can have seen unfinished.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HORIZON_H
#define DWF_HORIZON_H

#include "base/durable_wf.h"

#include "utils/relcache.h"

extern Size dwf_horizon_size(void);
extern void dwf_horizon_init_shared(void);
extern TransactionId dwf_horizon_read(Relation table);
extern TransactionId dwf_horizon_await(Oid table, TransactionId ended);

#endif							/* DWF_HORIZON_H */
