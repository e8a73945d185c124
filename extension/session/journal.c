/*-------------------------------------------------------------------------
 *
 * journal.c
 *	  The journal of the workflow that this session executes.
 *
 * Every call of a journalled function by an attached session is a step: it
 * has the next number, and its result is recorded in the transaction of its
 * effect.  A later session that makes the same calls replays: it gets what is
 * recorded, without an effect, up to the first call that is not recorded.
 *
 *	J1	Numbers go by the order of the calls and never back, whatever is
 *		rolled back.
 *	J2	A record commits with the effect of its step, or not at all.
 *	J3	A record that is rolled back with its effect (a savepoint, an
 *		EXCEPTION block, a transaction, a call that raised) is kept in this
 *		process as undone, with what the caller saw, and is written before the
 *		next record, so that the journal has no gap below a record
 *		(journal_undone.c).
 *	J4	A call that commits before it waits (CALL) leaves a record without a
 *		result, which has the deadline; a replay waits for what is left.  A
 *		call without a deadline leaves such a record when its workflow is
 *		suspended.  A step that is tried again leaves one with the errors of
 *		its attempts, too.
 *	J5	A replay must make the same calls: function and naming argument are
 *		compared, and WF004 is raised if they differ (journal_place.c).
 *	J6	Two sessions never write one journal: claims.c lets one session execute
 *		a workflow, and the primary key refuses a second record of a number.
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/restricted.h"
#include "session/guard.h"
#include "session/identity.h"
#include "session/journal_look.h"
#include "session/journal_open.h"
#include "session/journal_place.h"
#include "session/journal_taken.h"
#include "session/journal_undone.h"
#include "session/leftover.h"
#include "session/result.h"
#include "session/trace.h"
#include "shared/claim.h"
#include "shared/progress.h"
#include "store/anchor.h"
#include "store/probe.h"
#include "store/statement.h"
#include "store/store.h"

/* The number of the last call */
static int	last_no = 0;

/* The call that is being executed; current_call is NULL if there is none */
static const DwfCall *current_call = NULL;
static text *current_name = NULL;
static TimestampTz current_started_at = 0;
static TimestampTz current_deadline = 0;	/* recorded; 0 if there is none */
static Datum current_attempts = (Datum) 0;	/* result.c; 0 if there are none */
static bool attempts_are_over = false;

/* The session is in the command of a step */
static bool in_command = false;

/* The body has crashed before, and has not got further since */
static bool has_crashed = false;

DwfRouter	dwf_journal_router = NULL;

/* ----- calls ----- */

/* Do what a call does: here, unless a cluster's router knows better */
static inline Datum
make_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	if (dwf_anchor_may_exist() && dwf_journal_router)
		return dwf_journal_router(call, fcinfo);
	return call->body(fcinfo);
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
	row.taken.isnull = true;
	return row;
}

/*
 * Raise unless the current user may act in the workflow that this session
 * executes, if it executes any
 */
static void
check_access(void)
{
	text	   *workflow_id;

	if (dwf_claim_executes(&workflow_id) &&
		!dwf_probe_accepts(workflow_id, GetUserId()))
		dwf_identity_check_live(workflow_id, GetUserId());
}

/* Raise 25001 unless the session's transaction can be that of an execution */
void
dwf_journal_check_isolation(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("an attached session cannot be in a REPEATABLE READ or SERIALIZABLE transaction")));
}

/*
 * Record what the present call has returned.  A call that ends the run is not
 * written to the journal, nor is one that comes after it in its transaction;
 * but they have their numbers, and count as undone if that rolls back.
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
	row.is_undone = !writes;
	if (writes)
	{
		row.taken = dwf_journal_taken_encode(dwf_claim_held());
		dwf_journal_write_result(&row);
	}
	else
		dwf_journal_keep_undone(&row);
}

/*
 * In a body, commit what a CALL has done, where it can commit.  If the call is
 * new to the journal, a body that has crashed has got further.
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

/*
 * Execute the present call, and record how it ended.  Raises what the call
 * raises.
 */
