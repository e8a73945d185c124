/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  Run the bodies of one role's SQL workflows.
 *
 *	claim		the oldest that is due and that nobody executes
 *	run			CALL its procedure, from the top; the journal repeats what
 *				was done before
 *	then		it has returned: SUCCESS; it has raised an error: ERROR; it was
 *				suspended, and has written that down itself: nothing
 *	discard		all that the body may have left in the session
 *
 * A body whose process has died is found RUNNING and claimed by nobody; it is
 * run again, later each time, and if it crashes (crash.c) and gets no further,
 * at most durable_wf.max_attempts times.
 *
 * What this process does for itself waits for no row that others have locked.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launcher.h"

#include "access/xact.h"
#include "commands/async.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/process_settings.h"
#include "base/settings.h"
#include "base/texts.h"
#include "session/body_timeout.h"
#include "session/guard.h"
#include "session/journal.h"
#include "session/wait.h"
#include "shared/claim.h"
#include "shared/crash.h"
#include "shared/executors.h"
#include "shared/service.h"
#include "store/statement.h"
#include "store/store.h"
#include "workflow/attach.h"
#include "workflow/body.h"

/* The role whose bodies these are, and where the worker is told of it */
static Oid	role;
static int	cell;

/* Run one statement as a client would send it: it may commit in between */
static void
execute_statement(const char *sql)
{
	List	   *parsed;
	List	   *analyzed;
	List	   *planned;
	Portal		portal;
	QueryCompletion completion;
	DestReceiver *receiver = CreateDestReceiver(DestNone);

	debug_query_string = sql;
	pgstat_report_activity(STATE_RUNNING, sql);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(MessageContext);

	parsed = pg_parse_query(sql);
	Assert(list_length(parsed) == 1);
	PushActiveSnapshot(GetTransactionSnapshot());
	analyzed = pg_analyze_and_rewrite_fixedparams(linitial_node(RawStmt, parsed),
												  sql, NULL, 0, NULL);
	planned = pg_plan_queries(analyzed, sql, CURSOR_OPT_PARALLEL_OK, NULL);
	PopActiveSnapshot();

	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql,
					  CreateCommandTag(linitial_node(RawStmt, parsed)->stmt),
					  planned, NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	(void) DWF_PORTAL_RUN(portal, receiver, &completion);
	receiver->rDestroy(receiver);
	PortalDrop(portal, false);
	CommitTransactionCommand();

	MemoryContextReset(MessageContext);
	debug_query_string = NULL;
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* ----- finding work ----- */

/* What is needed until a body runs, or while none does */
static MemoryContext work_context;

/* A claimed workflow, in TopMemoryContext */
static text *claimed = NULL;

/*
 * Claim the oldest that is due and whose row nobody holds; or find that bodies
 * do not run any more, or not this role's, and claim nothing.
 */
static bool
look_for_body(DwfWait *wait)
{
	DwfSearch	search = {.role = role};
	bool		is_gone;

	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
	if (dwf_setting_paused || dwf_body_refusal(role, &is_gone) != NULL)
		return true;
	while (dwf_store_search(&search))
	{
		bool		held;

		CHECK_FOR_INTERRUPTS();
		if (dwf_attach_pass(search.workflow_id, role, &held))
		{
			claimed = dwf_texts_copy_to_top(search.workflow_id);
			return true;
		}
		if (held)
			dwf_store_search_held(&search);
	}
	wait->look_at = search.next;
	return false;
}

/*
 * Wait for a body to run, holding nothing; false when none came for long, or
 * none is to be run.
 */
static bool
claim_work(void)
{
	DwfWaitKey	key = {0};
	DwfWait		wait = {0};
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	/* what the wait has allocated outlives the transactions in it */
	MemoryContextSwitchTo(work_context);
	key.is_aid = true;			/* nothing that users have to see */
	key.address.door = DWF_DOOR_WORK;
	key.address.key = cstring_to_text(psprintf("%u", role));
	wait.function = "durable_wf executor";
	wait.is_call = wait.may_commit = true;
	wait.role = role;
	wait.keys = &key;
	wait.nkeys = 1;
	wait.deadline = dwf_setting_executor_idle_timeout == 0 ? DWF_WAIT_NEVER :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									dwf_setting_executor_idle_timeout);
	wait.look = look_for_body;
	wait.look_at = DWF_WAIT_FOREVER;
	found = dwf_wait(&wait);
	CommitTransactionCommand();
	MemoryContextSwitchTo(work_context);
	MemoryContextReset(work_context);
	return found && claimed != NULL;
}

/* ----- running it ----- */

/* The CALL of a workflow's body; NULL if it has ended, or crashed too often */
static char *
make_call(void)
{
	text	   *body;
	DwfValue	input;
	int			attempts;
	StringInfoData sql;

	if (!dwf_store_body(claimed, &body, &input, &attempts))
		return NULL;
	if (attempts > dwf_setting_max_attempts)
	{
		(void) dwf_store_fail(claimed,
							  psprintf("the workflow's body has crashed %d times in a row",
									   attempts - 1), NULL, NULL);
		return NULL;
	}
	if (attempts > 1)
		dwf_journal_note_crash();
	dwf_body_check(body);
	initStringInfo(&sql);
	appendStringInfo(&sql, "CALL %s(", text_to_cstring(body));
	if (input.isnull)
		appendStringInfoString(&sql, "NULL");
	else
		appendStringInfoString(&sql,
							   quote_literal_cstr(DatumGetCString(DirectFunctionCall1(jsonb_out,
																					  input.value))));
	appendStringInfoString(&sql, "::pg_catalog.jsonb)");
	return MemoryContextStrdup(TopMemoryContext, sql.data);
}

