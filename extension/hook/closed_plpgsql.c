/*-------------------------------------------------------------------------
 *
 * closed_plpgsql.c
 *	  A validator runs no expression that was prepared outside.
 *
 * PL/pgSQL prepares a simple expression once in a transaction, and then
 * evaluates it past the server's hooks.  A function of the owner's that the
 * transaction has called before, outside of the validator, may hold one that
 * calls what a validator may not (closed_functions.c).  So when a function of
 * PL/pgSQL begins in a validator, what it has ready is looked through, and
 * what may not run here is forgotten: it is prepared anew, and refused then.
 *
 * The checks of domains are not in the expressions.  One that converts to a
 * domain is forgotten in any case; and where a function has variables for
 * which PL/pgSQL may convert values by itself, all that it keeps for domains
 * is declared out of date, once in a validator.
 *
 * There can be one plugin of PL/pgSQL.  Ours is there while a validator runs,
 * and passes on to the one that was there (a debugger's, guard.c's).
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_plpgsql.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "plpgsql.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "base/restricted.h"
#include "hook/closed_functions.h"

/* The plugin that is there outside of validators, or NULL */
static PLpgSQL_plugin *other = NULL;

/* In this validator, what is kept for domains has been declared out of date */
static bool has_forgotten_domains = false;

static void check_statements(List *statements);

/* ----- expressions ----- */

/* Is it a function that a validator may not call? */
static bool
is_refused(Oid function, void *arg)
{
	(void) arg;
	return !dwf_closed_functions_allow(function);
}

/* Does an expression call one, or may it, in the check of a domain? */
static bool
calls_refused(Node *node, void *arg)
{
	if (node == NULL)
		return false;
	if (IsA(node, CoerceToDomain))
		return true;
	return check_functions_in_node(node, is_refused, arg) ||
		expression_tree_walker(node, calls_refused, arg);
}

/* If an expression is ready to be evaluated and may not be, forget that */
static void
check(PLpgSQL_expr *expr)
{
	if (expr && expr->expr_simple_expr && !expr->expr_simple_in_use &&
		expr->expr_simple_lxid == DWF_MY_LXID &&
		expr->expr_simple_plan_lxid == DWF_MY_LXID &&
		calls_refused((Node *) expr->expr_simple_expr, NULL))
		expr->expr_simple_lxid = InvalidLocalTransactionId;
}

static void
check_all(List *exprs)
{
	ListCell   *cell;

	foreach(cell, exprs)
	{
		check(lfirst(cell));
	}
}

/* ----- statements ----- */

#define AS(type)	((PLpgSQL_stmt_##type *) statement)

/* A block of statements, and its handlers */
static void
check_block(PLpgSQL_stmt_block *block)
{
	ListCell   *cell;

	check_statements(block->body);
	if (block->exceptions)
		foreach(cell, block->exceptions->exc_list)
	{
		check_statements(((PLpgSQL_exception *) lfirst(cell))->action);
	}
}

/* IF and CASE */
static void
check_branches(PLpgSQL_stmt *statement)
{
	ListCell   *cell;

	if (statement->cmd_type == PLPGSQL_STMT_IF)
	{
		check(AS(if)->cond);
		check_statements(AS(if)->then_body);
		foreach(cell, AS(if)->elsif_list)
		{
			check(((PLpgSQL_if_elsif *) lfirst(cell))->cond);
			check_statements(((PLpgSQL_if_elsif *) lfirst(cell))->stmts);
		}
		check_statements(AS(if)->else_body);
		return;
	}
	check(AS(case)->t_expr);
	foreach(cell, AS(case)->case_when_list)
	{
		check(((PLpgSQL_case_when *) lfirst(cell))->expr);
		check_statements(((PLpgSQL_case_when *) lfirst(cell))->stmts);
	}
	check_statements(AS(case)->else_stmts);
}

/* The loops */
static void
check_loop(PLpgSQL_stmt *statement)
{
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_LOOP:
			check_statements(AS(loop)->body);
			break;
		case PLPGSQL_STMT_WHILE:
			check(AS(while)->cond);
			check_statements(AS(while)->body);
			break;
		case PLPGSQL_STMT_FORI:
			check(AS(fori)->lower);
			check(AS(fori)->upper);
			check(AS(fori)->step);
			check_statements(AS(fori)->body);
			break;
		case PLPGSQL_STMT_FORS:
			check(AS(fors)->query);
			check_statements(AS(fors)->body);
			break;
		case PLPGSQL_STMT_FORC:
			check(AS(forc)->argquery);
			check_statements(AS(forc)->body);
			break;
		case PLPGSQL_STMT_DYNFORS:
			check(AS(dynfors)->query);
			check_all(AS(dynfors)->params);
			check_statements(AS(dynfors)->body);
			break;
		case PLPGSQL_STMT_FOREACH_A:
			check(AS(foreach_a)->expr);
			check_statements(AS(foreach_a)->body);
			break;
		default:
			break;
	}
}

/* RAISE, with its options */
static void
check_raise(PLpgSQL_stmt_raise *raise)
{
	ListCell   *cell;

	check_all(raise->params);
	foreach(cell, raise->options)
	{
		check(((PLpgSQL_raise_option *) lfirst(cell))->expr);
	}
}

