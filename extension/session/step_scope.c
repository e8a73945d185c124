/*-------------------------------------------------------------------------
 *
 * step_scope.c
 *	  What the command of a step leaves in the session: nothing.
 *
 * A replay takes the step from the journal, in another session.  What the
 * command has left in its own session would be missing there, and the calls
 * that follow would do something else: write to another schema, for example.
 * So a command must leave the session as it was:
 *
 *	settings				SET is compared at the end; SET LOCAL ends with the
 *							command
 *	temporary objects		must be gone at the end; a table ON COMMIT DROP is
 *							dropped with the command.  Those that the session
 *							has made outside of the step can only be read
 *	prepared statements		must be gone at the end; those of the session must
 *							stay
 *	advisory locks			those of the session are counted before and after
 *	LISTEN, DISCARD and		are refused
 *	others
 *
 * Prepared statements and locks are not undone by the server with the
 * command's subtransaction, so they are taken back here when the command has
 * failed.  Cursors are closed in leftover.c.
 *
 *-------------------------------------------------------------------------
 */
#include "session/step_scope.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "commands/prepare.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "session/first_row.h"
#include "session/session_lock.h"

#define REPLAY_DETAIL	"A replay takes the step from the journal, and does not do this again."

/* What is known of the command that runs; its lists are in scope_context */
typedef struct Scope
{
	int			nest_level;		/* of settings, since its begin */
	List	   *created;		/* ObjectAddress: objects that have a schema */
	List	   *dropped_at_commit;	/* OIDs of tables ON COMMIT DROP */
	List	   *prepared;		/* char *: names that it has PREPAREd */
	List	   *locks;			/* advisory locks of the session before */
} Scope;

static Scope scope;
static bool in_scope = false;	/* a command runs */
static MemoryContext scope_context = NULL;

/* ----- settings ----- */

