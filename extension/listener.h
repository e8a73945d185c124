/*-------------------------------------------------------------------------
 *
 * listener.h
 *	  Who wants a NOTIFY for what.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LISTENER_H
#define DWF_LISTENER_H

#include "durable_wf.h"

#include "access/xact.h"
#include "nodes/pg_list.h"

#define DWF_CHANNEL_SIZE	40	/* "wf_" and 32 hexadecimal digits */

/* What is listened for: one workflow, or all that a role owns */
typedef struct DwfListenKey
{
	Oid			database;
	Oid			role;			/* or invalid */
	uint64		workflow_hash;	/* or 0 */
} DwfListenKey;

extern Size dwf_listener_size(void);
extern void dwf_listener_init_shared(void);
extern DwfListenKey dwf_listener_workflow_key(const char *id, int length);
extern DwfListenKey dwf_listener_role_key(Oid role);
extern void dwf_listener_channel(const DwfListenKey *key, char *channel);
extern void dwf_listener_add(const DwfListenKey *key);
extern void dwf_listener_remove(const DwfListenKey *key);
extern void dwf_listener_remove_channel(const char *channel);
extern void dwf_listener_end_xact(bool commit);
extern void dwf_listener_end_subxact(SubTransactionId subid);
extern bool dwf_listener_any(void);
extern bool dwf_listener_wants(uint64 workflow_hash);
extern bool dwf_listener_exists(const DwfListenKey *key);
extern List *dwf_listener_channels(void);

#endif							/* DWF_LISTENER_H */