/* Any statement, with those that it contains */
static void
check_statement(PLpgSQL_stmt *statement)
{
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_BLOCK:
			check_block(AS(block));
			break;
		case PLPGSQL_STMT_IF:
		case PLPGSQL_STMT_CASE:
			check_branches(statement);
			break;
		case PLPGSQL_STMT_ASSIGN:
			check(AS(assign)->expr);
			break;
		case PLPGSQL_STMT_PERFORM:
			check(AS(perform)->expr);
			break;
		case PLPGSQL_STMT_CALL:
			check(AS(call)->expr);
			break;
		case PLPGSQL_STMT_EXIT:
			check(AS(exit)->cond);
			break;
		case PLPGSQL_STMT_RETURN:
			check(AS(return)->expr);
			break;
		case PLPGSQL_STMT_RETURN_NEXT:
			check(AS(return_next)->expr);
			break;
		case PLPGSQL_STMT_RETURN_QUERY:
			check(AS(return_query)->dynquery);
			check_all(AS(return_query)->params);
			break;
		case PLPGSQL_STMT_RAISE:
			check_raise(AS(raise));
			break;
		case PLPGSQL_STMT_ASSERT:
			check(AS(assert)->cond);
			check(AS(assert)->message);
			break;
		case PLPGSQL_STMT_DYNEXECUTE:
			check(AS(dynexecute)->query);
			check_all(AS(dynexecute)->params);
			break;
		case PLPGSQL_STMT_OPEN:
			check(AS(open)->dynquery);
			check_all(AS(open)->params);
			break;
		case PLPGSQL_STMT_FETCH:
			check(AS(fetch)->expr);
			break;
		default:
			check_loop(statement);
	}
}

static void
check_statements(List *statements)
{
	ListCell   *cell;

	foreach(cell, statements)
	{
		check_statement(lfirst(cell));
	}
}

/* ----- the plugin ----- */

static void set_up_function(PLpgSQL_execstate *estate,
							PLpgSQL_function *function);
static void begin_function(PLpgSQL_execstate *estate,
						   PLpgSQL_function *function);
static void end_function(PLpgSQL_execstate *estate,
						 PLpgSQL_function *function);
static void begin_statement(PLpgSQL_execstate *estate,
							PLpgSQL_stmt *statement);
static void end_statement(PLpgSQL_execstate *estate,
						  PLpgSQL_stmt *statement);

static PLpgSQL_plugin plugin = {
	.func_setup = set_up_function,
	.func_beg = begin_function,
	.func_end = end_function,
	.stmt_beg = begin_statement,
	.stmt_end = end_statement
};

/* What PL/pgSQL has given to us the other one needs, too */
static void
set_up_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (other == NULL)
		return;
	other->error_callback = plugin.error_callback;
	other->assign_expr = plugin.assign_expr;
	other->assign_value = plugin.assign_value;
	other->eval_datum = plugin.eval_datum;
	other->cast_value = plugin.cast_value;
	if (other->func_setup)
		other->func_setup(estate, function);
}

/* Is a type a domain, or made of one? */
static bool
has_domain(Oid type)
{
	Oid			element = get_element_type(type);

	return get_typtype(OidIsValid(element) ? element : type) == TYPTYPE_DOMAIN;
}

/* May values be converted to a domain where it has no expression for that? */
static bool
may_convert(PLpgSQL_function *function)
{
	if (has_domain(function->fn_rettype))
		return true;
	for (int i = 0; i < function->ndatums; i++)
	{
		PLpgSQL_datum *datum = function->datums[i];

		if (datum->dtype == PLPGSQL_DTYPE_REC)
			return true;
		if ((datum->dtype == PLPGSQL_DTYPE_VAR ||
			 datum->dtype == PLPGSQL_DTYPE_PROMISE) &&
			has_domain(((PLpgSQL_var *) datum)->datatype->typoid))
			return true;
	}
	return false;
}

/* A function begins: look through what it has ready, defaults included */
static void
begin_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (!has_forgotten_domains && may_convert(function))
	{
		CallSyscacheCallbacks(TYPEOID, 0);
		has_forgotten_domains = true;
	}
	for (int i = 0; i < function->ndatums; i++)
	{
		PLpgSQL_datum *datum = function->datums[i];

		if (datum->dtype == PLPGSQL_DTYPE_VAR ||
			datum->dtype == PLPGSQL_DTYPE_PROMISE ||
			datum->dtype == PLPGSQL_DTYPE_REC)
			check(((PLpgSQL_variable *) datum)->default_val);
	}
	check_block(function->action);
	if (other && other->func_beg)
		other->func_beg(estate, function);
}

static void
end_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (other && other->func_end)
		other->func_end(estate, function);
}

static void
begin_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	if (other && other->stmt_beg)
		other->stmt_beg(estate, statement);
}

static void
end_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	if (other && other->stmt_end)
		other->stmt_end(estate, statement);
}

/* Where PL/pgSQL looks for its plugin */
static PLpgSQL_plugin **
plugin_place(void)
{
	static PLpgSQL_plugin **place = NULL;

	if (place == NULL)
		place = (PLpgSQL_plugin **)
			find_rendezvous_variable("PLpgSQL_plugin");
	return place;
}

/* A validator is going to begin */
void
dwf_closed_plpgsql_prepare(void)
{
	(void) plugin_place();
}

/* It begins, perhaps in another one.  Cannot fail. */
void
dwf_closed_plpgsql_enter(void)
{
	PLpgSQL_plugin **place = plugin_place();

	if (*place == &plugin)
		return;
	other = *place;
	*place = &plugin;
	has_forgotten_domains = false;
}

/* It has ended, perhaps in another one, however.  Cannot fail. */
void
dwf_closed_plpgsql_leave(bool is_outermost)
{
	if (is_outermost)
		*plugin_place() = other;
}
