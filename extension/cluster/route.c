/*-------------------------------------------------------------------------
 *
 * route.c
 *	  To which node of a cluster a call goes.
 *
 * Each call of a journalled function comes by here, if there may be a cluster
 * (journal.c).  The function's declaration says which argument tells the node
 * (DwfAt).  A call that belongs here is made as without a cluster; another is
 * handed to its node (forward.c).  The journal is the caller's: it records
 * what the call returned, from whichever node.
 *
 *	R1	What the session alone can resolve is resolved before a call is handed
 *		over: made-up ids, the names of bodies and validators (search_path),
 *		named tokens.  DwfCall.settle does that.
 *	R2	A call that was handed to this node is made here, or raises (C2).
 *	R3	A node acts only on workflows whose rows it has (A2).
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/route.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "base/arrays.h"
#include "cluster/far_wait.h"
#include "cluster/forward.h"
#include "cluster/received.h"
#include "cluster/token_home.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/result.h"
#include "shared/claim.h"
#include "store/anchor.h"
#include "store/custody.h"

/* Can this be the id of a workflow?  Otherwise the call raises by itself. */
static bool
is_possible(text *workflow_id)
{
	return workflow_id && VARSIZE_ANY_EXHDR(workflow_id) > 0 &&
		VARSIZE_ANY_EXHDR(workflow_id) <= DWF_WORKFLOW_ID_MAX;
}

/* Is a workflow on another node? */
bool
dwf_route_is_elsewhere(text *workflow_id)
{
	return dwf_anchor_exists() && is_possible(workflow_id) &&
		!dwf_anchor_is_here(dwf_anchor_hash(workflow_id));
}

/* Raise WF011 if a workflow is on another node; 55000 if its rows are */
void
dwf_route_require_here(const char *function, text *workflow_id)
{
	int32		hash;

	if (!dwf_anchor_exists() || !is_possible(workflow_id))
		return;
	hash = dwf_anchor_hash(workflow_id);
	if (!dwf_custody_hold(hash))
		dwf_anchor_report(function, hash,
						  "Connect to that node: wf_node() tells which it is.");
	dwf_anchor_check_custody(hash);
}

/* ----- one node ----- */

/*
 * Make a call on the node of a hash; "place" is an id that is there, or NULL.
 * If the workflow is being moved, the call waits (A3).  If it was handed to a
 * node that the workflow has left, and the workflow has come here, it is made
 * here; Citus would hand it to the same node for as long as the transaction
 * lasts, whatever has become of the shard.
 */
static Datum
call_at(const DwfCall *call, FunctionCallInfo fcinfo, int32 hash, text *place)
{
	bool		was_here = dwf_anchor_is_here(hash);
	Datum		result;

	for (int tries = 0;; tries++)
	{
		if (dwf_custody_hold(hash))
		{
			dwf_anchor_check_custody(hash);
			dwf_custody_check_snapshot(hash);
			return call->body(fcinfo);
		}
		if (dwf_received_is_active() || tries > 0)
			break;
		if (place == NULL)
			place = dwf_anchor_name_in(hash);
		if (DWF_AT_TIMEOUT(call->at) > 0)
			return dwf_far_wait(call, fcinfo, place);
		if (dwf_forward_try(fcinfo, call->function, place, &result))
			return dwf_result_decode(fcinfo, result);
		dwf_anchor_settle();
	}
	if (!was_here && dwf_received_is_active())
		dwf_anchor_report(call->function, hash, DWF_HAND_OVER_HINT);
	dwf_forward_report_move(call->function);
}

/* The workflow that an argument names, or else the current one, or NULL */
static text *
named_workflow(FunctionCallInfo fcinfo, int n)
{
	if (n < PG_NARGS() && !PG_ARGISNULL(n))
		return PG_GETARG_TEXT_PP(n);
	return dwf_identity_current();
}

/* Make a call on the node of the workflow that it names */
static Datum
call_at_workflow(const DwfCall *call, FunctionCallInfo fcinfo,
				 text *workflow_id)
{
	if (!is_possible(workflow_id))
		return call->body(fcinfo);
	return call_at(call, fcinfo, dwf_anchor_hash(workflow_id), workflow_id);
}

