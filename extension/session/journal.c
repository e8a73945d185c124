/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  The journal of the workflow that this session executes.
 *
 * Every call of a journalled function by an attached session is a step: it
 * has the next number, and its result is recorded in the transaction of its
 * effect.  A later session that makes the same calls gets what is recorded,
 * and nothing happens, until it has caught up.
 *
 *	J1	Numbers go by the order of the calls and never back, whatever is
 *		rolled back.
 *	J2	A record commits with the effect of its step, or not at all.
 *	J3	What was rolled back with its effect (a savepoint, an EXCEPTION
 *		block, a transaction, a call that raised) is kept in this process as
 *		undone, with what the caller saw, and is written before the next
 *		record, so that the journal has no gap below a record.
 *	J4	A call that commits before it waits (CALL) leaves a record without a
 *		result, which has the deadline; a replay waits for what is left.  One
 *		without a deadline does so when its workflow is suspended.  A step
 *		that is tried again leaves one with what its attempts said, too.
 *	J5	Whoever replays must make the same calls: function and naming argument
 *		are compared (WF004).
 *	J6	Two sessions never write one journal: claim.c sees to that, and
 *		the primary key is the fence behind it.
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/restricted.h"
#include "base/texts.h"
#include "session/identity.h"
#include "session/leftover.h"
#include "session/result.h"
#include "shared/claim.h"
#include "store/statement.h"
#include "store/probe.h"
#include "store/store.h"

/* A step of this process whose transaction may still roll back, or has */
typedef struct Record
{
	DwfRecord	row;			/* all of it in journal_context */
	SubTransactionId subid;		/* that has written it, if it is written */
} Record;

/* Numbers: the last that was given, the highest in the journal at the start */
static int	last_no = 0;
static int	recorded_to = 0;

/* The replay has met another call than was recorded; what is said then */
static char *divergence = NULL;

/*
 * A stack in the order of the numbers: those that the current transaction has
 * written, and above them those that are undone and to be written.  What an
 * aborting subtransaction and its children have written is the top of the
 * former, down to the first smaller id.
 */
static List *records = NIL;
static int	nwritten = 0;
static MemoryContext journal_context = NULL;

/* The answers of wf_patched in this run, in patch_context */
typedef struct Patch
{
	text	   *change;
	bool		value;
} Patch;

static List *patches = NIL;
static MemoryContext patch_context = NULL;

/* The call that is being executed */
static const DwfCall *current_call = NULL;
static text *current_name = NULL;
static TimestampTz current_started_at = 0;
static TimestampTz current_deadline = 0;	/* recorded; 0 if there is none */
static Datum current_attempts = (Datum) 0;	/* result.c; 0 if there are none */
static bool attempts_are_over = false;
static bool in_command = false;

/*
 * Of the work that the last calls have said to be done, what a client may take
 * for nothing yet: the names, in patch_context; and the last number
 */
static List *done_names = NIL;
static int	done_to = 0;

/* The body has crashed before, and has not got further since */
static bool has_crashed = false;

/* ----- records ----- */

/* Keep an unwritten row beyond its transaction; after WF004 there are none */
static void
keep_record(const DwfRecord *row)
{
	MemoryContext old;
	Record	   *record;

	if (divergence)
		return;
	old = MemoryContextSwitchTo(journal_context);
	record = palloc0(sizeof(Record));
	record->row = *row;
	record->row.function = pstrdup(row->function);
	if (row->name)
		record->row.name = (text *) DatumGetPointer(datumCopy(PointerGetDatum(row->name),
															  false, -1));
	if (!row->result.isnull)
		record->row.result.value = datumCopy(row->result.value, false, -1);
	if (!row->error.isnull)
		record->row.error.value = datumCopy(row->error.value, false, -1);
	records = lappend(records, record);
	MemoryContextSwitchTo(old);
}

/* The topmost record, above which there is none undone, is written */
static void
mark_written(void)
{
	Record	   *record = list_nth(records, nwritten++);

	record->subid = GetCurrentSubTransactionId();
}

/*
 * Write a row.  Raises WF002, WF003 and the like when the workflow has ended,
 * and WF007 when another session has recorded the step.
 */
