/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  Prepared transactions that hold something to wake for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PREPARED_H
#define DWF_PREPARED_H

#include "base/durable_wf.h"

#include "access/xact.h"
#include "storage/lwlock.h"

/* What a prepared transaction is going to change for others */
typedef struct DwfPrepared
{
	TransactionId xid;
	bool		has_notes;		/* else only the following */
	bool		has_change;		/* it decides where a worker is: presence.c */
	Oid			changed_database;
	char		gid[GIDSIZE];	/* '': the entry is free */
} DwfPrepared;

extern Size dwf_prepared_size(void);
extern void dwf_prepared_init_shared(LWLockPadded *locks);
extern void dwf_prepared_announce(const char *gid);
extern const char *dwf_prepared_announced(void);
extern TransactionId dwf_prepared_remembered(void);
extern void dwf_prepared_remember(bool has_notes);
extern void dwf_prepared_settle(bool prepared);
extern bool dwf_prepared_find(const char *gid, DwfPrepared *found);
extern bool dwf_prepared_may_be_lost(TransactionId xid);
extern void dwf_prepared_forget_ended(void);
extern void dwf_prepared_begin_own(void);

#endif							/* DWF_PREPARED_H */
