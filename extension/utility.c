/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  What we do before and after utility statements.
 *
 *	PREPARE TRANSACTION		tell prepared.c the name
 *	COMMIT PREPARED,		wake waiters of this database: those of the
 *	ROLLBACK PREPARED		transaction's notes, or all if another session has
 *							prepared it and it may have had notes
 *	DROP, ALTER EXTENSION	first end the waits of this database with an error
 *							and have our worker leave it, so that they do not
 *							block the statement; no wait begins before it ends
 *	CREATE EXTENSION, DROP	have the launcher look at this database if the
 *	... CASCADE, and others	statement has created or dropped the extension
 *	CREATE, DROP, ALTER		have our worker leave a database that must have
 *	DATABASE				no sessions, and the launcher look afterwards
 *	ALTER ROLE, GRANT		have our workers look for bodies that can be run
 *							now
 *	DROP ROLE, DROP OWNED,	say which workflows are left as they are (owned.c)
 *	REASSIGN OWNED
 *	UNLISTEN, DISCARD ALL	end what wf_listen began
 *	DISCARD ALL, RESET ALL	detach: a pool cleans the session for another
 *							client
 *	in a body				refused where it may not write (guard.c); SET
 *							counts (kept_plans.c)
 *	in a step				refused if it would leave something (step_scope.c)
 *	in a hook's validator	refused, with few exceptions (closed_world.c)
 *
 * Queries are in query.c.
 *
 *-------------------------------------------------------------------------
 */
#include "utility.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "tcop/pquery.h"
#include "tcop/utility.h"
#include "utils/portal.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "hook/closed_world.h"
#include "owned.h"
#include "session/guard.h"
#include "session/kept_plans.h"
#include "session/stash.h"
#include "session/step_scope.h"
#include "shared/ahead.h"
#include "shared/claim.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "shared/waiter.h"
#include "shared/watch.h"
#include "shared/workers.h"
#include "store/catalog.h"
#include "store/store.h"

#include "shared/dismissal.h"
#include "shared/interest.h"
#include "shared/preloaded.h"

#define DWF_EXTENSION	"durable_wf"

static ProcessUtility_hook_type prev_process_utility = NULL;

/* Have the server, or the next library, run the statement */
#define RUN_STATEMENT() \
	(prev_process_utility ? prev_process_utility : standard_ProcessUtility) \
		(statement, query_string, read_only_tree, context, params, \
		 query_env, dest, completion)

/*
 * May a prepared transaction have had notes, though its name is not in shared
 * memory?  A restart loses the names, and a standby has never known them.
 */
static bool
may_be_lost(const char *gid)
{
	TransactionId xid;

	if (!dwf_preloaded() || !dwf_catalog_is_installed())
		return false;
	xid = dwf_store_prepared_xid(gid);
	return TransactionIdIsValid(xid) && dwf_prepared_may_be_lost(xid);
}

/* Could the current user drop or alter the extension? */
static bool
owns_extension(void)
{
	Oid			extension = get_extension_oid(DWF_EXTENSION, true);

	return OidIsValid(extension) &&
		dwf_compat_owns_extension(extension, GetUserId());
}

/* Does the statement drop or alter our extension by name? */
static bool
concerns_extension(Node *node)
{
	ListCell   *cell;

	if (IsA(node, AlterExtensionStmt))
		return strcmp(((AlterExtensionStmt *) node)->extname,
					  DWF_EXTENSION) == 0;
	if (!IsA(node, DropStmt) ||
		((DropStmt *) node)->removeType != OBJECT_EXTENSION)
		return false;
	foreach(cell, ((DropStmt *) node)->objects)
	{
		if (strcmp(strVal(lfirst(cell)), DWF_EXTENSION) == 0)
			return true;
	}
	return false;
}

/*
 * Can the statement create or drop the extension?  It is created with another
 * extension that requires it, and dropped with that, with its schema or with
 * its owner.
 */
static bool
can_change_extension(Node *node)
{
	switch (nodeTag(node))
	{
		case T_CreateExtensionStmt:
		case T_DropOwnedStmt:
			return true;
		case T_DropStmt:
			return ((DropStmt *) node)->removeType == OBJECT_EXTENSION ||
				((DropStmt *) node)->behavior == DROP_CASCADE;
		case T_TransactionStmt:
			return ((TransactionStmt *) node)->kind ==
				TRANS_STMT_COMMIT_PREPARED;
		default:
			return false;
	}
}

/* Is the extension in this database, as far as this transaction sees? */
static bool
has_extension(void)
{
	return OidIsValid(get_extension_oid(DWF_EXTENSION, true));
}

/*
 * The database of this name, if the current user owns it and so may alter,
 * rename and drop it; else InvalidOid
 */
static Oid
own_database(const char *name)
{
	Oid			database = get_database_oid(name, true);

	if (!OidIsValid(database) ||
		!dwf_compat_owns_database(database, GetUserId()))
		return InvalidOid;
	return database;
}

