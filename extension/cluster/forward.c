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
 * 'w' if its transaction has written, 't' if it has waited in vain; or 'm',
 * and nothing else, if it was not made since the workflow has moved.
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
#include "session/result.h"
#include "session/wait.h"
#include "store/anchor.h"
#include "store/cluster_rows.h"
#include "store/custody.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_run_here);

#define NOT_DELEGATED_HINT \
	"Citus cannot reach another node from a function that it has delegated, nor from a trigger or a query on a shard."

/*
 * Before the name of a procedure, in the argument that names the function; and
 * before these, with a workflow's id and a space between, to note what the
 * call waits for as what that workflow waits for
 */
#define CALL_PREFIX "CALL "
#define SUBSCRIBE_PREFIX "SUBSCRIBE "

/* Instead of a function: forget what a workflow waits for */
#define UNSUBSCRIBE "UNSUBSCRIBE"

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

/*
 * May this error be that of a connection to another node that broke while a
 * statement ran there?  Citus reports that as an internal error.
 */
bool
dwf_forward_may_have_broken(int code)
{
	return code == ERRCODE_INTERNAL_ERROR && dwf_anchor_exists();
}

/* This session is handing a call over */
static bool is_handing_over = false;

/* Raise 40001: the workflow that a call concerns has moved meanwhile */
void
dwf_forward_report_move(const char *function)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the workflow of %s() was moved to another node",
					function),
			 errhint("Try again.")));
}

/* Run a statement of ours that Citus is to hand to another node */
static Datum
hand_over(text *place, const char *function, Datum arguments)
{
	bool		was_handing_over = is_handing_over;
	Datum		result;

	PG_TRY();
	{
		is_handing_over = true;
		result = dwf_store_run_there(place, cstring_to_text(function),
									 arguments);
	}
	PG_FINALLY();
	{
		is_handing_over = was_handing_over;
	}
	PG_END_TRY();
	return result;
}

/*
 * Run a call elsewhere; *result is its result, without the text about it.
 * Returns false if the workflow has moved from there, and nothing was done.
 */
static bool
run_there(const char *function, text *place, ArrayBuildState *arguments,
		  Datum *result)
{
	Datum		array = makeArrayResult(arguments, CurrentMemoryContext);
	Datum	   *texts;
	bool	   *nulls;
	ArrayBuildState *told = initArrayResult(TEXTOID, CurrentMemoryContext,
											false);
	const char *went;
	int			count;

	has_handed_over = true;
	array = hand_over(place, function, array);
	count = dwf_arrays_read_texts(array, &texts, &nulls);
	if (count == 0 || nulls[0])
		elog(ERROR, "durable_wf.run_here() did not say how the call went");
	went = TextDatumGetCString(texts[0]);
	if (strchr(went, 'm'))
		return false;
	if (strchr(went, 'w'))
		dwf_forward_note_write();
	has_expired = strchr(went, 't') != NULL;
	for (int i = 1; i < count; i++)
		told = accumArrayResult(told, texts[i], nulls[i], TEXTOID,
								CurrentMemoryContext);
	*result = makeArrayResult(told, CurrentMemoryContext);
	return true;
}

/*
 * Have the node of the workflow "place" make this call of a function; *result
 * is as result.c writes it.  Unless "subscriber" is NULL, what the call looked
 * for in vain is noted there as what that workflow of this node waits for.
 * Returns false if "place" has moved from there, and nothing was done.
 */
static bool
call_there(FunctionCallInfo fcinfo, const char *function, text *place,
		   text *subscriber, Datum *result)
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
	{
		texts = accumArrayResult(texts, PointerGetDatum(subscriber), false,
								 TEXTOID, CurrentMemoryContext);
		function = psprintf(SUBSCRIBE_PREFIX "%s", function);
	}
	return run_there(function, place, texts, result);
}

/* The same, without a subscriber */
bool
dwf_forward_try(FunctionCallInfo fcinfo, const char *function, text *place,
				Datum *result)
{
	return call_there(fcinfo, function, place, NULL, result);
}

/*
 * The same; returns the result.  Raises 40001 if the workflow has moved from
 * there.
 */
Datum
dwf_forward_subscribe(FunctionCallInfo fcinfo, const char *function,
					  text *place, text *subscriber)
{
	Datum		result = (Datum) 0;

	if (!call_there(fcinfo, function, place, subscriber, &result))
		dwf_forward_report_move(function);
	return result;
}

/* The same, without a subscriber */
Datum
dwf_forward_call(FunctionCallInfo fcinfo, const char *function, text *place)
{
	return dwf_forward_subscribe(fcinfo, function, place, NULL);
}

/*
 * Have the node of a workflow call a function with these texts as arguments;
 * raises 40001 if the workflow has moved from there
 */
