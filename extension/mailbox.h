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

#include "durable_wf.h"

#include "store.h"
#include "wait.h"

/* A receive: where from and how much, and what it got */
typedef struct DwfReceive
{
	text	   *workflow_id;
	int			nqueues;
	DwfAddress *queues;
	int			limit;			/* more than 1 only with one queue */

	int			count;
	DwfItem    *items;
	int			from;			/* which of the queues they came from */
} DwfReceive;

extern DwfAddress dwf_mailbox_topic_queue(text *workflow_id, text *topic);
extern int64 dwf_mailbox_deliver(const DwfAddress *address, Datum payload);
extern bool dwf_mailbox_receive(DwfReceive *receive, DwfWait *wait,
								const DwfWaitKey *aid);

#endif							/* DWF_MAILBOX_H */
