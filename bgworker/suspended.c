/*-------------------------------------------------------------------------
 *
 * suspended.c
 *	  Let suspended workflows go on, and end those that have run out of time,
 *	  for the worker of their database.
 *
 *	by news		something has come to an address, as the worker's ring says
 *	by the clock	a wait's deadline has come, or a workflow's timeout
 *	by a pass	news were lost: all waits are read, by pages, and those for
 *				something of which news were lost are compared with the tables
 *
 * Each does a small piece at a time, in a transaction of its own, so that the
 * worker does other work in between.  When a piece fails, its workflows are
 * tried one by one; those that fail alone are set aside (aside.c) and tried
 * later.
 *
 * A pass that has begun is finished before the next one begins, so that each
 * workflow has its turn; news lost meanwhile make another pass follow.  A pass
 * covers the news that were lost before it began: their commits precede it, so
 * the snapshot of each page sees them.  A session that writes its wait into a
 * page that was read already reads the tables itself afterwards.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/suspended.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/settings.h"
#include "bgworker/aside.h"
#include "bgworker/attempt.h"
#include "bgworker/piece.h"
#include "shared/counters.h"
#include "shared/listener.h"
#include "store/catalog.h"
#include "store/probe.h"
#include "store/store.h"

/* So many workflows are served in one transaction */
#define BATCH			256

/* When to look again for what is due and was not found, in ms */
#define NOT_FOUND_GAP	500

/* News that were taken from the ring, and up to where they were handled */
static StringInfoData news;
static int	handled = 0;

/* News lost before the running pass began, and since; where the pass is */
static DwfLost passing;
static DwfLost next_lost;
static DwfWaitCursor cursor;

/* Do workflows run here?  If not, news that come meanwhile are lost. */
static bool runs = false;

static DwfAttempt by_news = {
	.purpose = "let workflows go on that have got something",
	.is_silent = true
};
static DwfAttempt by_clock = {
	.purpose = "let workflows go on that are due",
	.is_silent = true
};
static DwfAttempt by_end = {
	.purpose = "end workflows that have run out of time",
	.is_silent = true
};
static DwfAttempt by_pass = {
	.purpose = "look which workflows may go on",
	.is_silent = true
};
static DwfAttempt whole = {.purpose = "look at the clock",.is_silent = true};
static DwfAttempt looking = {.purpose = "look at the clock"};

/* ----- by news ----- */

/* Are there news that were taken from the ring and not handled yet? */
bool
dwf_suspended_has_news(void)
{
	return handled < news.len;
}

/* News were lost, these or, with NULL, any: a pass has to follow */
static void
lose(const DwfLost *lost)
{
	if (lost)
		dwf_news_add_lost(&next_lost, lost);
	else
		next_lost.any = next_lost.all = true;
}

/*
 * Take those of the news in the ring that are expected, and of which workflows
 * news were lost
 */
void
dwf_suspended_add(const char *ring, uint32 length, const DwfLost *lost)
{
	Assert(!dwf_suspended_has_news());
	resetStringInfo(&news);
	handled = 0;
	lose(lost);
	if (!dwf_listener_expects())
		return;					/* none was ever suspended */
	for (uint32 at = 0; at < length;)
	{
		DwfNews		one;
		uint32		size = dwf_news_read(ring + at, &one);

		if (one.is_expected && !runs)
			lose(NULL);
		else if (one.is_expected)
			appendBinaryStringInfo(&news, ring + at, size);
		at += size;
	}
}

/* Is a workflow suspended, or has it left waits? */
static bool
has_waits(text *workflow_id)
{
	return dwf_probe_has_row("wait", "wait_pkey", DWF_WAIT_WORKFLOW_ID,
							 workflow_id);
}

/*
 * The workflows that wait for what the next news tell of, BATCH news for which
 * one does.  Removes the waits of workflows that have ended.  Each news costs
 * a look at an index; most ends are awaited by nobody.
 */
