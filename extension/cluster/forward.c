/*-------------------------------------------------------------------------
 *
 * forward.c
 *	  Have another node of the cluster make a call.
 *
 * The node of the caller writes the arguments as texts, and runs
 *
 *	SELECT ... FROM durable_wf.run_here(place, function, arguments)
 *
 * which Citus delegates to the node that has the workflow "place".  There
 * dwf_run_here() reads the arguments, makes the call and returns what came of
 * it as texts.  It is part of the caller's transaction: savepoints, errors,
 * deadlocks and the commit are Citus' business.
 *
 *	C1	If a transaction has written here and on another node, it commits in
 *		two phases.  Citus does that by itself for two other nodes, but knows
 *		nothing of what we write here.
 *	C2	A node that was handed a call makes it itself or raises.  It never
 *		hands it on, which Citus could not do.
 *
 * What run_here() returns begins with one text that tells how the call went:
 * 'w' if its transaction has written, 't' if it has waited in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/forward.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "catalog/dependency.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/proc.h"
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
#include "base/portable.h"
#include "base/settings.h"
#include "session/result.h"
#include "session/trace.h"
#include "session/wait.h"
#include "store/anchor.h"
#include "store/cluster_rows.h"

PG_FUNCTION_INFO_V1(dwf_run_here);

#define NOT_DELEGATED_HINT \
	"Citus cannot reach another node from a function that it has delegated, nor from a trigger or a query on a shard."

/*
 * Words before the name, in the argument that names the function.  For each
 * but the last one a text follows the call's arguments; that of the first word
 * is the last text.
 */
#define TRACE_PREFIX "TRACE "	/* the caller's trace context */
#define LOCK_PREFIX "LOCK "		/* the caller's lock_timeout */
#define CHILD_PREFIX "CHILD "	/* the workflow that starts another one */
#define SUBSCRIBE_PREFIX "SUBSCRIBE "	/* the workflow for which it is to be
										 * noted what the call waits for */
#define CALL_PREFIX "CALL "		/* it is a procedure */

/* ----- the caller's node ----- */

/* This transaction has written on another node */
static bool has_written = false;

/* A call that another node has handed to this one is being made */
static bool is_received = false;

/* The last call that was handed over has waited in vain there */
static bool has_expired = false;

/* Has it? */
bool
dwf_forward_has_expired(void)
{
	return has_expired;
}

/* Is this session making a call that another node has handed to it? */
bool
dwf_forward_is_received(void)
{
	return is_received;
}

/* This transaction writes on another node */
void
dwf_forward_note_write(void)
{
	has_written = true;
}

/* The workflow whose child the next start is */
static text *next_parent = NULL;

/* The workflow that has handed the start over that is being made, or NULL */
static text *received_parent = NULL;

/* The next start of this session, or none if NULL, is that of a child */
void
dwf_forward_set_parent(text *parent)
{
	next_parent = parent;
}

/* The parent, on another node, of what is being started here; or NULL */
text *
dwf_forward_parent(void)
{
	return received_parent;
}

/* This transaction has handed a call over, and has begun to commit */
static bool has_handed_over = false;
static bool is_committing = false;

/* A transaction that had handed a call over could not commit */
static bool has_not_committed = false;

/*
 * Is this an error that tells of a node that is out of reach, or of a
 * transaction that could not commit on two nodes?  Asked once, at the end of a
 * run of a body.
 */
bool
dwf_forward_is_out_of_reach(int code)
{
	bool		result = has_not_committed;

	has_not_committed = false;
	return result ||
		(dwf_anchor_exists() &&
		 (ERRCODE_TO_CATEGORY(code) == ERRCODE_CONNECTION_EXCEPTION ||
		  code == ERRCODE_ADMIN_SHUTDOWN || code == ERRCODE_CRASH_SHUTDOWN ||
		  code == ERRCODE_CANNOT_CONNECT_NOW));
}

/* Add a word and its text to a call */
static const char *
add_word(const char *word, const char *function, text *value,
		 ArrayBuildState *arguments)
{
	(void) accumArrayResult(arguments, PointerGetDatum(value), false, TEXTOID,
							CurrentMemoryContext);
	return psprintf("%s%s", word, function);
}

/* Run a call elsewhere; returns its result, without the text about it */
static Datum
run_there(const char *function, text *place, ArrayBuildState *arguments)
{
	Datum		array;
	Datum	   *texts;
	bool	   *nulls;
	text	   *trace;
	ArrayBuildState *result = initArrayResult(TEXTOID, CurrentMemoryContext,
											  false);
	int			count;

	/* what the other node cannot know */
	if (next_parent && strcmp(function, "wf_start") == 0)
		function = add_word(CHILD_PREFIX, function, next_parent, arguments);
	if (LockTimeout > 0)
		function = add_word(LOCK_PREFIX, function,
							cstring_to_text(psprintf("%d", LockTimeout)),
							arguments);
	trace = dwf_setting_may_trace ? dwf_trace_find() : NULL;
	if (trace)
		function = add_word(TRACE_PREFIX, function, trace, arguments);

	has_handed_over = true;
	array = makeArrayResult(arguments, CurrentMemoryContext);
	array = dwf_store_run_there(place, cstring_to_text(function), array);
	count = dwf_arrays_read_texts(array, &texts, &nulls);
	if (count == 0 || nulls[0])
		elog(ERROR, "durable_wf.run_here() did not say how the call went");
	if (strchr(TextDatumGetCString(texts[0]), 'w'))
		dwf_forward_note_write();
	has_expired = strchr(TextDatumGetCString(texts[0]), 't') != NULL;
	for (int i = 1; i < count; i++)
		result = accumArrayResult(result, texts[i], nulls[i], TEXTOID,
								  CurrentMemoryContext);
	return makeArrayResult(result, CurrentMemoryContext);
}

