/*-------------------------------------------------------------------------
 *
 * listener.h
 *	  Which roles want a NOTIFY for what.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LISTENER_H
#define DWF_LISTENER_H

#include "base/durable_wf.h"

#include "storage/lwlock.h"

/* How many keys the roles share */
#define DWF_LISTENS_MAX		16384

#define DWF_CHANNEL_SIZE	40	/* "wf_" and 32 hexadecimal digits */

/*
 * What a role listens for: one workflow, as long as it may see it, or all that
 * it owns
 */
typedef struct DwfListenKey
{
	Oid			database;
	Oid			role;
	uint64		workflow_hash;	/* or 0 */
} DwfListenKey;

/* ... and the channel that tells of it */
typedef struct DwfListen
{
	DwfListenKey key;
	char		channel[DWF_CHANNEL_SIZE];
	int			sessions;		/* in a list: how many listen so */
} DwfListen;

extern Size dwf_listener_size(void);
extern void dwf_listener_init_shared(LWLockPadded *locks);
extern DwfListenKey dwf_listener_key(Oid role, uint64 workflow_hash);
extern void dwf_listener_channel(const DwfListenKey *key, char *channel);
extern int	dwf_listener_enter(const DwfListen *listen);
extern void dwf_listener_leave(const DwfListen *listen);
extern void dwf_listener_count_session(bool listens_now);
extern bool dwf_listener_any(void);
extern bool dwf_listener_wants(uint64 workflow_hash);
extern uint32 dwf_listener_count(void);
extern uint32 dwf_listener_sessions(void);
extern DwfListen *dwf_listener_list(int *count);

#endif							/* DWF_LISTENER_H */
