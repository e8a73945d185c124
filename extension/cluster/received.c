/*-------------------------------------------------------------------------
 *
 * received.c
 *	  Make a call that another node of the cluster has handed to this one.
 *
 * forward.c says what the two nodes tell each other.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/received.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/compat.h"
#include "cluster/forward.h"
#include "session/result.h"
#include "session/wait.h"
#include "store/anchor.h"
#include "store/custody.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_run_here);

/* What a call that ends where it began is told */
#define NOT_DELEGATED_HINT \
	"Citus cannot reach another node from a function that it has delegated, nor from a trigger or a query on a shard."

/* A call that another node has handed to this one is being made */
static bool is_received = false;

/* The workflow that has handed the start over that is being made, or NULL */
static text *received_parent = NULL;

/* Is this session making a call that another node has handed to it? */
bool
dwf_received_is_active(void)
{
	return is_received;
}

/* The parent, on another node, of what is being started here; or NULL */
text *
dwf_received_parent(void)
{
	return received_parent;
}

/* The function or procedure of ours that has this name; or raise */
static Oid
find_function(const char *name, char kind)
{
	Oid			extension = get_extension_oid("durable_wf", false);
	CatCList   *list = SearchSysCacheList1(PROCNAMEARGSNSP,
										   CStringGetDatum(name));
	Oid			found = InvalidOid;

	for (int i = 0; i < list->n_members && !OidIsValid(found); i++)
	{
		HeapTuple	tuple = &list->members[i]->tuple;
		Form_pg_proc form = (Form_pg_proc) GETSTRUCT(tuple);

		if (form->prokind == kind &&
			getExtensionOfObject(ProcedureRelationId, form->oid) == extension)
			found = form->oid;
	}
	ReleaseSysCacheList(list);
	if (!OidIsValid(found))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function \"%s\" of durable_wf does not exist", name)));
	if (!dwf_compat_can_execute(found, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, name);
	return found;
}

/* What comes with a call that was handed to this node */
typedef struct Received
{
	char	   *name;			/* of the function, at last without words */
	Datum	   *texts;			/* the arguments, at last without others */
	bool	   *nulls;
	int			count;
	text	   *trace;			/* these are NULL if there is none */
	text	   *lock_timeout;
	text	   *parent;
	text	   *subscriber;
	bool		is_procedure;
} Received;

/* Does this word come next?  Then take it, and its text unless that is NULL */
static bool
take_word(Received *call, const char *word, text **value)
{
	if (strncmp(call->name, word, strlen(word)) != 0)
		return false;
	call->name += strlen(word);
	if (value == NULL)
		return true;
	if (call->count == 0 || call->nulls[call->count - 1])
		elog(ERROR, "a call that another node has handed over lacks a text");
	*value = DatumGetTextPP(call->texts[--call->count]);
	return true;
}

/*
 * The same, for the word of a workflow that must be of another node: what it
 * does here its own session writes
 */
static void
take_workflow(Received *call, const char *word, text **workflow_id)
{
	if (!take_word(call, word, workflow_id))
		return;
	dwf_args_check_name(*workflow_id, "workflow_id", DWF_WORKFLOW_ID_MAX,
						false);
	if (dwf_anchor_is_here(dwf_anchor_hash(*workflow_id)))
		elog(ERROR, "a workflow of this node cannot hand a call over to it");
}

/* Read what comes with a call, but for the arguments of the function */
static Received
read_received(const char *name, Datum array)
{
	Received	call = {.name = pstrdup(name)};

	call.count = dwf_arrays_read_texts(array, &call.texts, &call.nulls);
	(void) take_word(&call, DWF_TRACE_PREFIX, &call.trace);
	(void) take_word(&call, DWF_LOCK_PREFIX, &call.lock_timeout);
	take_workflow(&call, DWF_CHILD_PREFIX, &call.parent);
	take_workflow(&call, DWF_SUBSCRIBE_PREFIX, &call.subscriber);
	call.is_procedure = take_word(&call, DWF_CALL_PREFIX, NULL);
	return call;
}

/* Fill in the arguments of a call from texts; raises if they do not fit */
static void
read_arguments(FunctionCallInfo fcinfo, const Received *call)
{
	Oid		   *types;
	int			ntypes;
	int			count = call->count;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	if (count != ntypes || count > FUNC_MAX_ARGS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wrong number of arguments for %s",
						format_procedure(fcinfo->flinfo->fn_oid))));
	fcinfo->nargs = count;
	for (int i = 0; i < count; i++)
	{
		Oid			input;
		Oid			param;

		getTypeInputInfo(types[i], &input, &param);
		fcinfo->args[i].isnull = call->nulls[i];
		fcinfo->args[i].value = call->nulls[i] ? (Datum) 0 :
			OidInputFunctionCall(input, TextDatumGetCString(call->texts[i]),
								 param, -1);
	}
}

