/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  Remember what the transaction's end must wake, and wake it then.
 *
 * Three kinds of note:
 *
 *	arrival	something was put at an address: wake when it commits, forget it
 *			when it aborts
 *	take	something was taken from an address: wake when it aborts, since
 *			the thing is back and others may have passed it by while it was
 *			locked, and gone to sleep or been suspended; forget it when it
 *			commits
 *	turn	a stream was locked, to write to it: as a take, for its readers
 *
 * Notes are a stack in the order they were made, each with the subtransaction
 * that made it.  Subtransaction ids only grow, so what an aborting
 * subtransaction and its children noted is the top of the stack down to the
 * first smaller id; a subtransaction that commits needs no work at all.
 *
 * Arrivals are noted by a row trigger on the tables, so every writer is
 * covered, COPY and logical replication included.
 *
 * The callbacks run after the transaction has left the proc array: what they
 * announce is visible (on abort: no longer locked) to every snapshot taken
 * from then on.  They neither allocate nor raise.
 *
 *-------------------------------------------------------------------------
 */
#include "session/wakeup.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "shared/claim.h"
#include "shared/listener.h"
#include "shared/presence.h"
#include "shared/service.h"
#include "shared/shmem.h"
#include "store/home.h"
#include "store/plan.h"
#include "store/store.h"

#define NOTES_AT_FIRST	16
#define NOTES_TO_KEEP	1024

typedef struct Note
{
	uint64		hash;
	SubTransactionId subid;
	uint32		count;
	char		door;
	bool		is_take;
	bool		interrupts;		/* a body that is being run */
	bool		wakes_all;		/* also where an arrival serves one */
	bool		has_text;		/* the texts were kept, from text_start on */
	uint16		workflow_length;
	uint16		key_length;
	Size		text_start;
	uint64		workflow_hash;	/* as listeners know it; 0: nobody listened */
} Note;

/* The stack; it lives in TopMemoryContext and is reused */
static Note *notes = NULL;
static int	nnotes = 0;
static int	max_notes = 0;

/* The addresses of notes, kept only while somebody listens */
static StringInfo note_texts = NULL;

PG_FUNCTION_INFO_V1(dwf_note_arrival);

/* Make room for one more note; may raise out of memory, before any effect */
static void
reserve_note(void)
{
	if (nnotes < max_notes)
		return;
	if (notes == NULL)
	{
		notes = MemoryContextAlloc(TopMemoryContext,
								   NOTES_AT_FIRST * sizeof(Note));
		max_notes = NOTES_AT_FIRST;
	}
	else
	{
		notes = repalloc_huge(notes, (Size) max_notes * 2 * sizeof(Note));
		max_notes *= 2;
	}
}

/*
 * Keep the address of a note for the listeners.  Of the text no more than
 * could be told: beyond that it is enough to know whether anybody wants it.
 */
static void
keep_address(Note *note, const DwfAddress *address)
{
	note->workflow_hash =
		dwf_listener_workflow_hash(VARDATA_ANY(address->workflow_id),
								   VARSIZE_ANY_EXHDR(address->workflow_id));
	if (note_texts == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		note_texts = makeStringInfo();
		MemoryContextSwitchTo(old);
	}
	if (note_texts->len > DWF_RING_BYTES)
		return;
	note->text_start = note_texts->len;
	note->workflow_length = VARSIZE_ANY_EXHDR(address->workflow_id);
	note->key_length = address->key ? VARSIZE_ANY_EXHDR(address->key) : 0;
	appendBinaryStringInfo(note_texts, VARDATA_ANY(address->workflow_id),
						   note->workflow_length);
	if (address->key)
		appendBinaryStringInfo(note_texts, VARDATA_ANY(address->key),
							   note->key_length);
	note->has_text = true;
}

/* Is what comes to this door of interest but to who executes workflows? */
static inline bool
is_news(char door)
{
	return door != DWF_DOOR_QUEUE && door != DWF_DOOR_WORK &&
		door != DWF_DOOR_GATEWAY;
}