static void
write_row(const DwfRecord *row)
{
	text	   *workflow_id = dwf_claim_held();
	bool		ends_here = dwf_claim_state() == DWF_HAS_ENDED_RUN;

	if (dwf_store_record(workflow_id, row, ends_here))
		return;
	if (!ends_here)
		dwf_identity_check_live(workflow_id, GetUserId());
	ereport(ERROR,
			(errcode(DWF_ERRCODE_ELSEWHERE),
			 errmsg("step %d of workflow \"%s\" was recorded by another session",
					row->step_no, text_to_cstring(workflow_id)),
			 errhint("Call wf_detach(), and attach again.")));
}

/* Write what was undone and is not yet written */
static void
write_undone(void)
{
	while (nwritten < list_length(records))
	{
		Record	   *record = list_nth(records, nwritten);

		write_row(&record->row);
		mark_written();
	}
}

/* A record of the present call, without an outcome */
static DwfRecord
make_row(int step_no)
{
	DwfRecord	row = {0};

	row.step_no = step_no;
	row.function = current_call->function;
	row.name = current_name;
	row.started_at = current_started_at;
	row.result.isnull = true;
	row.error.isnull = true;
	return row;
}

/* ----- calls ----- */

/* Raise unless the user may act in what this session executes, if anything */
static void
check_access(void)
{
	text	   *workflow_id;

	if (dwf_claim_executes(&workflow_id) &&
		!dwf_probe_accepts(workflow_id, GetUserId()))
		dwf_identity_check_live(workflow_id, GetUserId());
}

/* How a call is shown: its function, and what names it */
static char *
describe_call(const char *function, text *name)
{
	return name ? psprintf("%s('%s')", function, text_to_cstring(name)) :
		psprintf("%s()", function);
}

/* The replay has left the recorded path, and stays off it */
static void
note_divergence(int step_no, const DwfRecord *recorded, const char *function,
				text *name)
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

/* Raise WF004 for a replay that has done so */
static void
report_divergence(void)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_REPLAY_MISMATCH),
			 errmsg("workflow \"%s\" was executed differently before",
					text_to_cstring(dwf_claim_held())),
			 errdetail_internal("%s", divergence),
			 errhint("Call what was called then; wf_patched() lets code change under running workflows.")));
}

/* Raise unless the session's transaction can be that of an execution */
static void
check_isolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("an attached session cannot be in a REPEATABLE READ or SERIALIZABLE transaction")));
}

/* What the journal has at a number, for a call */
typedef enum Place
{
	PLACE_IS_FREE,				/* nothing yet: it can happen */
	PLACE_HAS_CALL,				/* this call, complete or not */
	PLACE_HAS_OTHER				/* another one, or the replay has left the
								 * path before */
} Place;

/*
 * What is at this number?  Whoever is about to do something that cannot be
 * undone asks here first; *recorded is filled unless it is free.
 */
static Place
look_at_place(int step_no, const char *function, text *name,
			  DwfRecord *recorded)
{
	bool		found = step_no <= recorded_to &&
	dwf_store_read_record(dwf_claim_held(), step_no, recorded);

	if (divergence)
		return PLACE_HAS_OTHER;
	if (!found)
		return PLACE_IS_FREE;
	return strcmp(recorded->function, function) == 0 &&
		(recorded->name == name || dwf_texts_equal(recorded->name, name)) ?
		PLACE_HAS_CALL : PLACE_HAS_OTHER;
}

/*
 * Record what the present call has returned.  What ends the run has no place
 * in the journal, nor has what comes after it in its transaction; but it has
 * its number, and is undone if that rolls back.
 */
static void
record_result(FunctionCallInfo fcinfo, Datum result, int step_no, bool writes)
{
	DwfRecord	row = make_row(step_no);

	row.result.isnull = false;
	row.result.value = current_call->saves > 0 ?
		dwf_result_encode_argument(fcinfo, current_call->saves) :
		dwf_result_encode(fcinfo, result);
	row.completed_at = GetCurrentTimestamp();
	if (writes)
	{
		write_undone();
		write_row(&row);
	}
	row.is_undone = !writes;
	keep_record(&row);
	if (writes)
		mark_written();
}