static Datum
execute(FunctionCallInfo fcinfo, int step_no)
{
	MemoryContext context = CurrentMemoryContext;
	bool		writes = dwf_claim_state() == DWF_EXECUTES &&
	!current_call->ends_run;
	DwfRecord	row;
	Datum		result = (Datum) 0;

	/* make the call; it may write, and so may its record */
	dwf_guard_leave();
	dwf_journal_taken_end_xact();
	PG_TRY();
	{
		check_access();
		result = make_call(current_call, fcinfo);
		record_result(fcinfo, result, step_no, writes);
		if (dwf_claim_is_body())
			commit_call(fcinfo, true);
	}
	PG_CATCH();
	{
		/* keep what the caller sees of the error, for the next commit */
		row = make_row(step_no);
		current_call = NULL;
		(void) dwf_journal_set_in_command(false);

		MemoryContextSwitchTo(context);
		if (dwf_claim_is_suspending())
			PG_RE_THROW();		/* a later run makes this call again */
		row.is_undone = true;
		row.error.isnull = false;
		row.error.value = attempts_are_over ? current_attempts :
			dwf_result_encode_error(CopyErrorData());
		row.completed_at = GetCurrentTimestamp();
		dwf_journal_keep_undone(&row);
		PG_RE_THROW();
	}
	PG_END_TRY();
	dwf_guard_enter();
	return result;
}

/* The argument that names a call, or NULL */
static text *
naming_argument(const DwfCall *call, FunctionCallInfo fcinfo)
{
	Oid			output;
	bool		is_varlena;
	char	   *string;

	if (call->naming < 0 || PG_ARGISNULL(call->naming))
		return NULL;
	if (!OidIsValid(call->naming_type))
		return PG_GETARG_TEXT_PP(call->naming);
	getTypeOutputInfo(call->naming_type, &output, &is_varlena);
	string = OidOutputFunctionCall(output, PG_GETARG_DATUM(call->naming));
	return cstring_to_text(string);
}

/*
 * Take the next number, for a call of this function with this naming argument,
 * which may be NULL; show that in wf_executions
 */
int
dwf_journal_take_number(const char *function, text *name)
{
	last_no++;
	dwf_progress_show(last_no, function, name);
	return last_no;
}

/*
 * A replay returns what a call has returned, at this number; 0: its effects
 * were undone.  What was received before is forgotten, as by the call.
 */
static void
note_replayed(const char *function, int step_no)
{
	if (dwf_journal_taken_is_result(function))
		dwf_trace_note_replayed(step_no);
	else if (strcmp(function, "wf_step") == 0)
		dwf_trace_forget();
}

/* Take the next number for a call: replay what is recorded, or execute it */
static Datum
journal_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	DwfRecord	recorded = {0};
	text	   *name;
	Datum		result;
	DwfPlace	place;
	bool		found;
	int			step_no;

	/* take a number, whatever becomes of the call (J1) */
	dwf_journal_check_isolation();
	name = naming_argument(call, fcinfo);
	step_no = dwf_journal_take_number(call->function, name);

	/* compare the call with what is recorded there; one may end the run */
	place = dwf_journal_place(step_no, call->function, name, &recorded);
	if (recorded.step_no != 0)
		check_access();
	if (place == DWF_PLACE_HAS_OTHER)
	{
		dwf_journal_note_divergence(step_no, &recorded, call->function, name);
		if (dwf_claim_state() == DWF_EXECUTES && !call->ends_run)
			dwf_journal_report_divergence();
	}

	/* replay a complete record */
	found = place == DWF_PLACE_HAS_CALL;
	if (found && recorded.completed_at != 0 && !recorded.error.isnull)
	{
		note_replayed(call->function, 0);
		dwf_result_raise(recorded.error.value);
	}
	if (found && !recorded.result.isnull)
	{
		/* like the call then, end the transaction, its SET LOCAL and locks */
		if (dwf_claim_is_body() && !recorded.is_undone)
			commit_call(fcinfo, false);
		note_replayed(call->function, recorded.is_undone ? 0 : step_no);
		return dwf_result_decode(fcinfo, recorded.result.value);
	}

	/* or execute the call, from where an earlier run has left it */
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
 * Call a journalled function.  It is an ordinary function in a session that
 * executes no workflow, in code that runs on behalf of another role
 * (restricted.c), and within another journalled call (a step's command, a
 * trigger).
 */
Datum
dwf_journal_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	if (dwf_claim_state() == DWF_EXECUTES_NOTHING || current_call != NULL)
		return make_call(call, fcinfo);
	return journal_call(call, fcinfo);
}

