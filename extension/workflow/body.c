/*-------------------------------------------------------------------------
 *
 * body.c
 *	  The procedures that are bodies of SQL workflows.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/body.h"

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
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "base/args.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/portable.h"
#include "base/settings.h"
#include "shared/claims.h"
#include "shared/preloaded.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_resolve_body);
PG_FUNCTION_INFO_V1(dwf_waits_for);

/* The procedure of this name with one jsonb argument, or InvalidOid */
static Oid
look_up_procedure(text *name)
{
	ObjectWithArgs *object = makeNode(ObjectWithArgs);

	object->objname = textToQualifiedNameList(name);
	object->objargs = list_make1(makeTypeNameFromOid(JSONBOID, -1));
	return LookupFuncWithArgs(OBJECT_PROCEDURE, object, true);
}

/* The procedure of this name with one jsonb argument; raises 42883 */
static Oid
find_procedure(text *name)
{
	Oid			procedure = look_up_procedure(name);

	if (!OidIsValid(procedure))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no procedure %s(jsonb)",
						text_to_cstring(name)),
				 errhint("A body is a procedure with one argument: CREATE PROCEDURE %s(input jsonb) LANGUAGE plpgsql AS ...",
						 text_to_cstring(name))));
	return procedure;
}

/* Does a procedure have OUT or INOUT arguments? */
static bool
has_out_arguments(HeapTuple tuple)
{
	bool		isnull;
	Datum		modes = SysCacheGetAttr(PROCOID, tuple,
										Anum_pg_proc_proargmodes, &isnull);
	ArrayType  *array;

	if (isnull)
		return false;
	array = DatumGetArrayTypeP(modes);
	for (int i = 0; i < ARR_DIMS(array)[0]; i++)
		if (ARR_DATA_PTR(array)[i] == PROARGMODE_OUT ||
			ARR_DATA_PTR(array)[i] == PROARGMODE_INOUT)
			return true;
	return false;
}

/*
 * Why a procedure could not commit, be CALLed or be replayed, as the end of a
 * sentence; NULL if it can be a body.  *remedy is the clause of ALTER
 * PROCEDURE that would mend it, or NULL.
 */
static const char *
find_fault(HeapTuple tuple, const char **remedy)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

	*remedy = NULL;
	if (strcmp(get_language_name(form->prolang, false), "plpgsql") != 0)
		return "is not written in PL/pgSQL";
	if (has_out_arguments(tuple))
		return "has OUT arguments, which a CALL would have to pass";
	if (form->prosecdef)
	{
		*remedy = "SECURITY INVOKER";
		return "is SECURITY DEFINER, so it cannot commit";
	}
	if (!heap_attisnull(tuple, Anum_pg_proc_proconfig, NULL))
	{
		*remedy = "RESET ALL";
		return "has a SET clause, so it cannot commit";
	}
	return NULL;
}

/* The row of a procedure in pg_proc; the caller releases it */
static HeapTuple
procedure_row(Oid procedure)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(procedure));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", procedure);
	return tuple;
}

/* Raise 42501 unless a role may execute a procedure */
static void
check_privilege(Form_pg_proc form, Oid role)
{
	if (!dwf_compat_can_execute(form->oid, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_PROCEDURE,
					   NameStr(form->proname));
}

/*
 * Why bodies cannot be run as a role: "role ... may not log in"; NULL if they
 * can.  *is_gone tells that the role has been dropped.
 */
const char *
dwf_body_refusal(Oid role, bool *is_gone)
{
	HeapTuple	tuple;
	const char *name;
	bool		can_login;

	/* an executor may have slept since its transaction began: no stale row */
	AcceptInvalidationMessages();
	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	*is_gone = !HeapTupleIsValid(tuple);
	if (*is_gone)
		return "the owner does not exist any more";
	name = pstrdup(NameStr(((Form_pg_authid) GETSTRUCT(tuple))->rolname));
	can_login = ((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;
	ReleaseSysCache(tuple);
	if (!can_login)
		return psprintf("role \"%s\" may not log in", name);
	if (!dwf_compat_can_connect(MyDatabaseId, role))
		return psprintf("role \"%s\" may not connect to this database", name);
	return NULL;
}

/* Raise 42501 unless a role can log in and connect, as its executors must */
static void
check_role(Oid role)
{
	bool		is_gone;

	if (dwf_body_refusal(role, &is_gone) != NULL)
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
	HeapTuple	tuple = procedure_row(find_procedure(name));
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);
	const char *remedy;
	const char *fault = find_fault(tuple, &remedy);
	text	   *qualified;

	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("procedure %s(jsonb) cannot be the body of a workflow",
						NameStr(form->proname)),
				 errdetail("It %s.", fault)));
	check_privilege(form, role);
	check_role(role);
	qualified = dwf_portable_name(form->pronamespace, NameStr(form->proname));
	ReleaseSysCache(tuple);
	return qualified;
}

