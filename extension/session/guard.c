/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  A body writes in its steps only.
 *
 * What a body writes outside of its steps would be written again by a replay.
 * So its transactions are read-only, except for the commands of steps and our
 * own calls: dwf_guard_enter() and dwf_guard_leave() say where the code of the
 * body begins and ends, and the statements of store/ are made writable one by
 * one.  The body could make its transaction writable (SET TRANSACTION READ
 * WRITE, or SET default_transaction_read_only and COMMIT).  So it is made
 * read-only again before each statement of the body, before the server checks
 * the statement.  PL/pgSQL evaluates simple expressions without calling the
 * server's hooks, and an expression such as nextval() writes: so the
 * transaction is made read-only before each statement of PL/pgSQL, too.  The
 * same place stops a body that was interrupted and has caught the error.
 *
 * A read-only transaction is not free of effects.  So no function whose call
 * can have an effect (effect.c) is made ready to be called in a body: the
 * executor and PL/pgSQL ask once for each function of an expression, when they
 * begin to evaluate it.  What a step has made ready does not outlive the step
 * (leftover.c).  A parallel worker would not ask, so a body has none.  Utility
 * commands run if they are harmless, or run other statements.
 *
 *-------------------------------------------------------------------------
 */
#include "session/guard.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "plpgsql.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/call_hint.h"
#include "session/effect.h"
#include "session/journal.h"
#include "session/leftover.h"
#include "shared/claim.h"
#include "store/statement.h"

/* A query is being started: its expressions are not kept beyond its end */
static bool starts_query = false;

/* The error that refused something to the body, which may have caught it */
static ErrorData *refused = NULL;

/*
 * The code of the body goes on, if the session is in one: it may not write.
 */
void
dwf_guard_enter(void)
{
	if (dwf_claim_is_body())
		XactReadOnly = true;
}

/*
 * In a body, a call of ours or the command of a step begins: it may write,
 * until dwf_guard_enter() or the end of its transaction or subtransaction.
 */
void
dwf_guard_leave(void)
{
	if (dwf_claim_is_body())
		XactReadOnly = false;
}

/*
 * A statement is about to be run.  Returns whether the code of the body runs
 * it, outside of steps and of calls of ours; then it may not write.
 */
bool
dwf_guard_body(void)
{
	if (!dwf_claim_is_body() || dwf_journal_in_command() ||
		dwf_statement_is_running() || !IsTransactionState())
		return false;
	dwf_guard_enter();
	return true;
}

/* Raise WF009: "effect", which the statement has, is for steps */
static void
refuse(const char *effect, const char *statement)
{
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NOT_IN_BODY),
			 errmsg("the body of a workflow can write in its steps only"),
			 errdetail("A replay would repeat what %s does.", effect),
			 errhint("%s", dwf_call_hint_step(statement))));
}

/*
 * To be called in PG_CATCH, after dwf_guard_body() has returned true for this
 * statement.  Raises the error again; as WF009, with a hint, if it says that
 * the transaction is read-only.
 */
void
dwf_guard_explain(const char *statement)
{
	ErrorData  *error;

	if (geterrcode() != ERRCODE_READ_ONLY_SQL_TRANSACTION)
		PG_RE_THROW();
	MemoryContextSwitchTo(CurTransactionContext);
	error = CopyErrorData();
	FlushErrorState();
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NOT_IN_BODY),
			 errmsg("the body of a workflow can write in its steps only"),
			 errdetail_internal("%s", error->message),
			 errhint("%s", dwf_call_hint_step(statement))));
}

/*
 * May a utility command run outside of steps?  The others that the server
 * allows in a read-only transaction have an effect outside of it.
 */
static bool
is_harmless(Node *command)
{
	/* a command that is not listed counts as a write */
	switch (nodeTag(command))
	{
		case T_TransactionStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_ConstraintsSetStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DiscardStmt:
		case T_LockStmt:
		case T_LoadStmt:
		case T_UnlistenStmt:
		case T_ListenStmt:		/* the server refuses LISTEN, and says why */
			return true;
		case T_VacuumStmt:		/* and VACUUM, but not ANALYZE */
			return ((VacuumStmt *) command)->is_vacuumcmd;
		case T_CopyStmt:		/* into a temporary table */
			return ((CopyStmt *) command)->is_from &&
				!((CopyStmt *) command)->is_program;
		case T_ExplainStmt:
			{
				Query	   *query = (Query *) ((ExplainStmt *) command)->query;

				return query->commandType != CMD_UTILITY ||
					is_harmless(query->utilityStmt);
			}
		default:
			return false;
	}
}

/* Raise WF009 for a utility command that is for steps */
void
dwf_guard_check_command(Node *command, const char *statement)
{
	if (!is_harmless(command))
		refuse(CreateCommandName(command), statement);
}