/* Was a setting SET by the command, not only LOCAL, to another value? */
static bool
is_changed(struct config_generic *setting)
{
	GucStack   *entry = setting->stack;
	union config_var_val *old;
	bool		masked;

	if (entry == NULL || entry->nest_level < scope.nest_level ||
		(entry->state != GUC_SET && entry->state != GUC_SET_LOCAL))
		return false;

	/* compare with the value that the setting had before the command */
	old = &entry->prior.val;
	masked = entry->state == GUC_SET_LOCAL;

#define NEW_VALUE(type, member) \
	(masked ? entry->masked.val.member : \
	 *DWF_SETTING(setting, config_##type)->variable)
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return old->boolval != NEW_VALUE(bool, boolval);
		case PGC_INT:
			return old->intval != NEW_VALUE(int, intval);
		case PGC_REAL:
			return old->realval != NEW_VALUE(real, realval);
		case PGC_ENUM:
			return old->enumval != NEW_VALUE(enum, enumval);
		case PGC_STRING:
			{
				const char *was = old->stringval ? old->stringval : "";
				const char *is = NEW_VALUE(string, stringval);

				return strcmp(was, is ? is : "") != 0;
			}
	}
#undef NEW_VALUE
	return true;
}

/* What follows SET or SET LOCAL to get the setting's present value */
static char *
assignment(struct config_generic *setting)
{
	const char *name = setting->name;
	char	   *value;

	if (setting->flags & GUC_SUPERUSER_ONLY)
		return psprintf("%s = ...", name);
	value = GetConfigOptionByName(name, NULL, false);
	if ((setting->flags & GUC_LIST_INPUT) && value[0] != '\0')
		return psprintf("%s = %s", name, value);
	return psprintf("%s = %s", name, quote_literal_cstr(value));
}

/* Raise WF009 if the command has set something for the session */
static void
check_settings(text *step)
{
	int			count;
	struct config_generic **settings = dwf_compat_settings(&count);

	for (int i = 0; i < count; i++)
		if (is_changed(settings[i]))
		{
			char	   *line = assignment(settings[i]);

			ereport(ERROR,
					(errcode(DWF_ERRCODE_NOT_IN_BODY),
					 errmsg("step \"%s\" has set \"%s\" for the session",
							text_to_cstring(step), settings[i]->name),
					 errdetail(REPLAY_DETAIL),
					 errhint("For this command only: SET LOCAL %s; for what follows, too, before the step, where each run does it again: SET %s;",
							 line, line)));
		}
}

/* ----- temporary objects ----- */

/* Can objects of this class be in a schema? */
static bool
is_namespaced(Oid class)
{
	return is_objectclass_supported(class) &&
		get_object_attnum_namespace(class) != InvalidAttrNumber &&
		get_object_catcache_oid(class) >= 0;
}

/* Does the object exist, and is it temporary? */
static bool
is_temporary(const ObjectAddress *object)
{
	return SearchSysCacheExists1(get_object_catcache_oid(object->classId),
								 ObjectIdGetDatum(object->objectId)) &&
		isTempOrTempToastNamespace(get_object_namespace(object));
}

/* Has this command created the object? */
static bool
is_created(Oid class, Oid id)
{
	ListCell   *cell;

	foreach(cell, scope.created)
	{
		ObjectAddress *object = lfirst(cell);

		if (object->classId == class && object->objectId == id)
			return true;
	}
	return false;
}

/* Note that this command has created an object */
static void
note_created(Oid class, Oid id)
{
	MemoryContext old = MemoryContextSwitchTo(scope_context);
	ObjectAddress *object = palloc(sizeof(ObjectAddress));

	ObjectAddressSet(*object, class, id);
	scope.created = lappend(scope.created, object);
	MemoryContextSwitchTo(old);
}

/* Raise WF009 if an object is temporary and this command has not created it */
static void
check_not_sessions(Oid class, Oid id)
{
	ObjectAddress object;

	ObjectAddressSet(object, class, id);
	if (is_created(class, id) || !is_temporary(&object))
		return;
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NOT_IN_BODY),
			 errmsg("a step cannot change what is temporary and not its own: %s",
					getObjectDescription(&object, false)),
			 errdetail(REPLAY_DETAIL),
			 errhint("Change it outside of steps, where each run does it again; or use an ordinary table.")));
}

/* Drop the command's tables that the commit would drop */
static void
drop_tables(void)
{
	ObjectAddresses *objects = new_object_addresses();
	ListCell   *cell;

	foreach(cell, scope.dropped_at_commit)
	{
		ObjectAddress table;

		ObjectAddressSet(table, RelationRelationId, lfirst_oid(cell));
		if (is_created(table.classId, table.objectId) && is_temporary(&table))
			add_exact_object_address(&table, objects);
	}
	performMultipleDeletions(objects, DROP_CASCADE,
							 PERFORM_DELETION_INTERNAL |
							 PERFORM_DELETION_QUIETLY);
	free_object_addresses(objects);
}

/* Is it a table or view, rather than an object that belongs to one? */
static bool
is_main(const ObjectAddress *object)
{
	char		kind;

	if (object->classId != RelationRelationId)
		return false;
	kind = get_rel_relkind(object->objectId);
	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
		kind == RELKIND_VIEW;
}

/* Raise WF009 if the command has left something temporary */
static void
check_temporary(text *step)
{
	ObjectAddress *left = NULL;
	ListCell   *cell;

	if (scope.created == NIL)
		return;

	/* drop what the commit would drop */
	CommandCounterIncrement();
	if (scope.dropped_at_commit != NIL)
		drop_tables();

	/* look for what is left, first of all for a table or view */
	foreach(cell, scope.created)
	{
		ObjectAddress *object = lfirst(cell);

		if ((left == NULL || (!is_main(left) && is_main(object))) &&
			is_temporary(object))
			left = object;
	}
	if (left)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("step \"%s\" has left something temporary: %s",
						text_to_cstring(step),
						getObjectDescription(left, false)),
				 errdetail(REPLAY_DETAIL),
				 errhint("For this command only: drop it at its end, or create the table ON COMMIT DROP. For what follows, too: use an ordinary table, with the workflow's id in it.")));
}