static DwfIds
list_by_news(DwfPiece *piece)
{
	Datum		doors[BATCH];
	Datum		targets[BATCH];
	Datum		keys[BATCH];
	Datum		ended[BATCH];
	int			count = 0;
	int			nended = 0;
	DwfIds		none = {0, (Datum) 0};

	piece->end = handled;
	while (piece->end < news.len && count < BATCH && nended < BATCH)
	{
		DwfNews		one;
		text	   *target;
		text	   *key;

		piece->end += dwf_news_read(news.data + piece->end, &one);
		target = cstring_to_text_with_len(one.workflow_id,
										  one.workflow_length);
		key = cstring_to_text_with_len(one.key, one.key_length);
		if (one.door == DWF_DOOR_LIFE && has_waits(target))
			ended[nended++] = PointerGetDatum(target);
		if (!dwf_probe_is_awaited(one.door, target, key))
			continue;
		doors[count] = CharGetDatum(one.door);
		targets[count] = PointerGetDatum(target);
		keys[count++] = PointerGetDatum(key);
	}

	/* ask for the workflows */
	if (nended > 0)
		dwf_store_forget_waits(dwf_arrays_of_text(ended, nended));
	if (count == 0)
		return none;
	return dwf_store_waiters(dwf_arrays_of_char(doors, count),
							 dwf_arrays_of_text(targets, count),
							 dwf_arrays_of_text(keys, count), dwf_aside_ids());
}

/*
 * Let those workflows go on that wait for what the next news tell of; returns
 * whether any does.  If that fails, the news are lost and a pass follows,
 * later each time.
 */
bool
dwf_suspended_news(void)
{
	DwfPiece	piece = {.attempt = &by_news,.list = list_by_news,
	.serve = dwf_piece_resume};

	if (!runs || !dwf_attempt_may(&by_news) || !dwf_piece_serve(&piece))
	{
		lose(NULL);
		handled = news.len;
		by_pass.failures = Max(by_pass.failures, by_news.failures);
		by_pass.again_at = Max(by_pass.again_at, by_news.again_at);
	}
	else
		handled = piece.end;
	return piece.resumed > 0;
}

/* ----- by the clock ----- */

/* The workflows whose wait has reached its deadline */
static DwfIds
list_due(DwfPiece *piece)
{
	(void) piece;
	return dwf_store_due_waiters(BATCH, dwf_aside_ids());
}

/* The workflows that have run out of time */
static DwfIds
list_overdue(DwfPiece *piece)
{
	(void) piece;
	return dwf_store_overdue(BATCH, dwf_aside_ids());
}

/* Cancel those of these workflows that have run out of time */
static void
end_overdue(DwfPiece *piece, Datum ids)
{
	(void) piece;
	dwf_store_end_overdue(ids);
}

/* Do what a workflow set aside may need; it may go on without a reason */
static void
serve_aside(DwfPiece *piece, Datum ids)
{
	dwf_store_end_overdue(ids);
	dwf_piece_resume(piece, ids);
}

/* A piece of work: do workflows run here?  The argument: is this a copy? */
static void
find_out(void *argument)
{
	bool		is_copy = *(bool *) argument;

	runs = !is_copy && !dwf_setting_paused &&
		OidIsValid(dwf_catalog_find_relation("wait"));
}

/* When workflows run out of time next, and when a wait's deadline comes */
typedef struct Moments
{
	TimestampTz end;
	TimestampTz wait;
} Moments;

/* A piece of work: find both moments, into the argument */
static void
find_next(void *argument)
{
	Moments    *next = argument;
	Datum		without = dwf_aside_ids();

	next->end = dwf_store_next_timeout(without);
	next->wait = dwf_store_next_deadline(without);
}

/* Try those workflows that were set aside, each alone */
static void
try_aside(DwfPiece *piece)
{
	(void) dwf_piece_serve_each(piece, dwf_aside_take());
	(void) dwf_piece_set_left_aside(piece);
	if (dwf_aside_at() == DT_NOEND)
		dwf_piece_all_served();
}

/* When the workflows set aside are to be tried; or DT_NOEND */
TimestampTz
dwf_suspended_aside(void)
{
	return runs ? dwf_aside_at() : DT_NOEND;
}

/*
 * When to come again for a kind of work: after a failure when it may be tried;
 * at once if there may be more; else at "next", which the tables have said
 */
static TimestampTz
next_moment(const DwfPiece *piece, TimestampTz next)
{
	TimestampTz now = GetCurrentTimestamp();

	if (piece->attempt->failures > 0)
		return piece->attempt->again_at;
	if (piece->count == BATCH)
		return now;
	/* due, but this is a copy, and the worker does not know it yet */
	if (next <= now && piece->count == 0)
		return TimestampTzPlusMilliseconds(now, NOT_FOUND_GAP);
	return next;
}

