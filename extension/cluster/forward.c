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

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/arrays.h"
#include "base/portable.h"
#include "base/settings.h"
#include "session/trace.h"
#include "store/anchor.h"
#include "store/cluster_rows.h"

/* This transaction has written on another node */
static bool has_written = false;

/* The last call that was handed over has waited in vain there */
static bool has_expired = false;

/* Has it? */
bool
dwf_forward_has_expired(void)
{
	return has_expired;
}

/* This transaction writes on another node */
void
dwf_forward_note_write(void)
{
	has_written = true;
}

/* The workflow whose child the next start is */
static text *next_parent = NULL;

/* The next start of this session, or none if NULL, is that of a child */
void
dwf_forward_set_parent(text *parent)
{
	next_parent = parent;
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

/* Is it? */
bool
dwf_forward_is_handing_over(void)
{
	return is_handing_over;
}

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

/* Add a word and its text to a call */
static const char *
add_word(const char *word, const char *function, text *value,
		 ArrayBuildState *arguments)
{
	(void) accumArrayResult(arguments, PointerGetDatum(value), false, TEXTOID,
							CurrentMemoryContext);
	return psprintf("%s%s", word, function);
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
	Datum		array;
	Datum	   *texts;
	bool	   *nulls;
	text	   *trace;
	ArrayBuildState *told = initArrayResult(TEXTOID, CurrentMemoryContext,
											false);
	const char *went;
	int			count;

	/* what the other node cannot know */
	if (next_parent && strcmp(function, "wf_start") == 0)
		function = add_word(DWF_CHILD_PREFIX, function, next_parent,
							arguments);
	if (LockTimeout > 0)
		function = add_word(DWF_LOCK_PREFIX, function,
							cstring_to_text(psprintf("%d", LockTimeout)),
							arguments);
	trace = dwf_setting_may_trace ? dwf_trace_find() : NULL;
	if (trace)
		function = add_word(DWF_TRACE_PREFIX, function, trace, arguments);

	has_handed_over = true;
	array = makeArrayResult(arguments, CurrentMemoryContext);
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
		function = psprintf(DWF_CALL_PREFIX "%s", function);
	if (subscriber)
		function = add_word(DWF_SUBSCRIBE_PREFIX, function, subscriber, texts);
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
 * waits for there in this function.  Raises 40001 if "place" has moved.
 */
void
dwf_forward_unsubscribe(const char *function, text *place,
						text *subscriber)
{
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);
	const char *call = add_word(DWF_SUBSCRIBE_PREFIX, DWF_UNSUBSCRIBE,
								subscriber, texts);
	Datum		result;

	if (!run_there(call, place, texts, &result))
		dwf_forward_report_move(function);
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
}
