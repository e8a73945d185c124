/*-------------------------------------------------------------------------
 *
 * step.c
 *	  Durable steps: wf_step, wf_sleep, wf_now, wf_random, wf_uuid, wf_patched;
 *	  and the list of them, wf_list_steps.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/pg_prng.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/args.h"
#include "base/call_hint.h"
#include "base/portable.h"
#include "session/body_timeout.h"
#include "session/first_row.h"
#include "session/guard.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/journal_look.h"
#include "session/leftover.h"
#include "session/result.h"
#include "session/step_scope.h"
#include "session/trace.h"
#include "session/wait.h"
#include "shared/claim.h"
#include "shared/waiter.h"
#include "store/store.h"
#include "workflow/step_plans.h"

PG_FUNCTION_INFO_V1(wf_patched);

/* The largest max_attempts that wf_step takes */
#define ATTEMPTS_MAX	1000000

/* ----- wf_step ----- */

/* What wf_step was asked to do */
typedef struct Step
{
	text	   *name;
	char	   *command;
	DwfValue	args;
	int			max_attempts;
	Interval   *retry_delay;
	Datum		output;
	bool		ran_out;		/* the last attempt has taken too long */
	bool		is_wrong;		/* the command cannot be executed in a step */
} Step;

/*
 * A value of any type as jsonb, in the current memory context.  It does not
 * depend on the session's settings.
 */
static Datum
value_to_jsonb(Datum value, Oid type)
{
	FmgrInfo	to_jsonb;
	Const	   *argument = makeConst(type, -1, InvalidOid, -1, (Datum) 0, true,
									 false);
	int			nest_level;

	fmgr_info(F_TO_JSONB, &to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
											 list_make1(argument), InvalidOid,
											 InvalidOid, COERCE_EXPLICIT_CALL),
					   &to_jsonb);
	nest_level = dwf_portable_begin(dwf_portable_type(type));
	value = datumCopy(FunctionCall1(&to_jsonb, value), false, -1);
	dwf_portable_end(nest_level);
	return value;
}

/*
 * Run the command once.  Returns the first column of its first row as jsonb,
 * in "context"; 0 if that is null, or there is none.
 */
static Datum
run_command(Step *step, MemoryContext context)
{
	SPIExecuteOptions options = {0};
	Datum		output = (Datum) 0;
	bool		pushed_snapshot = !ActiveSnapshotSet();
	SPIPlanPtr	plan;
	DwfFirstRow *row;
	int			result;

	/* a CALL that has slept has no snapshot, which a toasted output needs */
	if (pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();
	row = dwf_first_row_create();
	options.dest = &row->receiver;
	options.params = makeParamList(1);
	options.params->params[0].value = step->args.value;
	options.params->params[0].isnull = step->args.isnull;
	options.params->params[0].pflags = PARAM_FLAG_CONST;
	options.params->params[0].ptype = JSONBOID;
	plan = dwf_claim_is_body() ? dwf_step_plans_find(step->command) : NULL;
	result = plan ? SPI_execute_plan_extended(plan, &options) :
		SPI_execute_extended(step->command, &options);
	if (result < 0)
	{
		step->is_wrong = true;
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("step \"%s\" cannot be executed: %s",
						text_to_cstring(step->name),
						SPI_result_code_string(result)),
				 errhint("A step is one SQL statement or several, without transaction control.")));
	}
	if (!row->isnull && row->type != VOIDOID)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		output = value_to_jsonb(row->value, row->type);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	if (pushed_snapshot)
		PopActiveSnapshot();
	return output;
}

/*
 * In a body, the command of a step begins: it may write until its
 * subtransaction ends, and its time is limited.
 */
static void
begin_command(void)
{
	dwf_guard_leave();
	dwf_body_timeout_start_step();
}

/*
 * In a body, the command of a step ends.  Deferred triggers are fired while
 * they may still write.  Its cursors are closed: a replay would not have them,
 * and a later FETCH would run, outside of the step, what it has made ready.
 */