/* Push a note, or add to the topmost one if it says the same */
static void
push_note(const DwfAddress *address, uint64 hash, uint32 count, bool is_take)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Note	   *note = nnotes > 0 ? &notes[nnotes - 1] : NULL;

	if (note && note->hash == hash && note->subid == subid &&
		note->is_take == is_take)
	{
		note->count += count;
		return;
	}

	reserve_note();
	note = &notes[nnotes];
	note->has_text = false;
	note->workflow_hash = 0;
	if (address->workflow_id && dwf_listener_any())
		keep_address(note, address);
	nnotes++;
	note->hash = hash;
	note->subid = subid;
	note->count = count;
	note->door = address->door;
	note->is_take = is_take;
	note->interrupts = note->wakes_all = false;
}

/* Forget the notes from "bottom" on */
static void
drop_notes(int bottom)
{
	for (int i = nnotes - 1; i >= bottom; i--)
		if (notes[i].has_text)
			note_texts->len = notes[i].text_start;
	nnotes = bottom;
}

/*
 * This transaction is about to take from this queue.  To be noted before it
 * locks anything there, so that no error in between leaves an item locked and
 * then free without a wake; the result is for dwf_wakeup_settle_take().
 */
int
dwf_wakeup_note_take(const DwfAddress *address)
{
	Assert(dwf_door_is_queue(address->door));
	push_note(address, dwf_waiter_hash(address), 1, true);
	return nnotes - 1;
}

/*
 * It took this many, perhaps none.  Triggers may have made notes on top of the
 * one in question; then it stays, if need be as a note of nothing.
 */
void
dwf_wakeup_settle_take(int position, uint32 taken)
{
	Note	   *note = &notes[position];

	Assert(position < nnotes && note->is_take && note->count > 0);
	note->count += taken;
	note->count--;
	if (note->count == 0 && position == nnotes - 1)
		drop_notes(position);
}

/*
 * This transaction is about to lock a stream.  To be noted before, as a take;
 * the notes of one stream that is written again and again stay two.
 */
void
dwf_wakeup_note_turn(const DwfAddress *address)
{
	uint64		hash = dwf_waiter_hash(address);

	for (int i = nnotes - 1; i >= Max(nnotes - 2, 0); i--)
		if (notes[i].hash == hash &&
			notes[i].subid == GetCurrentSubTransactionId())
			return;
	push_note(address, hash, 0, true);
}

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
 * The address at which a row of the named table arrives; false when part of it
 * is null or it is at no door.
 */
