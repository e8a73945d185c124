/*-------------------------------------------------------------------------
 *
 * piece.c
 *	  A piece of work for several workflows, for suspended.c.
 *
 * It is done in a transaction of its own.  When it fails, its workflows are
 * tried one by one; those that fail alone are set aside (aside.c), and tried
 * later.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/piece.h"

#include "utils/builtins.h"

#include "base/arrays.h"
#include "bgworker/aside.h"

/* So many workflows that fail in one piece are named in the log */
#define NAMED_MAX		8

/* Workflows were found that could not go on */
static bool has_left = false;

static DwfAttempt listing = {.purpose = "look for workflows to serve"};

/* Workflows that are served alone */
DwfAttempt	dwf_piece_alone = {
	.purpose = "serve a workflow",
	.hint = "Other workflows go on; this one is tried again, later each time.",
	.is_of_many = true
};

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
	DwfIds		left;

	piece->resumed += dwf_store_resume(ids, &left);
	keep_ids(&piece->left, left);
}

/* Find the workflows of a piece and serve them; inside a transaction */
void
dwf_piece_do(void *argument)
{
	DwfPiece   *piece = argument;
	DwfIds		ids = piece->list(piece);

	piece->count = ids.count;
	if (ids.count > 0)
		piece->serve(piece, ids.array);
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
bool
dwf_piece_serve_each(DwfPiece *piece, List *ids)
{
	int			failures = 0;
	bool		all_well = true;
	ListCell   *cell;

	foreach(cell, ids)
	{
		One			one = {piece, lfirst(cell)};

		/* the log names each, but not at each repetition */
		if (failures < NAMED_MAX && piece->attempt->failures <= 1)
			dwf_piece_alone.said = 0;
		if (dwf_attempt(&dwf_piece_alone, serve_one, &one, one.id))
			continue;
		failures++;
		all_well &= dwf_aside_add(one.id);
	}
	list_free_deep(ids);
	return all_well;
}

/* Set those aside whose waits are locked; false if too many are set aside */
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

/*
 * Do a piece; if it fails, serve its workflows one by one.  Returns false if
 * that was not possible: then it is to be done again, when its attempt may be
 * made.
 */
bool
dwf_piece_serve(DwfPiece *piece)
{
	List	   *ids;

	if (!dwf_attempt(piece->attempt, dwf_piece_do, piece, NULL))
	{
		list_free_deep(piece->left);
		piece->left = NIL;
		if (!dwf_attempt(&listing, list_piece, piece, NULL))
			return false;
		ids = piece->left;
		piece->left = NIL;
		piece->count = list_length(ids);
		if (!dwf_piece_serve_each(piece, ids))
			return false;
		piece->attempt->failures = 0;
	}
	has_left |= piece->serve == dwf_piece_resume &&
		(uint64) piece->count > piece->resumed;
	if (dwf_piece_set_left_aside(piece))
		return true;
	dwf_attempt_fail(piece->attempt);
	return false;
}

/* Must the clock come back to workflows, it is not known when?  True once. */
bool
dwf_piece_has_left(void)
{
	bool		result = has_left;

	has_left = false;
	return result;
}

/* No workflow is set aside any more: say so, if the log has named some */
void
dwf_piece_all_served(void)
{
	if (dwf_piece_alone.said != 0)
		ereport(LOG,
				(errmsg("durable_wf worker has served all workflows that it could not serve before")));
	dwf_piece_alone.failures = dwf_piece_alone.said = 0;
}