/* Make a call on the node that has the hook of a token */
static Datum
call_at_token(const DwfCall *call, FunctionCallInfo fcinfo, int n)
{
	int32		hash;

	/* the node that has handed it over has found this one */
	if (dwf_received_is_active() || PG_ARGISNULL(n) ||
		!dwf_token_home_find(PG_GETARG_TEXT_PP(n), &hash))
		return call->body(fcinfo);
	return call_at(call, fcinfo, hash, NULL);
}

/* ----- many nodes ----- */

/* Make a call on each node; the rows of all are the result */
static Datum
call_at_each(const DwfCall *call, FunctionCallInfo fcinfo)
{
	Datum		result;
	DwfNode    *nodes;
	int			count;

	dwf_custody_share_all();
	result = call->body(fcinfo);
	if (dwf_received_is_active())
		return result;
	count = dwf_anchor_nodes(&nodes);
	for (int i = 0; i < count; i++)
	{
		text	   *place;

		if (nodes[i].is_here)
			continue;
		place = dwf_anchor_name_for(nodes[i].group);
		dwf_result_append(fcinfo,
						  dwf_forward_call(fcinfo, call->function, place));
	}
	return result;
}

/* Have each other node call a function with these texts as arguments */
void
dwf_route_send_to_others(const char *function, Datum *arguments, bool *nulls,
						 int count)
{
	DwfNode    *nodes;
	int			nnodes;

	if (dwf_received_is_active())
		return;
	nnodes = dwf_anchor_nodes(&nodes);
	for (int i = 0; i < nnodes; i++)
		if (!nodes[i].is_here)
			(void) dwf_forward_texts(function,
									 dwf_anchor_name_for(nodes[i].group),
									 arguments, nulls, count);
}

/* An array of the elements of another, at these places */
static Datum
pick(Datum array, const int *places, int count)
{
	ArrayType  *whole = DatumGetArrayTypeP(array);
	Oid			type = ARR_ELEMTYPE(whole);
	Datum	   *elements;
	bool	   *nulls;
	int			nelements;
	int16		length;
	bool		by_value;
	char		align;
	ArrayBuildState *picked = initArrayResult(type, CurrentMemoryContext,
											  false);

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(whole, type, length, by_value, align, &elements, &nulls,
					  &nelements);
	for (int i = 0; i < count; i++)
		if (places[i] < nelements)
			picked = accumArrayResult(picked, elements[places[i]],
									  nulls[places[i]], type,
									  CurrentMemoryContext);
	return makeArrayResult(picked, CurrentMemoryContext);
}

/* Are these arguments arrays of one length, without what raises by itself? */
static bool
can_be_split(FunctionCallInfo fcinfo, int n, Datum **ids, int *count)
{
	bool	   *nulls;
	Oid		   *types;
	int			ntypes;

	if (PG_ARGISNULL(n) || ARR_NDIM(PG_GETARG_ARRAYTYPE_P(n)) != 1)
		return false;
	*count = dwf_arrays_read_texts(PG_GETARG_DATUM(n), ids, &nulls);
	for (int i = 0; i < *count; i++)
		if (nulls[i] || !is_possible(DatumGetTextPP((*ids)[i])))
			return false;
	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	for (int i = n + 1; i < PG_NARGS(); i++)
		if (!PG_ARGISNULL(i) &&
			type_is_array(types[i]) &&
			(ARR_NDIM(PG_GETARG_ARRAYTYPE_P(i)) != 1 ||
			 ARR_DIMS(PG_GETARG_ARRAYTYPE_P(i))[0] != *count))
			return false;
	return true;
}

/* Make the part of a call that concerns these elements of its arrays */
static Datum
call_part(const DwfCall *call, FunctionCallInfo fcinfo, int n,
		  const int *places, int count, text *place)
{
	LOCAL_FCINFO(part, FUNC_MAX_ARGS);
	Oid		   *types;
	int			ntypes;

	memcpy(part, fcinfo, SizeForFunctionCallInfo(PG_NARGS()));
	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &ntypes);
	for (int i = n; i < PG_NARGS(); i++)
		if (!part->args[i].isnull && type_is_array(types[i]))
			part->args[i].value = pick(part->args[i].value, places, count);
	return call_at_workflow(call, part, place);
}