/* All work by the clock */
typedef struct ByClock
{
	bool		is_copy;
	DwfPiece	late;
	DwfPiece	due;
	Moments		next;
} ByClock;

/* A piece of work: all of it in one transaction */
static void
do_all(void *argument)
{
	ByClock    *todo = argument;

	find_out(&todo->is_copy);
	if (!runs)
		return;
	dwf_piece_do(&todo->late);
	dwf_piece_do(&todo->due);
	find_next(&todo->next);
}

/*
 * Do each kind in transactions of its own, after a failure; returns false if
 * it cannot be known when to come again
 */
static bool
do_each(ByClock *todo)
{
	list_free_deep(todo->due.left);
	todo->due.left = NIL;
	if (!dwf_attempt(&looking, find_out, &todo->is_copy, NULL))
		return false;
	if (!runs)
		return true;
	if (dwf_attempt_may(&by_end))
		(void) dwf_piece_serve(&todo->late);
	if (dwf_attempt_may(&by_clock))
		(void) dwf_piece_serve(&todo->due);
	return dwf_attempt(&looking, find_next, &todo->next, NULL);
}

/*
 * Do what is due by the clock; returns whether a workflow goes on.  "next"
 * takes when to come again.
 */
bool
dwf_suspended_by_clock(bool is_copy, TimestampTz *next)
{
	ByClock		todo = {.is_copy = is_copy,
		.late = {.attempt = &by_end,.list = list_overdue,.serve = end_overdue},
		.due = {.attempt = &by_clock,.list = list_due,
		.serve = dwf_piece_resume},
	.next = {DT_NOEND, DT_NOEND}};
	DwfPiece	again = {.attempt = &dwf_piece_alone,.serve = serve_aside};
	bool		did_run = runs;
	bool		is_well = by_end.failures == 0 && by_clock.failures == 0;

	/* those set aside, then all that is due */
	*next = DT_NOEND;
	if (dwf_suspended_aside() <= GetCurrentTimestamp())
		try_aside(&again);
	if (is_well && dwf_attempt(&whole, do_all, &todo, NULL))
	{
		if (!dwf_piece_set_left_aside(&todo.due))
			dwf_attempt_fail(&by_clock);
	}
	else if (!do_each(&todo))
		*next = looking.again_at;

	/* workflows that have begun to run here may have missed any news */
	if (!runs)
		return false;
	if (!did_run)
		lose(NULL);
	if (*next == DT_NOEND)
		*next = Min(next_moment(&todo.late, todo.next.end),
					next_moment(&todo.due, todo.next.wait));
	return todo.due.resumed + again.resumed > 0;
}

/* ----- by a pass ----- */

/*
 * Of the next page: the workflows that lost news concern and whose wait is
 * over
 */
static DwfIds
list_page(DwfPiece *piece)
{
	DwfIds		ids;

	piece->cursor = cursor;
	(void) dwf_store_wait_page(&piece->cursor, &passing, BATCH, &ids);
	return ids.count == 0 ? ids :
		dwf_store_over_waiters(ids.array, dwf_aside_ids());
}

/* Is there a pass to go on with, or to begin? */
bool
dwf_suspended_is_due(void)
{
	return runs && (passing.any || next_lost.any) &&
		dwf_attempt_may(&by_pass);
}

/* When dwf_suspended_is_due() will be true; DT_NOEND: no pass is to be made */
TimestampTz
dwf_suspended_next(void)
{
	if (runs && (passing.any || next_lost.any))
		return by_pass.again_at;
	return DT_NOEND;
}

/* Do a page of a pass, or begin one; returns whether a workflow goes on */
bool
dwf_suspended_lost(void)
{
	DwfPiece	piece = {.attempt = &by_pass,.list = list_page,
	.serve = dwf_piece_resume};

	/* begin: this pass covers what was lost until now */
	if (!passing.any)
	{
		passing = next_lost;
		memset(&next_lost, 0, sizeof(DwfLost));
		if (dwf_listener_expects())
			dwf_counters_add(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
	}

	/* go on where the page has ended; past the last one the pass is over */
	if (dwf_piece_serve(&piece))
	{
		cursor = piece.cursor;
		if (cursor.length == 0)
			memset(&passing, 0, sizeof(DwfLost));
	}
	return piece.resumed > 0;
}

/* Initialise; what it allocates lives as long as the process */
void
dwf_suspended_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&news);
	MemoryContextSwitchTo(old);
}