/*
 * In a body, what a CALL has done is committed with it, where that can be; it
 * may be news to the journal.
 */
static void
commit_call(FunctionCallInfo fcinfo, bool is_new)
{
	MemoryContext context = CurrentMemoryContext;
	text	   *workflow_id;

	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic)
		return;
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	if (is_new && has_crashed && dwf_claim_executes(&workflow_id))
	{
		dwf_store_note_progress(workflow_id);
		has_crashed = false;
	}
	SPI_commit();
	SPI_finish();
	MemoryContextSwitchTo(context);
}

/* Execute the present call, and record how it ended */
static Datum
execute(FunctionCallInfo fcinfo, int step_no)
{
	MemoryContext context = CurrentMemoryContext;
	bool		writes = dwf_claim_state() == DWF_EXECUTES &&
	!current_call->ends_run;
	DwfRecord	row;
	Datum		result = (Datum) 0;

	if (dwf_claim_is_body())
		XactReadOnly = false;	/* it is, but our calls are not (guard.c) */
	PG_TRY();
	{
		check_access();
		result = current_call->body(fcinfo);
		record_result(fcinfo, result, step_no, writes);
		if (dwf_claim_is_body())
			commit_call(fcinfo, true);
	}
	PG_CATCH();
	{
		row = make_row(step_no);
		current_call = NULL;
		(void) dwf_journal_set_in_command(false);

		MemoryContextSwitchTo(context);
		if (dwf_claim_is_suspending())
			PG_RE_THROW();		/* it is called again, and goes on */
		row.is_undone = true;
		row.error.isnull = false;
		row.error.value = attempts_are_over ? current_attempts :
			dwf_result_encode_error(CopyErrorData());
		row.completed_at = GetCurrentTimestamp();
		keep_record(&row);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (dwf_claim_is_body())
		XactReadOnly = true;
	return result;
}

/* The argument that names a call, or NULL */
static text *
naming_argument(const DwfCall *call, FunctionCallInfo fcinfo)
{
	Oid			output;
	bool		is_varlena;

	if (call->naming < 0 || PG_ARGISNULL(call->naming))
		return NULL;
	if (!call->names_array)
		return PG_GETARG_TEXT_PP(call->naming);
	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return cstring_to_text(OidOutputFunctionCall(output,
												 PG_GETARG_DATUM(call->naming)));
}

/* Take the next number for a call: replay what is recorded, or execute it */
static Datum
journal_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	DwfRecord	recorded = {0};
	text	   *name;
	Datum		result;
	Place		place;
	bool		found;
	int			step_no;

	check_isolation();
	name = naming_argument(call, fcinfo);
	step_no = ++last_no;
	place = look_at_place(step_no, call->function, name, &recorded);
	if (recorded.step_no != 0)
		check_access();
	if (place == PLACE_HAS_OTHER)
	{
		note_divergence(step_no, &recorded, call->function, name);
		/* it may end the run, and then it is an ordinary session */
		if (dwf_claim_state() == DWF_EXECUTES && !call->ends_run)
			report_divergence();
	}
	found = place == PLACE_HAS_CALL;
	if (found && recorded.completed_at != 0 && !recorded.error.isnull)
		dwf_result_raise(recorded.error.value);
	if (found && !recorded.result.isnull)
	{
		/* as then, it ends the transaction, SET LOCAL and locks with it */
		if (dwf_claim_is_body() && !recorded.is_undone)
			commit_call(fcinfo, false);
		return dwf_result_decode(fcinfo, recorded.result.value);
	}

	current_call = call;
	current_name = name;
	current_started_at = found ? recorded.started_at : GetCurrentTimestamp();
	current_deadline = found ? recorded.deadline : 0;
	current_attempts = found && !recorded.error.isnull ?
		recorded.error.value : (Datum) 0;
	attempts_are_over = false;
	result = execute(fcinfo, step_no);
	current_call = NULL;
	return result;
}

/*
 * Call a journalled function.  Without an attached workflow, from within
 * another call (a step's command, a trigger) and on behalf of somebody else it
 * is an ordinary function.
 */
