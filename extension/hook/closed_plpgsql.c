/*-------------------------------------------------------------------------
 *
 * closed_plpgsql.c
 *	  A validator runs no expression that was prepared outside.
 *
 * PL/pgSQL prepares a simple expression once in a transaction, and then
 * evaluates it without calling the server's hooks.  If the transaction has
 * called a function in PL/pgSQL before, outside of the validator, the function
 * may hold prepared expressions that call what a validator may not call
 * (closed_functions.c).  So when a function in PL/pgSQL begins in a validator,
 * its prepared expressions are checked, and those that may not run are marked
 * as not prepared: PL/pgSQL prepares them again, and the hooks refuse them.
 *
 * An expression that converts to a domain does not contain the domain's
 * checks, so it is marked in any case.  If a function has variables to which
 * PL/pgSQL may convert values without an expression, all that PL/pgSQL keeps
 * for domains is declared out of date, once in a validator.
 *
 * PL/pgSQL can have one plugin.  While a validator runs, it is the one below,
 * which calls the plugin that was there before (a debugger's, guard.c's).
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

#include "base/compat.h"
#include "base/restricted.h"
#include "hook/closed_functions.h"

/* The plugin that PL/pgSQL has outside of validators, or NULL */
static PLpgSQL_plugin *other = NULL;

/* This validator has declared out of date what is kept for domains */
static bool has_forgotten_domains = false;

static void check_statements(List *statements);

/* ----- expressions ----- */

/* Is this a function that a validator may not call? */
static bool
is_refused(Oid function, void *arg)
{
	(void) arg;
	return !dwf_closed_functions_allow(function);
}

/*
 * Does an expression call a function that a validator may not call, or may it
 * do so in the check of a domain?
 */
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

/*
 * Mark an expression as not prepared if it is prepared and a validator may not
 * evaluate it.
 */
static void
check(PLpgSQL_expr *expr)
{
	if (expr && expr->expr_simple_expr && !expr->expr_simple_in_use &&
		expr->expr_simple_lxid == DWF_MY_LXID &&
		expr->expr_simple_plan_lxid == DWF_MY_LXID &&
		calls_refused((Node *) expr->expr_simple_expr, NULL))
		expr->expr_simple_lxid = InvalidLocalTransactionId;
}

/* Check a list of expressions */
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

/* Check a block of statements, and its exception handlers */
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

/* Check an IF or a CASE */
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

/* Check a loop; any other statement has no expression to check */
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

/* Check a RAISE, with its options */
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

/* Check a statement, with those that it contains */
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

/* Check a list of statements */
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

/*
 * The plugin's func_setup: pass the functions that PL/pgSQL has given to this
 * plugin to the other one.
 */
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

/* Is a type a domain, or an array of one? */
static bool
has_domain(Oid type)
{
	Oid			element = get_element_type(type);

	return get_typtype(OidIsValid(element) ? element : type) == TYPTYPE_DOMAIN;
}

/*
 * May a function convert values to a domain without an expression for that?
 * That is so of its result and variables; a record may have any field.
 */
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

/*
 * The plugin's func_beg: check the prepared expressions of a function, those
 * of its variables' defaults included.
 */
static void
begin_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	/* Have PL/pgSQL prepare the checks of domains again */
	if (!has_forgotten_domains && may_convert(function))
	{
		CallSyscacheCallbacks(TYPEOID, 0);
		has_forgotten_domains = true;
	}

	/* Check the defaults, then the statements */
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

/* The plugin's func_end: call the other one */
static void
end_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (other && other->func_end)
		other->func_end(estate, function);
}

/* The plugin's stmt_beg: call the other one */
static void
begin_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	if (other && other->stmt_beg)
		other->stmt_beg(estate, statement);
}

/* The plugin's stmt_end: call the other one */
static void
end_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	if (other && other->stmt_end)
		other->stmt_end(estate, statement);
}

/* The rendezvous variable in which PL/pgSQL finds its plugin */
static PLpgSQL_plugin **
plugin_place(void)
{
	static PLpgSQL_plugin **place = NULL;

	if (place == NULL)
		place = (PLpgSQL_plugin **)
			find_rendezvous_variable("PLpgSQL_plugin");
	return place;
}

/*
 * Prepare for a validator, before anything is hidden: the first call allocates
 * the rendezvous variable.
 */
void
dwf_closed_plpgsql_prepare(void)
{
	(void) plugin_place();
}

/*
 * Install the plugin for a validator, unless one that is running has done so.
 * Cannot fail.
 */
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

/*
 * Remove the plugin at the end of the outermost validator, on every way out.
 * Cannot fail.
 */
void
dwf_closed_plpgsql_leave(bool is_outermost)
{
	if (is_outermost)
		*plugin_place() = other;
}
