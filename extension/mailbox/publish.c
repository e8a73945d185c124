/*-------------------------------------------------------------------------
 *
 * publish.c
 *	  Publish an event, or notify who waits for an event id: what the SQL
 *	  functions and the trigger functions share.
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
#include "mailbox/publish.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/texts.h"
#include "mailbox/mailbox.h"
#include "session/identity.h"
#include "shared/shmem.h"
#include "store/catalog.h"
#include "store/store.h"

/*
 * Publish a value under a key of a workflow that the current user may act on.
 * Raises WF001, WF002, WF003 and 42501.  Blocks only while another transaction
 * publishes the same key.
 */
void
dwf_publish_event(text *workflow_id, text *key, Datum value)
{
	while (!dwf_store_set_event(workflow_id, key, value, GetUserId()))
		dwf_identity_check_live(workflow_id, GetUserId());
}

/* By workflow, so that all who notify lock in one order; oldest wait first */
static int
compare_waiters(const ListCell *a, const ListCell *b)
{
	const DwfWaiterInfo *left = lfirst(a);
	const DwfWaiterInfo *right = lfirst(b);
	int			order = dwf_texts_compare(left->workflow_id, right->workflow_id);

	if (order != 0)
		return order;
	return (left->wait_id > right->wait_id) - (left->wait_id < right->wait_id);
}

/*
 * Who waits for the event id, blocked or suspended, sorted by workflow, then
 * longest wait first
 */
List *
dwf_publish_waiters(text *event_id)
{
	List	   *waiters = dwf_waiter_list_broadcast(event_id);

	if (OidIsValid(dwf_catalog_find_relation("wait")))
		waiters = list_concat(waiters, dwf_store_suspended(event_id));
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
	if (waiter->slot < 0 ? !dwf_store_is_suspended(waiter) :
		!dwf_waiter_still_waits(waiter))
	{
		dwf_store_withdraw(message_id, &address);
		return 0;
	}
	return message_id;
}

/* The longest wait of a workflow for the event id, or NULL */
static DwfWaiterInfo *
find_waiter(text *workflow_id, text *event_id)
{
	ListCell   *cell;

	if (dwf_shared == NULL)
		return NULL;
	foreach(cell, dwf_publish_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);

		if (dwf_texts_equal(waiter->workflow_id, workflow_id))
			return waiter;
	}
	return NULL;
}

/* A DwfNotified */
static DwfNotified *
make_notified(text *workflow_id, int64 message_id, DwfWaiterInfo *waiter)
{
	DwfNotified *notified = palloc(sizeof(DwfNotified));

	notified->workflow_id = workflow_id;
	notified->message_id = message_id;
	notified->waiter = waiter;
	return notified;
}

/* Give the payload to each workflow that waits, once */
static List *
broadcast(text *event_id, Datum payload)
{
	List	   *notified = NIL;
	text	   *served = NULL;
	ListCell   *cell;

	foreach(cell, dwf_publish_waiters(event_id))
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		int64		message_id;

		CHECK_FOR_INTERRUPTS();
		if (served && dwf_texts_equal(served, waiter->workflow_id))
			continue;
		message_id = answer(waiter, event_id, payload);
		if (message_id == 0)
			continue;
		served = waiter->workflow_id;
		notified = lappend(notified, make_notified(served, message_id, waiter));
	}
	return notified;
}

/*
 * Notify one workflow, waiting or not, or, when workflow_id is NULL, everyone
 * who waits for the event id and whom the current user may act on.  Returns a
 * list of DwfNotified.  Raises 55000 for a broadcast without shared memory and
 * 25001 for one with an old snapshot, for one workflow WF001, WF002, WF003 and
 * 42501.  Blocks only while another transaction answers the same wait.
 */
List *
dwf_publish_notify(text *event_id, Datum payload, text *workflow_id)
{
	DwfAddress	address = {DWF_DOOR_NOTIFY, workflow_id, event_id};
	int64		message_id;

	if (workflow_id == NULL)
	{
		dwf_shmem_require("wf_notify");
		if (IsolationUsesXactSnapshot())
			ereport(ERROR,
					(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
					 errmsg("cannot notify all who wait in a REPEATABLE READ or SERIALIZABLE transaction"),
					 errdetail("Its snapshot may not show all workflows that wait now."),
					 errhint("Name the workflow, or notify in a READ COMMITTED transaction.")));
		return broadcast(event_id, payload);
	}
	message_id = dwf_mailbox_deliver(&address, payload);
	return list_make1(make_notified(workflow_id, message_id,
									find_waiter(workflow_id, event_id)));
}