Datum
dwf_journal_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	if (dwf_claim_state() == DWF_EXECUTES_NOTHING ||
		current_call != NULL)
		return call->body(fcinfo);
	return journal_call(call, fcinfo);
}

/*
 * The workflow that this session executes; raises unless there is one, of the
 * current user's.
 */
text *
dwf_journal_require(const char *function)
{
	text	   *workflow_id;

	dwf_restricted_refuse(function);
	workflow_id = dwf_claim_require(function);
	check_access();
	return workflow_id;
}

/* Will the next call be the first to have its number? */
bool
dwf_journal_is_fresh(void)
{
	return last_no >= recorded_to;
}

/* What this run has answered when asked for a change; false if nothing yet */
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

/* Keep it */
void
dwf_journal_keep_patch(text *change, bool value)
{
	MemoryContext old = MemoryContextSwitchTo(patch_context);
	Patch	   *patch = palloc(sizeof(Patch));

	patch->change = dwf_texts_copy(change);
	patch->value = value;
	patches = lappend(patches, patch);
	MemoryContextSwitchTo(old);
}

/*
 * Is the next call recorded as this one?  Raises WF004 if the replay has left
 * the recorded path before.
 */
bool
dwf_journal_peek(const char *function, text *name)
{
	DwfRecord	recorded = {0};
	Place		place;

	(void) dwf_claim_require(function);
	check_isolation();
	place = look_at_place(last_no + 1, function, name, &recorded);
	if (divergence)
		report_divergence();
	return place == PLACE_HAS_CALL;
}

/* Forget that such work was said to be done, once; false if it was not */
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
 * Look at the next number for work of the client's, which "function" records:
 * true if it is done and recorded there, false if nothing is, so that the
 * client may do it.  Raises WF004 if another call is; "caller" is what looks.
 */
bool
dwf_journal_look(const char *function, text *name, const char *caller)
{
	DwfRecord	recorded = {0};
	Place		place;

	(void) dwf_claim_require(caller);
	check_isolation();
	place = look_at_place(last_no + 1, function, name, &recorded);
	if (place == PLACE_HAS_OTHER)
	{
		note_divergence(last_no + 1, &recorded, caller, name);
		report_divergence();
	}

	if (done_to != last_no)
	{
		list_free_deep(done_names);
		done_names = NIL;
	}
	if (place == PLACE_IS_FREE)
	{
		/* from now on it is this that a client does, by this name */
		while (forget_done(name))
			;
		return false;
	}
	done_to = last_no + 1;
	return true;
}

/* The client may take the work that it was just told of for nothing yet */
void
dwf_journal_note_done(text *name)
{
	MemoryContext old = MemoryContextSwitchTo(patch_context);

	done_names = lappend(done_names,
						 DatumGetPointer(datumCopy(PointerGetDatum(name),
												   false, -1)));
	MemoryContextSwitchTo(old);
}

/*
 * Was this work said to be done by one of the calls just before?  A client
 * that has taken a JSON null for nothing yet, and has done it again, says so;
 * that is no further step, unless it was one when the journal was written.
 */
bool
dwf_journal_is_done_again(const char *function, text *name)
{
	DwfRecord	recorded = {0};

	return done_to == last_no && divergence == NULL &&
		look_at_place(last_no + 1, function, name,
					  &recorded) != PLACE_HAS_CALL &&
		forget_done(name);
}

/*
 * The present call is about to wait until a deadline.  If it waited before,
 * the recorded deadline counts; else it is recorded, for the commit that comes
 * before the wait.
 */
void
dwf_journal_settle_deadline(TimestampTz *deadline, bool may_commit)
{
	DwfRecord	row;

	if (current_call == NULL || in_command ||
		dwf_claim_state() != DWF_EXECUTES ||
		TIMESTAMP_NOT_FINITE(*deadline))
		return;
	if (current_deadline != 0)
	{
		*deadline = current_deadline;
		return;
	}
	if (!may_commit)
		return;
	row = make_row(last_no);
	row.deadline = current_deadline = *deadline;
	write_undone();
	write_row(&row);
}

