/*-------------------------------------------------------------------------
 *
 * closed_world.c
 *	  What a validator may do in the session whose guest it is.
 *
 * A validator is code of the hook's owner in the session of whoever resumes the
 * hook.  It may read and write what its owner may, in the resumer's transaction;
 * of the session itself it finds nothing, and it leaves nothing in it:
 *
 *	cursors				are hidden, its own closed		closed_portals.c
 *	settings			are its owner's, then undone	closed_settings.c
 *	workflow, journal	there are none for it			restricted.c
 *	query, call stack	are hidden						here
 *	temporary objects	are refused						here
 *	advisory locks, prepared statements, large-object descriptors, the seed of
 *	random(), last values of sequences, snapshots, statistics, signals, LISTEN
 *						are refused, as the functions and commands
 *						that reach them are				here
 *
 * Both lists are closed: a utility command, or a VOLATILE function in C that is
 * the server's or another extension's, is refused unless it is on them.  What
 * is on them leaves nothing but writes of the transaction.  (A function that is
 * not VOLATILE promises to leave nothing; those that show the session are on a
 * list of their own.)  sql/closed_world.sql calls all of the server's.
 *
 * A function is checked where the executor, or PL/pgSQL, prepares an expression
 * that calls it.
 *
 *-------------------------------------------------------------------------
 */
#include "closed_world.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "plan.h"
#include "restricted.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static object_access_hook_type prev_object_access = NULL;
static needs_fmgr_hook_type prev_needs_fmgr = NULL;

/* The server's VOLATILE functions that a validator may call */
static const Oid allowed[] = {
	/* time and chance */
	F_CLOCK_TIMESTAMP, F_TIMEOFDAY, F_PG_SLEEP, F_RANDOM, F_GEN_RANDOM_UUID,
	/* undone with its settings */
	F_SET_CONFIG,
	/* hidden */
	F_CURRENT_QUERY,
	/* writes of the transaction, and of sequences */
	F_NEXTVAL, F_SETVAL_REGCLASS_INT8, F_SETVAL_REGCLASS_INT8_BOOL,
	F_PG_NOTIFY, F_LO_CREAT, F_LO_CREATE, F_LO_FROM_BYTEA, F_LO_PUT,
	/* reading */
	F_LO_GET_OID, F_LO_GET_OID_INT8_INT4, F_TXID_STATUS, F_PG_XACT_STATUS,
	F_PG_IS_IN_RECOVERY
};

/* Those that are not VOLATILE, and show what the session has */
static const Oid refused[] = {
	F_PG_PREPARED_STATEMENT, F_PG_LISTENING_CHANNELS
};

/* Extensions whose functions keep nothing in the session */
static const char *const extensions[] = {
	"durable_wf", "pgcrypto", "uuid-ossp"
};

/* ----- in and out ----- */

/* Note what is to be hidden, before anything is */
void
dwf_closed_world_prepare(DwfClosedWorld *world)
{
	memset(world, 0, sizeof(DwfClosedWorld));
	world->settings.context = CurrentMemoryContext;
	world->portals = dwf_closed_portals_find();
}

/* Hide it, but for the settings, which need a nest.  Cannot fail. */
void
dwf_closed_world_enter(DwfClosedWorld *world)
{
	world->query_string = debug_query_string;
	world->callers = error_context_stack;
	debug_query_string = NULL;
	error_context_stack = NULL;
	dwf_closed_portals_hide(world->portals);
}

/* Show it again, on every way out.  Cannot fail. */
void
dwf_closed_world_leave(DwfClosedWorld *world)
{
	Assert(world->settings.resets == NIL);
	dwf_closed_portals_show(world->portals);
	error_context_stack = world->callers;
	debug_query_string = world->query_string;
}

/* ----- functions ----- */

/* Is a member of this array the OID? */
static bool
is_one_of(const Oid *oids, int count, Oid oid)
{
	for (int i = 0; i < count; i++)
		if (oids[i] == oid)
			return true;
	return false;
}

/* Does a function belong to an extension that keeps nothing in the session? */
static bool
is_of_known_extension(Oid function)
{
	Oid			extension = getExtensionOfObject(ProcedureRelationId, function);
	char	   *name;

	if (!OidIsValid(extension))
		return false;
	name = get_extension_name(extension);
	for (int i = 0; name && i < (int) lengthof(extensions); i++)
		if (strcmp(name, extensions[i]) == 0)
			return true;
	return false;
}

/* Is it the session's own, as what lies in pg_temp is? */
static bool
is_temporary(Oid namespace)
{
	return OidIsValid(namespace) && isTempOrTempToastNamespace(namespace);
}

/* Does what a validator calls stay within its world? */
static bool
is_closed(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		in_c;
	bool		is_volatile;
	Oid			namespace;

	if (is_one_of(allowed, lengthof(allowed), function))
		return true;
	if (is_one_of(refused, lengthof(refused), function))
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return true;			/* the caller will say so */
	form = (Form_pg_proc) GETSTRUCT(tuple);
	in_c = form->prolang == INTERNALlanguageId || form->prolang == ClanguageId;
	is_volatile = form->provolatile == PROVOLATILE_VOLATILE;
	namespace = form->pronamespace;
	ReleaseSysCache(tuple);

	if (is_temporary(namespace))
		return false;
	return !in_c || !is_volatile || is_of_known_extension(function);
}

/*
 * The planner would put what a function of SQL does in its place, and nobody
 * would be asked: not if it is the session's own
 */
static bool
needs_fmgr(Oid function)
{
	return (prev_needs_fmgr && prev_needs_fmgr(function)) ||
		(dwf_restricted_is_validator() &&
		 is_temporary(get_func_namespace(function)));
}

/* A function is about to be called */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_object,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub_object, arg);
	if (access != OAT_FUNCTION_EXECUTE || !dwf_restricted_is_validator() ||
		dwf_plan_is_running() || is_closed(object))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot call %s() in a hook's validator",
					get_func_name(object)),
			 errdetail("It could reach the session of whoever resumes the hook, or leave something there."),
			 errhint("Let the workflow call it, with the payload.")));
}

/* ----- relations ----- */

/* A query is about to be run: it may not touch what is the session's own */
static void
executor_start(QueryDesc *query, int flags)
{
	if (dwf_restricted_is_validator() && !dwf_plan_is_running())
	{
		ListCell   *cell;

		foreach(cell, query->plannedstmt->rtable)
		{
			RangeTblEntry *entry = lfirst(cell);

			if (entry->rtekind == RTE_RELATION &&
				is_temporary(get_rel_namespace(entry->relid)))
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
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	prev_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = needs_fmgr;
	dwf_closed_settings_init();
}
