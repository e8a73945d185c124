/*-------------------------------------------------------------------------
 *
 * node.c
 *	  Ask about nodes: wf_node; and the part of wf_list_steps that is not SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "funcapi.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "cluster/forward.h"
#include "cluster/received.h"
#include "session/result.h"
#include "store/anchor.h"

PG_FUNCTION_INFO_V1(wf_node);
PG_FUNCTION_INFO_V1(dwf_list_steps_there);

/* wf_node(workflow_id) → (host, port, is_here) */
Datum
wf_node(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	Datum		values[3] = {0};
	bool		nulls[3] = {true, true, false};

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	values[2] = BoolGetDatum(true);
	if (dwf_anchor_exists())
	{
		DwfNode		node = dwf_anchor_node(dwf_anchor_hash(workflow_id));

		values[0] = CStringGetTextDatum(node.host);
		values[1] = Int32GetDatum(node.port);
		values[2] = BoolGetDatum(node.is_here);
		nulls[0] = nulls[1] = false;
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}

/*
 * durable_wf.list_steps_there(workflow_id): the rows of wf_list_steps(), from
 * the node of a workflow that is not here.  Raises 55000 if it is.
 */
Datum
dwf_list_steps_there(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	int32		hash;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	hash = dwf_anchor_hash(workflow_id);
	if (dwf_anchor_is_here(hash))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" is on this node",
						text_to_cstring(workflow_id))));
	if (dwf_received_is_active())
		dwf_anchor_report("wf_list_steps", hash, DWF_HAND_OVER_HINT);
	return dwf_result_decode(fcinfo, dwf_forward_call(fcinfo, "wf_list_steps",
													  workflow_id));
}
