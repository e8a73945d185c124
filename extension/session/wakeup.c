/*-------------------------------------------------------------------------
 *
 * wakeup.c
 *	  Note which waiters the end of the transaction must wake; wake them then.
 *
 * Three kinds of note:
 *
 *	arrival	something was put at an address: wake when the transaction
 *			commits, forget the note when it aborts
 *	take	something was taken from an address: wake when the transaction
 *			aborts, since the thing is free again, and other receivers may
 *			have skipped it while it was locked (SKIP LOCKED), and gone to
 *			sleep or been suspended; forget the note when it commits
 *	turn	a stream was locked, to write to it: as a take, for its readers
 *
 * Notes are a stack in the order they were made, each with the subtransaction
 * that made it.  Subtransaction ids only grow, so what an aborting
 * subtransaction and its children have noted is the top of the stack down to
 * the first smaller id; the commit of a subtransaction changes nothing.
 *
 * Arrivals are noted by a row trigger on the tables (arrival.c), takes by the
 * receiver (mailbox.c).
 *
 * The callbacks run after the transaction has left the proc array: what they
 * announce is visible (on abort: no longer locked) to every snapshot that is
 * taken from then on.  They neither allocate nor raise.
 *
 *-------------------------------------------------------------------------
 */
#include "session/wakeup.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "shared/ahead.h"
#include "shared/claim.h"
#include "shared/claims.h"
#include "shared/counters.h"
#include "shared/expected.h"
#include "shared/listener.h"
#include "shared/news.h"
#include "shared/preloaded.h"
#include "shared/queue_head.h"
#include "shared/saturation.h"
#include "shared/waiter.h"
#include "shared/watch.h"
#include "shared/workers.h"
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
	bool		interrupts;		/* also the executor of this workflow's body */
	bool		wakes_all;		/* also where an arrival serves one waiter */
	bool		has_text;		/* the texts were kept, from text_start on */
	uint16		workflow_length;
	uint16		key_length;
	Size		text_start;
	uint64		workflow_hash;	/* as listeners know it; 0: not kept */
	TimestampTz due;			/* of work: when the first of it is */
} Note;

/* The stack; it lives in TopMemoryContext and is reused */
static Note *notes = NULL;
static int	nnotes = 0;
static int	max_notes = 0;

/* The addresses of notes, kept only while something may want news of them */
static StringInfo note_texts = NULL;

/* May a session listen, or a workflow of this database be suspended? */
static inline bool
has_audience(void)
{
	return dwf_listener_any() || dwf_expected_any();
}

/* Make room for one more note.  May raise out of memory, before any effect. */
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
 * Keep the address of a note for the listeners: the hash of its workflow; and
 * its texts, unless those of the notes before would fill the ring of news.
 */
