/*-------------------------------------------------------------------------
 *
 * closed_world.c
 *	  What a validator may do in the session whose guest it is.
 *
 * A validator is code of the hook's owner in the session of whoever resumes
 * the hook.  It may read and write what its owner may, in the resumer's
 * transaction; of the session itself it finds nothing, and it leaves nothing
 * in it:
 *
 *	cursors				are hidden, its own closed		closed_portals.c
 *	settings			are its owner's, then undone	closed_settings.c
 *	workflow, journal	there are none for it			restricted.c
 *	query, call stack	are hidden						here
 *	temporary objects	are refused						here
 *	the session's advisory locks, prepared statements, descriptors of large
 *	objects, last values of sequences, snapshots, statistics, LISTEN, the seed
 *	of random(), signals
 *						are refused, as the functions and commands
 *						that reach them are				closed_functions.c, here
 *
 * Both lists are closed: a utility command is refused unless it is on the one
 * below, a function of the server's unless it is on that of
 * closed_functions.c. What is on them leaves nothing but writes of the
 * transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_world.h"

#include "catalog/namespace.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

#include "base/restricted.h"
#include "hook/closed_functions.h"
#include "hook/closed_plpgsql.h"
#include "store/statement.h"

static ExecutorStart_hook_type prev_executor_start = NULL;

/* ----- in and out ----- */

/* Note what is to be hidden, before anything is */
void
dwf_closed_world_prepare(DwfClosedWorld *world)
{
	memset(world, 0, sizeof(DwfClosedWorld));
	world->settings.context = CurrentMemoryContext;
	world->portals = dwf_closed_portals_find();
	dwf_closed_plpgsql_prepare();
}

/* Hide it, but for the settings, which need a nest.  Cannot fail. */
void
dwf_closed_world_enter(DwfClosedWorld *world)
{
	world->is_outermost = dwf_restricted_enter_validator() == 1;
	world->query_string = debug_query_string;
	world->callers = error_context_stack;
	debug_query_string = NULL;
	error_context_stack = NULL;
	dwf_closed_portals_hide(world->portals);
	dwf_closed_plpgsql_enter();
}

/* Show it again, on every way out.  Cannot fail. */
void
dwf_closed_world_leave(DwfClosedWorld *world)
{
	Assert(world->settings.resets == NIL);
	dwf_closed_plpgsql_leave(world->is_outermost);
	dwf_closed_portals_show(world->portals);
	error_context_stack = world->callers;
	debug_query_string = world->query_string;
	dwf_restricted_leave_validator();
}

/* ----- relations ----- */

/* A query is about to be run: it may not touch what is the session's own */
static void
executor_start(QueryDesc *query, int flags)
{
	if (dwf_restricted_is_validator() && !dwf_statement_is_running())
	{
		ListCell   *cell;

		foreach(cell, query->plannedstmt->rtable)
		{
			RangeTblEntry *entry = lfirst(cell);

			if (entry->rtekind == RTE_RELATION &&
				isTempOrTempToastNamespace(get_rel_namespace(entry->relid)))
				ereport(ERROR,
						(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						 errmsg("cannot use temporary relation \"%s\" in a hook's validator",
								get_rel_name(entry->relid)),
						 errdetail("It belongs to the session of whoever resumes the hook."),
						 errhint("Name the schema, or list pg_temp last in the function's search_path.")));
		}
	}
	if (prev_executor_start)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* ----- utility commands ----- */

/*
 * In a validator, raise 42501 unless a utility command leaves nothing behind.
 * One that others are within is as they are.
 */
void
dwf_closed_world_check_command(Node *command)
{
	if (!dwf_restricted_is_validator())
		return;
	switch (nodeTag(command))
	{
		case T_VariableSetStmt:
			/* it is for pools to end what a session does */
			if (((VariableSetStmt *) command)->kind != VAR_RESET_ALL)
				return;
			break;
		case T_ExplainStmt:
			{
				Query	   *query = castNode(Query,
											 ((ExplainStmt *) command)->query);

				if (query->commandType == CMD_UTILITY)
					dwf_closed_world_check_command(query->utilityStmt);
				return;
			}
		case T_VariableShowStmt:
		case T_CallStmt:
		case T_DoStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
		case T_LockStmt:
		case T_NotifyStmt:
			return;
		default:
			break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot execute %s in a hook's validator",
					CreateCommandName(command))));
}

/* Install the hooks */
void
dwf_closed_world_init(void)
{
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	dwf_closed_functions_init();
	dwf_closed_settings_init();
}