/* ----- prepared statements ----- */

/* Remove a name from those that this command has prepared; false if absent */
static bool
forget_prepared(const char *name)
{
	ListCell   *cell;

	foreach(cell, scope.prepared)
	{
		if (strcmp(lfirst(cell), name) == 0)
		{
			scope.prepared = foreach_delete_current(scope.prepared, cell);
			return true;
		}
	}
	return false;
}

/* Note that this command has prepared a statement */
static void
note_prepared(const char *name)
{
	MemoryContext old = MemoryContextSwitchTo(scope_context);

	scope.prepared = lappend(scope.prepared, pstrdup(name));
	MemoryContextSwitchTo(old);
}

/* Raise WF009 if the command has left a prepared statement */
static void
check_prepared(text *step)
{
	if (scope.prepared != NIL)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("step \"%s\" has left prepared statement \"%s\"",
						text_to_cstring(step),
						(char *) linitial(scope.prepared)),
				 errdetail(REPLAY_DETAIL),
				 errhint("DEALLOCATE it in the command; or PREPARE it outside of steps, where each run does it again.")));
}

/* ----- advisory locks ----- */

/* Raise WF009 if the session holds other advisory locks than before */
static void
check_locks(text *step)
{
	List	   *locks = dwf_session_lock_list();

	if (!dwf_session_lock_same(scope.locks, locks))
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("step \"%s\" has changed which advisory locks the session holds",
						text_to_cstring(step)),
				 errdetail(REPLAY_DETAIL),
				 errhint("Take and release a lock in the same command, or use pg_advisory_xact_lock(); or do both outside of steps, where each run does it again.")));
}

/* ----- statements ----- */

/* In the command of a step, raise WF009: this is to be executed outside */
void
dwf_step_scope_refuse(const char *command)
{
	if (in_scope)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot execute %s inside a step", command),
				 errdetail(REPLAY_DETAIL),
				 errhint("Execute it outside of steps, where each run does it again.")));
}

/* Raise WF009 if a utility statement would leave something in the session */
static void
check_utility(Node *node)
{
	/* refuse what changes the session for longer than the command */
	switch (nodeTag(node))
	{
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_LoadStmt:
			dwf_step_scope_refuse(CreateCommandName(node));
			break;
		case T_DiscardStmt:
			if (((DiscardStmt *) node)->target != DISCARD_PLANS)
				dwf_step_scope_refuse(CreateCommandName(node));
			break;
		case T_VariableSetStmt:
			if (((VariableSetStmt *) node)->kind == VAR_RESET_ALL)
				dwf_step_scope_refuse("RESET ALL");
			break;
		case T_DeallocateStmt:	/* of a statement of the session's */
			{
				const char *name = ((DeallocateStmt *) node)->name;

				if (name == NULL ||
					(FetchPreparedStatement(name, false) != NULL &&
					 !forget_prepared(name)))
					dwf_step_scope_refuse(CreateCommandName(node));
				break;
			}
		case T_CopyStmt:		/* into a temporary table of the session's */
			{
				CopyStmt   *copy = (CopyStmt *) node;
				Oid			table = InvalidOid;

				if (copy->is_from && copy->relation)
					table = RangeVarGetRelid(copy->relation, NoLock, true);
				if (OidIsValid(table))
					check_not_sessions(RelationRelationId, table);
				break;
			}
		default:
			break;
	}
}

/*
 * Before a utility statement: raise WF009 if it would leave something.
 * Returns whether it is in a step, and dwf_step_scope_end_utility() is to be
 * called after it.
 */
bool
dwf_step_scope_begin_utility(Node *node, DestReceiver *dest)
{
	if (!in_scope)
		return false;
	dwf_first_row_begin_statement(dest);
	check_utility(node);
	return true;
}