/*
 * The present call is about to wait for ever, without this process: what it
 * waits for is recorded, so that a later run cannot pass for one that has not
 * come this far.
 */
void
dwf_journal_note_wait(void)
{
	DwfRecord	row;

	if (current_call == NULL || current_deadline != 0)
		return;
	row = make_row(last_no);
	row.deadline = current_deadline = DT_NOEND;
	write_undone();
	write_row(&row);
}

/* Is the present call a step's, and not that of a trigger in another one? */
static bool
is_at_step(void)
{
	return current_call != NULL && !in_command &&
		strcmp(current_call->function, "wf_step") == 0;
}

/*
 * What the attempts at the present step have said, as result.c keeps it, 0 if
 * there were none; and when the next is due
 */
Datum
dwf_journal_attempts(TimestampTz *next_at)
{
	*next_at = current_deadline;
	return is_at_step() ? current_attempts : (Datum) 0;
}

/*
 * One more has failed.  The next comes at that moment, 0 if there is none.
 * Recorded for the commit that comes, if the caller can commit; "attempts" is
 * in a context that lives as long as the call.
 */
void
dwf_journal_note_attempt(Datum attempts, TimestampTz next_at, bool may_commit)
{
	DwfRecord	row;

	if (!is_at_step())
		return;
	current_attempts = attempts;
	current_deadline = next_at;
	attempts_are_over = next_at == 0;
	if (!may_commit || dwf_claim_state() != DWF_EXECUTES)
		return;
	row = make_row(last_no);
	row.deadline = next_at;
	row.error.isnull = false;
	row.error.value = attempts;
	write_undone();
	write_row(&row);
	if (has_crashed)
	{
		dwf_store_note_progress(dwf_claim_held());
		has_crashed = false;
	}
}

/* The number of the present call */
int
dwf_journal_step(void)
{
	return last_no;
}

/* Is the session in the command of a step? */
bool
dwf_journal_in_command(void)
{
	return in_command;
}

/*
 * Enter or leave one; returns whether it was in one.  In a body, its role's
 * lock_timeout is for what is in there, and for what the body does itself.
 */
bool
dwf_journal_set_in_command(bool value)
{
	bool		old = in_command;

	in_command = value;
	if (!value)
		dwf_leftover_drop();
	if (dwf_claim_is_body())
		dwf_statement_is_patient = !value;
	return old;
}

/* The body that this session is about to run has crashed since it got further */
void
dwf_journal_note_crash(void)
{
	has_crashed = true;
}

/* This session begins to execute a workflow, from the top */
void
dwf_journal_begin(text *workflow_id)
{
	if (journal_context == NULL)
	{
		journal_context = AllocSetContextCreate(TopMemoryContext,
												"durable_wf journal",
												ALLOCSET_DEFAULT_SIZES);
		patch_context = AllocSetContextCreate(TopMemoryContext,
											  "durable_wf patches",
											  ALLOCSET_SMALL_SIZES);
	}
	MemoryContextReset(journal_context);
	MemoryContextReset(patch_context);
	records = patches = NIL;
	nwritten = 0;
	if (divergence)
		pfree(divergence);
	divergence = NULL;
	has_crashed = false;
	last_no = done_to = 0;
	done_names = NIL;
	recorded_to = dwf_store_last_step(workflow_id);
}

/*
 * The transaction has ended: what it has written is written, or undone.  The
 * effect is gone, and what the caller saw stays.  Cannot fail.
 */
void
dwf_journal_end_xact(bool commit)
{
	if (!commit)
		dwf_journal_end_subxact(TopSubTransactionId);
	else if (nwritten == list_length(records))
	{
		if (records != NIL)
			MemoryContextReset(journal_context);
		records = NIL;
	}
	else
		records = list_delete_first_n(records, nwritten);
	nwritten = 0;
}

/* A subtransaction has aborted */
void
dwf_journal_end_subxact(SubTransactionId subid)
{
	while (nwritten > 0)
	{
		Record	   *record = list_nth(records, nwritten - 1);

		if (record->subid < subid)
			break;
		record->row.is_undone = true;
		nwritten--;
	}
}
