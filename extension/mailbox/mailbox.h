/*-------------------------------------------------------------------------
 *
 * mailbox.h
 *	  The mailbox: one deliver path and one receive path, which messages and
 *	  notifications share.  Floor 5.
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

typedef struct DwfReceive DwfReceive;

/* A receive: where from and how much, and what it got */
struct DwfReceive
{
	text	   *workflow_id;
	int			nqueues;
	DwfAddress *queues;
	int			limit;			/* more than 1 only with one queue */
	void		(*check) (const DwfReceive *receive);	/* if not NULL: raises
														 * if nothing can come
														 * there any more */

	int			count;
	DwfItem    *items;
	int			from;			/* which of the queues they came from */
};

extern DwfAddress dwf_mailbox_topic_queue(text *workflow_id, text *topic);
extern int64 dwf_mailbox_deliver(const DwfAddress *address, Datum payload);
extern bool dwf_mailbox_receive(DwfReceive *receive, DwfWait *wait,
								const DwfWaitKey *aid);

#endif							/* DWF_MAILBOX_H */