/* After a utility statement of a step: note what it has made that must go */
void
dwf_step_scope_end_utility(Node *node)
{
	RangeVar   *table = NULL;
	Oid			id;
	MemoryContext old;

	if (!in_scope)
		return;

	/* a prepared statement, or a table ON COMMIT DROP */
	if (IsA(node, PrepareStmt))
		note_prepared(((PrepareStmt *) node)->name);
	else if (IsA(node, CreateStmt) &&
			 ((CreateStmt *) node)->oncommit == ONCOMMIT_DROP)
		table = ((CreateStmt *) node)->relation;
	else if (IsA(node, CreateTableAsStmt) &&
			 ((CreateTableAsStmt *) node)->into->onCommit == ONCOMMIT_DROP)
		table = ((CreateTableAsStmt *) node)->into->rel;
	if (table == NULL)
		return;

	id = RangeVarGetRelid(table, NoLock, true);
	old = MemoryContextSwitchTo(scope_context);
	scope.dropped_at_commit = lappend_oid(scope.dropped_at_commit, id);
	MemoryContextSwitchTo(old);
}

/* Before a query: raise WF009 if it writes to a temporary table not its own */
void
dwf_step_scope_begin_query(QueryDesc *query, int flags)
{
	int			at = 0;
	int			relation;

	if (!in_scope)
		return;
	dwf_first_row_begin_statement(query->dest);
	if (flags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	while ((relation = dwf_compat_next_target(query->plannedstmt, &at)) > 0)
	{
		RangeTblEntry *entry = rt_fetch(relation, query->plannedstmt->rtable);

		if (get_rel_persistence(entry->relid) == RELPERSISTENCE_TEMP)
			check_not_sessions(RelationRelationId, entry->relid);
	}
}

/*
 * An object was created, or is about to be changed: note it, or raise WF009 if
 * it is temporary and the session has made it outside of the step
 */
void
dwf_step_scope_check_object(ObjectAccessType access, Oid class, Oid object,
							int sub_object)
{
	if (!in_scope || access == OAT_NAMESPACE_SEARCH || !is_namespaced(class))
		return;
	if (access == OAT_POST_CREATE && sub_object == 0)
		note_created(class, object);
	else
		check_not_sessions(class, object);
}

/* ----- a command ----- */

/* The command of a step begins, in a subtransaction of its own */
void
dwf_step_scope_begin(void)
{
	if (scope_context == NULL)
		scope_context = AllocSetContextCreate(TopMemoryContext,
											  "durable_wf step",
											  ALLOCSET_SMALL_SIZES);
	MemoryContextReset(scope_context);
	memset(&scope, 0, sizeof(scope));
	if (dwf_session_lock_may_exist())
	{
		MemoryContext old = MemoryContextSwitchTo(scope_context);

		scope.locks = dwf_session_lock_list();
		MemoryContextSwitchTo(old);
	}
	scope.nest_level = NewGUCNestLevel();
	in_scope = true;
}

/*
 * The command has succeeded: raise WF009 if it has left something in the
 * session, and end what it has SET LOCAL
 */
void
dwf_step_scope_end(text *step)
{
	check_settings(step);
	check_prepared(step);
	check_temporary(step);
	if (dwf_session_lock_may_exist())
		check_locks(step);
	AtEOXact_GUC(false, scope.nest_level);
	in_scope = false;
}

/*
 * The command has failed, and its subtransaction was rolled back: take back
 * what the server has not.  Does nothing after dwf_step_scope_end().
 */
void
dwf_step_scope_abort(void)
{
	ListCell   *cell;

	if (!in_scope)
		return;
	in_scope = false;
	foreach(cell, scope.prepared)
	{
		DropPreparedStatement(lfirst(cell), false);
	}
	if (dwf_session_lock_may_exist())
		dwf_session_lock_restore(scope.locks);
}