/*
 * May the current user create databases?  (The server's own function for that
 * is not exported by every minor release.)
 */
static bool
may_create_databases(void)
{
	HeapTuple	row;
	bool		may;

	if (superuser())
		return true;
	row = SearchSysCache1(AUTHOID, ObjectIdGetDatum(GetUserId()));
	if (!HeapTupleIsValid(row))
		return false;
	may = ((Form_pg_authid) GETSTRUCT(row))->rolcreatedb;
	ReleaseSysCache(row);
	return may;
}

/* The database of this name if the user may copy it; else InvalidOid */
static Oid
copyable_database(const char *name)
{
	Oid			database = get_database_oid(name, true);
	HeapTuple	row;
	bool		is_template;

	row = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(row))
		return InvalidOid;
	is_template = ((Form_pg_database) GETSTRUCT(row))->datistemplate;
	ReleaseSysCache(row);

	if (!may_create_databases() ||
		!(is_template || dwf_compat_owns_database(database, GetUserId())))
		return InvalidOid;
	return database;
}

/* The database that CREATE DATABASE copies; InvalidOid if the user may not */
static Oid
template_of(CreatedbStmt *create)
{
	const char *template = "template1";
	ListCell   *cell;

	foreach(cell, create->options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, "template") == 0 && option->arg)
			template = defGetString(option);
	}
	return copyable_database(template);
}

/* Does ALTER DATABASE move the database to another tablespace? */
static bool
moves_database(AlterDatabaseStmt *alter)
{
	ListCell   *cell;

	foreach(cell, alter->options)
	{
		if (strcmp(((DefElem *) lfirst(cell))->defname, "tablespace") == 0)
			return true;
	}
	return false;
}

/*
 * Before a statement about databases or roles: have our worker leave a
 * database that must have no sessions, and have the launcher look afterwards;
 * or have the workers look afterwards as which roles bodies can be run.  A
 * statement about a database that the current user may not run, and which is
 * about to fail, makes no worker leave.
 */
static void
mind_presence(Node *node)
{
	switch (nodeTag(node))
	{
		case T_CreatedbStmt:
			/* a launcher that looks at the template finds the new one, too */
			dwf_presence_clear(template_of((CreatedbStmt *) node));
			break;
		case T_DropdbStmt:
			dwf_presence_clear(own_database(((DropdbStmt *) node)->dbname));
			break;
		case T_RenameStmt:
			if (((RenameStmt *) node)->renameType == OBJECT_DATABASE)
			{
				RenameStmt *rename = (RenameStmt *) node;

				dwf_presence_clear(own_database(rename->subname));
			}
			break;
		case T_AlterDatabaseStmt:
			{
				AlterDatabaseStmt *alter = (AlterDatabaseStmt *) node;
				Oid			database = own_database(alter->dbname);

				if (moves_database(alter))
					dwf_presence_clear(database);
				else if (OidIsValid(database))
					dwf_presence_changed(database);
				break;
			}
		case T_AlterRoleStmt:
		case T_GrantRoleStmt:
			dwf_presence_roles_changed();
			break;
		case T_GrantStmt:
			if (((GrantStmt *) node)->objtype == OBJECT_DATABASE)
				dwf_presence_roles_changed();
			break;
		default:
			break;
	}
}

/*
 * Has the client sent this statement, alone or with others in one string?
 * (ProcessUtilityContext is the same for the latter and for statements in a
 * function.)
 */
static bool
is_sent_by_client(PlannedStmt *statement)
{
	return ActivePortal && list_member_ptr(ActivePortal->stmts, statement);
}

/*
 * Before a statement that ends listening, or detaches the session: note that.
 * If the statement fails, its transaction's abort takes it back.  RESET ALL in
 * a function, which may be another user's, is about settings only.
 */
static void
mind_session(PlannedStmt *statement)
{
	Node	   *node = statement->utilityStmt;

	if (IsA(node, UnlistenStmt))
		dwf_interest_remove_channel(((UnlistenStmt *) node)->conditionname);
	else if (IsA(node, DiscardStmt) &&
			 ((DiscardStmt *) node)->target == DISCARD_ALL)
	{
		dwf_interest_remove_channel(NULL);
		dwf_claim_lose_at_commit();
	}
	else if (IsA(node, VariableSetStmt) &&
			 ((VariableSetStmt *) node)->kind == VAR_RESET_ALL &&
			 is_sent_by_client(statement))
		dwf_claim_lose_at_commit();
}

/*
 * A prepared transaction was committed or rolled back: do what the end of the
 * transaction would have done.  "before" and "after" are what prepared.c knew
 * of its name before that, and after; "own" is its xid if this session has its
 * notes; "lost" tells that it may have had notes that are lost.
 */
