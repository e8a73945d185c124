/*-------------------------------------------------------------------------
 *
 * arrival.c
 *	  The row trigger that notes what arrives at which address.
 *
 * It is on the tables, ENABLE ALWAYS, so every writer is covered, COPY and
 * logical replication included.  It fires before the row is written: a note
 * comes before its effect (I3 in the README), so an error in between costs a
 * wake in vain, never a missing one.
 *
 *	message		an item arrives in its queue
 *	event		a value arrives
 *	workflow	a start, an end, a change of owner; work for an executor or for
 *				wf_attach_next.  A workflow that somebody deletes by hand takes
 *				along what belongs to it, as with a foreign key
 *	hook		deleted: nothing arrives there any more
 *	request		answered, or deleted
 *
 * Rows that are written without a statement (direct.c) fire no trigger: for
 * them the writer calls dwf_arrival_note_item() and its like.
 *
 *-------------------------------------------------------------------------
 */
#include "session/arrival.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "session/row_check.h"
#include "session/trace.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "shared/appends.h"
#include "shared/claim.h"
#include "shared/queue_head.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/home.h"
#include "store/statement.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_note_arrival);

/* A text column of a row; false when it is null */
static bool
row_text(HeapTuple row, TupleDesc desc, int column, text **value)
{
	bool		isnull;
	Datum		datum = heap_getattr(row, column, desc, &isnull);

	if (!isnull)
		*value = DatumGetTextPP(datum);
	return !isnull;
}

/*
 * The address at which a row of the named table arrives; false if a part of
 * the address is null or is not a door.
 */
static bool
row_address(HeapTuple row, TupleDesc desc, const char *table,
			DwfAddress *address)
{
	bool		isnull;
	Datum		door;

	/* the door of a message is in the row, others follow from the table */
	if (strcmp(table, "message") == 0)
	{
		door = heap_getattr(row, DWF_MESSAGE_DOOR, desc, &isnull);
		address->door = isnull ? '\0' : DatumGetChar(door);
		return dwf_door_is_queue(address->door) &&
			row_text(row, desc, DWF_MESSAGE_WORKFLOW_ID,
					 &address->workflow_id) &&
			row_text(row, desc, DWF_MESSAGE_KEY, &address->key);
	}
	if (strcmp(table, "event") == 0 || strcmp(table, "stream") == 0 ||
		strcmp(table, "stream_item") == 0)
	{
		address->door = table[0] == 'e' ? DWF_DOOR_EVENT : DWF_DOOR_STREAM;
		return row_text(row, desc, DWF_EVENT_WORKFLOW_ID,
						&address->workflow_id) &&
			row_text(row, desc, DWF_EVENT_KEY, &address->key);
	}
	if (strcmp(table, "workflow") == 0)
	{
		address->door = DWF_DOOR_LIFE;
		return row_text(row, desc, DWF_WORKFLOW_WORKFLOW_ID,
						&address->workflow_id);
	}
	elog(ERROR, "unexpected argument \"%s\" of durable_wf.note_arrival()",
		 table);
}

/* An item is about to be written: report its id to its queue's head */
static void
report_item(HeapTuple row, Relation table, uint64 hash)
{
	DwfQueueId	queue = {hash, RelationGetRelid(table)};
	bool		isnull;
	Datum		message_id = heap_getattr(row, DWF_MESSAGE_MESSAGE_ID,
										  RelationGetDescr(table), &isnull);

	if (!isnull)
		dwf_queue_head_inserting(queue, DatumGetInt64(message_id));
}

/*
 * A workflow is about to be inserted.  A live one that no statement of ours
 * inserts comes from another database: note that in home.c.
 */
static void
check_home(HeapTuple row, TupleDesc desc)
{
	bool		is_live;

	(void) heap_getattr(row, DWF_WORKFLOW_FINISHED_AT, desc, &is_live);
	if (is_live && !dwf_statement_is_running())
		dwf_home_note_foreign_row();
}

/*
 * Does an update of a workflow end it or have it live again, or give it to
 * another role?  Other changes concern nobody that waits.
 */
static bool
changes_life(const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	HeapTuple	before = trigger->tg_trigtuple;
	HeapTuple	after = trigger->tg_newtuple;
	bool		was_open;
	bool		is_open;
	Datum		was = heap_getattr(before, DWF_WORKFLOW_FINISHED_AT, desc,
								   &was_open);
	Datum		is = heap_getattr(after, DWF_WORKFLOW_FINISHED_AT, desc,
								  &is_open);

	if (was_open != is_open || (!is_open && was != is))
		return true;
	was = heap_getattr(before, DWF_WORKFLOW_OWNER, desc, &was_open);
	is = heap_getattr(after, DWF_WORKFLOW_OWNER, desc, &is_open);
	return was != is;
}

/*
 * A workflow is about to be inserted or changed: note a wake for the sessions
 * that wait for work in its queue, or for the executors of its owner.  One of
 * them is woken if it is due; else all, as each has to know when it will be.
 */
