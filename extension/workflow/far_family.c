/*-------------------------------------------------------------------------
 *
 * far_family.c
 *	  Workflows that workflows of other nodes of the cluster have started.
 *
 * The node of a parent hands its id over with a start, so the child's row has
 * it, on whichever node that is.  A cancel of a family asks all nodes for the
 * children of those that it has met, until no node knows of more: all in one
 * transaction, from the node of the caller.
 *
 *	F3	F1 holds: the session that executes the parent, which is on this node,
 *		locks its row before it commits.  So it has written here, and commits
 *		in two phases (C1): the other node has prepared before the lock is
 *		given up.  F2 becomes: who cancels the family, and has ended the
 *		parent, waits on each node for transactions that are prepared there
 *		and have started a child of it, and then looks.
 *	F4	No shard moves between the first look and the last: all nodes have
 *		locked theirs before (M1).
 *	F5	A node that is handed a start, or asked for children, cannot see the
 *		parent: anybody may call it so.  So what it cancels, waits for or
 *		names belongs to a role whose privileges the caller has.  Others are
 *		left, and a warning says so.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/far_family.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "cluster/forward.h"
#include "cluster/route.h"
#include "shared/preloaded.h"
#include "store/anchor.h"
#include "store/custody.h"
#include "store/store.h"
#include "workflow/family.h"

PG_FUNCTION_INFO_V1(dwf_cancel_family);

/* This session has started a workflow: note whose child it is, if it is far */
void
dwf_far_family_note_start(text *child)
{
	text	   *parent = dwf_family_parent();

	if (parent && dwf_route_is_elsewhere(child))
		dwf_family_note_start(parent);
}

/*
 * Cancel here what these workflows have started, and what that has started
 * here.  Returns how many were left, as a text, and the others that were met.
 */
static Datum
cancel_here(Datum parents, text *error)
{
	Datum	   *ids;
	int			count = dwf_arrays_read_texts(parents, &ids, NULL);
	int			left;
	Datum	   *result;

	dwf_custody_share_all();
	dwf_store_await_prepared_children(ids, count, GetUserId());
	ids = dwf_family_cancel_here(ids, &count, error, &left);
	result = palloc(sizeof(Datum) * (count + 1));
	result[0] = CStringGetTextDatum(psprintf("%d", left));
	memcpy(result + 1, ids, sizeof(Datum) * count);
	return dwf_arrays_of_text(result, count + 1);
}

/* durable_wf.cancel_family(parent_ids, error) → text[]: see cancel_here() */
Datum
dwf_cancel_family(PG_FUNCTION_ARGS)
{
	dwf_preloaded_require("durable_wf.cancel_family");
	dwf_store_require_writable("durable_wf.cancel_family");
	PG_RETURN_DATUM(cancel_here(PG_GETARG_DATUM(0), PG_GETARG_TEXT_PP(1)));
}

/* Have a node do that */
static Datum
cancel_there(const DwfNode * node, Datum parents, text *error)
{
	Datum		arguments[2];

	if (node->is_here)
		return cancel_here(parents, error);
	arguments[0] = dwf_forward_array_as_text(parents);
	arguments[1] = PointerGetDatum(error);
	return dwf_forward_array("cancel_family", dwf_anchor_name_for(node->group),
							 arguments, 2);
}

/* Add those that a node has met to a family; returns how many it has left */
static int
add_met(DwfFamily * family, Datum met)
{
	Datum	   *texts;
	int			count = dwf_arrays_read_texts(met, &texts, NULL);

	for (int i = 1; i < count; i++)
		(void) dwf_family_add(family, DatumGetTextPP(texts[i]));
	return pg_strtoint32(TextDatumGetCString(texts[0]));
}

/*
 * On a cluster: cancel what a workflow of any node has started on all nodes,
 * and what that has started, as dwf_family_cancel() does
 */
void
dwf_far_family_cancel(text *workflow_id, text *error)
{
	Datum		id = PointerGetDatum(workflow_id);
	DwfFamily	family = dwf_family_make(&id, 1);
	DwfNode    *nodes;
	int			nnodes = dwf_anchor_nodes(&nodes);
	int			asked = 0;
	int			left = 0;

	/* lock the shards of all nodes (F4) */
	for (int i = 0; i < nnodes; i++)
		(void) cancel_there(&nodes[i], dwf_arrays_of_text(NULL, 0), error);

	while (asked < family.count)
	{
		Datum		parents = dwf_arrays_of_text(family.ids + asked,
												 family.count - asked);

		CHECK_FOR_INTERRUPTS();
		asked = family.count;
		for (int i = 0; i < nnodes; i++)
			left += add_met(&family, cancel_there(&nodes[i], parents, error));
	}
	hash_destroy(family.met);
	if (left > 0)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg_plural("%d workflow that says to be a child was not cancelled",
							   "%d workflows that say to be children were not cancelled",
							   left, left),
				 errdetail("Role \"%s\" does not have the privileges of their owners.",
						   GetUserNameFromId(GetUserId(), false))));
}
