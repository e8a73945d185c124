/*-------------------------------------------------------------------------
 *
 * publish.h
 *	  Publish events and notifications.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PUBLISH_H
#define DWF_PUBLISH_H

#include "base/durable_wf.h"

#include "shared/waiter.h"

/* A workflow that got a notification; "waiter" is NULL if it did not wait */
typedef struct DwfNotified
{
	text	   *workflow_id;
	int64		message_id;
	DwfWaiterInfo *waiter;
} DwfNotified;

extern void dwf_publish_event(text *workflow_id, text *key, Datum value);
extern List *dwf_publish_waiters(text *event_id);
extern List *dwf_publish_notify(text *event_id, Datum payload,
								text *workflow_id);

#endif							/* DWF_PUBLISH_H */