static void
note_work(HeapTuple row, TupleDesc desc)
{
	DwfAddress	work = {.door = DWF_DOOR_WORK};
	text	   *workflow_id;
	bool		is_live;
	bool		is_due;
	bool		isnull;
	Datum		due_at;

	if (desc->natts < DWF_WORKFLOW_DUE_AT)
		return;					/* objects of before 0.3.0 */

	/* only a live workflow can be due */
	due_at = heap_getattr(row, DWF_WORKFLOW_DUE_AT, desc, &isnull);
	(void) heap_getattr(row, DWF_WORKFLOW_FINISHED_AT, desc, &is_live);
	if (!is_live || isnull)
		return;

	/* a body is work for its owner's executors, else the queue has work */
	if (row_text(row, desc, DWF_WORKFLOW_BODY, &work.key))
	{
		Datum		owner = heap_getattr(row, DWF_WORKFLOW_OWNER, desc,
										 &isnull);

		work.key = cstring_to_text(psprintf("%u", DatumGetObjectId(owner)));
	}
	else if (row_text(row, desc, DWF_WORKFLOW_QUEUE, &work.key))
		work.door = DWF_DOOR_QUEUE;
	else
		return;

	/* what this session executes becomes work when it leaves that */
	is_due = DatumGetTimestampTz(due_at) <=
		GetCurrentTransactionStartTimestamp();
	if (row_text(row, desc, DWF_WORKFLOW_WORKFLOW_ID, &workflow_id) &&
		dwf_claim_has_news(workflow_id, work.door == DWF_DOOR_QUEUE ?
						   work.key : NULL) && is_due)
		return;

	dwf_wakeup_note_due(&work, DatumGetTimestampTz(due_at));
}

/*
 * A hook is about to be deleted: note a wake for all that wait at it, since
 * nothing comes there any more
 */
static void
note_hook(HeapTuple row, TupleDesc desc)
{
	DwfAddress	address = {.door = DWF_DOOR_HOOK};

	if (!row_text(row, desc, DWF_HOOK_WORKFLOW_ID, &address.workflow_id) ||
		!row_text(row, desc, DWF_HOOK_TOKEN, &address.key))
		return;
	dwf_wakeup_note_arrival(&address, dwf_address_hash(&address), 0,
							DWF_WAKES_ALL);
}

/*
 * A request is about to be answered, or deleted without an answer: note a wake
 * for the sessions that wait for the answer, and for the gateway if it holds
 * the request of an HTTP client
 */
static void
note_answer(HeapTuple row, TupleDesc desc)
{
	DwfAddress	address = {.door = DWF_DOOR_RESPONSE};
	DwfAddress	gateway = {.door = DWF_DOOR_GATEWAY};
	Datum		request_id;
	bool		is_held;
	bool		isnull;

	if (!row_text(row, desc, DWF_REQUEST_WORKFLOW_ID, &address.workflow_id))
		return;
	request_id = heap_getattr(row, DWF_REQUEST_REQUEST_ID, desc, &isnull);
	if (isnull)
		return;
	address.key = cstring_to_text(psprintf(INT64_FORMAT,
										   DatumGetInt64(request_id)));
	dwf_wakeup_note_arrival(&address, dwf_address_hash(&address), 0, 0);

	is_held = DatumGetBool(heap_getattr(row, DWF_REQUEST_IS_HELD, desc,
										&isnull));
	if (!isnull && is_held)
		dwf_wakeup_note_arrival(&gateway, dwf_address_hash(&gateway), 0, 0);
}

/*
 * A message or a workflow is about to be inserted: have it take along the
 * trace context of this session, unless it brings one.  An empty one is none:
 * the row had its own when it was written first.  Returns the row to insert.
 */
static HeapTuple
take_trace(HeapTuple row, TupleDesc desc, int column)
{
	text	   *own;
	Datum		value = (Datum) 0;
	bool		has_value;
	bool		isnull;

	if (desc->natts < column)
		return row;				/* objects of before 1.0.0 */
	has_value = row_text(row, desc, column, &own);
	if (!has_value)
		value = PointerGetDatum(dwf_trace_current());
	if (has_value ? VARSIZE_ANY_EXHDR(own) > 0 : value == (Datum) 0)
		return row;
	isnull = has_value;
	return heap_modify_tuple_by_cols(row, desc, 1, &column, &value, &isnull);
}

/* The same for the row of any table of ours */
static HeapTuple
insert_trace(HeapTuple row, const TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	const char *table = trigger->tg_trigger->tgargs[0];

	if (strcmp(table, "message") == 0)
		return take_trace(row, desc, DWF_MESSAGE_TRACEPARENT);
	if (strcmp(table, "workflow") == 0)
		return take_trace(row, desc, DWF_WORKFLOW_TRACEPARENT);
	return row;
}

/*
 * The row of a workflow is about to be deleted: delete what belongs to it,
 * unless a statement of ours does both.  A subscriber is told of each row.
 */
