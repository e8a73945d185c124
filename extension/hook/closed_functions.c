/*-------------------------------------------------------------------------
 *
 * closed_functions.c
 *	  Which functions a validator may call.
 *
 * A VOLATILE function in C, of the server's or an extension's, is refused
 * unless it is on a list here: it could reach the session of whoever resumes
 * the hook, or leave something there.  One that is not VOLATILE promises to
 * leave nothing; those that show the session are on a list of their own.
 * Functions in other languages are made of these.  sql/closed_world.sql calls
 * all of the server's.
 *
 * A function is asked about where the executor prepares an expression that calls
 * it.  PL/pgSQL, which does that once in a transaction, is made to do it anew
 * (closed_plpgsql.c).
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_functions.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/restricted.h"
#include "store/statement.h"

static object_access_hook_type prev_object_access = NULL;
static needs_fmgr_hook_type prev_needs_fmgr = NULL;

/* The server's VOLATILE functions that a validator may call */
static const Oid allowed[] = {
	/* time and chance */
	F_CLOCK_TIMESTAMP, F_TIMEOFDAY, F_PG_SLEEP, DWF_RANDOM_FUNCTIONS,
	F_GEN_RANDOM_UUID,
	/* undone with its settings */
	F_SET_CONFIG,
	/* hidden */
	F_CURRENT_QUERY,
	/* writes of the transaction, and of sequences */
	F_NEXTVAL, F_SETVAL_REGCLASS_INT8, F_SETVAL_REGCLASS_INT8_BOOL,
	F_PG_NOTIFY, F_LO_CREAT, F_LO_CREATE, F_LO_FROM_BYTEA, F_LO_PUT,
	/* locks that end with the transaction, as those on rows do */
	F_PG_ADVISORY_XACT_LOCK_INT8, F_PG_ADVISORY_XACT_LOCK_INT4_INT4,
	F_PG_ADVISORY_XACT_LOCK_SHARED_INT8,
	F_PG_ADVISORY_XACT_LOCK_SHARED_INT4_INT4,
	F_PG_TRY_ADVISORY_XACT_LOCK_INT8, F_PG_TRY_ADVISORY_XACT_LOCK_INT4_INT4,
	F_PG_TRY_ADVISORY_XACT_LOCK_SHARED_INT8,
	F_PG_TRY_ADVISORY_XACT_LOCK_SHARED_INT4_INT4,
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
	Oid			extension;
	char	   *name;

	extension = getExtensionOfObject(ProcedureRelationId, function);
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
is_allowed(Oid function)
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
		dwf_statement_is_running() || is_allowed(object))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot call %s() in a hook's validator",
					get_func_name(object)),
			 errdetail("It could reach the session of whoever resumes the hook, or leave something there."),
			 errhint("Let the workflow call it, with the payload.")));
}

/* Install the hooks */
void
dwf_closed_functions_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	prev_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = needs_fmgr;
}