/*
 * Have the node of the workflow "place" make this call of a function; returns
 * the result as result.c writes it
 */
Datum
dwf_forward_call(FunctionCallInfo fcinfo, const char *function, text *place)
{
	return dwf_forward_subscribe(fcinfo, function, place, NULL);
}

/*
 * The same; unless "subscriber" is NULL, what the call looked for in vain is
 * noted there as what that workflow of this node waits for
 */
Datum
dwf_forward_subscribe(FunctionCallInfo fcinfo, const char *function,
					  text *place, text *subscriber)
{
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);
	Oid			oid = fcinfo->flinfo->fn_oid;
	Oid		   *types;
	int			ntypes;
	int			nest_level = dwf_portable_begin(DWF_DEPENDS_ON_STYLE);

	(void) get_func_signature(oid, &types, &ntypes);
	for (int i = 0; i < PG_NARGS(); i++)
	{
		Datum		value = (Datum) 0;
		Oid			output;
		bool		is_varlena;

		getTypeOutputInfo(types[i], &output, &is_varlena);
		if (!PG_ARGISNULL(i))
		{
			char	   *string = OidOutputFunctionCall(output,
													   PG_GETARG_DATUM(i));

			value = CStringGetTextDatum(string);
		}
		texts = accumArrayResult(texts, value, PG_ARGISNULL(i), TEXTOID,
								 CurrentMemoryContext);
	}
	dwf_portable_end(nest_level);
	if (get_func_prokind(oid) == PROKIND_PROCEDURE)
		function = psprintf(CALL_PREFIX "%s", function);
	if (subscriber)
		function = add_word(SUBSCRIBE_PREFIX, function, subscriber, texts);
	return run_there(function, place, texts);
}

/* Have the node of a workflow call a function with these texts as arguments */
Datum
dwf_forward_texts(const char *function, text *place, Datum *arguments,
				  bool *nulls, int count)
{
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);

	for (int i = 0; i < count; i++)
		texts = accumArrayResult(texts, arguments[i], nulls && nulls[i],
								 TEXTOID, CurrentMemoryContext);
	return run_there(function, place, texts);
}

/* An array of texts as the text that stands for it */
Datum
dwf_forward_array_as_text(Datum array)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(TEXTARRAYOID, &output, &is_varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, array));
}

/* Have the node of a workflow call a function that returns a text[] */
Datum
dwf_forward_array(const char *function, text *place, Datum *arguments,
				  int count)
{
	Datum	   *result;
	Oid			input;
	Oid			param;

	(void) dwf_arrays_read_texts(dwf_forward_texts(function, place, arguments,
												   NULL, count),
								 &result, NULL);
	getTypeInputInfo(TEXTARRAYOID, &input, &param);
	return OidInputFunctionCall(input, TextDatumGetCString(result[0]), param,
								-1);
}

/*
 * The transaction is about to commit, and Citus has not yet decided how: have
 * it commit in two phases if it has to (C1).  Citus is loaded before us, so
 * our callback is called before its own.
 */
void
dwf_forward_before_commit(void)
{
	static void (*use_two_phases) (void) = NULL;

	is_committing = has_handed_over;
	if (!has_written || !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	if (use_two_phases == NULL)
		use_two_phases = (void (*) (void))
			load_external_function("$libdir/citus",
								   "Use2PCForCoordinatedTransaction", true,
								   NULL);
	use_two_phases();
}

/*
 * The transaction has ended.  If it failed to commit after a call had been
 * handed over, another node may be the reason.  Cannot fail.
 */
void
dwf_forward_end_xact(bool committed)
{
	has_not_committed |= is_committing && !committed;
	is_committing = has_handed_over = false;
	has_written = false;
	is_received = false;
}

/* ----- the node that makes the call ----- */

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
	(void) take_word(&call, TRACE_PREFIX, &call.trace);
	(void) take_word(&call, LOCK_PREFIX, &call.lock_timeout);
	take_workflow(&call, CHILD_PREFIX, &call.parent);
	take_workflow(&call, SUBSCRIBE_PREFIX, &call.subscriber);
	call.is_procedure = take_word(&call, CALL_PREFIX, NULL);
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
 * durable_wf.run_here(workflow_id, function, arguments): make a call
 * that another node has handed to this one, which has the workflow.  Raises
 * WF011 if Citus has not delegated it there.
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

	if (!dwf_anchor_is_here(dwf_anchor_hash(place)))
		dwf_anchor_report(name, dwf_anchor_hash(place),
						  NOT_DELEGATED_HINT);

	/* find the function, and read its arguments */
	call = read_received(name, PG_GETARG_DATUM(2));
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
