/*-------------------------------------------------------------------------
 *
 * closed_functions.c
 *	  Which functions a validator may call.
 *
 * A VOLATILE function in C, of the server or of an extension, is refused
 * unless it is on a list here: it could reach the session that resumes the
 * hook, or leave something in it.  A function that is not VOLATILE promises to
 * leave nothing; those of them that show what the session has are on a list of
 * their own.  Functions in other languages call functions in C.
 * sql/closed_world.sql calls all functions of the server.
 *
 * A function is checked where the executor prepares an expression that calls
 * it.  PL/pgSQL prepares a simple expression only once in a transaction;
 * closed_plpgsql.c makes it prepare them anew.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_functions.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/compat.h"
#include "base/restricted.h"
#include "store/statement.h"

static needs_fmgr_hook_type prev_needs_fmgr = NULL;

/* The VOLATILE functions of the server that a validator may call */
static const Oid allowed[] = {
	/* time and chance */
	F_CLOCK_TIMESTAMP, F_TIMEOFDAY, F_PG_SLEEP, DWF_RANDOM_FUNCTIONS,
	F_GEN_RANDOM_UUID,
	/* undone with the settings at the end of the validator */
	F_SET_CONFIG,
	/* what they show is hidden (closed_world.c) */
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

/* The functions that are not VOLATILE and show what the session has */
static const Oid refused[] = {
	F_PG_PREPARED_STATEMENT, F_PG_LISTENING_CHANNELS
};

/* The extensions whose functions keep nothing in the session */
static const char *const extensions[] = {
	"durable_wf", "pgcrypto", "uuid-ossp"
};

/* Is the OID a member of this array? */
static bool
is_one_of(const Oid *oids, int count, Oid oid)
{
	for (int i = 0; i < count; i++)
		if (oids[i] == oid)
			return true;
	return false;
}

/* Does a function belong to an extension of the list? */
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

/* Does a namespace hold temporary objects, which are a session's own? */
static bool
is_temporary(Oid namespace)
{
	return OidIsValid(namespace) && isTempOrTempToastNamespace(namespace);
}

/* May a validator call this function? */
static bool
is_allowed(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		in_c;
	bool		is_volatile;
	Oid			namespace;

	/* The lists decide about the server's functions */
	if (is_one_of(allowed, lengthof(allowed), function))
		return true;
	if (is_one_of(refused, lengthof(refused), function))
		return false;

	/* Read how the function is declared */
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return true;			/* dropped: the call will raise */
	form = (Form_pg_proc) GETSTRUCT(tuple);
	in_c = form->prolang == INTERNALlanguageId || form->prolang == ClanguageId;
	is_volatile = form->provolatile == PROVOLATILE_VOLATILE;
	namespace = form->pronamespace;
	ReleaseSysCache(tuple);

	/* Refuse the session's own, and VOLATILE functions in C */
	if (is_temporary(namespace))
		return false;
	return !in_c || !is_volatile || is_of_known_extension(function);
}

/*
 * needs_fmgr hook: in a validator, keep the planner from inlining a temporary
 * function in SQL; once inlined, it is not checked.
 */
static bool
needs_fmgr(Oid function)
{
	return (prev_needs_fmgr && prev_needs_fmgr(function)) ||
		(dwf_restricted_is_validator() &&
		 is_temporary(get_func_namespace(function)));
}

/* Before a function is called: in a validator, raise 42501 if it may not be */
void
dwf_closed_functions_check(Oid function)
{
	if (!dwf_restricted_is_validator() || dwf_statement_is_running() ||
		is_allowed(function))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot call %s() in a hook's validator",
					get_func_name(function)),
			 errdetail("It could reach the session of whoever resumes the hook, or leave something there."),
			 errhint("Let the workflow call it, with the payload.")));
}

/* Install the hook of the planner */
void
dwf_closed_functions_init(void)
{
	prev_needs_fmgr = needs_fmgr_hook;
	needs_fmgr_hook = needs_fmgr;
}
