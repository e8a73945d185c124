/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  Run the bodies of one role's SQL workflows.
 *
 *	claim		the oldest workflow that is due and that no process executes
 *	run			CALL its procedure, from the top; the journal replays the steps
 *				of earlier runs
 *	end			the body has returned: SUCCESS; it has raised an error: ERROR;
 *				it was suspended, and has written that itself: nothing
 *	discard		everything that the body may have left in the session
 *				(discard.c)
 *
 * A workflow whose process has died is RUNNING and claimed by no process.  It
 * is run again, later each time; if its body crashes (crash.c) and gets no
 * further, at most durable_wf.max_attempts times.
 *
 * The executor's own statements wait for no row lock of another session.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launcher.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/durable_wf.h"
#include "base/process.h"
#include "base/process_settings.h"
#include "base/settings.h"
#include "base/texts.h"
#include "bgworker/discard.h"
#include "bgworker/handover.h"
#include "bgworker/shown.h"
#include "cluster/forward.h"
#include "session/body_timeout.h"
#include "session/guard.h"
#include "session/journal.h"
#include "session/kept_plans.h"
#include "session/wait.h"
#include "shared/address.h"
#include "shared/claim.h"
#include "shared/crash.h"
#include "shared/executors.h"
#include "shared/waiter.h"
#include "store/probe.h"
#include "store/statement.h"
#include "store/store.h"
#include "workflow/attach.h"
#include "workflow/body.h"
#include "workflow/life.h"

/* The role whose bodies are run here, and where its work comes to */
static Oid	role;
static uint64 work_hash;

/* ----- finding work ----- */

/* Memory for finding work; reset when a body was claimed, or none was */
static MemoryContext work_context;

/* Memory for a claim and its run; reset when the next one is looked for */
static MemoryContext claim_context;

/* The claimed workflow, NULL if there is none, and what its run needs */
static text *claimed = NULL;
static DwfClaimed claim;

/* More of this role's work was due when it was claimed, by a hint, or then */
static bool more_is_due = false;
static TimestampTz more_is_later = DT_NOEND;

/* When the last search that found none may find one; before it, unknown */
static TimestampTz search_again = DT_NOBEGIN;

/* A body was run since the session was last discarded */
static bool must_discard = false;

/* Claim a body, which is due, or suspended, as dwf_attach_body() does */
static bool
claim_body(text *workflow_id, bool is_waiting, bool *held)
{
	MemoryContext old = MemoryContextSwitchTo(claim_context);

	if (dwf_attach_body(workflow_id, role, is_waiting, &claim, held))
		claimed = dwf_texts_copy(workflow_id);
	MemoryContextSwitchTo(old);
	return claimed != NULL;
}

/*
 * Claim the body that was handed over to this executor, if any was.  It was
 * woken for that one, and others are woken for what else is due; when the next
 * one will be is what it knows from its last search.
 */
static bool
claim_handed(void)
{
	text	   *workflow_id = dwf_handover_find();
	bool		held;

	if (workflow_id == NULL)
		return false;
	more_is_due = false;
	more_is_later = search_again;
	if (claim_body(workflow_id, true, &held))
		return true;
	dwf_handover_refuse();
	return false;
}

/*
 * Look for work, for the wait in claim_work(): claim the oldest workflow that
 * is due and whose row is not locked.  Returns whether the wait is over: one
 * was claimed, or bodies do not run any more, or not this role's.  Locked rows
 * are skipped; wait->look_at takes when to look again.
 */
