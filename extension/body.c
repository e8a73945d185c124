/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The procedures that are bodies of SQL workflows.
 *
 *-------------------------------------------------------------------------
 */
#include "body.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_database.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "args.h"
#include "portable.h"

PG_FUNCTION_INFO_V1(dwf_resolve_body);

/* Find the procedure of this name with one jsonb argument; raises 42883 */
static Oid
find_procedure(text *name)
{
	ObjectWithArgs *object = makeNode(ObjectWithArgs);
	Oid			procedure;

	object->objname = textToQualifiedNameList(name);
	object->objargs = list_make1(makeTypeNameFromOid(JSONBOID, -1));
	procedure = LookupFuncWithArgs(OBJECT_PROCEDURE, object, true);
	if (!OidIsValid(procedure))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no procedure %s(jsonb)",
						text_to_cstring(name)),
				 errhint("A body is a procedure with one argument: CREATE PROCEDURE %s(input jsonb) LANGUAGE plpgsql AS ...",
						 text_to_cstring(name))));
	return procedure;
}

/* Raise 0A000 for a procedure that could not commit, or not be replayed */
static void
check_procedure(Form_pg_proc form, bool has_settings)
{
	const char *reason = NULL;
	char	   *language = get_language_name(form->prolang, false);

	if (strcmp(language, "plpgsql") != 0)
		reason = "It is not written in PL/pgSQL.";
	else if (form->prosecdef)
		reason = "It is SECURITY DEFINER, so it cannot commit.";
	else if (has_settings)
		reason = "It has a SET clause, so it cannot commit.";
	if (reason)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("procedure %s(jsonb) cannot be the body of a workflow",
						NameStr(form->proname)),
				 errdetail_internal("%s", reason)));
}

/* Raise 42501 unless a role can log in and connect, as its executors must */
static void
check_role(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		can_login = HeapTupleIsValid(tuple) &&
		((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	if (!can_login || !dwf_compat_can_connect(MyDatabaseId, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" cannot own a workflow with a body",
						GetUserNameFromId(role, false)),
				 errdetail("Its body runs in a session of that role, which cannot log in or connect to this database."),
				 errhint("Give it LOGIN, and CONNECT on the database.")));
}

/*
 * Check that a procedure, found with the current search_path, can be the body
 * of a workflow of this role, and return its qualified name.
 */
text *
dwf_body_resolve(text *name, Oid role)
{
	Oid			procedure = find_procedure(name);
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));
	Form_pg_proc form;
	text	   *qualified;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", procedure);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	check_procedure(form, !heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL));
	if (!dwf_compat_can_execute(procedure, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_PROCEDURE,
					   NameStr(form->proname));
	check_role(role);
	qualified = dwf_portable_name(form->pronamespace, NameStr(form->proname));
	ReleaseSysCache(tuple);
	return qualified;
}

/* durable_wf.resolve_body(body) → text; null stays null */
Datum
dwf_resolve_body(PG_FUNCTION_ARGS)
{
	text	   *body = dwf_arg_optional_name(fcinfo, 0, "body", DWF_KEY_MAX);

	if (body == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(dwf_body_resolve(body, GetUserId()));
}
