/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Wait for an event id, and notify the waiters: wf_wait_for_event,
 *	  wf_notify, wf_event_waiters.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/texts.h"
#include "mailbox/mailbox.h"
#include "mailbox/publish.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "shared/address.h"
#include "shared/preloaded.h"
#include "shared/waiter.h"
#include "store/store.h"

/*
 * wf_wait_for_event(event_id, timeout, workflow_id)
 *	→ (event_data, timed_out)
 */
DWF_JOURNALLED(wf_wait_for_event, 0, DWF_WAITS_AT(2, 1));
static Datum
do_wf_wait_for_event(PG_FUNCTION_ARGS)
{
	DwfReceive	receive = {.limit = 1,.nqueues = 1};
	DwfAddress	queue = {.door = DWF_DOOR_NOTIFY};
	DwfWait		wait;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	bool		timed_out;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_wait_for_event");
	queue.key = dwf_args_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	receive.workflow_id = dwf_identity_argument(fcinfo, 2);
	queue.workflow_id = receive.workflow_id;
	receive.queues = &queue;

	/* Wait for a notification */
	timed_out = !dwf_mailbox_receive(&receive, &wait);
	values[0] = timed_out ? (Datum) 0 : receive.items[0].payload;
	nulls[0] = timed_out;
	values[1] = BoolGetDatum(timed_out);
	return dwf_args_return_row(fcinfo, values, nulls);
}

/*
 * Add a row about a workflow and its waiter, if not NULL.  A message id of 0
 * is null, and so is a deadline that never comes.
 */
static void
put_waiter(ReturnSetInfo *result, text *workflow_id, int64 message_id,
		   const DwfWaiterInfo *waiter)
{
	Datum		values[4] = {0};
	bool		nulls[4] = {false, false, false, false};

	values[0] = PointerGetDatum(workflow_id);
	values[1] = Int64GetDatum(message_id);
	nulls[1] = message_id == 0;
	nulls[2] = waiter == NULL;
	nulls[3] = waiter == NULL || waiter->deadline == DWF_WAIT_FOREVER;
	if (waiter)
	{
		values[2] = TimestampTzGetDatum(waiter->since);
		values[3] = TimestampTzGetDatum(waiter->deadline);
	}
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* wf_notify(event_id, event_data, workflow_id) → a row for each item */
DWF_JOURNALLED(wf_notify, 0, DWF_AT_WORKFLOW_OR_EACH(2));
static Datum
do_wf_notify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *event_id = dwf_args_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	Datum		payload = dwf_args_payload(fcinfo, 1);
	text	   *workflow_id;
	ListCell   *cell;

	workflow_id = dwf_args_optional_name(fcinfo, 2, "workflow_id",
										 DWF_WORKFLOW_ID_MAX);
	dwf_store_require_writable("wf_notify");
	InitMaterializedSRF(fcinfo, 0);

	foreach(cell, dwf_publish_notify(event_id, payload, workflow_id))
	{
		DwfNotified *notified = lfirst(cell);

		put_waiter(result, notified->workflow_id, notified->message_id,
				   notified->waiter);
	}
	return (Datum) 0;
}

/* wf_event_waiters(event_id) → the workflows that a broadcast would reach */
DWF_JOURNALLED(wf_event_waiters, 0, DWF_AT_EACH);
static Datum
do_wf_event_waiters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *event_id = dwf_args_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	text	   *last = NULL;
	ListCell   *cell;

	dwf_preloaded_require("wf_event_waiters");
	InitMaterializedSRF(fcinfo, 0);

	/* Show each workflow of the user once, with its oldest wait */
	foreach(cell, dwf_publish_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		DwfLife		life;

		if (last && dwf_texts_equal(last, waiter->workflow_id))
			continue;
		last = waiter->workflow_id;
		if (dwf_store_life(waiter->workflow_id, &life) && !life.finished &&
			dwf_owner_allows(life.owner, GetUserId()))
			put_waiter(result, waiter->workflow_id, 0, waiter);
	}
	return (Datum) 0;
}