static bool
row_address(HeapTuple row, TupleDesc desc, const char *table,
			DwfAddress *address)
{
	bool		isnull;
	Datum		door;

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

/* An item is about to be written: its queue's head may have to know */
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

/* A workflow is about to be inserted: was it started here, or does it come? */
static void
check_home(HeapTuple row, TupleDesc desc)
{
	bool		is_live;

	(void) heap_getattr(row, DWF_WORKFLOW_FINISHED_AT, desc, &is_live);
	if (is_live && !dwf_plan_is_running())
		dwf_home_note_foreign_row();
}

/*
 * A workflow is about to be inserted or changed: whoever waits for work in its
 * queue, or for bodies of its owner's, has to look.  One of them, or all if it
 * is not yet due, as each has to know when it will be.
 */
static void
note_work(HeapTuple row, TupleDesc desc)
{
	DwfAddress	work = {.door = DWF_DOOR_WORK};
	bool		is_live;
	bool		isnull;
	Datum		due_at;

	if (desc->natts < DWF_WORKFLOW_DUE_AT)
		return;					/* objects of before 0.3.0 */
	due_at = heap_getattr(row, DWF_WORKFLOW_DUE_AT, desc, &isnull);
	(void) heap_getattr(row, DWF_WORKFLOW_FINISHED_AT, desc, &is_live);
	if (!is_live || isnull)
		return;
	if (row_text(row, desc, DWF_WORKFLOW_BODY, &work.key))
	{
		Datum		owner = heap_getattr(row, DWF_WORKFLOW_OWNER, desc, &isnull);

		work.key = cstring_to_text(psprintf("%u", DatumGetObjectId(owner)));
	}
	else if (row_text(row, desc, DWF_WORKFLOW_QUEUE, &work.key))
		work.door = DWF_DOOR_QUEUE;
	else
		return;
	push_note(&work, dwf_waiter_hash(&work), DatumGetTimestampTz(due_at) <=
			  GetCurrentTransactionStartTimestamp() ? 1 : PG_UINT16_MAX, false);
}

/*
 * A hook is about to be deleted: nothing comes there any more, and everyone
 * who waits for it has to know.
 */
static void
note_hook(HeapTuple row, TupleDesc desc)
{
	DwfAddress	address = {.door = DWF_DOOR_HOOK};

	if (!row_text(row, desc, DWF_HOOK_WORKFLOW_ID, &address.workflow_id) ||
		!row_text(row, desc, DWF_HOOK_TOKEN, &address.key))
		return;
	push_note(&address, dwf_waiter_hash(&address), 0, false);
	notes[nnotes - 1].wakes_all = true;
}

/*
 * A request is about to be answered, or to go without an answer: whoever waits
 * for that has to know, and who holds it for an HTTP client.
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
	push_note(&address, dwf_waiter_hash(&address), 0, false);

	is_held = DatumGetBool(heap_getattr(row, DWF_REQUEST_IS_HELD, desc,
										&isnull));
	if (!isnull && is_held)
		push_note(&gateway, dwf_waiter_hash(&gateway), 0, false);
}

/* Note what a row of a table without addresses ends; false: it is another */
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
 * Trigger function of durable_wf.message, event, workflow, hook, request,
 * stream and stream_item, BEFORE each row: note the address at which something becomes new, or ends.
 */
Datum
dwf_note_arrival(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	HeapTuple	row;
	DwfAddress	address = {0};
	uint64		hash;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		trigger->tg_trigger->tgnargs != 1 ||
		!dwf_plan_is_ours(trigger->tg_relation))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("durable_wf.note_arrival() serves the triggers of durable_wf's own tables only")));

	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		trigger->tg_newtuple : trigger->tg_trigtuple;

	if (note_end(row, RelationGetDescr(trigger->tg_relation),
				 trigger->tg_trigger->tgargs[0]))
		PG_RETURN_POINTER(row);

	/* a row with a null here is about to be refused; at no door, not seen */
	if (!row_address(row, RelationGetDescr(trigger->tg_relation),
					 trigger->tg_trigger->tgargs[0], &address))
		PG_RETURN_POINTER(row);

	hash = dwf_waiter_hash(&address);
	if (dwf_door_is_queue(address.door))
		report_item(row, trigger->tg_relation, hash);
	else if (address.door == DWF_DOOR_LIFE &&
			 TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		check_home(row, RelationGetDescr(trigger->tg_relation));

	/* an upsert of an event fires for INSERT and UPDATE, and is one arrival */
	push_note(&address, hash, TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) &&
			  address.door == DWF_DOOR_EVENT ? 0 : 1, false);
	if (address.door == DWF_DOOR_LIFE)
	{
		notes[nnotes - 1].interrupts |=
			!TRIGGER_FIRED_BY_INSERT(trigger->tg_event);
		/* after that: whom it brings work is not to be interrupted by it */
		if (!TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
			note_work(row, RelationGetDescr(trigger->tg_relation));
	}
	PG_RETURN_POINTER(row);
}

/* Forget all notes; the stack stays unless it has grown large */
static void
forget_notes(void)
{
	nnotes = 0;
	if (note_texts)
	{
		/* a large buffer goes, too; nothing here may allocate */
		if (note_texts->maxlen > NOTES_TO_KEEP * 32)
		{
			pfree(note_texts->data);
			pfree(note_texts);
			note_texts = NULL;
		}
		else
			resetStringInfo(note_texts);
	}
	if (max_notes > NOTES_TO_KEEP)
	{
		pfree(notes);
		notes = NULL;
		max_notes = 0;
	}
}