static void
end_command(void)
{
	ConstraintsSetStmt immediate = {.type = T_ConstraintsSetStmt};

	AfterTriggerSetState(&immediate);
	dwf_leftover_close_cursors();
	dwf_body_timeout_start();
}

/*
 * Run the command in a subtransaction.  Returns NULL, or the error that has
 * undone it.
 */
static ErrorData *
try_command(Step *step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile Datum output = (Datum) 0;

	/* run the command, and check that it leaves nothing in the session */
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		(void) dwf_journal_set_in_command(true);
		dwf_trace_forget();
		if (dwf_claim_is_body())
			begin_command();
		dwf_step_scope_begin();
		output = run_command(step, context);
		if (dwf_claim_is_body())
			end_command();
		dwf_step_scope_end(step->name);
		(void) dwf_journal_set_in_command(false);
		dwf_trace_forget();
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		/* undo it, the subtransaction first and then what that leaves */
		(void) dwf_journal_set_in_command(false);
		dwf_trace_forget();
		if (dwf_claim_is_body())
		{
			step->ran_out = dwf_body_timeout_has_run_out();
			dwf_body_timeout_start();
		}
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		CurrentResourceOwner = owner;
		dwf_step_scope_abort();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	step->output = output != (Datum) 0 ? output : dwf_args_json_null();
	return error;
}

/* Can another attempt succeed after this error? */
static bool
may_retry(const Step *step, const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return !step->is_wrong &&
		(error->sqlerrcode != ERRCODE_QUERY_CANCELED || step->ran_out) &&
		error->sqlerrcode != ERRCODE_ASSERT_FAILURE &&
		error->sqlerrcode != ERRCODE_SYNTAX_ERROR &&
		error->sqlerrcode != DWF_ERRCODE_NOT_IN_BODY &&
		category != MAKE_SQLSTATE('5', '7', 'P', '0', '0');
}

/* A look that is never satisfied: only time ends the wait */
static bool
look_for_nothing(DwfWait *wait)
{
	(void) wait;
	return false;
}

/* Sleep until the deadline of a wait that waits for nothing else */
static void
sleep_until_deadline(DwfWait *wait)
{
	text	   *workflow_id = dwf_claim_require(wait->function);

	dwf_wait_at(wait, DWF_DOOR_TIMER, workflow_id, NULL);
	wait->acts_as = workflow_id;
	wait->look = look_for_nothing;
	(void) dwf_wait(wait);
}

/* Was the function CALLed where it can commit? */
static bool
may_commit(FunctionCallInfo fcinfo)
{
	return fcinfo->context && IsA(fcinfo->context, CallContext) &&
		!castNode(CallContext, fcinfo->context)->atomic;
}

/*
 * Wait for the next attempt.  The wait commits what was noted of the last one,
 * if it can.  In a body the wait can suspend the workflow; then a later run
 * finds in the journal how many attempts there were.
 */
static void
wait_to_retry(FunctionCallInfo fcinfo, TimestampTz next_at)
{
	DwfWait		wait;

	dwf_wait_init(&wait, fcinfo, "wf_step");
	wait.deadline = next_at;
	sleep_until_deadline(&wait);
}

/* Commit what was noted of the last attempt, if the call can commit */
static void
commit_attempts(FunctionCallInfo fcinfo)
{
	MemoryContext context = CurrentMemoryContext;

	if (!may_commit(fcinfo))
		return;
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	SPI_commit();
	SPI_finish();
	MemoryContextSwitchTo(context);
}

/* When the next attempt is due */
static TimestampTz
next_attempt_at(const Step *step)
{
	return dwf_portable_after(GetCurrentTimestamp(), step->retry_delay);
}

/*
 * Note that an attempt has failed, and wait for the next one; raise the error
 * if it was the last one.  "context" is reset.
 */
