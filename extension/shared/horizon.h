/*-------------------------------------------------------------------------
 *
 * horizon.h
 *	  What no running transaction can have seen unfinished.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HORIZON_H
#define DWF_HORIZON_H

#include "base/durable_wf.h"

#include "storage/spin.h"
#include "utils/relcache.h"

typedef struct DwfHorizon
{
	slock_t		lock;
	TransactionId proven;		/* see dwf_horizon_read(); or invalid */
	TransactionId ended;		/* all older transactions had ended ... */
	TransactionId next;			/* ... before this xid was given; or invalid */
} DwfHorizon;

extern void dwf_horizon_init_shared(DwfHorizon *horizon);
extern TransactionId dwf_horizon_read(Relation table);

#endif							/* DWF_HORIZON_H */
