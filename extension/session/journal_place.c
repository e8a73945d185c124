/*-------------------------------------------------------------------------
 *
 * journal_place.c
 *	  What the journal has at a number, and replays that leave its path.
 *
 * A replay has to make the calls that the journal has, in their order (J5 in
 * journal.c).  At the first one that is another, the replay has diverged: the
 * session executes nothing of this run any more, except a call that ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal_place.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/texts.h"
#include "session/identity.h"
#include "shared/claim.h"

/* The highest number in the journal when this session attached */
static int	recorded_to = 0;

/* The detail of the error for a replay that has diverged, or NULL */
static char *divergence = NULL;

/*
 * This session begins to execute a workflow, and no other session does; the
 * journal goes as far as this number
 */
void
dwf_journal_place_begin(int last_step)
{
	if (divergence)
		pfree(divergence);
	divergence = NULL;
	recorded_to = last_step;
}

/* Did the journal go as far as this number when the session attached? */
bool
dwf_journal_is_recorded(int step_no)
{
	return step_no <= recorded_to;
}

/*
 * What is at this number?  Called before a call does anything that cannot be
 * undone.  *recorded is filled if the journal has a record there.
 */
DwfPlace
dwf_journal_place(int step_no, const char *function, text *name,
				  DwfRecord *recorded)
{
	bool		found = step_no <= recorded_to &&
	dwf_store_read_record(dwf_claim_held(), step_no, recorded);

	if (divergence)
		return DWF_PLACE_HAS_OTHER;
	if (!found)
		return DWF_PLACE_IS_FREE;
	return strcmp(recorded->function, function) == 0 &&
		(recorded->name == name || dwf_texts_equal(recorded->name, name)) ?
		DWF_PLACE_HAS_CALL : DWF_PLACE_HAS_OTHER;
}

/* Has the replay diverged? */
bool
dwf_journal_has_diverged(void)
{
	return divergence != NULL;
}

/* How errors show a call: its function, and what names it */
static char *
describe_call(const char *function, text *name)
{
	return name ? psprintf("%s('%s')", function, text_to_cstring(name)) :
		psprintf("%s()", function);
}

/* Note that the replay diverges here; the first divergence is kept */
void
dwf_journal_note_divergence(int step_no, const DwfRecord *recorded,
							const char *function, text *name)
{
	char	   *recorded_call;

	if (divergence)
		return;
	recorded_call = describe_call(recorded->function, recorded->name);
	divergence = MemoryContextStrdup(TopMemoryContext,
									 psprintf("Step %d was recorded as %s, and %s was called.",
											  step_no, recorded_call,
											  describe_call(function, name)));
}

/* Raise WF004 for the replay, which has diverged */
void
dwf_journal_report_divergence(void)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_REPLAY_MISMATCH),
			 errmsg("workflow \"%s\" was executed differently before",
					text_to_cstring(dwf_claim_held())),
			 errdetail_internal("%s", divergence),
			 errhint("Call what was called then; wf_patched() lets code change under running workflows.")));
	pg_unreachable();
}