static void
tell_prepared(bool commit, TransactionId own, bool lost,
			  const DwfPrepared *before, const DwfPrepared *after)
{
	if (TransactionIdIsValid(own) && before->xid == own && after->xid == own)
		dwf_stash_end(own, commit);
	else if (lost || before->has_notes || after->has_notes)
	{
		dwf_ahead_arrived_all();
		dwf_waiter_wake_database(false);
		dwf_watch_wake_all();
		dwf_workers_recheck();
	}

	if (commit && after->has_change)
		dwf_workers_request(after->changed_database);
	else if (commit && lost)
		dwf_workers_request(MyDatabaseId);
	if (lost || TransactionIdIsValid(before->xid) ||
		TransactionIdIsValid(after->xid))
		dwf_prepared_forget_ended();
}

/* Run a statement, and do what is ours before and after it */
static void
run_statement(PlannedStmt *statement, const char *query_string,
			  bool read_only_tree, ProcessUtilityContext context,
			  ParamListInfo params, QueryEnvironment *query_env,
			  DestReceiver *dest, QueryCompletion *completion)
{
	Node	   *node = statement->utilityStmt;
	TransactionStmt *end = IsA(node, TransactionStmt) ?
	(TransactionStmt *) node : NULL;

	if (end && end->kind == TRANS_STMT_PREPARE)
	{
		dwf_prepared_announce(end->gid);
		RUN_STATEMENT();
	}
	else if (end && (end->kind == TRANS_STMT_COMMIT_PREPARED ||
					 end->kind == TRANS_STMT_ROLLBACK_PREPARED))
	{
		bool		commit = end->kind == TRANS_STMT_COMMIT_PREPARED;
		TransactionId own = dwf_stash_find(end->gid);
		bool		lost = !TransactionIdIsValid(own) && may_be_lost(end->gid);
		DwfPrepared before = {0};
		DwfPrepared after;

		(void) dwf_prepared_find(end->gid, &before);
		RUN_STATEMENT();

		/* another session may have prepared it just after the first look */
		if (!dwf_prepared_find(end->gid, &after))
			after = before;
		tell_prepared(commit, own, lost, &before, &after);
	}
	else if (dwf_preloaded() && concerns_extension(node) && owns_extension())
	{
		PG_TRY();
		{
			dwf_dismissal_begin();
			/* our worker locks the tables, too, and in another order */
			dwf_presence_clear(MyDatabaseId);
			RUN_STATEMENT();
		}
		PG_FINALLY();
		{
			dwf_dismissal_end();
		}
		PG_END_TRY();
	}
	else
	{
		if (dwf_preloaded())
			mind_presence(node);
		mind_session(statement);
		RUN_STATEMENT();		/* a ROLLBACK may free the statement */
	}
}

/*
 * Run a statement, in a body by the rules of guard.c: outside of steps it may
 * not write, and the error says what to do instead.  CALL and DO are exempt,
 * since the statements that they run are checked one by one.
 */
static void
run_guarded(PlannedStmt *statement, const char *query_string,
			bool read_only_tree, ProcessUtilityContext context,
			ParamListInfo params, QueryEnvironment *query_env,
			DestReceiver *dest, QueryCompletion *completion)
{
	if (!dwf_guard_body() || IsA(statement->utilityStmt, CallStmt) ||
		IsA(statement->utilityStmt, DoStmt))
	{
		run_statement(statement, query_string, read_only_tree, context,
					  params, query_env, dest, completion);
		return;
	}
	dwf_guard_check_command(statement->utilityStmt, query_string);
	PG_TRY();
	{
		run_statement(statement, query_string, read_only_tree, context,
					  params, query_env, dest, completion);
	}
	PG_CATCH();
	{
		dwf_guard_explain(query_string);
	}
	PG_END_TRY();
}

/*
 * The hook: a utility statement is to be run.  "statement" may be freed by a
 * ROLLBACK, but not in a step, where there is none.
 */
static void
process_utility(PlannedStmt *statement, const char *query_string,
				bool read_only_tree, ProcessUtilityContext context,
				ParamListInfo params, QueryEnvironment *query_env,
				DestReceiver *dest, QueryCompletion *completion)
{
	bool		may_change = dwf_preloaded() &&
	can_change_extension(statement->utilityStmt);
	bool		had_extension = may_change && has_extension();
	bool		in_step;
	List	   *owners = dwf_owned_owners(statement->utilityStmt);

	in_step = dwf_step_scope_begin_utility(statement->utilityStmt, dest);
	dwf_closed_world_check_command(statement->utilityStmt);
	dwf_kept_plans_note_command(statement->utilityStmt);
	run_guarded(statement, query_string, read_only_tree, context, params,
				query_env, dest, completion);
	if (in_step)
		dwf_step_scope_end_utility(statement->utilityStmt);
	if (may_change && has_extension() != had_extension)
		dwf_presence_changed(MyDatabaseId);
	if (owners != NIL)
		dwf_owned_tell(owners);
}

/* Install the hook */
void
dwf_utility_init(void)
{
	prev_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