static bool
look_for_body(DwfWait *wait)
{
	DwfSearch	search = {.role = role,.work_hash = work_hash};
	bool		is_gone;

	/* do bodies of this role run at all? */
	if (dwf_process_reload())
		dwf_kept_plans_reset();
	if (dwf_setting_paused || dwf_body_refusal(role, &is_gone) != NULL)
		return true;

	if (claim_handed())
		return true;

	/* try the due workflows in order: what was found already, then a search */
	for (;;)
	{
		text	   *ahead = dwf_store_search_ahead(work_hash);
		bool		held;

		CHECK_FOR_INTERRUPTS();
		if (ahead == NULL && !dwf_store_search(&search))
			break;
		if (claim_body(ahead ? ahead : search.workflow_id, false, &held))
		{
			more_is_due = ahead ? true : search.more;
			more_is_later = ahead ? DT_NOEND : search.later;
			wait->has_left = search.nheld > 0;
			/* what was locked may be what this process was started for */
			if (wait->has_left)
				more_is_later = Min(more_is_later, search.next);
			return true;
		}
		if (ahead == NULL && held)
			dwf_store_search_held(&search);
	}
	wait->look_at = search_again = search.next;
	wait->has_left = search.nheld > 0;
	dwf_executors_idle();
	return false;
}

/*
 * Wait for a body to run, with no transaction open while asleep.  Returns
 * false after durable_wf.executor_idle_timeout, when this process has to give
 * way to another role, or when bodies do not run any more.
 */
static bool
claim_work(void)
{
	DwfWaitKey	key = {0};
	DwfWait		wait;
	bool		found;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();

	/* discard what the last body has left */
	if (must_discard)
		dwf_discard_session();
	must_discard = false;

	/* the wait's memory outlives the transactions in it */
	MemoryContextReset(claim_context);
	MemoryContextSwitchTo(work_context);

	/* the address that stands for work of this role */
	key.is_aid = true;			/* wf_waiters does not show it */
	key.address.door = DWF_DOOR_WORK;
	key.address.key = cstring_to_text(psprintf("%u", role));
	search_again = DT_NOBEGIN;

	/* wait there, looking for work at each wake */
	dwf_wait_init_for_process(&wait, "durable_wf executor", role);
	wait.keys = &key;
	wait.nkeys = 1;
	wait.deadline = dwf_setting_executor_idle_timeout == 0 ? DWF_WAIT_NEVER :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									dwf_setting_executor_idle_timeout);
	wait.look = look_for_body;
	wait.gives_up = dwf_executors_must_leave;
	found = dwf_wait(&wait);
	CommitTransactionCommand();
	dwf_handover_end();
	MemoryContextSwitchTo(work_context);
	MemoryContextReset(work_context);
	return found && claimed != NULL;
}

/* ----- running it ----- */

/* The CALL of a procedure with one argument, as the planner would make it */
static PlannedStmt *
plan_call(Oid procedure, DwfValue input)
{
	CallStmt   *call = makeNode(CallStmt);
	PlannedStmt *plan = makeNode(PlannedStmt);
	Const	   *argument = makeConst(JSONBOID, -1, InvalidOid, -1, input.value,
									 input.isnull, false);

	call->funcexpr = makeFuncExpr(procedure, get_func_rettype(procedure),
								  list_make1(argument), InvalidOid,
								  InvalidOid, COERCE_EXPLICIT_CALL);
	plan->commandType = CMD_UTILITY;
	plan->canSetTag = true;
	plan->utilityStmt = (Node *) call;
	return plan;
}

/*
 * CALL the claimed workflow's body as if a client had sent the statement
 * "sql", so that it may commit inside.  Returns false, and does not, if the
 * workflow has ended since it was claimed or has another owner.  Outside of a
 * transaction.  Raises what the body raises, or 42883 if there is none.
 */
static bool
execute_call(const char *sql)
{
	PlannedStmt *plan = NULL;

	/* make the plan, in a transaction that the portal goes on with */
	debug_query_string = sql;
	dwf_shown_statement(sql);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	MemoryContextSwitchTo(MessageContext);
	PushActiveSnapshot(GetTransactionSnapshot());
	if (dwf_probe_accepts_now(claimed, role))
		plan = plan_call(dwf_body_check(claim.body), claim.input);
	PopActiveSnapshot();

	/* run it as the active portal */
	if (plan)
	{
		Portal		portal = CreatePortal("", true, true);
		DestReceiver *receiver = CreateDestReceiver(DestNone);
		QueryCompletion completion;

		portal->visible = false;
		PortalDefineQuery(portal, NULL, sql, CMDTAG_CALL, list_make1(plan),
						  NULL);
		PortalStart(portal, NULL, 0, InvalidSnapshot);
		(void) DWF_PORTAL_RUN(portal, receiver, &completion);
		receiver->rDestroy(receiver);
		PortalDrop(portal, false);
	}
	CommitTransactionCommand();

	/* report and forget it */
	MemoryContextReset(MessageContext);
	debug_query_string = NULL;
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	return plan != NULL;
}