/* Set a setting for the call that is being made */
static void
set_for_call(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

/*
 * Make a call, with "place" as the current workflow.  That it cannot commit
 * here, and that it is in a transaction, is nothing that its caller wants to
 * know.
 */
static Datum
make_call(FunctionCallInfo fcinfo, text *place, const Received *call)
{
	int			nest_level = NewGUCNestLevel();
	Datum		result;
	bool		was_received = is_received;

	set_for_call("durable_wf.workflow_id", text_to_cstring(place));
	set_for_call("durable_wf.wait_in_transaction", "on");
	if (call->trace)
		set_for_call("durable_wf.traceparent", text_to_cstring(call->trace));
	if (call->lock_timeout)
		set_for_call("lock_timeout", text_to_cstring(call->lock_timeout));
	if (fcinfo->context)
		set_for_call("client_min_messages", "warning");
	PG_TRY();
	{
		is_received = true;
		received_parent = call->parent;
		dwf_wait_subscriber = call->subscriber;
		result = FunctionCallInvoke(fcinfo);
	}
	PG_FINALLY();
	{
		is_received = was_received;
		received_parent = NULL;
		dwf_wait_subscriber = NULL;
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
	return result;
}

/*
 * Is the workflow for which a call was handed over here, and does it stay?
 * The caller's node may know already of a move that has still to commit here,
 * so that ends first.  The two ends of a move see to all that themselves.
 */
static bool
is_at_home(const char *function, text *place)
{
	int32		hash = dwf_anchor_hash(place);

	const char *word = strrchr(function, ' ');

	if (word)
		function = word + 1;
	if (strcmp(function, "give_shard") == 0 ||
		strcmp(function, "take_rows") == 0)
		return dwf_anchor_is_here(hash);
	if (dwf_custody_hold(hash))
		return true;
	dwf_anchor_settle();
	return dwf_custody_hold(hash);
}

/*
 * durable_wf.run_here(workflow_id, function, arguments): make a call
 * that another node has handed to this one, which has the workflow.  Raises
 * WF011 if Citus has not delegated it to another node.
 */
Datum
dwf_run_here(PG_FUNCTION_ARGS)
{
	text	   *place = PG_GETARG_TEXT_PP(0);
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(1));
	Received	call;

	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	ReturnSetInfo set = {.type = T_ReturnSetInfo};
	CallContext context = {.type = T_CallContext,.atomic = true};
	FmgrInfo	flinfo;
	Datum		result;
	Datum	   *texts;
	bool	   *nulls;
	int			count;
	ArrayBuildState *told = initArrayResult(TEXTOID, CurrentMemoryContext,
											false);
	char		went[3] = "";

	if (!is_at_home(name, place))
	{
		if (dwf_forward_is_handing_over())
			dwf_anchor_report(name, dwf_anchor_hash(place),
							  NOT_DELEGATED_HINT);
		PG_RETURN_DATUM(dwf_arrays_of_one_text(cstring_to_text("m")));
	}

	call = read_received(name, PG_GETARG_DATUM(2));
	if (call.subscriber && strcmp(call.name, DWF_UNSUBSCRIBE) == 0)
	{
		dwf_store_unsubscribe(call.subscriber);
		if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
			strcat(went, "w");
		PG_RETURN_DATUM(dwf_arrays_of_one_text(cstring_to_text(went)));
	}

	/* find the function, and read its arguments */
	fmgr_info(find_function(call.name, call.is_procedure ? PROKIND_PROCEDURE :
							PROKIND_FUNCTION), &flinfo);
	InitFunctionCallInfoData(*inner, &flinfo, 0, InvalidOid, NULL, NULL);
	if (call.is_procedure)
		inner->context = (Node *) &context;
	read_arguments(inner, &call);
	if (flinfo.fn_retset)
	{
		set.econtext = CreateStandaloneExprContext();
		set.allowedModes = SFRM_Materialize;
		set.returnMode = SFRM_ValuePerCall;
		(void) get_call_result_type(inner, NULL, &set.expectedDesc);
		inner->resultinfo = (Node *) &set;
	}

	/* make the call, and tell how it went */
	dwf_wait_has_expired = false;
	result = make_call(inner, place, &call);
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
		strcat(went, "w");
	if (dwf_wait_has_expired)
		strcat(went, "t");
	told = accumArrayResult(told, CStringGetTextDatum(went), false, TEXTOID,
							CurrentMemoryContext);
	count = dwf_arrays_read_texts(dwf_result_encode(inner, result), &texts,
								  &nulls);
	for (int i = 0; i < count; i++)
		told = accumArrayResult(told, texts[i], nulls[i], TEXTOID,
								CurrentMemoryContext);
	PG_RETURN_DATUM(makeArrayResult(told, CurrentMemoryContext));
}
