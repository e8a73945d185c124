/*-------------------------------------------------------------------------
 *
 * suspended.c
 *	  Let suspended workflows go on, and end those that have run out of time,
 *	  for the worker of their database.
 *
 *	by news		what has come to an address, through the ring of service.c
 *	by the clock	a wait's deadline has come, or a workflow's timeout
 *	by a pass	news were lost: all waits are gone through, by pages, and those
 *				for something of which news were lost are compared with the
 *				tables
 *
 * Each does a small piece at a time, in a transaction of its own, so that the
 * worker serves others in between.  When a piece fails, the workflows in it
 * are tried one by one; those at fault are set aside and tried again later.
 *
 * A pass that has begun is finished before the next one, so that everyone's
 * turn comes; what is lost meanwhile makes another one follow.  A pass covers
 * what was lost before it began: that was committed by then, so each page sees
 * it; and whoever writes his wait down where the pass has been already looks
 * himself afterwards.
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
#include "shared/listener.h"
#include "shared/shmem.h"
#include "store/catalog.h"
#include "store/store.h"

/* So many are served in one transaction */
#define BATCH			256

/* When what is due cannot be found, it is looked for again after this, in ms */
#define NOT_FOUND_GAP	500

/* So many that fail together are named in the log */
#define NAMED_MAX		8

/* News that were taken from the ring, and how far they have been heeded */
static StringInfoData news;
static int	heeded = 0;

/* What was lost: before the pass that goes on, and since it has begun */
static DwfLost passing;
static DwfLost next_lost;
static DwfWaitCursor cursor;

/* Workflows run here; if not, what comes meanwhile is lost */
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
static DwfAttempt listing = {.purpose = "look for workflows to serve"};
static DwfAttempt whole = {.purpose = "look at the clock",.is_silent = true};
static DwfAttempt looking = {.purpose = "look at the clock"};
static DwfAttempt alone = {
	.purpose = "serve a workflow",
	.hint = "Other workflows go on; this one is tried again, later each time.",
	.is_of_many = true
};

/* A piece of work: how its workflows are found, and what is done with them */
typedef struct Piece
{
	DwfAttempt *attempt;
	DwfIds		(*list) (struct Piece *piece);
	void		(*serve) (struct Piece *piece, Datum ids);
	int			end;			/* of the news: where it ends in them */
	DwfWaitCursor cursor;		/* of a pass: where it ends */
	int			count;			/* how many were found */
	uint64		resumed;
	List	   *left;			/* of text: nothing could be done about them */
} Piece;

/* ----- pieces ----- */

/* Keep ids beyond the transaction */
static void
keep_ids(List **list, DwfIds ids)
{
	Datum	   *values;
	int			count;

	if (ids.count == 0)
		return;
	count = dwf_arrays_read_texts(ids.array, &values, NULL);
	for (int i = 0; i < count; i++)
		dwf_aside_keep(list, DatumGetTextPP(values[i]));
}

/* Let these go on */
static void
resume(Piece *piece, Datum ids)
{
	DwfIds		left;

	piece->resumed += dwf_store_resume(ids, &left);
	keep_ids(&piece->left, left);
}

/* Do a piece */
static void
do_piece(void *argument)
{
	Piece	   *piece = argument;
	DwfIds		ids = piece->list(piece);

	piece->count = ids.count;
	if (ids.count > 0)
		piece->serve(piece, ids.array);
}

/* Only find what it is about, to be left in the list */
static void
list_piece(void *argument)
{
	Piece	   *piece = argument;

	keep_ids(&piece->left, piece->list(piece));
}

/* One workflow of a piece */
typedef struct One
{
	Piece	   *piece;
	text	   *id;
} One;

static void
serve_one(void *argument)
{
	One		   *one = argument;

	one->piece->serve(one->piece, dwf_arrays_of_one_text(one->id));
}

/*
 * Serve these one by one, and set those aside that fail; false if there are too
 * many of them.  Frees the list.
 */
static bool
serve_each(Piece *piece, List *ids)
{
	int			failures = 0;
	bool		all_well = true;
	ListCell   *cell;

	foreach(cell, ids)
	{
		One			one = {piece, lfirst(cell)};

		/* each is named, but not again and again */
		if (failures < NAMED_MAX && piece->attempt->failures <= 1)
			alone.said = 0;
		if (dwf_attempt(&alone, serve_one, &one, one.id))
			continue;
		failures++;
		all_well &= dwf_aside_add(one.id);
	}
	list_free_deep(ids);
	return all_well;
}

