/*-------------------------------------------------------------------------
 *
 * search.c
 *	  Searches for attributes use their index, for every role.
 *
 * Under row security the planner evaluates the policy before any operator that
 * is not marked leakproof, and jsonb's @> is not.  So an index could serve
 * superusers only, and all others would read each row.  Of our table we know
 * more: what @> does with attributes raises nothing that depends on them (they
 * are objects of at most 8 kB), and has no effect.  If what they are compared
 * with has neither, the planner is told that the condition is leakproof.  The
 * policy is applied to what the index finds, as before.
 *
 *-------------------------------------------------------------------------
 */
#include "search.h"

#include "access/transam.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/paths.h"
#include "utils/fmgroids.h"

#include "store/catalog.h"
#include "store/statement.h"

static set_rel_pathlist_hook_type next_hook = NULL;

/* Is this function not one of the server's own? */
static bool
is_foreign_function(Oid function, void *context)
{
	(void) context;
	return function >= FirstNormalObjectId;
}

/* Is there a column, a subquery or a function of users' in an expression? */
static bool
may_leak(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var) || IsA(node, PlaceHolderVar) || IsA(node, SubLink) ||
		IsA(node, SubPlan) || IsA(node, AlternativeSubPlan) ||
		check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, may_leak, context);
}

/* Is a condition "column @> constant"? */
static bool
is_search(Expr * clause)
{
	OpExpr	   *operation = (OpExpr *) clause;

	return IsA(clause, OpExpr) && operation->opfuncid == F_JSONB_CONTAINS &&
		IsA(linitial(operation->args), Var) &&
		!may_leak(lsecond(operation->args), NULL);
}

/*
 * The planner has made the paths of a relation: if it is the table of
 * attributes, and conditions on it had to come after the policy, let those
 * that are a search be index conditions, too.
 */
static void
search_by_index(PlannerInfo * root, RelOptInfo * rel, Index number,
				RangeTblEntry *entry)
{
	List	   *policy = entry->securityQuals;
	bool		has_search = false;
	ListCell   *cell;

	if (next_hook)
		next_hook(root, rel, number, entry);
	if (entry->rtekind != RTE_RELATION || policy == NIL ||
		rel->indexlist == NIL || !dwf_catalog_is_installed() ||
		dwf_catalog_find_relation("attributes") != entry->relid)
		return;

	foreach(cell, rel->baserestrictinfo)
	{
		RestrictInfo *condition = lfirst_node(RestrictInfo, cell);

		if (condition->leakproof || !is_search(condition->clause))
			continue;
		condition->leakproof = true;
		condition->norm_selec = condition->outer_selec = -1;
		has_search = true;
	}
	if (!has_search)
		return;

	/* what is leakproof is estimated by statistics, which a policy forbids */
	entry->securityQuals = NIL;
	set_baserel_size_estimates(root, rel);
	entry->securityQuals = policy;
	create_index_paths(root, rel);
}

/* Have the planner ask us */
void
dwf_search_init(void)
{
	next_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = search_by_index;
}
