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

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/settings.h"
#include "bgworker/aside.h"
#include "bgworker/attempt.h"
#include "bgworker/inbox.h"
#include "bgworker/piece.h"
#include "shared/counters.h"
#include "shared/expected.h"
#include "store/catalog.h"
#include "store/store.h"

/* So many workflows are listed by news at a time; a pass finds more */
#define LISTED_MAX		16384

/* When to look again for what is due and was not found, in ms */
#define NOT_FOUND_GAP	500

/* Workflows that were listed by news, but not served yet; of text */
static List *listed = NIL;

/* News lost before the running pass began, and since; where the pass is */
static DwfLost passing;
static DwfLost next_lost;
static DwfWaitCursor cursor;

/* Workflows were found that could not go on */
static bool has_left = false;

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
 * Take news that were in the ring, and of which addresses some were lost.  Of
 * the news those are kept for which a suspended workflow may wait; a workflow
 * that is suspended after this looks after that itself.
 */
void
dwf_suspended_add(const char *more, uint32 length, const DwfLost *lost)
{
	lose(lost);
	if (!runs)
		lose(NULL);
	else
		dwf_inbox_add(more, length, &next_lost);
}

/* Cut ids to so many; the others are listed, for later pieces */
static void
keep_rest(DwfIds *ids, int limit)
{
	Datum	   *found;

	if (ids->count <= limit)
		return;
	(void) dwf_arrays_read_texts(ids->array, &found, NULL);
	for (int i = limit; i < ids->count; i++)
		dwf_aside_keep(&listed, DatumGetTextPP(found[i]));
	ids->count = limit;
	ids->array = dwf_arrays_of_text(found, limit);
}

/*
 * The workflows that wait for what the next news tell of, of which the piece
 * serves the first ones and later pieces the others.  Removes the waits of
 * workflows that have ended.
 */
static DwfIds
list_by_news(DwfPiece *piece)
{
	DwfAddress	addresses[DWF_PIECE_MAX];
	Datum		ended[DWF_PIECE_MAX];
	uint64		hashes[DWF_PIECE_MAX];
	DwfNews		one;
	DwfIds		ids;
	int			count = 0;
	int			nended = 0;
	bool		is_all;

	/* read some news */
	dwf_inbox_begin(&piece->slice);
	while (count < piece->limit && dwf_inbox_read(&piece->slice, &one))
	{
		DwfAddress *address = &addresses[count];

		address->door = one.door;
		address->workflow_id = cstring_to_text_with_len(one.workflow_id,
														one.workflow_length);
		address->key = cstring_to_text_with_len(one.key, one.key_length);
		if (one.door == DWF_DOOR_LIFE)
			ended[nended++] = PointerGetDatum(address->workflow_id);
		hashes[count++] = dwf_news_hash(&one);
	}

	/* ask for the workflows; a pass finds those that are too many */
	if (nended > 0)
		dwf_store_forget_waits(dwf_arrays_of_text(ended, nended));
	ids = dwf_store_waiters(addresses, count, dwf_aside_ids(), piece->limit,
							list_length(listed) < LISTED_MAX ? LISTED_MAX :
							piece->limit, &is_all);
	for (int i = 0; !is_all && i < count; i++)
		dwf_news_add_one_lost(&next_lost, hashes[i]);
	keep_rest(&ids, piece->limit);
	return ids;
}

/* The next workflows that were listed before */
static DwfIds
list_listed(DwfPiece *piece)
{
	Datum	   *found = palloc(piece->limit * sizeof(Datum));
	DwfIds		ids;

	ids.count = Min(list_length(listed), piece->limit);
	for (int i = 0; i < ids.count; i++)
		found[i] = PointerGetDatum(list_nth(listed, i));
	ids.array = dwf_arrays_of_text(found, ids.count);
	return ids;
}

/* Forget the first so many workflows that were listed before */
static void
forget_listed(int count)
{
	for (int i = 0; i < count; i++)
		pfree(list_nth(listed, i));
	listed = list_delete_first_n(listed, count);
}

/* Do a piece that lets workflows go on, and note whether all it found could */
static bool
serve(DwfPiece *piece)
{
	bool		done = dwf_piece_serve(piece);

	has_left |= (uint64) piece->count > piece->resumed;
	return done;
}

/*
 * Do a piece of the work by news.  If that fails, the news are lost and a pass
 * follows, later each time.
 */