static void
drop_belongings(const DwfAddress *workflow)
{
	if (!dwf_statement_is_running() &&
		SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
		dwf_store_drop_belongings(workflow->workflow_id);
}

/* Note what a row of "hook" or "request" ends; false for other tables */
static bool
note_end(HeapTuple row, TupleDesc desc, const char *table)
{
	if (strcmp(table, "hook") == 0)
		note_hook(row, desc);
	else if (strcmp(table, "request") == 0)
		note_answer(row, desc);
	else
		return false;
	return true;
}

/*
 * Trigger function of durable_wf.message, event, workflow, hook and request,
 * BEFORE each row: note the address at which something becomes new, or ends.
 */
Datum
dwf_note_arrival(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	DwfAddress	address = {0};
	uint64		hash;
	uint32		count = 1;
	int			flags = 0;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1 ||
		!dwf_catalog_is_ours(trigger->tg_relation))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("durable_wf.note_arrival() serves the triggers of durable_wf's own tables only")));

	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;

	/* note what ends: a hook, a wait for an answer */
	if (note_end(row, RelationGetDescr(trigger->tg_relation),
				 trigger->tg_trigger->tgargs[0]))
		PG_RETURN_POINTER(row);

	/* what is sent or started takes a trace along */
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		row = insert_trace(row, trigger);

	/* a null will violate a constraint; no receiver sees other doors */
	if (!row_address(row, RelationGetDescr(trigger->tg_relation),
					 trigger->tg_trigger->tgargs[0], &address))
		PG_RETURN_POINTER(row);

	/* check the row of a workflow; most changes concern nobody */
	if (address.door == DWF_DOOR_LIFE &&
		!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		dwf_row_check_workflow(row, trigger->tg_relation);
	if (address.door == DWF_DOOR_LIFE &&
		TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) && !changes_life(trigger))
		PG_RETURN_POINTER(row);

	if (address.door == DWF_DOOR_LIFE &&
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		drop_belongings(&address);

	/* tell those that keep something about the row's queue or database */
	hash = dwf_address_hash(&address);
	if (dwf_door_is_queue(address.door))
		report_item(row, trigger->tg_relation, hash);
	else if (address.door == DWF_DOOR_STREAM)
		(void) dwf_appends_note(hash);
	else if (address.door == DWF_DOOR_LIFE &&
			 TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		check_home(row, RelationGetDescr(trigger->tg_relation));

	/* an upsert of an event fires for INSERT and UPDATE: count one arrival */
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
		address.door == DWF_DOOR_EVENT)
		count = 0;
	if (address.door == DWF_DOOR_LIFE &&
		!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		flags = DWF_INTERRUPTS;
	dwf_wakeup_note_arrival(&address, hash, count, flags);

	/* a note of its own, which wakes for work and does not interrupt */
	if (address.door == DWF_DOOR_LIFE &&
		!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		note_work(row, RelationGetDescr(trigger->tg_relation));
	PG_RETURN_POINTER(row);
}

/* Note, as the trigger does, that an item is about to be written */
void
dwf_arrival_note_item(const DwfAddress *address, Oid table, int64 message_id)
{
	DwfQueueId	queue = {dwf_address_hash(address), table};

	Assert(dwf_door_is_queue(address->door));
	dwf_queue_head_inserting(queue, message_id);
	dwf_wakeup_note_arrival(address, queue.hash, 1, 0);
}

/* Note, as the trigger does, that a stream's item is about to be written */
void
dwf_arrival_note_stream(const DwfAddress *address, uint64 hash)
{
	Assert(address->door == DWF_DOOR_STREAM);
	dwf_wakeup_note_arrival(address, hash, 1, 0);
}

/*
 * Note, as the trigger does, that a workflow was inserted that is due at once
 */
void
dwf_arrival_note_start(const DwfStart *start, Oid owner)
{
	DwfAddress	life = {DWF_DOOR_LIFE, start->workflow_id, NULL};
	DwfAddress	work = {DWF_DOOR_WORK, NULL, start->queue};

	dwf_wakeup_note_arrival(&life, dwf_address_hash(&life), 1, 0);
	if (start->body)
		work.key = cstring_to_text(psprintf("%u", owner));
	else if (start->queue)
		work.door = DWF_DOOR_QUEUE;
	else
		return;
	/* what this session executes becomes work when it leaves that */
	if (!dwf_claim_has_news(start->workflow_id, start->queue))
		dwf_wakeup_note_due(&work, GetCurrentTransactionStartTimestamp());
}

/* Note, as the trigger does, that a workflow has ended */
void
dwf_arrival_note_end(text *workflow_id)
{
	DwfAddress	address = {DWF_DOOR_LIFE, workflow_id, NULL};

	dwf_wakeup_note_arrival(&address, dwf_address_hash(&address), 1,
							DWF_INTERRUPTS);
}

/*
 * Note, as the trigger does, that an event is about to be written.  It is not
 * known yet by whom: the writer counts it when it has been written.
 */
void
dwf_arrival_note_event(const DwfAddress *address, uint32 count)
{
	Assert(address->door == DWF_DOOR_EVENT);
	dwf_wakeup_note_arrival(address, dwf_address_hash(address), count, 0);
}