static void
keep_address(Note *note, const DwfAddress *address)
{
	note->workflow_hash =
		dwf_address_workflow_hash(VARDATA_ANY(address->workflow_id),
								  VARSIZE_ANY_EXHDR(address->workflow_id));

	/* make the buffer at the first note, and do not let it grow for ever */
	if (note_texts == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		note_texts = makeStringInfo();
		MemoryContextSwitchTo(old);
	}
	if (note_texts->len > DWF_RING_BYTES)
		return;

	/* append workflow and key */
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

/* Is an arrival at this door news for listeners and suspended workflows? */
static inline bool
is_news(char door)
{
	return door != DWF_DOOR_QUEUE && door != DWF_DOOR_WORK &&
		door != DWF_DOOR_GATEWAY;
}

/* Is this a door at which the gateway watches for readers of streams? */
static inline bool
concerns_streams(char door)
{
	return door == DWF_DOOR_STREAM || door == DWF_DOOR_TURN ||
		door == DWF_DOOR_LIFE;
}

/* Push a note, or add to the topmost one if that is of the same kind */
static Note *
push_note(const DwfAddress *address, uint64 hash, uint32 count, bool is_take)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	Note	   *note = nnotes > 0 ? &notes[nnotes - 1] : NULL;

	if (note && note->hash == hash && note->subid == subid &&
		note->is_take == is_take)
	{
		note->count += count;
		return note;
	}

	/* fill the note before it counts: keep_address() may raise */
	reserve_note();
	note = &notes[nnotes];
	note->has_text = false;
	note->workflow_hash = 0;
	if (address->workflow_id && has_audience())
		keep_address(note, address);
	nnotes++;
	note->hash = hash;
	note->subid = subid;
	note->count = count;
	note->door = address->door;
	note->is_take = is_take;
	note->interrupts = note->wakes_all = false;
	note->due = DT_NOEND;
	return note;
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
 * Note that something is about to arrive at an address, with this hash: its
 * commit wakes so many waiters where an arrival serves one, else all.
 * DWF_WAKES_ALL makes it wake all in any case, DWF_INTERRUPTS also interrupts
 * the executor that runs the body of the address's workflow.
 */
void
dwf_wakeup_note_arrival(const DwfAddress *address, uint64 hash, uint32 count,
						int flags)
{
	Note	   *note = push_note(address, hash, count, false);

	if (flags & DWF_WAKES_ALL)
		note->wakes_all = true;
	if (flags & DWF_INTERRUPTS)
		note->interrupts = true;
}

/*
 * Note that work arrives at the address of a role's work or of a queue, which
 * is due at that time: its commit wakes one waiter if that has come, else all,
 * as each has to know when it will be
 */
void
dwf_wakeup_note_due(const DwfAddress *work, TimestampTz due)
{
	bool		is_due = due <= GetCurrentTransactionStartTimestamp();
	Note	   *note = push_note(work, dwf_address_hash(work),
								 is_due ? 1 : PG_UINT16_MAX, false);

	note->due = Min(note->due, due);
}

/*
 * Note a wake for what executes a workflow, at a change that the row trigger
 * does not note: one waiter if the workflow is due, else all, as each has to
 * know when it will be
 */
void
dwf_wakeup_note_work(text *workflow_id, bool is_due)
{
	DwfAddress	work = {.door = DWF_DOOR_WORK};
	DwfLife		life;
	DwfValue	input;
	text	   *body;
	text	   *queue = NULL;
	int			attempts;

	if (!dwf_store_life(workflow_id, &life))
		return;
	if (dwf_store_body(workflow_id, &body, &input, &attempts))
		work.key = cstring_to_text(psprintf("%u", life.owner));
	else if ((queue = dwf_store_queue(workflow_id)) != NULL)
	{
		work.door = DWF_DOOR_QUEUE;
		work.key = queue;
	}
	if (dwf_claim_has_news(workflow_id, queue) && is_due)
		return;					/* the end of this session's claim does it */
	if (work.key == NULL)
		return;
	/* since when it is due is not looked up */
	dwf_wakeup_note_due(&work, is_due ? DT_NOBEGIN : DT_NOEND);
}

/* Note a wake for work of a role's executors, or in a queue */
static void
note_work_at(char door, text *key)
{
	DwfAddress	work = {.door = door,.key = key};

	dwf_wakeup_note_arrival(&work, dwf_address_hash(&work), 1, 0);
}

/*
 * Workflows were resumed: note a wake for each, for an executor of its owner
 * or in its queue
 */
void
dwf_wakeup_note_resumed(const DwfResumed * resumed)
{
	Datum	   *queues;
	int			count = 0;
	ListCell   *cell;

	foreach(cell, resumed->owners)
	{
		note_work_at(DWF_DOOR_WORK,
					 cstring_to_text(psprintf("%u", lfirst_oid(cell))));
	}
	if (resumed->queues.count > 0)
		count = dwf_arrays_read_texts(resumed->queues.array, &queues, NULL);
	for (int i = 0; i < count; i++)
		note_work_at(DWF_DOOR_QUEUE, DatumGetTextPP(queues[i]));
}

/*
 * Note that this transaction is about to take from this queue.  To be called
 * before it locks an item there: otherwise an error in between could free the
 * item without a wake.  Returns a position for dwf_wakeup_settle_take().
 */
int
dwf_wakeup_note_take(const DwfAddress *address)
{
	Assert(dwf_door_is_queue(address->door));
	(void) push_note(address, dwf_address_hash(address), 1, true);
	return nnotes - 1;
}

/*
 * Note that this transaction is about to remove items from a queue, which is
 * no receive: its abort wakes all that wait there
 */
void
dwf_wakeup_note_removal(const DwfAddress *address)
{
	Note	   *note = push_note(address, dwf_address_hash(address), 1, true);

	note->wakes_all = true;
}

/*
 * The transaction has taken so many items, perhaps none: complete the note of
 * the take.  A note of nothing is dropped, unless triggers have pushed others
 * on top of it.
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
 * Note that this transaction is about to lock a stream: as a take, before the
 * lock.  The notes of one stream that is written again and again stay two.
 */
void
dwf_wakeup_note_turn(const DwfAddress *address)
{
	uint64		hash = dwf_address_hash(address);

	for (int i = nnotes - 1; i >= Max(nnotes - 2, 0); i--)
		if (notes[i].hash == hash &&
			notes[i].subid == GetCurrentSubTransactionId())
			return;
	(void) push_note(address, hash, 0, true);
}

/* Forget all notes.  The buffers stay, unless they have grown large. */
static void
forget_notes(void)
{
	nnotes = 0;
	if (note_texts)
	{
		/* free a large buffer; nothing here may allocate a new one */
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
	 * What we announce became visible before this; a waiter looks after it
	 * has registered.  With a full barrier on both sides, either the waiter
	 * sees what we announce, or we see the waiter (I1, I2 in the README).
	 */
	pg_memory_barrier();

	for (int i = bottom; i < nnotes; i++)
	{
		int			woken;

		if (notes[i].is_take != takes)
			continue;
		if (notes[i].door == DWF_DOOR_WORK)
			dwf_ahead_arrived(notes[i].hash, notes[i].due);
		woken = dwf_waiter_wake(notes[i].hash, notes[i].door,
								notes[i].wakes_all ? PG_UINT64_MAX :
								notes[i].count);
		if (concerns_streams(notes[i].door))
			dwf_watch_wake(notes[i].hash);
		if (notes[i].interrupts)
			dwf_claims_interrupt(notes[i].hash);
		else if (notes[i].door == DWF_DOOR_WORK && woken == 0 &&
				 dwf_preloaded() && !dwf_saturation_exists(notes[i].hash))
			dwf_workers_ask_run();
	}
}

/* So many notes are put into the ring before it is unlocked for a moment */
#define TOLD_AT_A_TIME	1024

/* May a session listen for what is noted? */
static inline bool
is_listened_for(const Note *note)
{
	return note->workflow_hash == 0 ? dwf_listener_any() :
		dwf_listener_wants(note->workflow_hash);
}

/*
 * Tell the worker of the notes of one kind, from "bottom" on, if a session may
 * listen for them or a suspended workflow wait for them.  Of a note without
 * texts, and of one that does not fit into the ring, it is told that news were
 * lost: then it reads the tables.
 */
static void
tell_worker(int bottom, bool takes)
{
	DwfNewsRing *ring = NULL;
	bool		is_full = false;

	if (!has_audience())
		return;
	for (int i = bottom; i < nnotes; i++)
	{
		const Note *note = &notes[i];
		bool		is_expected;

		/* let others have the ring in between */
		if (ring && i % TOLD_AT_A_TIME == 0)
		{
			dwf_news_close(ring);
			ring = NULL;
		}

		/* skip what no listener and no suspended workflow waits for */
		if (note->is_take != takes || !is_news(note->door))
			continue;
		is_expected = dwf_expected_has(note->hash);
		if ((!is_expected && !is_listened_for(note)) ||
			dwf_news_is_there(note->hash, is_expected))
			continue;
		if (ring == NULL && (ring = dwf_news_open()) == NULL)
			return;				/* a worker begins with a resync */

		/* put the news; from the first that does not fit, only say so */
		if (!is_full && note->has_text &&
			dwf_news_put(ring, note->hash, is_expected, note->door,
						 note_texts->data + note->text_start,
						 note->workflow_length, note->key_length))
			continue;
		is_full = true;
		dwf_news_lose(ring, note->hash, is_expected);
	}
	if (ring)
		dwf_news_close(ring);
}

/* Count what the committing transaction sent and received */
static void
count_notes(void)
{
	for (int i = 0; i < nnotes; i++)
		if (is_news(notes[i].door) &&
			!(notes[i].is_take && notes[i].wakes_all))
			dwf_counters_add(dwf_counters_subject(notes[i].door),
							 notes[i].is_take ? DWF_COUNT_RECEIVES
							 : DWF_COUNT_SENDS, notes[i].count);
}

/* Has this transaction notes, of arrivals or of takes? */
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

/*
 * At the end of a transaction: wake for its arrivals if it commits, for its
 * takes if it aborts.  Neither allocates nor raises.
 */
void
dwf_wakeup_end_xact(XactEvent event)
{
	if (nnotes == 0)
		return;

	/* arrivals count if it has committed, takes if it has aborted */
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
			forget_notes();		/* those that stash.c has not taken */
			break;
		default:
			break;
	}
}

/*
 * At the abort of a subtransaction: wake for its takes, and forget its
 * arrivals.  Neither allocates nor raises.
 */
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