static bool
serve_by_news(DwfPiece *piece)
{
	piece->attempt = &by_news;
	piece->serve = dwf_piece_resume;
	piece->limit = dwf_piece_batch();
	if (runs && dwf_attempt_may(&by_news) && serve(piece))
		return true;
	lose(NULL);
	by_pass.failures = Max(by_pass.failures, by_news.failures);
	by_pass.again_at = Max(by_pass.again_at, by_news.again_at);
	return false;
}

/* Let those go on that wait for what the next news of a queue tell of */
static void
serve_queue(bool is_bulk)
{
	DwfPiece	piece = {.list = list_by_news,.slice.is_bulk = is_bulk};

	if (serve_by_news(&piece))
		dwf_inbox_forget(&piece.slice);
	else
		dwf_inbox_empty(is_bulk);
}

/* Let those workflows go on that come next in the list */
static void
serve_listed(void)
{
	DwfPiece	piece = {.list = list_listed};

	forget_listed(serve_by_news(&piece) ? piece.count : list_length(listed));
}

/* Must the clock come back to workflows, it is not known when?  True once. */
bool
dwf_suspended_has_left(void)
{
	bool		result = has_left;

	has_left = false;
	return result;
}

/* Are there news that were taken from the ring and not served yet? */
bool
dwf_suspended_has_news(void)
{
	return dwf_inbox_has(false) || dwf_inbox_has(true) || listed != NIL;
}

/*
 * Serve a slice of the news of commits with few; and a slice of the others, or
 * of the workflows that were too many for a slice
 */
void
dwf_suspended_news(void)
{
	if (dwf_inbox_has(false))
		serve_queue(false);
	if (listed != NIL)
		serve_listed();
	else if (dwf_inbox_has(true))
		serve_queue(true);
}

/* ----- by the clock ----- */

/* The workflows whose wait has reached its deadline */
static DwfIds
list_due(DwfPiece *piece)
{
	return dwf_store_due_waiters(piece->limit, dwf_aside_ids());
}

/* The workflows that have run out of time */
static DwfIds
list_overdue(DwfPiece *piece)
{
	return dwf_store_overdue(piece->limit, dwf_aside_ids());
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
	if (piece->count == piece->limit)
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

/* Do what is due by the clock; returns when to come again */
TimestampTz
dwf_suspended_by_clock(bool is_copy)
{
	TimestampTz next = DT_NOEND;

	ByClock		todo = {.is_copy = is_copy,
		.late = {.attempt = &by_end,.list = list_overdue,
		.serve = end_overdue,.limit = dwf_piece_batch()},
		.due = {.attempt = &by_clock,.list = list_due,
		.serve = dwf_piece_resume,.limit = dwf_piece_batch()},
	.next = {DT_NOEND, DT_NOEND}};
	DwfPiece	again = {.serve = serve_aside};
	instr_time	begin;
	bool		did_run = runs;
	bool		is_well = by_end.failures == 0 && by_clock.failures == 0;

	/* those set aside, then all that is due */
	if (dwf_suspended_aside() <= GetCurrentTimestamp())
		dwf_piece_try_aside(&again);
	INSTR_TIME_SET_CURRENT(begin);
	if (is_well && dwf_attempt(&whole, do_all, &todo, NULL))
	{
		dwf_piece_adapt(begin);
		if (!dwf_piece_set_left_aside(&todo.due))
			dwf_attempt_fail(&by_clock);
	}
	else if (!do_each(&todo))
		next = looking.again_at;

	/* workflows that have begun to run here may have missed any news */
	if (!runs)
		return next;
	if (!did_run)
		lose(NULL);
	if (next == DT_NOEND)
		next = Min(next_moment(&todo.late, todo.next.end),
				   next_moment(&todo.due, todo.next.wait));
	return next;
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
	(void) dwf_store_wait_page(&piece->cursor, &passing, piece->limit, &ids);
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

/* Do a page of a pass, or begin one */
void
dwf_suspended_lost(void)
{
	DwfPiece	piece = {.attempt = &by_pass,.list = list_page,
	.serve = dwf_piece_resume,.limit = dwf_piece_batch()};

	/* begin: this pass covers what was lost until now */
	if (!passing.any)
	{
		passing = next_lost;
		memset(&next_lost, 0, sizeof(DwfLost));
		if (dwf_expected_any())
			dwf_counters_add(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
	}

	/* go on where the page has ended; past the last one the pass is over */
	if (serve(&piece))
	{
		cursor = piece.cursor;
		if (cursor.length == 0)
			memset(&passing, 0, sizeof(DwfLost));
	}
}