/* Wake for the topmost notes of one kind, down to "bottom" */
static void
wake_notes(int bottom, bool takes)
{
	/*
	 * What we announce became visible before; who registers as a waiter looks
	 * afterwards.  With a full barrier on both sides at least one of the two
	 * sees the other.
	 */
	pg_memory_barrier();

	for (int i = bottom; i < nnotes; i++)
	{
		int			woken;

		if (notes[i].is_take != takes)
			continue;
		woken = dwf_waiter_wake(notes[i].hash, notes[i].door,
								notes[i].wakes_all ? PG_UINT64_MAX :
								notes[i].count);
		if (notes[i].interrupts)
			dwf_claim_interrupt(notes[i].hash);
		else if (notes[i].door == DWF_DOOR_WORK && woken == 0 && dwf_shared)
			dwf_service_ask_run();
	}
}

/* So many notes are told at a time, while others wait for the ring */
#define TOLD_AT_A_TIME	1024

/*
 * Tell the worker what has come, or come back, where, if somebody may listen
 * for it or be suspended.  Whoever began to listen between a note and the end
 * of the transaction is told to look for himself.
 */
static void
tell_worker(int bottom, bool takes)
{
	DwfWorker  *worker = NULL;
	bool		is_full = false;

	if (!dwf_listener_any())
		return;
	for (int i = bottom; i < nnotes; i++)
	{
		const Note *note = &notes[i];

		if (worker && i % TOLD_AT_A_TIME == 0)
		{
			dwf_service_close_ring(worker);
			worker = NULL;
		}
		if (note->is_take != takes || !is_news(note->door) ||
			(note->workflow_hash != 0 &&
			 !dwf_listener_wants(note->workflow_hash)) ||
			dwf_service_has_news(note->hash))
			continue;
		if (worker == NULL && (worker = dwf_service_open_ring()) == NULL)
			return;				/* it will begin with a resync */
		if (!is_full && note->has_text &&
			dwf_service_put_news(worker, note->hash, note->door,
								 note_texts->data + note->text_start,
								 note->workflow_length, note->key_length))
			continue;
		is_full = true;
		dwf_service_lose_news(worker, note->workflow_hash);
	}
	if (worker)
		dwf_service_close_ring(worker);
}

/* Count what the committing transaction sent and received */
static void
count_notes(void)
{
	for (int i = 0; i < nnotes; i++)
		if (is_news(notes[i].door))
			dwf_shmem_count(dwf_shmem_subject(notes[i].door),
							notes[i].is_take ? DWF_COUNT_RECEIVES
							: DWF_COUNT_SENDS, notes[i].count);
}

/* Has this transaction anything to wake for, if it commits or if it aborts? */
bool
dwf_wakeup_has_notes(void)
{
	return nnotes > 0;
}

/* Exchange this session's notes for others.  Cannot fail. */
void
dwf_wakeup_swap(DwfNotes *others)
{
	DwfNotes	own = {notes, nnotes, max_notes, note_texts};

	notes = others->notes;
	nnotes = others->count;
	max_notes = others->max;
	note_texts = others->texts;
	*others = own;
}

/* At the end of a transaction: wake for what it did, or undid */
void
dwf_wakeup_end_xact(XactEvent event)
{
	if (nnotes == 0)
		return;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
			wake_notes(0, false);
			tell_worker(0, false);
			count_notes();
			forget_notes();
			break;
		case XACT_EVENT_ABORT:
			wake_notes(0, true);
			tell_worker(0, true);
			forget_notes();
			break;
		case XACT_EVENT_PREPARE:
			forget_notes();		/* unless they were put by: stash.c */
			break;
		default:
			break;
	}
}

/* At the abort of a subtransaction: wake for what it took, forget the rest */
void
dwf_wakeup_end_subxact(SubTransactionId subid)
{
	int			bottom = nnotes;

	while (bottom > 0 && notes[bottom - 1].subid >= subid)
		bottom--;
	if (bottom == nnotes)
		return;
	wake_notes(bottom, true);
	tell_worker(bottom, true);
	drop_notes(bottom);
}
