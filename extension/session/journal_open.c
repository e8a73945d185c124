/*-------------------------------------------------------------------------
 *
 * journal_open.c
 *	  Steps that the client has begun, and does now, outside of the database.
 *
 *	wf_begin_step	--------------->  open		it has its number from now on
 *	open	--save, fail---------->	  written	its record, by this transaction
 *	written	--commit-------------->	  (none)
 *	written	--abort--------------->	  open		its only effect is its record
 *
 * Nothing is written when a step begins: a step that was not saved when its
 * session ended is done again by the next one.  So several may be open at a
 * time, and be saved in any order.  The journal has a gap for each that is
 * not saved: the number is free there, and a replay begins the step again.
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal_open.h"

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/texts.h"
#include "session/journal.h"
#include "session/journal_place.h"
#include "session/journal_undone.h"

/* A step that is open, or written by the present transaction */
typedef struct OpenStep
{
	int			step_no;
	text	   *name;
	TimestampTz started_at;
	SubTransactionId written_by;	/* invalid while it is open */
} OpenStep;

/* In the order of their numbers; all of it in open_context */
static List *open_steps = NIL;
static MemoryContext open_context = NULL;

/* This session begins to execute a workflow: no step was begun yet */
void
dwf_journal_open_begin(void)
{
	if (open_context == NULL)
		open_context = AllocSetContextCreate(TopMemoryContext,
											 "durable_wf open steps",
											 ALLOCSET_SMALL_SIZES);
	MemoryContextReset(open_context);
	open_steps = NIL;
}

/* The open step of this name that was begun first, or NULL */
static OpenStep *
find_open(text *name)
{
	ListCell   *cell;

	foreach(cell, open_steps)
	{
		OpenStep   *step = lfirst(cell);

		if (step->written_by == InvalidSubTransactionId &&
			dwf_texts_equal(step->name, name))
			return step;
	}
	return NULL;
}

/* Is a step of this name open? */
bool
dwf_journal_open_has(text *name)
{
	return find_open(name) != NULL;
}

/* Is any step open? */
bool
dwf_journal_open_any(void)
{
	ListCell   *cell;

	foreach(cell, open_steps)
	{
		if (((OpenStep *) lfirst(cell))->written_by == InvalidSubTransactionId)
			return true;
	}
	return false;
}

/*
 * Take the next number for a step of the client's.  Returns true if the step
 * is recorded there, into *recorded; else it is open.  Raises WF004, in the
 * name of "caller", if another call is recorded there.
 */
bool
dwf_journal_open_step(text *name, const char *caller, DwfRecord *recorded)
{
	MemoryContext old;
	OpenStep   *step;
	DwfPlace	place;
	int			step_no;

	dwf_journal_check_isolation();
	step_no = dwf_journal_take_number(DWF_CLIENT_STEP, name);
	place = dwf_journal_place(step_no, DWF_CLIENT_STEP, name, recorded);
	if (place == DWF_PLACE_HAS_OTHER)
	{
		dwf_journal_note_divergence(step_no, recorded, caller, name);
		dwf_journal_report_divergence();
	}
	if (place == DWF_PLACE_HAS_CALL && recorded->completed_at != 0)
		return true;

	old = MemoryContextSwitchTo(open_context);
	step = palloc(sizeof(OpenStep));
	step->step_no = step_no;
	step->name = dwf_texts_copy(name);
	step->started_at = GetCurrentTimestamp();
	step->written_by = InvalidSubTransactionId;
	open_steps = lappend(open_steps, step);
	MemoryContextSwitchTo(old);
	return false;
}

/*
 * Record what the open step of this name has come to: a result or an error, as
 * result.c keeps them.  Raises WF004 if the replay has diverged, and what
 * dwf_journal_write() raises.
 */
void
dwf_journal_open_save(text *name, DwfValue result, DwfValue error)
{
	OpenStep   *step = find_open(name);
	DwfRecord	row = {0};

	Assert(step != NULL);
	dwf_journal_check_isolation();
	if (dwf_journal_has_diverged())
		dwf_journal_report_divergence();
	row.step_no = step->step_no;
	row.function = DWF_CLIENT_STEP;
	row.name = step->name;
	row.result = result;
	row.error = error;
	row.taken.isnull = true;
	row.started_at = step->started_at;
	row.completed_at = GetCurrentTimestamp();
	dwf_journal_write(&row);
	step->written_by = GetCurrentSubTransactionId();
}

/*
 * The transaction has ended: the steps that it has written are done, or open
 * again.  Cannot fail.
 */
void
dwf_journal_open_end_xact(bool commit)
{
	ListCell   *cell;

	if (!commit)
	{
		dwf_journal_open_end_subxact(TopSubTransactionId);
		return;
	}
	foreach(cell, open_steps)
	{
		OpenStep   *step = lfirst(cell);

		if (step->written_by == InvalidSubTransactionId)
			continue;
		open_steps = foreach_delete_current(open_steps, cell);
		pfree(step->name);
		pfree(step);
	}
}

/*
 * A subtransaction has aborted: what it and its children have written is open
 * again.  Cannot fail.
 */
void
dwf_journal_open_end_subxact(SubTransactionId subid)
{
	ListCell   *cell;

	foreach(cell, open_steps)
	{
		OpenStep   *step = lfirst(cell);

		if (step->written_by != InvalidSubTransactionId &&
			step->written_by >= subid)
			step->written_by = InvalidSubTransactionId;
	}
}