/*
 * The body of a workflow is about to be run by its owner, the current user:
 * find its procedure.  Raises 42883 if it has been dropped since the start,
 * 0A000 or 42501 if it cannot be run any more since it has been changed.
 */
Oid
dwf_body_check(text *body)
{
	Oid			procedure = look_up_procedure(body);
	HeapTuple	tuple;
	const char *remedy;
	const char *fault;

	if (!OidIsValid(procedure))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("procedure %s(jsonb) does not exist",
						text_to_cstring(body)),
				 errdetail("It has been dropped, or renamed, since the workflow was started."),
				 errhint("Create it again, and let the workflow go on with wf_retry().")));

	/* it must still be fit for a body, and the user must have EXECUTE */
	tuple = procedure_row(procedure);
	fault = find_fault(tuple, &remedy);
	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("procedure %s(jsonb) %s",
						get_func_name(procedure), fault),
				 errdetail("It has been changed since the workflow was started."),
				 remedy ?
				 errhint("ALTER PROCEDURE %s(jsonb) %s; and let the workflow go on with wf_retry().",
						 text_to_cstring(body), remedy) :
				 errhint("Put back what it was, and let the workflow go on with wf_retry().")));
	check_privilege((Form_pg_proc) GETSTRUCT(tuple), GetUserId());
	ReleaseSysCache(tuple);
	return procedure;
}

/*
 * A workflow with this body is about to be given to another role: raise 42501
 * unless that role can run the body
 */
void
dwf_body_check_owner(text *body, Oid role)
{
	Oid			procedure = look_up_procedure(body);
	HeapTuple	tuple;
	Form_pg_proc form;

	check_role(role);
	if (!OidIsValid(procedure))
		return;
	tuple = procedure_row(procedure);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (!dwf_compat_can_use_schema(form->pronamespace, role))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA,
					   get_namespace_name(form->pronamespace));
	check_privilege(form, role);
	ReleaseSysCache(tuple);
}

/* durable_wf.resolve_body(body) → text; null stays null */
Datum
dwf_resolve_body(PG_FUNCTION_ARGS)
{
	text	   *body = dwf_args_optional_name(fcinfo, 0, "body", DWF_KEY_MAX);

	if (body == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(dwf_body_resolve(body, GetUserId()));
}

/*
 * durable_wf.waits_for(workflow_id) → text: what keeps a body that is due
 * from being run.  Null if nothing does, if the workflow has ended or is
 * executed, or if the current user may not act on it.
 */
Datum
dwf_waits_for(PG_FUNCTION_ARGS)
{
	text	   *workflow_id = dwf_args_name(fcinfo, 0, "workflow_id",
											DWF_WORKFLOW_ID_MAX);
	const char *refusal;
	bool		is_gone;
	DwfLife		life;

	if (!dwf_preloaded() || !dwf_store_life(workflow_id, &life) ||
		life.finished || !dwf_owner_allows(life.owner, GetUserId()) ||
		dwf_claims_exists(workflow_id))
		PG_RETURN_NULL();
	if (dwf_setting_paused)
		PG_RETURN_TEXT_P(cstring_to_text("waits: workflows are paused"));
	refusal = dwf_body_refusal(life.owner, &is_gone);
	if (refusal == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("waits: %s", refusal)));
}
