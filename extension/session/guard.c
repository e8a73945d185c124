/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  A body writes in its steps only.
 *
 * What a body writes outside of its steps would be written again by a replay.
 * So its transactions are read-only, but for the commands of steps and our own
 * statements.  It could make them writable again (SET TRANSACTION READ WRITE,
 * SET default_transaction_read_only and COMMIT): so that is put right before
 * each of its statements, where the server has not yet looked.  PL/pgSQL
 * evaluates simple expressions by itself, past the server's hooks, and one
 * such as nextval() writes: so the same is done before each statement of
 * PL/pgSQL, too.  There a body is stopped also if it swallows errors.
 *
 * Read-only is not free of effects.  So no function that can have one
 * (effect.c) is made ready to be called: all that evaluate an expression ask
 * for that once, when they begin to.  What a step has made ready does not
 * outlive it (leftover.c).  Other processes would not ask: a body has no
 * parallel workers.  Of utility commands those run that are harmless, and
 * those that run others.
 *
 *-------------------------------------------------------------------------
 */
#include "session/guard.h"

#include "access/xact.h"
#include "catalog/objectaccess.h"
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

static ExecutorStart_hook_type prev_executor_start = NULL;
static object_access_hook_type prev_object_access = NULL;

/* A query is being made ready: it is not kept beyond its end */
static bool starts_query = false;

/* What the body was refused; it may have caught that */
static ErrorData *refused = NULL;

/*
 * A statement is about to be run: if the body runs it, outside of a step, it
 * may not write.  Returns whether that is so.
 */
bool
dwf_guard_body(void)
{
	if (!dwf_claim_is_body() || dwf_journal_in_command() ||
		dwf_statement_is_running() || !IsTransactionState())
		return false;
	XactReadOnly = true;
	return true;
}

/* Raise WF009: this, which the statement does, is for steps */
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
 * To be called where that statement has raised an error, with its text:
 * raises the error again, with the way out if it was refused.
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
 * May a utility command run outside of steps?  What else the server lets a
 * read-only transaction do, it does to the world.
 */
static bool
is_harmless(Node *command)
{
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
		case T_ListenStmt:		/* the server refuses it, and says why */
			return true;
		case T_VacuumStmt:		/* so it does with VACUUM, not ANALYZE */
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
	*copy = *query->plannedstmt;	/* others may use that, too */
	copy->parallelModeNeeded = false;
	query->plannedstmt = copy;
}

static void
start_query(QueryDesc *query, int flags)
{
	if (prev_executor_start)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* A query of the body begins; or any other */
static void
executor_start(QueryDesc *query, int flags)
{
	bool		is_guarded = dwf_guard_body();
	bool		was_starting = starts_query;

	if (!dwf_claim_is_body())
	{
		start_query(query, flags);
		return;
	}
	if (is_guarded)
		forbid_workers(query);
	PG_TRY();
	{
		starts_query = true;
		start_query(query, flags);
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

/* The body is about to make a function ready to be called */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_object,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub_object, arg);
	if (access != OAT_FUNCTION_EXECUTE || !dwf_claim_is_body() ||
		dwf_statement_is_running() || !IsTransactionState() ||
		!dwf_effect_is_possible(object))
		return;
	if (dwf_guard_body())
		refuse(psprintf("%s()", get_func_name(object)),
			   dwf_call_hint_select(get_func_name(object)));
	if (!starts_query)
		dwf_leftover_note();
}

/*
 * An error is being raised: keep it if it says that the body is wrong.  (What
 * a read-only transaction refuses may be said better a moment later.)
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
	old = MemoryContextSwitchTo(TopMemoryContext);
	error = CopyErrorData();
	MemoryContextSwitchTo(old);
	if (error->elevel < ERROR)	/* somebody's RAISE WARNING, say */
	{
		FreeErrorData(error);
		return;
	}
	if (refused)
		FreeErrorData(refused);
	refused = error;
}

/* A body begins; what it is refused is noted until dwf_guard_end() */
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

/* It has returned, whatever it was refused: say so where somebody may look */
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
 * PL/pgSQL is about to run a statement.  A body that was told to end and has
 * caught that is told again, outside of the block that would catch it again.
 */
static void
begin_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	(void) estate;
	(void) statement;
	starts_query = false;		/* it may have called this as it began */
	(void) dwf_guard_body();
	ExitOnAnyError = false;		/* what a body may set: its errors are its own */
	if (dwf_claim_is_interrupted())
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the workflow has ended, or changed hands")));
}

/*
 * Watch PL/pgSQL in this process, an executor.  There can be one plugin: a
 * debugger or profiler that may be there is not to stand in the way.
 */
void
dwf_guard_watch_plpgsql(void)
{
	static PLpgSQL_plugin plugin = {.stmt_beg = begin_statement};

	*find_rendezvous_variable("PLpgSQL_plugin") = &plugin;
}

/* Install the hooks */
void
dwf_guard_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