/*
 * Set those aside that nothing could be done about, as somebody holds their
 * waits; false if there are too many
 */
static bool
set_left_aside(Piece *piece)
{
	bool		all_well = true;
	ListCell   *cell;

	foreach(cell, piece->left)
	{
		all_well &= dwf_aside_add(lfirst(cell));
	}
	list_free_deep(piece->left);
	piece->left = NIL;
	return all_well;
}

/*
 * Do a piece, each workflow alone if need be; false if it is to be done again,
 * by when its attempt may be made again
 */
static bool
serve(Piece *piece)
{
	List	   *ids;

	if (!dwf_attempt(piece->attempt, do_piece, piece, NULL))
	{
		list_free_deep(piece->left);
		piece->left = NIL;
		if (!dwf_attempt(&listing, list_piece, piece, NULL))
			return false;
		ids = piece->left;
		piece->left = NIL;
		piece->count = list_length(ids);
		if (!serve_each(piece, ids))
			return false;
		piece->attempt->failures = 0;
	}
	if (set_left_aside(piece))
		return true;
	dwf_attempt_fail(piece->attempt);
	return false;
}

/* ----- by news ----- */

/* Are there news that are to be heeded yet? */
bool
dwf_suspended_has_news(void)
{
	return heeded < news.len;
}

/* News were lost, these or, with NULL, whichever: a pass has to follow */
static void
lose(const DwfLost *lost)
{
	if (lost)
		dwf_service_add_lost(&next_lost, lost);
	else
		next_lost.any = next_lost.all = true;
}

/* Take over news from the ring, and what was lost */
void
dwf_suspended_add(const char *more, uint32 length, const DwfLost *lost)
{
	Assert(!dwf_suspended_has_news());
	resetStringInfo(&news);
	heeded = 0;
	lose(lost);
	if (!runs)
		lose(NULL);
	else if (dwf_listener_expects())	/* else nobody was ever suspended */
		appendBinaryStringInfo(&news, more, length);
}

/* The workflows that the next news concern; those are forgotten that ended */
static DwfIds
list_by_news(Piece *piece)
{
	Datum		doors[BATCH];
	Datum		targets[BATCH];
	Datum		keys[BATCH];
	Datum		ended[BATCH];
	int			count = 0;
	int			nended = 0;

	piece->end = heeded;
	while (piece->end < news.len && count < BATCH)
	{
		DwfNews		one;

		piece->end += dwf_service_read_news(news.data + piece->end, &one);
		doors[count] = CharGetDatum(one.door);
		targets[count] =
			PointerGetDatum(cstring_to_text_with_len(one.workflow_id,
													 one.workflow_length));
		keys[count] = PointerGetDatum(cstring_to_text_with_len(one.key,
															   one.key_length));
		if (one.door == DWF_DOOR_LIFE)
			ended[nended++] = targets[count];
		count++;
	}
	if (nended > 0)
		dwf_store_forget_waits(dwf_arrays_of_text(ended, nended));
	return dwf_store_waiters(dwf_arrays_of_char(doors, count),
							 dwf_arrays_of_text(targets, count),
							 dwf_arrays_of_text(keys, count), dwf_aside_ids());
}

/*
 * Let those go on that the next news concern; returns whether any does.  News
 * that could not be heeded are lost, and a pass follows, later each time.
 */
bool
dwf_suspended_news(void)
{
	Piece		piece = {.attempt = &by_news,.list = list_by_news,
	.serve = resume};

	if (!runs || !dwf_attempt_may(&by_news) || !serve(&piece))
	{
		lose(NULL);
		heeded = news.len;
		by_pass.failures = Max(by_pass.failures, by_news.failures);
		by_pass.again_at = Max(by_pass.again_at, by_news.again_at);
	}
	else
		heeded = piece.end;
	return piece.resumed > 0;
}

/* ----- by the clock ----- */

static DwfIds
list_due(Piece *piece)
{
	(void) piece;
	return dwf_store_due_waiters(BATCH, dwf_aside_ids());
}

static DwfIds
list_overdue(Piece *piece)
{
	(void) piece;
	return dwf_store_overdue(BATCH, dwf_aside_ids());
}

static void
end_overdue(Piece *piece, Datum ids)
{
	(void) piece;
	dwf_store_end_overdue(ids);
}

/* What a workflow that was set aside may need; it may go on for nothing */
static void
serve_aside(Piece *piece, Datum ids)
{
	dwf_store_end_overdue(ids);
	resume(piece, ids);
}

/* The argument is whether this is a copy: do workflows run by themselves? */
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