static void
go_on_after(const Step *step, ErrorData *error, FunctionCallInfo fcinfo,
			MemoryContext context)
{
	TimestampTz next_at;
	Datum		earlier = dwf_journal_attempts(&next_at);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum		attempts = dwf_result_encode_attempt(error, earlier);

	/* keep the errors of the attempts for as long as the call lasts */
	MemoryContextSwitchTo(old);
	attempts = datumCopy(attempts, false, -1);
	MemoryContextReset(context);
	if (dwf_result_count_attempts(attempts) >= step->max_attempts)
	{
		dwf_journal_note_attempt(attempts, 0, may_commit(fcinfo));
		commit_attempts(fcinfo);
		ReThrowError(error);
	}
	next_at = next_attempt_at(step);
	dwf_journal_note_attempt(attempts, next_at, may_commit(fcinfo));
	if (earlier != (Datum) 0)
		pfree(DatumGetPointer(earlier));
	FreeErrorData(error);
	wait_to_retry(fcinfo, next_at);
}

/*
 * Go on with the attempts of an earlier run: raise the last error, if there
 * were enough attempts; else wait for what is left of the delay.
 */
static void
resume_attempts(const Step *step, FunctionCallInfo fcinfo)
{
	TimestampTz next_at;
	Datum		attempts = dwf_journal_attempts(&next_at);

	if (attempts == (Datum) 0)
		return;
	if (dwf_result_count_attempts(attempts) >= step->max_attempts)
	{
		dwf_journal_note_attempt(attempts, 0, false);
		dwf_result_raise(attempts);
	}
	if (next_at > GetCurrentTimestamp())
		wait_to_retry(fcinfo, next_at);
}

/* The arguments of wf_step */
static Step
step_arguments(FunctionCallInfo fcinfo)
{
	Step		step = {0};

	step.name = dwf_args_name(fcinfo, 0, "name", DWF_KEY_MAX);
	dwf_args_require(fcinfo, 1, "command");
	step.command = text_to_cstring(PG_GETARG_TEXT_PP(1));
	step.args.isnull = PG_ARGISNULL(2);
	if (!step.args.isnull)
		step.args.value = PG_GETARG_DATUM(2);
	dwf_args_require(fcinfo, 3, "max_attempts");
	step.max_attempts = PG_GETARG_INT32(3);
	if (step.max_attempts < 1 || step.max_attempts > ATTEMPTS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_attempts must be between 1 and %d",
						ATTEMPTS_MAX)));
	dwf_args_require(fcinfo, 4, "retry_delay");
	step.retry_delay = PG_GETARG_INTERVAL_P(4);
	(void) dwf_args_is_positive(step.retry_delay, "retry_delay");
	return step;
}

/* Raise WF009 unless a step with retries, in a body, was CALLed */
static void
check_called(FunctionCallInfo fcinfo)
{
	if (!may_commit(fcinfo))
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("wf_step() with retries has to be CALLed in the body of a workflow, outside of EXCEPTION blocks"),
				 errhint("%s", dwf_call_hint(fcinfo, "wf_step"))));
}

/*
 * wf_step(name, command, args, max_attempts, retry_delay) → jsonb; also a
 * CALL
 */
DWF_JOURNALLED(wf_step, 0, DWF_AT_HERE);
static Datum
do_wf_step(PG_FUNCTION_ARGS)
{
	Step		step = step_arguments(fcinfo);
	MemoryContext context;
	ErrorData  *error;

	dwf_journal_require("wf_step");
	dwf_store_require_writable("wf_step");
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("a step cannot contain another one")));

	if (dwf_claim_is_body() && step.max_attempts > 1)
		check_called(fcinfo);

	/* go on with the attempts of an earlier run, and try until it succeeds */
	resume_attempts(&step, fcinfo);
	context = AllocSetContextCreate(CurrentMemoryContext,
									"durable_wf attempts",
									ALLOCSET_SMALL_SIZES);
	while ((error = try_command(&step)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (step.max_attempts == 1 || !may_retry(&step, error))
			ReThrowError(error);
		go_on_after(&step, error, fcinfo, context);
	}
	MemoryContextDelete(context);

	return dwf_args_return_value(fcinfo, step.output, false);
}

