/*-------------------------------------------------------------------------
 *
 * publish.c
 *	  Publish an event, or notify the waiters for an event id: what the SQL
 *	  functions and the trigger functions share.
 *
 * A notification is a mailbox item, whether it is sent to one workflow or
 * broadcast.  A broadcast reads the registry of waiters, and gives each
 * workflow one item, tagged with the id of the wait that it answers.  A unique
 * index on the tag makes sure that a wait is answered once, however many
 * sessions notify at a time.  The second of two answers to a wait waits for
 * the first to commit or roll back.  If the first commits, the second finds
 * the tag taken, and its broadcast tries another wait of that workflow, if
 * there is one.  But the first item may have been received by then, which ends
 * the wait and frees the tag: so an answer is withdrawn if its wait is over
 * right after the insertion, and the workflow is looked at once more.
 *
 *-------------------------------------------------------------------------
 */
#include "mailbox/publish.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/texts.h"
#include "mailbox/mailbox.h"
#include "session/arrival.h"
#include "session/identity.h"
#include "shared/address.h"
#include "shared/preloaded.h"
#include "store/catalog.h"
#include "store/direct.h"
#include "store/store.h"

/*
 * Publish a value, directly or by a statement; false if the workflow does not
 * accept it.  The note comes before the effect, and is counted after it, since
 * a statement that takes over has a trigger that counts.
 */
static bool
set_event(text *workflow_id, text *key, Datum value)
{
	DwfAddress	address = {DWF_DOOR_EVENT, workflow_id, key};
	DwfDirect	direct;

	(void) GetTopTransactionId();	/* before the look: README, I5 */
	if (dwf_direct_open_events(&direct))
	{
		DwfDirectResult result;

		dwf_arrival_note_event(&address, 0);
		result = dwf_direct_set_event(&direct, workflow_id, key, value,
									  GetUserId());
		dwf_direct_close(&direct);
		if (result == DWF_DIRECT_DONE)
			dwf_arrival_note_event(&address, 1);
		if (result != DWF_DIRECT_ASIDE)
			return result == DWF_DIRECT_DONE;
	}
	return dwf_store_set_event(workflow_id, key, value, GetUserId());
}

/*
 * Publish a value under a key of a workflow that the current user may act on.
 * Raises WF001, WF002, WF003 and 42501.  Blocks only while another transaction
 * publishes under the same key.
 */
void
dwf_publish_event(text *workflow_id, text *key, Datum value)
{
	while (!set_event(workflow_id, key, value))
		dwf_identity_check_live(workflow_id, GetUserId());
}

/*
 * Order waiters by workflow, so that all broadcasts lock in one order, and
 * those of one workflow by the age of their waits.
 */
static int
compare_waiters(const ListCell *a, const ListCell *b)
{
	const DwfWaiterInfo *left = lfirst(a);
	const DwfWaiterInfo *right = lfirst(b);
	int			order = dwf_texts_compare(left->workflow_id,
										  right->workflow_id);

	if (order != 0)
		return order;
	return (left->wait_id > right->wait_id) - (left->wait_id < right->wait_id);
}

/* The waiters at an address, and the suspended ones, in that order */
static List *
list_waiters(const DwfAddress *address)
{
	List	   *waiters = dwf_waiter_list_at(address);

	if (OidIsValid(dwf_catalog_find_relation("wait")))
		waiters = list_concat(waiters,
							  dwf_store_suspended(address->key,
												  address->workflow_id));
	list_sort(waiters, compare_waiters);
	return waiters;
}

/*
 * The waiters for an event id, suspended ones included, sorted by workflow,
 * then longest wait first.
 */
List *
dwf_publish_waiters(text *event_id)
{
	DwfAddress	address = {DWF_DOOR_BROADCAST, NULL, event_id};

	return list_waiters(&address);
}

/*
 * Answer one wait; returns the id of the item, or 0 if the wait has an answer,
 * is over, or is of a workflow that the current user may not act on.  "is_over"
 * is set if it is over.  Blocks while another transaction answers the wait.
 */
static int64
answer(const DwfWaiterInfo *waiter, text *event_id, Datum payload,
	   bool *is_over)
{
	DwfAddress	address = {DWF_DOOR_NOTIFY, waiter->workflow_id, event_id};
	int64		message_id = dwf_store_next_message_id();

	/* Give the answer */
	*is_over = false;
	if (!dwf_store_answer(message_id, &address, payload, GetUserId(),
						  waiter->wait_id))
		return 0;

	/* Withdraw it if the wait is over */
	*is_over = waiter->slot < 0 ? !dwf_store_is_suspended(waiter) :
		!dwf_waiter_still_waits(waiter);
	if (*is_over)
	{
		dwf_store_withdraw(message_id, &address);
		return 0;
	}
	return message_id;
}