/* The CALL of the claimed body, as logs and statistics show it */
static char *
make_call(void)
{
	MemoryContext old = MemoryContextSwitchTo(claim_context);
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CALL %s(", text_to_cstring(claim.body));
	if (claim.input.isnull)
		appendStringInfoString(&sql, "NULL");
	else
	{
		Datum		json = DirectFunctionCall1(jsonb_out, claim.input.value);

		appendStringInfoString(&sql,
							   quote_literal_cstr(DatumGetCString(json)));
	}
	appendStringInfoString(&sql, "::pg_catalog.jsonb)");
	MemoryContextSwitchTo(old);
	return sql.data;
}

/* The body has crashed too often: end the workflow as ERROR */
static void
give_up(void)
{
	dwf_crash_forget(claimed);
	dwf_process_begin();
	(void) dwf_store_fail(claimed,
						  psprintf("the workflow's body has crashed %d times in a row",
								   claim.attempts - 1), NULL, NULL);
	dwf_process_commit();
}

/*
 * Run the body, and return true if it has returned; false if it was not to be
 * run any more.  Raises what it raises.  From dwf_claim_set_body(true) on a
 * cancel of the workflow interrupts this process; a cancel that has committed
 * before is seen by execute_call(), whose snapshot is later.
 */
static bool
run_body(void)
{
	ErrorContextCallback frame;
	bool		was_run;

	/* mark the run, then look whether the workflow has ended */
	dwf_crash_enter(claimed);
	dwf_claim_set_body(true);
	if (claim.attempts > 1)
		dwf_journal_note_crash();

	/* CALL the body, watched */
	dwf_body_timeout_start();
	dwf_guard_begin(&frame);
	was_run = execute_call(make_call());
	dwf_guard_end(&frame, claimed);
	dwf_body_timeout_stop();
	dwf_claim_set_body(false);
	dwf_crash_leave();
	return was_run;
}

/*
 * The body has returned: write SUCCESS, unless the body has ended the workflow
 * or this run of it itself, so that the session is not attached any more.
 *
 * If another session has locked the row, the workflow stays RUNNING, and a
 * later run comes to the same end by the journal.
 */
static void
succeed(void)
{
	if (dwf_claim_state() != DWF_EXECUTES)
		return;
	dwf_process_begin();
	dwf_life_end_free(claimed, role, DWF_STATUS_SUCCESS);
	dwf_process_commit();
}

/*
 * Is this an error that another run may not meet (class 40: deadlock,
 * serialization failure; a broken connection to another node), and has the
 * body attempts left?
 */
static bool
may_retry(const ErrorData *error)
{
	text	   *body;
	DwfValue	input;
	int			attempts;

	return (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
			ERRCODE_TRANSACTION_ROLLBACK ||
			dwf_forward_may_have_broken(error->sqlerrcode)) &&
		dwf_store_body(claimed, &body, &input, &attempts) &&
		attempts < dwf_setting_max_attempts;
}

/* The detail, hint and context of an error, as one text */
static char *
describe_error(const ErrorData *error)
{
	StringInfoData text;

	initStringInfo(&text);
	if (error->detail)
		appendStringInfo(&text, "DETAIL:  %s\n", error->detail);
	if (error->hint)
		appendStringInfo(&text, "HINT:  %s\n", error->hint);
	appendStringInfoString(&text, dwf_shown_error_context(error));
	return text.data;
}

/*
 * The body has raised an error: write ERROR.  But the workflow is run again
 * later if it has another owner by now, if the body was interrupted and the
 * workflow is alive, if another node was out of reach, or if may_retry().  If
 * another session has locked the row, the workflow stays RUNNING, as in
 * succeed().  If this run had ended the workflow, or itself, and committed
 * that, the error is not written: the next run may be on its way.
 */
static void
fail(const ErrorData *error, bool was_interrupted)
{
	DwfLife		life;
	bool		again;

	if (dwf_claim_state() != DWF_EXECUTES)
		return;
	dwf_process_begin();
	if (!dwf_store_lock_free(claimed) ||
		!dwf_store_life(claimed, &life) || life.finished)
		;						/* it has ended, or its row is locked */
	else if ((again = life.owner != role || was_interrupted ||
			  dwf_forward_is_out_of_reach(error->sqlerrcode)) ||
			 may_retry(error))
		dwf_store_back_off(claimed, !again);
	else
		(void) dwf_store_fail(claimed, error->message,
							  unpack_sql_state(error->sqlerrcode),
							  describe_error(error));
	dwf_process_commit();
}

/*
 * Run the claimed workflow to its end or its suspension, and give the claim
 * back.  Raises only if the end cannot be written.
 */
static void
run_claimed(void)
{
	MemoryContext context = CurrentMemoryContext;
	ErrorData  *volatile error = NULL;
	volatile bool was_interrupted = false;
	ErrorContextCallback frame;

	dwf_shown_begin(&frame, claimed);
	PG_TRY();
	{
		bool		has_returned = false;

		if (claim.attempts > dwf_setting_max_attempts)
			give_up();
		else
			has_returned = run_body();
		dwf_discard_settings();
		if (has_returned)
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
		MemoryContextReset(MessageContext);
		debug_query_string = NULL;
		pgstat_report_activity(STATE_IDLE, NULL);
		was_interrupted = dwf_claim_is_interrupted();
		dwf_claim_set_body(false);
		dwf_crash_leave();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();


	/* write an error; a suspension is one by which the body was left */
	MemoryContextSwitchTo(context);
	if (error)
		dwf_discard_settings();
	if (error && !dwf_claim_is_suspending())
		fail(error, was_interrupted);
	if (error)
		FreeErrorData(error);

	/* give it back; an interrupt that was for it must not meet the next */
	dwf_claim_set_suspending(false);
	dwf_claim_release();
	QueryCancelPending = false;
	dwf_shown_end(&frame);
	claimed = NULL;
	must_discard = true;
}

/* Find out where the work of this role comes to */
static void
begin_work(void)
{
	work_hash = dwf_address_work_hash(role);
	dwf_handover_begin(work_hash);
}

/* An executor's main function; its argument is the database */
void
dwf_executor_main(Datum arg)
{
	uint64		cell;

	/* connect, and tell the worker */
	memcpy(&role, MyBgworkerEntry->bgw_extra, sizeof(role));
	memcpy(&cell, MyBgworkerEntry->bgw_extra + sizeof(role), sizeof(cell));
	dwf_process_handle_signals();
	BackgroundWorkerInitializeConnectionByOid(DatumGetObjectId(arg), role, 0);
	dwf_executors_begin(cell);
	dwf_crash_watch();
	begin_work();

	/* memory for a statement, and for finding work */
	MessageContext = AllocSetContextCreate(TopMemoryContext, "MessageContext",
										   ALLOCSET_DEFAULT_SIZES);
	work_context = AllocSetContextCreate(TopMemoryContext, "durable_wf work",
										 ALLOCSET_DEFAULT_SIZES);
	claim_context = AllocSetContextCreate(TopMemoryContext,
										  "durable_wf claim",
										  ALLOCSET_DEFAULT_SIZES);

	/* the role's settings are for its bodies, not for our statements */
	dwf_process_settings_begin(true);
	dwf_statement_is_patient = true;

	/* run bodies until there are none for a while */
	while (claim_work())
	{
		dwf_executors_claim(more_is_due, more_is_later, work_hash);
		dwf_guard_watch_plpgsql();
		run_claimed();
		dwf_executors_end_run();
	}
	dwf_executors_tell(DWF_EXECUTOR_LEFT);
	proc_exit(0);
}