/* ----- time and random values ----- */

/* wf_sleep(duration) → timestamptz, when it is over; also a CALL */
DWF_JOURNALLED(wf_sleep, -1, DWF_AT_HERE);
static Datum
do_wf_sleep(PG_FUNCTION_ARGS)
{
	DwfWait		wait;
	Datum		value;

	dwf_journal_require("wf_sleep");
	dwf_store_require_writable("wf_sleep");
	dwf_args_require(fcinfo, 0, "duration");
	dwf_wait_init(&wait, fcinfo, "wf_sleep");
	wait.deadline = dwf_args_deadline(fcinfo, 0, "duration");
	if (wait.deadline == DWF_WAIT_FOREVER)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("duration must be finite")));
	sleep_until_deadline(&wait);

	/* the moment that an earlier run has recorded, if there was one */
	value = TimestampTzGetDatum(wait.deadline == DWF_WAIT_NEVER ?
								GetCurrentTimestamp() : wait.ends_at);
	return dwf_args_return_value(fcinfo, value, false);
}

/* wf_now() → timestamptz */
DWF_JOURNALLED(wf_now, -1, DWF_AT_HERE);
static Datum
do_wf_now(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	dwf_journal_require("wf_now");
	dwf_store_require_writable("wf_now");
	PG_RETURN_TIMESTAMPTZ(GetCurrentTimestamp());
}

/* wf_random() → double precision */
DWF_JOURNALLED(wf_random, -1, DWF_AT_HERE);
static Datum
do_wf_random(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	dwf_journal_require("wf_random");
	dwf_store_require_writable("wf_random");
	PG_RETURN_FLOAT8(pg_prng_double(&pg_global_prng_state));
}

/* wf_uuid() → uuid */
DWF_JOURNALLED(wf_uuid, -1, DWF_AT_HERE);
static Datum
do_wf_uuid(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	dwf_journal_require("wf_uuid");
	dwf_store_require_writable("wf_uuid");
	return DirectFunctionCall1(gen_random_uuid, (Datum) 0);
}

/* ----- changing code under running workflows ----- */

/* What wf_patched does where it is a step: only runs of the new code do it */
static Datum
patched_body(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(true);
}

/* wf_patched(change) → boolean */
Datum
wf_patched(PG_FUNCTION_ARGS)
{
	static const DwfCall call = {
		"wf_patched", 0, InvalidOid, patched_body, 0, false, DWF_AT_HERE,
		NULL, NULL
	};
	text	   *change = dwf_args_name(fcinfo, 0, "change", DWF_KEY_MAX);
	bool		known;

	dwf_journal_require("wf_patched");
	dwf_store_require_writable("wf_patched");
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("wf_patched() cannot be called inside a step")));

	/* all calls of a run for one change get the same answer */
	if (dwf_journal_patch(change, &known))
		PG_RETURN_BOOL(known);
	known = dwf_journal_is_fresh() || dwf_journal_peek("wf_patched", change);
	if (known)
		(void) dwf_journal_call(&call, fcinfo);
	dwf_journal_keep_patch(change, known);
	PG_RETURN_BOOL(known);
}

/* ----- wf_list_steps ----- */

PG_FUNCTION_INFO_V1(dwf_check_visible);

/*
 * durable_wf.check_visible(workflow_id): raise WF001 or 42501 unless the
 * caller may see the workflow.  For wf_list_steps, which is in SQL.
 */
Datum
dwf_check_visible(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	DwfLife		life;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	PG_RETURN_VOID();
}
