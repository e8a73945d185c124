/*-------------------------------------------------------------------------
 *
 * mailbox.h
 *	  The mailbox: deliver an item, and receive items, for messages,
 *	  notifications and hooks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_MAILBOX_H
#define DWF_MAILBOX_H

#include "base/durable_wf.h"

#include "session/wait.h"
#include "shared/address.h"
#include "shared/waiter.h"
#include "store/store.h"

/* A receive: its queues and its limit, and what it has taken */
typedef struct DwfReceive
{
	text	   *workflow_id;
	int			nqueues;
	DwfAddress *queues;
	int			limit;			/* more than 1 only with one queue */

	/* filled by dwf_mailbox_look and dwf_mailbox_receive */
	int			count;
	DwfItem    *items;
	int			from;			/* the index of the items' queue */
} DwfReceive;

extern DwfAddress dwf_mailbox_topic_queue(text *workflow_id, text *topic);
extern bool dwf_mailbox_put_many(int count, const int64 *message_ids,
								 const DwfAddress *addresses,
								 const Datum *payloads,
								 text *const *traceparents, bool check);
extern int64 dwf_mailbox_deliver(const DwfAddress *address, Datum payload);
extern bool dwf_mailbox_look(DwfReceive *receive, Oid role);
extern bool dwf_mailbox_receive(DwfReceive *receive, DwfWait *wait);

#endif							/* DWF_MAILBOX_H */
