/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  Prepared transactions that hold something to wake for.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PREPARED_H
#define DWF_PREPARED_H

#include "durable_wf.h"

#include "access/xact.h"

/* The name of a prepared transaction that has notes; '' when free */
typedef struct DwfPrepared
{
	TransactionId xid;
	char		gid[GIDSIZE];
} DwfPrepared;

extern int	dwf_prepared_count(void);
extern void dwf_prepared_announce(const char *gid);
extern void dwf_prepared_remember(void);
extern void dwf_prepared_settle(bool prepared);
extern bool dwf_prepared_is_known(const char *gid);
extern bool dwf_prepared_may_be_lost(TransactionId xid);
extern void dwf_prepared_forget_ended(void);
extern void dwf_prepared_begin_own(void);

#endif							/* DWF_PREPARED_H */