/* Make a call whose arrays concern several nodes on each of them */
static Datum
call_at_many(const DwfCall *call, FunctionCallInfo fcinfo, int n)
{
	Datum	   *ids;
	int			count;
	int		   *groups;
	int		   *places;
	int64	   *results;
	int			done = 0;

	if (!can_be_split(fcinfo, n, &ids, &count) || count == 0)
		return call->body(fcinfo);
	groups = palloc(count * sizeof(int));
	places = palloc(count * sizeof(int));
	results = palloc(count * sizeof(int64));
	for (int i = 0; i < count; i++)
	{
		int32		hash = dwf_anchor_hash(DatumGetTextPP(ids[i]));

		groups[i] = dwf_anchor_node(hash).group;
	}

	/* one node after the other, all sessions in one order */
	while (done < count)
	{
		int			npart = 0;
		int			first = -1;
		Datum	   *part;
		int			nresults;
		ArrayType  *array;

		for (int i = 0; i < count; i++)
			if (groups[i] >= 0 &&
				(first < 0 || groups[i] < groups[first]))
				first = i;
		for (int i = first; i < count; i++)
			if (groups[i] == groups[first])
				places[npart++] = i;
		array = DatumGetArrayTypeP(call_part(call, fcinfo, n, places, npart,
											 DatumGetTextPP(ids[first])));
		deconstruct_array(array, INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
						  TYPALIGN_DOUBLE, &part, NULL, &nresults);
		Assert(nresults == npart);
		for (int i = 0; i < npart; i++)
		{
			results[places[i]] = DatumGetInt64(part[i]);
			groups[places[i]] = -1;
		}
		done += npart;
	}
	return dwf_arrays_of_int8(results, count);
}

/* ----- the door ----- */

/* Make a call on the node, or the nodes, that it belongs to */
static Datum
route(const DwfCall *call, FunctionCallInfo fcinfo)
{
	int			n = DWF_AT_ARGUMENT(call->at);

	switch (DWF_AT_KIND(call->at))
	{
		case DWF_AT_WORKFLOW(0):
			return call_at_workflow(call, fcinfo, named_workflow(fcinfo, n));
		case DWF_AT_TOKEN(0):
			return call_at_token(call, fcinfo, n);
		case DWF_AT_WORKFLOW_OR_EACH(0):
			if (n < PG_NARGS() && !PG_ARGISNULL(n))
				return call_at_workflow(call, fcinfo, PG_GETARG_TEXT_PP(n));
			return call_at_each(call, fcinfo);
		case DWF_AT_MANY(0):
			return call_at_many(call, fcinfo, n);
		default:
			return call->body(fcinfo);
	}
}

/*
 * Keep the workflow that this session executes from being moved until the
 * transaction ends.  Raises 40001 if it was: then another session executes it
 * on its node, and what this one would do, or record here, is lost.
 */
static void
keep_own_here(const DwfCall *call)
{
	text	   *own;
	int32		hash;

	if (!dwf_claim_executes(&own))
		return;
	hash = dwf_anchor_hash(own);
	if (!dwf_custody_hold(hash) || !dwf_anchor_in_custody(hash))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("workflow \"%s\" was moved to another node",
						text_to_cstring(own)),
				 errdetail("%s() is called by the session that executed it here.",
						   call->function),
				 errhint("Attach to it on its node.")));
}

/* Make a call, if there is a cluster where it belongs */
static Datum
route_call(const DwfCall *call, FunctionCallInfo fcinfo)
{
	LOCAL_FCINFO(copy, FUNC_MAX_ARGS);
	Datum		result;

	if (!dwf_anchor_exists())
		return call->body(fcinfo);
	keep_own_here(call);
	if (call->at == DWF_AT_HERE)
		return call->body(fcinfo);

	/* the arguments of the caller's expression stay as they are (R1) */
	memcpy(copy, fcinfo, SizeForFunctionCallInfo(PG_NARGS()));
	if (call->settle && !dwf_received_is_active())
		call->settle(copy);
	result = route(call, copy);
	fcinfo->isnull = copy->isnull;
	if (call->settled && !dwf_received_is_active())
		call->settled(copy, result);
	return result;
}

/* Take over how calls are made on a cluster */
void
dwf_route_init(void)
{
	dwf_journal_router = route_call;
}