/*
 * The waiter of a workflow that waits longest for the event id, or NULL.  Does
 * not read those of other workflows, of which there may be many.
 */
static DwfWaiterInfo *
find_waiter(text *workflow_id, text *event_id)
{
	DwfAddress	address = {DWF_DOOR_NOTIFY, workflow_id, event_id};
	ListCell   *cell;

	if (!dwf_preloaded())
		return NULL;
	foreach(cell, list_waiters(&address))
	{
		DwfWaiterInfo *waiter = lfirst(cell);

		if (dwf_texts_equal(waiter->workflow_id, workflow_id))
			return waiter;
	}
	return NULL;
}

/* Make a DwfNotified */
static DwfNotified *
make_notified(text *workflow_id, int64 message_id, DwfWaiterInfo *waiter)
{
	DwfNotified *notified = palloc(sizeof(DwfNotified));

	notified->workflow_id = workflow_id;
	notified->message_id = message_id;
	notified->waiter = waiter;
	return notified;
}

/*
 * Is this workflow one of a sorted list of ids?  The caller asks for workflows
 * in the same order, with *place 0 at first.
 */
static bool
is_among(List *ids, int *place, text *workflow_id)
{
	int			order = 1;

	while (*place < list_length(ids) &&
		   (order = dwf_texts_compare(list_nth(ids, *place),
									  workflow_id)) < 0)
		(*place)++;
	return order == 0;
}

/*
 * Answer the first wait that can be answered of each workflow among these
 * waiters, or only of those among "missed", unless that is NIL.  Adds what was
 * notified to the list, and returns the workflows of which a wait was over,
 * and that got no answer.
 */
static List *
answer_waiters(List *waiters, List *missed, text *event_id, Datum payload,
			   List **notified)
{
	List	   *missed_now = NIL;
	text	   *served = NULL;
	int			place = 0;
	ListCell   *cell;

	foreach(cell, waiters)
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		int64		message_id;
		bool		is_over;

		CHECK_FOR_INTERRUPTS();
		if (served && dwf_texts_equal(served, waiter->workflow_id))
			continue;
		if (missed && !is_among(missed, &place, waiter->workflow_id))
			continue;

		/* Note the workflow as missed until one of its waits has an answer */
		message_id = answer(waiter, event_id, payload, &is_over);
		if (is_over && (missed_now == NIL ||
						!dwf_texts_equal(llast(missed_now),
										 waiter->workflow_id)))
			missed_now = lappend(missed_now, waiter->workflow_id);
		if (message_id == 0)
			continue;
		served = waiter->workflow_id;
		if (missed_now && dwf_texts_equal(llast(missed_now), served))
			missed_now = list_delete_last(missed_now);
		*notified = lappend(*notified,
							make_notified(served, message_id, waiter));
	}
	return missed_now;
}

/*
 * Notify each workflow that waits for the event id, once.  A wait that is over
 * when its turn comes may go on under another id: a body's, when the body is
 * suspended meanwhile.  So the workflows of such waits are looked at again.
 */
static List *
broadcast(text *event_id, Datum payload)
{
	List	   *notified = NIL;
	List	   *missed = NIL;

	do
		missed = answer_waiters(dwf_publish_waiters(event_id), missed,
								event_id, payload, &notified);
	while (missed != NIL);
	return notified;
}

/*
 * Notify one workflow, waiting or not.  If workflow_id is NULL, notify all
 * workflows that wait for the event id and that the current user may act on.
 * Returns a list of DwfNotified.  A broadcast raises 55000 without shared
 * memory, and 25001 if the transaction keeps one snapshot; a notification of
 * one workflow raises WF001, WF002, WF003 and 42501.  Blocks only while
 * another transaction answers a wait that this one would answer.
 */
List *
dwf_publish_notify(text *event_id, Datum payload, text *workflow_id)
{
	DwfAddress	address = {DWF_DOOR_NOTIFY, workflow_id, event_id};
	int64		message_id;

	/* Broadcast */
	if (workflow_id == NULL)
	{
		dwf_preloaded_require("wf_notify");
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
					 errmsg("cannot notify all who wait in a REPEATABLE READ or SERIALIZABLE transaction"),
					 errdetail("Its snapshot may not show all workflows that wait now."),
					 errhint("Name the workflow, or notify in a READ COMMITTED transaction.")));
		return broadcast(event_id, payload);
	}

	/* Notify one workflow */
	message_id = dwf_mailbox_deliver(&address, payload);
	return list_make1(make_notified(workflow_id, message_id,
									find_waiter(workflow_id, event_id)));
}
