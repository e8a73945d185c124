/*-------------------------------------------------------------------------
 *
 * journal_look.c
 *	  Look ahead in the journal: for patches, and for work of the client.
 *
 * Most calls take the next number and see what is recorded there.  Two kinds
 * of functions have to know that before they take a number:
 *
 *	wf_patched		takes a number only in a run of the new code, and answers
 *					the same each time that the run asks
 *	wf_get_step		takes a number only if wf_save_step has recorded one there;
 *					else the client does the work, and calls wf_save_step
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal_look.h"

#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/texts.h"
#include "session/journal.h"
#include "session/journal_place.h"
#include "shared/claim.h"

/* An answer of wf_patched */
typedef struct Patch
{
	text	   *change;
	bool		value;
} Patch;

/* What this run was answered; all lists of this file are in look_context */
static List *patches = NIL;
static MemoryContext look_context = NULL;

/*
 * Of the work that the latest calls of wf_get_step or wf_begin_step, one after
 * the other, have found recorded, the names of what a client may save again;
 * and the last of the numbers
 */
static List *done_names = NIL;
static int	done_to = 0;

/* This session begins to execute a workflow: nothing was asked yet */
void
dwf_journal_look_begin(void)
{
	if (look_context == NULL)
		look_context = AllocSetContextCreate(TopMemoryContext,
											 "durable_wf looks",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(look_context);
	patches = done_names = NIL;
	done_to = 0;
}

/* ----- patches ----- */

/* What this run was answered when it asked for a change; false if nothing */
bool
dwf_journal_patch(text *change, bool *value)
{
	ListCell   *cell;

	foreach(cell, patches)
	{
		Patch	   *patch = lfirst(cell);

		*value = patch->value;
		if (dwf_texts_equal(patch->change, change))
			return true;
	}
	return false;
}

/* Keep the answer for this run */
void
dwf_journal_keep_patch(text *change, bool value)
{
	MemoryContext old = MemoryContextSwitchTo(look_context);
	Patch	   *patch = palloc(sizeof(Patch));

	patch->change = dwf_texts_copy(change);
	patch->value = value;
	patches = lappend(patches, patch);
	MemoryContextSwitchTo(old);
}

/* Will the next call be the first to have its number? */
bool
dwf_journal_is_fresh(void)
{
	return !dwf_journal_is_recorded(dwf_journal_step() + 1);
}

/*
 * Is the next call recorded as this one?  Raises WF004 if the replay has
 * diverged before.
 */
bool
dwf_journal_peek(const char *function, text *name)
{
	DwfRecord	recorded = {0};
	DwfPlace	place;

	(void) dwf_claim_require(function);
	dwf_journal_check_isolation();
	place = dwf_journal_place(dwf_journal_step() + 1, function, name,
							  &recorded);
	if (dwf_journal_has_diverged())
		dwf_journal_report_divergence();
	return place == DWF_PLACE_HAS_CALL;
}

/* ----- work of the client ----- */

/* Forget, once, that work of this name was found recorded; false if not */
static bool
forget_done(text *name)
{
	ListCell   *cell;

	foreach(cell, done_names)
	{
		if (dwf_texts_equal(lfirst(cell), name))
		{
			pfree(lfirst(cell));
			done_names = foreach_delete_current(done_names, cell);
			return true;
		}
	}
	return false;
}

/*
 * This number follows: if another call came in between, what was found before
 * is used up
 */
static void
forget_before(int step_no)
{
	if (done_to == step_no - 1)
		return;
	list_free_deep(done_names);
	done_names = NIL;
}

/*
 * A step of the client's has begun at this number; "done" tells that it was
 * found recorded
 */
void
dwf_journal_note_begun(int step_no, text *name, bool done)
{
	forget_before(step_no);
	done_to = step_no;
	if (done)
		dwf_journal_note_done(name);
}

/*
 * Look at the next number for work of the client's, which "function" records:
 * true if the work is recorded there, false if nothing is, so that the client
 * may do it.  Raises WF004, in the name of "caller", if another call is.
 */
bool
dwf_journal_look(const char *function, text *name, const char *caller)
{
	int			next = dwf_journal_step() + 1;
	DwfRecord	recorded = {0};
	DwfPlace	place;

	(void) dwf_claim_require(caller);
	dwf_journal_check_isolation();
	place = dwf_journal_place(next, function, name, &recorded);
	if (place == DWF_PLACE_HAS_OTHER)
	{
		dwf_journal_note_divergence(next, &recorded, caller, name);
		dwf_journal_report_divergence();
	}

	forget_before(next);
	if (place == DWF_PLACE_IS_FREE)
	{
		/* from now on a save of this name is of new work */
		while (forget_done(name))
			;
		return false;
	}
	done_to = next;
	return true;
}

/* The client may save again the work that was just found recorded */
void
dwf_journal_note_done(text *name)
{
	MemoryContext old = MemoryContextSwitchTo(look_context);

	done_names = lappend(done_names, dwf_texts_copy(name));
	MemoryContextSwitchTo(old);
}

/*
 * Has one of the calls just before found this work recorded?  A client that
 * takes the JSON null of wf_get_step for "not recorded", or does not ask
 * wf_begin_step, does the work again, and calls wf_save_step.  That call is no
 * further step, unless it was one when the journal was written.
 */
bool
dwf_journal_is_done_again(const char *function, text *name)
{
	int			last = dwf_journal_step();
	DwfRecord	recorded = {0};

	return done_to == last && !dwf_journal_has_diverged() &&
		dwf_journal_place(last + 1, function, name,
						  &recorded) != DWF_PLACE_HAS_CALL &&
		forget_done(name);
}
