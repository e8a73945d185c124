/*-------------------------------------------------------------------------
 *
 * closed_world.c
 *	  What a validator may do in the session that runs it.
 *
 * A validator is code of the hook's owner in the session that resumes the
 * hook.  It may read and write what the owner may, in the transaction of the
 * resume.  It sees nothing of the session's own state, and leaves nothing in
 * it:
 *
 *	cursors				hidden; the validator's are closed	closed_portals.c
 *	settings			the owner's; undone at the end		closed_settings.c
 *	workflow, journal	the validator has none				restricted.c
 *	query, call stack	hidden								here
 *	temporary objects	refused								here
 *	the session's advisory locks, prepared statements, descriptors of large
 *	objects, last values of sequences, snapshots, statistics, LISTEN, the seed
 *	of random(), signals
 *						out of reach: the functions and commands that use them
 *						are refused							closed_functions.c,
 *															here
 *
 * What is not listed is refused: utility commands by the list in this file,
 * VOLATILE functions in C by the list in closed_functions.c.  What is listed
 * leaves nothing behind but writes of the transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_world.h"

#include "catalog/namespace.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"

#include "base/restricted.h"
#include "hook/closed_functions.h"
#include "hook/closed_plpgsql.h"
#include "store/statement.h"

/* ----- entering and leaving ----- */

/* Note what to hide, before a validator begins.  Raises on lack of memory. */
void
dwf_closed_world_prepare(DwfClosedWorld *world)
{
	memset(world, 0, sizeof(DwfClosedWorld));
	world->settings.context = CurrentMemoryContext;
	world->portals = dwf_closed_portals_find();
	dwf_closed_plpgsql_prepare();
}

/*
 * Hide what is the session's, but for its settings, which need a nest of
 * settings (closed_settings.c).  Cannot fail.
 */
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

/* Show the session again, on every way out of a validator.  Cannot fail. */
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

/*
 * Before a query: in a validator, raise 42501 if it uses a temporary table or
 * view.  From PostgreSQL 16 on a view is there as what it was rewritten to.
 */
void
dwf_closed_world_check_query(QueryDesc *query)
{
	ListCell   *cell;

	if (!dwf_restricted_is_validator() || dwf_statement_is_running())
		return;
	foreach(cell, query->plannedstmt->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		if ((entry->rtekind == RTE_RELATION ||
			 (entry->rtekind == RTE_SUBQUERY && OidIsValid(entry->relid))) &&
			isTempOrTempToastNamespace(get_rel_namespace(entry->relid)))
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("cannot use temporary relation \"%s\" in a hook's validator",
							get_rel_name(entry->relid)),
					 errdetail("It belongs to the session of whoever resumes the hook."),
					 errhint("Name the schema, or list pg_temp last in the function's search_path.")));
	}
}

/* ----- utility commands ----- */

/*
 * In a validator, raise 42501 unless a utility command leaves nothing behind.
 * EXPLAIN of a utility command is allowed if that command is.
 */
void
dwf_closed_world_check_command(Node *command)
{
	if (!dwf_restricted_is_validator())
		return;

	/* Return for what is allowed */
	switch (nodeTag(command))
	{
		case T_VariableSetStmt:
			/* RESET ALL undoes what the session has set */
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

	/* Refuse the others */
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot execute %s in a hook's validator",
					CreateCommandName(command))));
}

/* Install the hooks */
void
dwf_closed_world_init(void)
{
	dwf_closed_functions_init();
	dwf_closed_settings_init();
}