/*
 * The workflow that this session executes.  Raises unless there is one and the
 * current user may act in it.
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

/* ----- calls that wait, and steps that are tried again ----- */

/*
 * The present call is about to wait until a deadline.  Returns the recorded
 * deadline if an earlier run has waited in this call; else the given one,
 * which is recorded for the commit that comes before the wait, if the call can
 * commit.
 */
TimestampTz
dwf_journal_settle_deadline(TimestampTz deadline, bool may_commit)
{
	DwfRecord	row;

	if (current_call == NULL || in_command ||
		dwf_claim_state() != DWF_EXECUTES ||
		TIMESTAMP_NOT_FINITE(deadline))
		return deadline;
	if (current_deadline != 0)
		return current_deadline;
	if (!may_commit)
		return deadline;
	row = make_row(last_no);
	row.deadline = current_deadline = deadline;
	dwf_journal_write(&row);
	return deadline;
}

/* Does the journal have that this call waits, of an earlier run or this? */
bool
dwf_journal_has_waited(void)
{
	return current_call != NULL && current_deadline != 0;
}

/*
 * The workflow is about to be suspended in the present call.  If no deadline
 * is recorded for the call, record that it waits: else a later run could not
 * be told from one that has not come this far.
 */
void
dwf_journal_note_wait(void)
{
	DwfRecord	row;

	if (current_call == NULL || current_deadline != 0)
		return;
	row = make_row(last_no);
	row.deadline = current_deadline = DT_NOEND;
	dwf_journal_write(&row);
}

/* Is the present call wf_step, outside of a step's command? */
static bool
is_at_step(void)
{
	return current_call != NULL && !in_command &&
		strcmp(current_call->function, "wf_step") == 0;
}

/*
 * The errors of the attempts at the present step, as result.c keeps them, 0 if
 * there were none; *next_at is when the next attempt is due.
 */
Datum
dwf_journal_attempts(TimestampTz *next_at)
{
	*next_at = current_deadline;
	return is_at_step() ? current_attempts : (Datum) 0;
}

/*
 * Note that one more attempt at the present step has failed, after which there
 * are these "attempts", in a memory context that lives as long as the call.
 * The next one is due at next_at, 0 if it was the last.  If the caller can
 * commit, that is recorded for the commit that comes.
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
	dwf_journal_write(&row);
	if (has_crashed)
	{
		dwf_store_note_progress(dwf_claim_held());
		has_crashed = false;
	}
}

/*
 * Items were taken from a queue: if a call of the journal has done that, its
 * record will tell where they were
 */
void
dwf_journal_note_taken(const DwfAddress *queue, const DwfItem *items,
					   int count)
{
	bool		payloads_too;

	if (current_call == NULL || count == 0 ||
		dwf_claim_state() != DWF_EXECUTES)
		return;
	payloads_too = in_command ||
		!dwf_journal_taken_is_result(current_call->function);
	dwf_journal_taken_note(queue, items, count, payloads_too);
}

/* ----- the session ----- */

/* The number of the present call, or the last one */
int
dwf_journal_step(void)
{
	return last_no;
}

/* Is the session in a call of the journal, not in the command of a step? */
bool
dwf_journal_in_call(void)
{
	return current_call != NULL && !in_command;
}

/* Is the session in a call of the journal, or in the command of a step? */
bool
dwf_journal_is_nested(void)
{
	return current_call != NULL || in_command;
}

/* Is the session in the command of a step? */
bool
dwf_journal_in_command(void)
{
	return in_command;
}

/*
 * Enter the command of a step, or leave it; returns whether the session was in
 * one.  In a body, statements on our tables wait for locks without a limit,
 * but in a step's command for the role's lock_timeout at most.
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

/* The body that this session is about to run has crashed where it got to */
void
dwf_journal_note_crash(void)
{
	has_crashed = true;
}

/*
 * This session begins to execute a workflow, from the top.  No other session
 * does, so what is recorded now, up to the number "last_step", is all that
 * there is to replay.
 */
void
dwf_journal_begin(text *workflow_id, int last_step)
{
	has_crashed = false;
	last_no = 0;
	dwf_progress_begin(workflow_id);
	dwf_journal_undone_begin();
	dwf_journal_open_begin();
	dwf_journal_look_begin();
	dwf_journal_place_begin(last_step);
}
