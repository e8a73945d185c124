/*-------------------------------------------------------------------------
 *
 * watch.h
 *	  Of which addresses the gateway wants to know that something has come.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WATCH_H
#define DWF_WATCH_H

#include "base/durable_wf.h"

/* How many bits stand for all addresses */
#define DWF_WATCH_BITS	65536
#define DWF_WATCH_WORDS	(DWF_WATCH_BITS / 64)

extern Size dwf_watch_size(void);
extern void dwf_watch_init_shared(void);

/* for backends */
extern void dwf_watch_wake(uint64 hash);
extern void dwf_watch_wake_all(void);

/* for the gateway */
extern PGDLLEXPORT void dwf_watch_begin(void);
extern PGDLLEXPORT uint32 dwf_watch_bit(uint64 hash);
extern PGDLLEXPORT void dwf_watch_add(uint32 bit);
extern PGDLLEXPORT void dwf_watch_remove(uint32 bit);
extern PGDLLEXPORT bool dwf_watch_take(uint64 *arrived, bool *all);

#endif							/* DWF_WATCH_H */