Datum
dwf_forward_texts(const char *function, text *place, Datum *arguments,
				  bool *nulls, int count)
{
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);
	Datum		result = (Datum) 0;

	for (int i = 0; i < count; i++)
		texts = accumArrayResult(texts, arguments[i], nulls && nulls[i],
								 TEXTOID, CurrentMemoryContext);
	if (!run_there(function, place, texts, &result))
		dwf_forward_report_move(function);
	return result;
}

/*
 * Have the node of the workflow "place" forget what a workflow of this node
 * waits for there
 */
void
dwf_forward_unsubscribe(text *place, text *subscriber)
{
	Datum		argument = PointerGetDatum(subscriber);

	(void) dwf_forward_texts(UNSUBSCRIBE, place, &argument, NULL, 1);
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

/*
 * The workflow for which what a call waits for is to be noted: the last of the
 * texts.  It must be of another node: here its own session writes that.
 */
static text *
read_subscriber(Datum array)
{
	Datum	   *texts;
	bool	   *nulls;
	int			count = dwf_arrays_read_texts(array, &texts, &nulls);
	text	   *subscriber;

	if (count == 0 || nulls[count - 1])
		elog(ERROR, "a call that subscribes names no workflow");
	subscriber = DatumGetTextPP(texts[count - 1]);
	dwf_args_check_name(subscriber, "workflow_id", DWF_WORKFLOW_ID_MAX, false);
	if (dwf_anchor_is_here(dwf_anchor_hash(subscriber)))
		elog(ERROR, "a workflow of this node cannot subscribe here");
	return subscriber;
}

/*
 * Fill in the arguments of a call from texts, after which "more" others may
 * come; raises if they do not fit
 */
static void
read_arguments(FunctionCallInfo fcinfo, Datum array, int more)
{
	Datum	   *texts;
	bool	   *nulls;
	Oid		   *types;
	int			ntypes;
	int			count;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	count = dwf_arrays_read_texts(array, &texts, &nulls) - more;
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
		fcinfo->args[i].isnull = nulls[i];
		fcinfo->args[i].value = nulls[i] ? (Datum) 0 :
			OidInputFunctionCall(input, TextDatumGetCString(texts[i]), param,
								 -1);
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
make_call(FunctionCallInfo fcinfo, text *place, text *subscriber)
{
	int			nest_level = NewGUCNestLevel();
	Datum		result;
	bool		was_received = is_received;

	set_for_call("durable_wf.workflow_id", text_to_cstring(place));
	set_for_call("durable_wf.wait_in_transaction", "on");
	if (fcinfo->context)
		set_for_call("client_min_messages", "warning");
	PG_TRY();
	{
		is_received = true;
		dwf_wait_subscriber = subscriber;
		result = FunctionCallInvoke(fcinfo);
	}
	PG_FINALLY();
	{
		is_received = was_received;
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

	LOCAL_FCINFO(inner, FUNC_MAX_ARGS);
	ReturnSetInfo set = {.type = T_ReturnSetInfo};
	CallContext context = {.type = T_CallContext,.atomic = true};
	char		kind = PROKIND_FUNCTION;
	FmgrInfo	flinfo;
	Datum		result;
	Datum	   *texts;
	bool	   *nulls;
	int			count;
	ArrayBuildState *told = initArrayResult(TEXTOID, CurrentMemoryContext,
											false);
	char		went[3] = "";
	text	   *subscriber = NULL;

	if (!is_at_home(name, place))
	{
		if (is_handing_over)
			dwf_anchor_report(name, dwf_anchor_hash(place),
							  NOT_DELEGATED_HINT);
		PG_RETURN_DATUM(dwf_arrays_of_one_text(cstring_to_text("m")));
	}

	if (strcmp(name, UNSUBSCRIBE) == 0)
	{
		dwf_store_unsubscribe(read_subscriber(PG_GETARG_DATUM(2)));
		if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
			strcat(went, "w");
		PG_RETURN_DATUM(dwf_arrays_of_one_text(cstring_to_text(went)));
	}

	/* find the function, and read its arguments */
	if (strncmp(name, SUBSCRIBE_PREFIX, strlen(SUBSCRIBE_PREFIX)) == 0)
	{
		subscriber = read_subscriber(PG_GETARG_DATUM(2));
		name += strlen(SUBSCRIBE_PREFIX);
	}
	if (strncmp(name, CALL_PREFIX, strlen(CALL_PREFIX)) == 0)
	{
		kind = PROKIND_PROCEDURE;
		name += strlen(CALL_PREFIX);
	}
	fmgr_info(find_function(name, kind), &flinfo);
	InitFunctionCallInfoData(*inner, &flinfo, 0, InvalidOid, NULL, NULL);
	if (kind == PROKIND_PROCEDURE)
		inner->context = (Node *) &context;
	read_arguments(inner, PG_GETARG_DATUM(2), subscriber ? 1 : 0);
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
	result = make_call(inner, place, subscriber);
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
