/*-------------------------------------------------------------------------
 *
 * mailbox.c
 *	  Put an item into a mailbox, and take items out of it.
 *
 * A queue is a workflow's items of one door and key.  Its next item is the one
 * with the lowest id that is visible and that no other transaction has locked.
 *
 *-------------------------------------------------------------------------
 */
#include "mailbox/mailbox.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "base/settings.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/taken.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "shared/queue_head.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/probe.h"

/* The queue of a topic; of messages without a topic if "topic" is NULL */
DwfAddress
dwf_mailbox_topic_queue(text *workflow_id, text *topic)
{
	DwfAddress	queue;

	queue.door = topic ? DWF_DOOR_TOPIC : DWF_DOOR_NO_TOPIC;
	queue.workflow_id = workflow_id;
	queue.key = topic ? topic : cstring_to_text("");
	return queue;
}

/*
 * Put an item into the mailbox of a workflow that the current user may act
 * on, and return its id.  The table's trigger notes the wake.
 * Raises WF001, WF002, WF003 and 42501.  Does not block.
 */
int64
dwf_mailbox_deliver(const DwfAddress *address, Datum payload)
{
	int64		message_id = dwf_store_next_message_id();

	if (!dwf_probe_accepts(address->workflow_id, GetUserId()))
		dwf_identity_check_live(address->workflow_id, GetUserId());
	dwf_store_deliver(message_id, address, payload);
	return message_id;
}

/* The queue at an address, as queue_head.c identifies it */
static DwfQueueId
queue_id(const DwfAddress *address)
{
	DwfQueueId	queue;

	queue.hash = dwf_address_hash(address);
	queue.table = dwf_catalog_relation("message");
	return queue;
}

/*
 * The id at which to start the search for the next item.  Moves the head of
 * the queue if queue_head.c has a candidate: the head moves to the lowest id
 * in a new snapshot.  That snapshot must show every item that an abort may
 * give back; it does not show those that this transaction has deleted, so a
 * transaction that has written moves no head.
 */
static int64
queue_start(const DwfAddress *address, DwfQueueId queue)
{
	DwfQueueHeadCandidate candidate;

	if (!IsolationUsesXactSnapshot() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		dwf_queue_head_ready(queue, &candidate))
	{
		/* Read the bound after "ready": what lowered it before has ended */
		int64		bound = dwf_queue_head_bound(queue);

		dwf_queue_head_advance(queue, candidate,
							   dwf_store_lowest(address, bound));
	}
	return dwf_queue_head_bound(queue);
}

/*
 * Take items of queue n with ids between "from" and "to", up to the limit;
 * returns how many.  Skips those that other transactions have locked.
 */
static int
take(DwfReceive *receive, int n, DwfQueueId queue, int64 from, int64 to)
{
	DwfAddress *address = &receive->queues[n];
	int			note = dwf_wakeup_note_take(address);

	/* Take them between the note and its settlement (I3) */
	receive->count = dwf_store_take(address, from, to, receive->limit,
									&receive->items);
	dwf_wakeup_settle_take(note, receive->count);
	dwf_journal_note_taken(address, receive->items, receive->count);
	receive->from = n;
	if (dwf_setting_max_deliveries > 0 && receive->count > 0)
		dwf_taken_note(address, receive->items, receive->count);

	/* Tell queue_head.c how far the queue is taken */
	if (receive->count > 0)
		dwf_queue_head_taken(queue,
							 receive->items[receive->count - 1].message_id,
							 receive->count);
	return receive->count;
}

/*
 * Take the oldest item of several queues; false if there is none to take.  The
 * oldest is found without a lock and then taken by its id, so that no item of
 * another queue is ever locked.  If another transaction has locked it, the
 * next oldest is tried.
 */
static bool
take_oldest(DwfReceive *receive)
{
	int			n = receive->nqueues;
	Datum	   *doors = palloc(n * sizeof(Datum));
	Datum	   *keys = palloc(n * sizeof(Datum));
	int64	   *start = palloc(n * sizeof(int64));
	DwfQueueId *queues = palloc(n * sizeof(DwfQueueId));
	Datum		door_array;
	Datum		key_array;

	/* Describe the queues to the statement */
	for (int i = 0; i < n; i++)
	{
		doors[i] = CharGetDatum(receive->queues[i].door);
		keys[i] = PointerGetDatum(receive->queues[i].key);
		queues[i] = queue_id(&receive->queues[i]);
		start[i] = queue_start(&receive->queues[i], queues[i]);
	}
	door_array = dwf_arrays_of_char(doors, n);
	key_array = dwf_arrays_of_text(keys, n);

	/* Find the oldest and try to take it, until one is taken */
	for (;;)
	{
		Datum		start_array = dwf_arrays_of_int8(start, n);
		int64		message_id;
		int			queue;

		CHECK_FOR_INTERRUPTS();
		queue = dwf_store_oldest(receive->workflow_id, door_array, key_array,
								 start_array, &message_id);
		if (queue < 0)
			return false;
		if (take(receive, queue, queues[queue], message_id, message_id) > 0)
			return true;
		start[queue] = message_id + 1;
		pfree(DatumGetPointer(start_array));
	}
}

/*
 * Take items if there are any, without waiting, as this role; true if some
 * were taken.  Raises WF001, WF002, WF003, 42501, and WF006 where there is no
 * hook.
 */
bool
dwf_mailbox_look(DwfReceive *receive, Oid role)
{
	DwfAddress *first = &receive->queues[0];
	DwfQueueId	queue;

	if (!dwf_probe_accepts(receive->workflow_id, role))
		dwf_identity_check_live(receive->workflow_id, role);
	if (receive->nqueues > 1)
		return take_oldest(receive);

	/* Nothing comes to a hook that is gone */
	if (first->door == DWF_DOOR_HOOK && !dwf_store_has_hook(first))
		dwf_identity_report_no_hook();
	queue = queue_id(first);
	return take(receive, 0, queue, queue_start(first, queue),
				PG_INT64_MAX) > 0;
}

/* The look of a receive */
static bool
look_for_items(DwfWait *wait)
{
	return dwf_mailbox_look(wait->arg, wait->role);
}

/*
 * Receive from the queues of one workflow, acting as that workflow: wait for
 * the first item, and take up to "limit" items that are there.  False if the
 * deadline comes first.
 *
 * The caller has filled in the fields of "receive" above "count", and the
 * deadline of "wait".  Raises what dwf_mailbox_look() raises.  Blocks until
 * there is an item.
 */
bool
dwf_mailbox_receive(DwfReceive *receive, DwfWait *wait)
{
	Assert(receive->nqueues <= DWF_TOPICS_MAX);
	Assert(receive->limit == 1 || receive->nqueues == 1);
	dwf_store_require_writable(wait->function);

	/* Wait at the queues */
	for (int i = 0; i < receive->nqueues; i++)
		dwf_wait_at(wait, receive->queues[i].door, receive->workflow_id,
					receive->queues[i].key);
	wait->acts_as = receive->workflow_id;
	wait->look = look_for_items;
	wait->arg = receive;
	return dwf_wait(wait);
}