/*
 * Run the body; raises what it raises.  Who cancels the workflow interrupts
 * this process from when it says that it runs a body; what was cancelled
 * before is seen by the look that follows.
 */
static void
run_body(void)
{
	char	   *call;

	dwf_crash_enter(claimed);
	dwf_claim_set_body(true);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	call = make_call();
	PopActiveSnapshot();
	CommitTransactionCommand();

	if (call)
	{
		ErrorContextCallback frame;

		dwf_body_timeout_start();
		dwf_guard_begin(&frame);
		execute_statement(call);
		dwf_guard_end(&frame, claimed);
		dwf_body_timeout_stop();
		pfree(call);
	}
	dwf_claim_set_body(false);
	dwf_crash_leave();
}

/*
 * The body has left: what it has SET (read only, a lock_timeout, ...) is not to
 * meddle with what is written down of it.  The rest is discarded later.
 */
static void
reset_settings(void)
{
	StartTransactionCommand();
	ResetAllOptions();
	CommitTransactionCommand();
}

/*
 * It has returned: that is its success, unless it has ended the workflow, or
 * this run of it, itself; then it is not attached any more.
 *
 * If somebody holds the row, the process does not wait for that: it gives the
 * workflow back as it is, and a later run comes to the end by the journal.
 */
static void
succeed(void)
{
	DwfValue	none = {.isnull = true};

	if (dwf_claim_state() != DWF_EXECUTES)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (dwf_store_lock_free(claimed))
		(void) dwf_store_finish(claimed, role, DWF_STATUS_SUCCESS, none, none);
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/*
 * Has the server undone a transaction that would have been right at another
 * time (class 40: deadlock, serialization)?  The body is tried again, not
 * for ever.
 */
static bool
may_retry(const ErrorData *error)
{
	text	   *body;
	DwfValue	input;
	int			attempts;

	return ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
		ERRCODE_TRANSACTION_ROLLBACK &&
		dwf_store_body(claimed, &body, &input, &attempts) &&
		attempts < dwf_setting_max_attempts;
}

/* What is kept of an error besides its message and SQLSTATE */
static char *
describe_error(const ErrorData *error)
{
	StringInfoData text;

	initStringInfo(&text);
	if (error->detail)
		appendStringInfo(&text, "DETAIL:  %s\n", error->detail);
	if (error->hint)
		appendStringInfo(&text, "HINT:  %s\n", error->hint);
	appendStringInfoString(&text, error->context ? error->context : "");
	return text.data;
}

/*
 * It has raised an error: so it ends, unless it is somebody else's by now, or
 * was told to stop and is alive again.  If somebody holds the row, it is given
 * back as it is, as above.  If this run had ended and committed that, the error
 * is of nobody's: the next run may be at it already.
 */
static void
fail(const ErrorData *error, bool was_interrupted)
{
	DwfLife		life;
	bool		again;

	if (dwf_claim_state() != DWF_EXECUTES)
		return;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (!dwf_store_lock_free(claimed) ||
		!dwf_store_life(claimed, &life) || life.finished)
		;						/* it was cancelled, or is held */
	else if ((again = life.owner != role || was_interrupted) ||
			 may_retry(error))
		dwf_store_back_off(claimed, !again);
	else
		(void) dwf_store_fail(claimed, error->message,
							  unpack_sql_state(error->sqlerrcode),
							  describe_error(error));
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* Run what was claimed, to its end or its suspension */
static void
run_claimed(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	volatile bool was_interrupted = false;

	PG_TRY();
	{
		run_body();
		reset_settings();
		succeed();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		dwf_body_timeout_stop();
		QueryCancelPending = false;
		if (!dwf_claim_is_suspending())
			EmitErrorReport();
		error = CopyErrorData();
		AbortCurrentTransaction();
		PortalErrorCleanup();
		FlushErrorState();
		was_interrupted = dwf_claim_is_interrupted();
		dwf_claim_set_body(false);
		dwf_crash_leave();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	if (error && !dwf_claim_is_suspending())
	{
		reset_settings();
		fail(error, was_interrupted);
	}
	if (error)
		FreeErrorData(error);
	dwf_claim_set_suspending(false);
	dwf_claim_release();
	QueryCancelPending = false; /* who meant this body is not to meet the next */
	pfree(claimed);
	claimed = NULL;
	execute_statement("DISCARD ALL");
}

/* An executor's main function; its argument is the database */
void
dwf_executor_main(Datum arg)
{
	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(role));
	memcpy(&cell, MyBgworkerEntry->bgw_extra + sizeof(role), sizeof(cell));
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), role, 0);
	dwf_executors_tell(cell, DWF_EXECUTOR_CONNECTED);
	dwf_crash_watch();
	MessageContext = AllocSetContextCreate(TopMemoryContext, "MessageContext",
										   ALLOCSET_DEFAULT_SIZES);

	work_context = AllocSetContextCreate(TopMemoryContext, "durable_wf work",
										 ALLOCSET_DEFAULT_SIZES);

	/* the role's settings are for its bodies, not for what is ours */
	dwf_process_settings_begin(true);
	dwf_statement_is_patient = true;

	while (claim_work())
	{
		dwf_executors_tell(cell, DWF_EXECUTOR_CLAIMED);
		dwf_guard_watch_plpgsql();
		dwf_service_ask_run();	/* another one may be due, for another */
		run_claimed();
		dwf_executors_tell(cell, DWF_EXECUTOR_SERVED);
	}
	dwf_executors_tell(cell, DWF_EXECUTOR_LEFT);
	proc_exit(0);
}
