/*-------------------------------------------------------------------------
 *
 * notify.c
 *	  Wait for event and notify: wf_wait_for_event, wf_notify,
 *	  wf_event_waiters.
 *
 * A notification is a mailbox item, whether addressed or broadcast.  A
 * broadcast reads the registry for who waits now, and gives each workflow one
 * item, tagged with the wait that it answers.  A unique index on the tag
 * makes sure that a wait is answered once, however many notify at a time; who
 * would be second waits for the first to commit or roll back, and then
 * answers another wait of that workflow or nobody.  By then the first answer
 * may have been taken, and the wait be over, and its tag be free again: so an
 * answer is withdrawn if its wait is over as soon as it is given.
 *
 *-------------------------------------------------------------------------
 */
#include "durable_wf.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "args.h"
#include "identity.h"
#include "mailbox.h"
#include "owner.h"
#include "shmem.h"
#include "store.h"
#include "waiter.h"

PG_FUNCTION_INFO_V1(wf_wait_for_event);
PG_FUNCTION_INFO_V1(wf_notify);
PG_FUNCTION_INFO_V1(wf_event_waiters);

/* wf_wait_for_event(event_id, timeout, workflow_id) → (event_data, timed_out) */
Datum
wf_wait_for_event(PG_FUNCTION_ARGS)
{
	DwfReceive	receive = {.limit = 1,.nqueues = 1};
	DwfAddress	queue = {.door = DWF_DOOR_NOTIFY};
	DwfWaitKey	broadcast = {{DWF_DOOR_BROADCAST, NULL, NULL}, true};
	DwfWait		wait;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	bool		timed_out;

	dwf_wait_init(&wait, fcinfo, "wf_wait_for_event");
	queue.key = dwf_arg_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	wait.deadline = dwf_arg_deadline(fcinfo, 1, "timeout");
	receive.workflow_id = dwf_identity_argument(fcinfo, 2);
	queue.workflow_id = receive.workflow_id;
	receive.queues = &queue;
	broadcast.address.key = queue.key;
	wait.wants_id = true;

	timed_out = !dwf_mailbox_receive(&receive, &wait, &broadcast);
	values[0] = timed_out ? (Datum) 0 : receive.items[0].payload;
	nulls[0] = timed_out;
	values[1] = BoolGetDatum(timed_out);
	return dwf_return_row(fcinfo, values, nulls);
}

/* Add a row about a waiter; message_id 0 is null, as is an endless deadline */
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

static int
compare_texts(const text *a, const text *b)
{
	int			length_a = VARSIZE_ANY_EXHDR(a);
	int			length_b = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b),
							   Min(length_a, length_b));

	return order != 0 ? order : length_a - length_b;
}

/* By workflow, so that all who notify lock in one order; oldest wait first */
static int
compare_waiters(const ListCell *a, const ListCell *b)
{
	const DwfWaiterInfo *left = lfirst(a);
	const DwfWaiterInfo *right = lfirst(b);
	int			order = compare_texts(left->workflow_id, right->workflow_id);

	if (order != 0)
		return order;
	return (left->wait_id > right->wait_id) - (left->wait_id < right->wait_id);
}

/* Who waits for the event id, in the order of compare_waiters */
static List *
sorted_waiters(text *event_id)
{
	List	   *waiters = dwf_waiter_list_broadcast(event_id);

	list_sort(waiters, compare_waiters);
	return waiters;
}

/* Answer one wait; the id of the item, or 0 if that wait is not to be had */
static int64
answer(const DwfWaiterInfo *waiter, text *event_id, Datum payload)
{
	DwfAddress	address = {DWF_DOOR_NOTIFY, waiter->workflow_id, event_id};
	int64		message_id = dwf_store_next_message_id();

	if (!dwf_store_answer(message_id, &address, payload, GetUserId(),
						  waiter->wait_id))
		return 0;
	if (!dwf_waiter_still_waits(waiter))
	{
		dwf_store_withdraw(message_id, &address);
		return 0;
	}
	return message_id;
}

/* Give the payload to each workflow that waits, once */
static void
broadcast(ReturnSetInfo *result, text *event_id, Datum payload)
{
	text	   *served = NULL;
	ListCell   *cell;

	foreach(cell, sorted_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		int64		message_id;

		CHECK_FOR_INTERRUPTS();
		if (served && compare_texts(served, waiter->workflow_id) == 0)
			continue;
		message_id = answer(waiter, event_id, payload);
		if (message_id == 0)
			continue;
		served = waiter->workflow_id;
		put_waiter(result, waiter->workflow_id, message_id, waiter);
	}
}

/* The longest wait of a workflow for the event id, or NULL */
static DwfWaiterInfo *
find_waiter(text *workflow_id, text *event_id)
{
	ListCell   *cell;

	if (dwf_shared == NULL)
		return NULL;
	foreach(cell, sorted_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);

		if (compare_texts(waiter->workflow_id, workflow_id) == 0)
			return waiter;
	}
	return NULL;
}

/* wf_notify(event_id, event_data, workflow_id) → rows of who gets it */
Datum
wf_notify(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DwfAddress	address = {.door = DWF_DOOR_NOTIFY};
	Datum		payload;

	address.key = dwf_arg_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	payload = dwf_arg_payload(fcinfo, 1);
	address.workflow_id = dwf_arg_optional_name(fcinfo, 2, "workflow_id",
												DWF_WORKFLOW_ID_MAX);
	dwf_store_require_writable("wf_notify()");
	InitMaterializedSRF(fcinfo, 0);

	if (address.workflow_id == NULL)
	{
		dwf_shmem_require("wf_notify");
		broadcast(result, address.key, payload);
	}
	else
	{
		int64		message_id = dwf_mailbox_deliver(&address, payload);

		put_waiter(result, address.workflow_id, message_id,
				   find_waiter(address.workflow_id, address.key));
	}
	return (Datum) 0;
}

/* wf_event_waiters(event_id) → rows of who would get a broadcast */
Datum
wf_event_waiters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	text	   *event_id = dwf_arg_name(fcinfo, 0, "event_id", DWF_KEY_MAX);
	text	   *last = NULL;
	ListCell   *cell;

	dwf_shmem_require("wf_event_waiters");
	InitMaterializedSRF(fcinfo, 0);

	foreach(cell, sorted_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		DwfLife		life;

		if (last && compare_texts(last, waiter->workflow_id) == 0)
			continue;
		last = waiter->workflow_id;
		if (dwf_store_life(waiter->workflow_id, &life) && !life.finished &&
			dwf_owner_allows(life.owner, GetUserId()))
			put_waiter(result, waiter->workflow_id, 0, waiter);
	}
	return (Datum) 0;
}
