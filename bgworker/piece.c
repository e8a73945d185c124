/*-------------------------------------------------------------------------
 *
 * piece.c
 *	  One piece of the worker's work, for several workflows.
 *
 * A piece finds its workflows and serves them in one transaction.  If that
 * fails they are tried one by one, and those that fail alone are set aside
 * (aside.c).  Its size follows from how long the last ones took: everything
 * else that the worker does has to wait for that time.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/piece.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "bgworker/aside.h"
#include "cluster/far_wait.h"
#include "session/wakeup.h"

/* So many workflows are served in one transaction, at least */
#define BATCH_MIN		32

/* What a piece may take, in ms, before the next ones become smaller */
#define LONG_PIECE		5.0

/* So many workflows that fail in one piece are named in the log */
#define NAMED_MAX		8

/* So many workflows are served in the next piece */
static int	batch = DWF_PIECE_MAX;

static DwfAttempt listing = {.purpose = "look for workflows to serve"};
static DwfAttempt alone = {
	.purpose = "serve a workflow",
	.hint = "Other workflows go on; this one is tried again, later each time.",
	.is_of_many = true
};

/* For how many workflows the next piece may look */
int
dwf_piece_batch(void)
{
	return batch;
}

/* Append ids to a list that outlives the transaction */
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

/* Let these workflows go on; those whose waits are locked are left */
void
dwf_piece_resume(DwfPiece *piece, Datum ids)
{
	DwfResumed	resumed = dwf_store_resume(dwf_far_wait_wake(ids));

	piece->resumed += resumed.count;
	keep_ids(&piece->left, resumed.left);
	dwf_wakeup_note_resumed(&resumed);
}

/* Find the workflows of a piece and serve them, in the present transaction */
void
dwf_piece_do(DwfPiece *piece)
{
	DwfIds		ids = piece->list(piece);

	piece->count = ids.count;
	if (ids.count > 0)
		piece->serve(piece, ids.array);
}

/* A piece of work: all of it */
static void
do_piece(void *argument)
{
	dwf_piece_do(argument);
}

/* A piece of work: only find its workflows, into the list "left" */
static void
list_piece(void *argument)
{
	DwfPiece   *piece = argument;

	keep_ids(&piece->left, piece->list(piece));
}

/* One workflow of a piece */
typedef struct One
{
	DwfPiece   *piece;
	text	   *id;
} One;

/* A piece of work: serve one workflow */
static void
serve_one(void *argument)
{
	One		   *one = argument;

	one->piece->serve(one->piece, dwf_arrays_of_one_text(one->id));
}

/*
 * Serve these workflows one by one, and set those aside that fail; returns
 * false if too many are set aside.  Frees the list.
 */
static bool
serve_each(DwfPiece *piece, List *ids)
{
	int			failures = 0;
	bool		all_well = true;
	ListCell   *cell;

	foreach(cell, ids)
	{
		One			one = {piece, lfirst(cell)};

		/* the log names each, but not at each repetition */
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
 * Set those workflows aside whose waits are locked by another session; returns
 * false if too many are set aside
 */
bool
dwf_piece_set_left_aside(DwfPiece *piece)
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

/* A piece that began then is done: let the next one be smaller, or larger */
void
dwf_piece_adapt(instr_time begin)
{
	instr_time	passed;

	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, begin);
	if (INSTR_TIME_GET_MILLISEC(passed) > LONG_PIECE)
		batch = Max(batch / 2, BATCH_MIN);
	else if (INSTR_TIME_GET_MILLISEC(passed) < LONG_PIECE / 4)
		batch = Min(batch * 2, DWF_PIECE_MAX);
}

/*
 * Do a piece; if it fails, serve its workflows one by one.  Returns false if
 * that was not possible: then it is to be done again, when its attempt may be
 * made.
 */
bool
dwf_piece_serve(DwfPiece *piece)
{
	List	   *ids;
	instr_time	begin;

	INSTR_TIME_SET_CURRENT(begin);
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
	dwf_piece_adapt(begin);
	if (dwf_piece_set_left_aside(piece))
		return true;
	dwf_attempt_fail(piece->attempt);
	return false;
}

/* Try those workflows that were set aside, each alone */
void
dwf_piece_try_aside(DwfPiece *piece)
{
	piece->attempt = &alone;
	(void) serve_each(piece, dwf_aside_take());
	(void) dwf_piece_set_left_aside(piece);
	if (dwf_aside_at() != DT_NOEND)
		return;
	if (alone.said != 0)
		ereport(LOG,
				(errmsg("durable_wf worker has served all workflows that it could not serve before")));
	alone.failures = alone.said = 0;
}