/* Have a query run in this process alone */
static void
forbid_workers(QueryDesc *query)
{
	PlannedStmt *copy;

	if (!query->plannedstmt->parallelModeNeeded)
		return;
	copy = makeNode(PlannedStmt);
	*copy = *query->plannedstmt;	/* a cached plan has other users */
	copy->parallelModeNeeded = false;
	query->plannedstmt = copy;
}

/*
 * Start a query by "start".  In the body, outside of its steps, the query may
 * not write and has no parallel workers, and an error that refuses a write
 * says what to do instead.
 */
void
dwf_guard_start_query(QueryDesc *query, int flags, DwfStartQuery start)
{
	bool		is_guarded = dwf_guard_body();
	bool		was_starting = starts_query;

	if (!dwf_claim_is_body())
	{
		start(query, flags);
		return;
	}
	if (is_guarded)
		forbid_workers(query);

	/* what is made ready during the start ends with the query */
	PG_TRY();
	{
		starts_query = true;
		start(query, flags);
		starts_query = was_starting;
	}
	PG_CATCH();
	{
		starts_query = was_starting;
		if (!is_guarded)
			PG_RE_THROW();
		dwf_guard_explain(query->sourceText);
	}
	PG_END_TRY();
}

/*
 * A function is made ready to be called.  Raise WF009 if the body would call
 * it outside of its steps, and the call can have an effect; in a step, note
 * what PL/pgSQL may call again after it.
 */
void
dwf_guard_check_function(Oid function)
{
	if (!dwf_claim_is_body() || dwf_statement_is_running() ||
		!IsTransactionState() || !dwf_effect_is_possible(function))
		return;
	if (dwf_guard_body())
		refuse(psprintf("%s()", get_func_name(function)),
			   dwf_call_hint_select(get_func_name(function)));
	if (!starts_query)
		dwf_leftover_note();
}

/*
 * Error context callback: an error is being raised.  Keep a copy if it refuses
 * something to the body.  A later WF009 replaces the server's "read-only
 * transaction", since it has the hint (dwf_guard_explain).
 */
static void
note_refusal(void *arg)
{
	int			code = geterrcode();
	ErrorData  *error;
	MemoryContext old;

	(void) arg;
	if ((code != DWF_ERRCODE_NOT_IN_BODY &&
		 code != ERRCODE_READ_ONLY_SQL_TRANSACTION) ||
		!dwf_claim_is_body() || dwf_journal_in_command() ||
		(refused && refused->sqlerrcode == DWF_ERRCODE_NOT_IN_BODY))
		return;

	/* keep a copy, unless it is only a message to the client */
	old = MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	MemoryContextSwitchTo(old);
	if (error->elevel < ERROR)	/* a RAISE WARNING with that SQLSTATE */
	{
		FreeErrorData(error);
		return;
	}
	if (refused)
		FreeErrorData(refused);
	refused = error;
}

/* A body begins: note errors that refuse it something, to dwf_guard_end() */
void
dwf_guard_begin(ErrorContextCallback *frame)
{
	if (refused)
		FreeErrorData(refused);
	refused = NULL;
	frame->callback = note_refusal;
	frame->arg = NULL;
	frame->previous = error_context_stack;
	error_context_stack = frame;
}

/* The body has returned: warn in the log of a refusal that it has caught */
void
dwf_guard_end(ErrorContextCallback *frame, const text *workflow_id)
{
	error_context_stack = frame->previous;
	if (refused)
		ereport(WARNING,
				(errcode(refused->sqlerrcode),
				 errmsg("the body of workflow \"%s\" has caught an error that says how to write it: %s",
						text_to_cstring(workflow_id), refused->message),
				 refused->detail ? errdetail_internal("%s", refused->detail) : 0,
				 refused->hint ? errhint("%s", refused->hint) : 0,
				 refused->context ? errcontext("%s", refused->context) : 0));
}

/*
 * PL/pgSQL's plugin: a statement is about to be run.  Raises 57014 if the body
 * is to end: also one that has caught the first such error, since this one is
 * raised again by each statement, after the block that would catch it.
 */
static void
begin_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	(void) estate;
	(void) statement;
	starts_query = false;		/* a query can begin inside the start of one */
	(void) dwf_guard_body();
	ExitOnAnyError = false;		/* a body may SET it, and must not exit */
	if (dwf_claim_is_interrupted())
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the workflow has ended, or changed hands")));
}

/*
 * Watch PL/pgSQL in this process, an executor.  There can be one plugin only,
 * so this replaces that of a debugger or profiler.
 */
void
dwf_guard_watch_plpgsql(void)
{
	static PLpgSQL_plugin plugin = {.stmt_beg = begin_statement};

	*find_rendezvous_variable("PLpgSQL_plugin") = &plugin;
}
