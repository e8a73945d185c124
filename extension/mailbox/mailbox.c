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
#include "session/arrival.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/taken.h"
#include "session/trace.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "shared/queue_head.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/direct.h"
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

/* Raise WF001, WF002, WF003 or 42501 unless the current user may deliver */
static void
check_destination(text *workflow_id)
{
	if (!dwf_probe_accepts(workflow_id, GetUserId()))
		dwf_identity_check_live(workflow_id, GetUserId());
}

/* Write an item into a table that is open, after the note of its arrival */
static void
put_directly(DwfDirect *direct, int64 message_id, const DwfAddress *address,
			 Datum payload, const text *traceparent)
{
	dwf_arrival_note_item(address, dwf_direct_relation(direct), message_id);
	dwf_direct_deliver(direct, message_id, address, payload, traceparent);
}

/*
 * Put an item into a mailbox.  The caller has taken its id and looked after
 * that whether the workflow accepts items.  Does not block.
 */
static void
put(int64 message_id, const DwfAddress *address, Datum payload)
{
	DwfDirect	direct;

	if (!dwf_direct_open_messages(&direct))
	{
		/* the table's trigger notes the arrival, and takes the trace */
		dwf_store_deliver(message_id, address, payload);
		return;
	}
	put_directly(&direct, message_id, address, payload, dwf_trace_current());
	dwf_direct_close(&direct);
}

/*
 * Put an item into the mailbox of a workflow that the current user may act
 * on, and return its id.  Raises WF001, WF002, WF003 and 42501.  Does not
 * block.
 */
int64
dwf_mailbox_deliver(const DwfAddress *address, Datum payload)
{
	int64		message_id = dwf_store_next_message_id();

	check_destination(address->workflow_id);
	put(message_id, address, payload);
	return message_id;
}

/*
 * Put items into mailboxes, each as put() does; false if one statement
 * has to do that for all.  "traceparents" are those of the items, or NULL for
 * that of the session.  If "check", raises WF001, WF002, WF003 and 42501
 * for the first that its workflow does not accept from the current user, which
 * undoes the others.  Does not block.
 */
bool
dwf_mailbox_put_many(int count, const int64 *message_ids,
					 const DwfAddress *addresses, const Datum *payloads,
					 text *const *traceparents, bool check)
{
	DwfDirect	direct;
	text	   *current = dwf_trace_current();

	if (!dwf_direct_open_messages(&direct))
		return false;
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (check)
			check_destination(addresses[i].workflow_id);
		put_directly(&direct, message_ids[i], &addresses[i], payloads[i],
					 traceparents && traceparents[i] ? traceparents[i] :
					 current);
	}
	dwf_direct_close(&direct);
	return true;
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
		int64		lowest;

		if (!dwf_direct_lowest(address, queue.hash, bound, &lowest))
			lowest = dwf_store_lowest(address, bound);
		dwf_queue_head_advance(queue, candidate, lowest);
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
	receive->count = dwf_direct_take(address, queue.hash, from, to,
									 receive->limit, &receive->items);
	if (receive->count < 0)
		receive->count = dwf_store_take(address, from, to, receive->limit,
										&receive->items);
	dwf_wakeup_settle_take(note, receive->count);
	dwf_journal_note_taken(address, receive->items, receive->count);
	dwf_trace_note_taken(receive->items, receive->count);
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

/* Queues of one workflow, as they are searched for the oldest item */
typedef struct Search
{
	int			count;
	const DwfAddress *queues;
	uint64	   *hashes;
	int64	   *start;			/* the ids at which to start */
	Datum		doors;			/* arrays for the statement; 0: not made */
	Datum		keys;
} Search;

/* Find the oldest item by a statement; see find_oldest() */
static int
find_oldest_by_statement(Search *search, int64 *message_id)
{
	int			n = search->count;
	int			oldest;
	Datum		start;

	/* The doors and keys stay the same while the search goes on */
	if (search->doors == (Datum) 0)
	{
		Datum	   *elements = palloc(n * sizeof(Datum));

		for (int i = 0; i < n; i++)
			elements[i] = CharGetDatum(search->queues[i].door);
		search->doors = dwf_arrays_of_char(elements, n);
		for (int i = 0; i < n; i++)
			elements[i] = PointerGetDatum(search->queues[i].key);
		search->keys = dwf_arrays_of_text(elements, n);
		pfree(elements);
	}
	start = dwf_arrays_of_int8(search->start, n);
	oldest = dwf_store_oldest(search->queues[0].workflow_id, search->doors,
							  search->keys, start, message_id);
	pfree(DatumGetPointer(start));
	return oldest;
}

/* Find the number of the queue with the oldest item, and its id; -1: none */
static int
find_oldest(Search *search, int64 *message_id)
{
	int			oldest;

	if (dwf_direct_oldest(search->queues, search->hashes, search->start,
						  search->count, &oldest, message_id))
		return oldest;
	return find_oldest_by_statement(search, message_id);
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
	DwfQueueId *queues = palloc(n * sizeof(DwfQueueId));
	Search		search = {.count = n,.queues = receive->queues};

	/* Describe the queues */
	search.hashes = palloc(n * sizeof(uint64));
	search.start = palloc(n * sizeof(int64));
	for (int i = 0; i < n; i++)
	{
		queues[i] = queue_id(&receive->queues[i]);
		search.hashes[i] = queues[i].hash;
		search.start[i] = queue_start(&receive->queues[i], queues[i]);
	}

	/* Find the oldest and try to take it, until one is taken */
	for (;;)
	{
		int64		message_id;
		int			oldest;

		CHECK_FOR_INTERRUPTS();
		oldest = find_oldest(&search, &message_id);
		if (oldest < 0)
			return false;
		if (take(receive, oldest, queues[oldest], message_id, message_id) > 0)
			return true;
		search.start[oldest] = message_id + 1;
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
	dwf_trace_forget();

	/* Wait at the queues */
	for (int i = 0; i < receive->nqueues; i++)
		dwf_wait_at(wait, receive->queues[i].door, receive->workflow_id,
					receive->queues[i].key);
	wait->acts_as = receive->workflow_id;
	wait->look = look_for_items;
	wait->arg = receive;
	return dwf_wait(wait);
}
