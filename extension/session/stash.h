/*-------------------------------------------------------------------------
 *
 * stash.h
 *	  The notes of what this session has prepared.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STASH_H
#define DWF_STASH_H

#include "base/durable_wf.h"

extern void dwf_stash_reserve(void);
extern void dwf_stash_keep(void);
extern void dwf_stash_abandon(void);
extern TransactionId dwf_stash_find(const char *gid);
extern void dwf_stash_end(TransactionId xid, bool commit);

#endif							/* DWF_STASH_H */