static void
find_next(void *argument)
{
	Moments    *next = argument;
	Datum		without = dwf_aside_ids();

	next->end = dwf_store_next_timeout(without);
	next->wait = dwf_store_next_deadline(without);
}

/* Try those again that were set aside */
static void
try_aside(Piece *piece)
{
	(void) serve_each(piece, dwf_aside_take());
	(void) set_left_aside(piece);
	if (dwf_aside_at() != DT_NOEND)
		return;
	if (alone.said != 0)
		ereport(LOG,
				(errmsg("durable_wf worker has served all workflows that it could not serve before")));
	alone.failures = alone.said = 0;
}

/* When those set aside want the clock to be looked at; or DT_NOEND */
TimestampTz
dwf_suspended_aside(void)
{
	return runs ? dwf_aside_at() : DT_NOEND;
}

/* The next moment of one kind, given what there was to do and how that went */
static TimestampTz
next_moment(const Piece *piece, TimestampTz next)
{
	TimestampTz now = GetCurrentTimestamp();

	if (piece->attempt->failures > 0)
		return piece->attempt->again_at;
	if (piece->count == BATCH)
		return now;
	/* what is due and was not found: the worker does not know something yet */
	if (next <= now && piece->count == 0)
		return TimestampTzPlusMilliseconds(now, NOT_FOUND_GAP);
	return next;
}

/* What there is to do by the clock */
typedef struct ByClock
{
	bool		is_copy;
	Piece		late;
	Piece		due;
	Moments		next;
} ByClock;

/* Do it all in one transaction */
static void
do_all(void *argument)
{
	ByClock    *todo = argument;

	find_out(&todo->is_copy);
	if (!runs)
		return;
	do_piece(&todo->late);
	do_piece(&todo->due);
	find_next(&todo->next);
}

/* Do it each for itself, after something has failed; false if nothing can be */
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
		(void) serve(&todo->late);
	if (dwf_attempt_may(&by_clock))
		(void) serve(&todo->due);
	return dwf_attempt(&looking, find_next, &todo->next, NULL);
}

/*
 * Do what is due by the clock; returns whether a workflow goes on.  *next is
 * when to come again.
 */
bool
dwf_suspended_by_clock(bool is_copy, TimestampTz *next)
{
	ByClock		todo = {.is_copy = is_copy,
		.late = {.attempt = &by_end,.list = list_overdue,.serve = end_overdue},
		.due = {.attempt = &by_clock,.list = list_due,.serve = resume},
	.next = {DT_NOEND, DT_NOEND}};
	Piece		again = {.attempt = &alone,.serve = serve_aside};
	bool		did_run = runs;
	bool		is_well = by_end.failures == 0 && by_clock.failures == 0;

	*next = DT_NOEND;
	if (dwf_suspended_aside() <= GetCurrentTimestamp())
		try_aside(&again);
	if (is_well && dwf_attempt(&whole, do_all, &todo, NULL))
	{
		if (!set_left_aside(&todo.due))
			dwf_attempt_fail(&by_clock);
	}
	else if (!do_each(&todo))
		*next = looking.again_at;
	if (!runs)
		return false;
	if (!did_run)
		lose(NULL);				/* some may have been restored, too */
	if (*next == DT_NOEND)
		*next = Min(next_moment(&todo.late, todo.next.end),
					next_moment(&todo.due, todo.next.wait));
	return todo.due.resumed + again.resumed > 0;
}

/* ----- by a pass ----- */

/* The next page: those in it that are concerned, and whose wait is over */
static DwfIds
list_page(Piece *piece)
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

/* When that will be, after a failure; or DT_NOEND */
TimestampTz
dwf_suspended_next(void)
{
	return runs && (passing.any || next_lost.any) ? by_pass.again_at : DT_NOEND;
}

/* Go on with a pass by a page, or begin one; does a workflow go on? */
bool
dwf_suspended_lost(void)
{
	Piece		piece = {.attempt = &by_pass,.list = list_page,
	.serve = resume};

	if (!passing.any)
	{
		passing = next_lost;
		memset(&next_lost, 0, sizeof(DwfLost));
		if (dwf_listener_expects())
			dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
	}
	if (serve(&piece))
	{
		cursor = piece.cursor;
		if (cursor.length == 0)
			memset(&passing, 0, sizeof(DwfLost));
	}
	return piece.resumed > 0;
}

/* Initialise; allocates for the life of the process */
void
dwf_suspended_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&news);
	MemoryContextSwitchTo(old);
}
