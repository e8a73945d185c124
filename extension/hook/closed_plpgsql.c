/*-------------------------------------------------------------------------
 *
 * closed_plpgsql.c
 *	  A validator runs no expression that was prepared outside.
 *
 * PL/pgSQL prepares a simple expression once in a transaction, and then
 * evaluates it past the server's hooks.  A function of the owner's that the
 * transaction has called before, outside of the validator, may hold one that
 * calls what a validator may not (closed_functions.c), itself or in what the
 * functions of the server have ready for it: jsonb_populate_record() and the
 * input of ranges, records and arrays keep the checks of domains.  So when a
 * function of PL/pgSQL begins in a validator for the first time, all that it
 * has ready is forgotten: it is prepared anew, and looked at then.
 *
 * The casts that PL/pgSQL makes by itself are not in the functions.  Those
 * that may check a domain are reached by its name in the caches: where a
 * function has variables for which there may be one, all that is kept for
 * domains is declared out of date, once in a validator.
 *
 * There can be one plugin of PL/pgSQL.  Ours is there while a validator runs,
 * and passes on to the one that was there (a debugger's, guard.c's).
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_plpgsql.h"

#include "catalog/pg_type.h"
#include "plpgsql.h"
#include "storage/lock.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "base/restricted.h"
#include "hook/closed_functions.h"

/* The plugin that is there outside of validators, or NULL */
static PLpgSQL_plugin *other = NULL;

/* In this validator, what is kept for domains has been declared out of date */
static bool has_forgotten_domains = false;

/*
 * The functions that have begun in it, in begun_context.  (One that is made
 * anew in the place of another has nothing ready from outside.)
 */
static List *begun = NIL;
static MemoryContext begun_context = NULL;

static void forget_statements(List *statements);

/* ----- expressions ----- */

/*
 * Forget that an expression is ready to be evaluated.  If that goes on just
 * now, outside of the validator, PL/pgSQL does not use it again.
 */
static void
forget(PLpgSQL_expr *expr)
{
	if (expr && expr->expr_simple_expr && !expr->expr_simple_in_use)
		expr->expr_simple_lxid = InvalidLocalTransactionId;
}

/* Forget that the expressions of a list are ready to be evaluated */
static void
forget_all(List *exprs)
{
	ListCell   *cell;

	foreach(cell, exprs)
	{
		forget(lfirst(cell));
	}
}

/* ----- statements ----- */

#define AS(type)	((PLpgSQL_stmt_##type *) statement)

/* A block of statements, and its handlers */
static void
forget_block(PLpgSQL_stmt_block *block)
{
	ListCell   *cell;

	forget_statements(block->body);
	if (block->exceptions == NULL)
		return;
	foreach(cell, block->exceptions->exc_list)
	{
		forget_statements(((PLpgSQL_exception *) lfirst(cell))->action);
	}
}

/* IF and CASE */
static void
forget_branches(PLpgSQL_stmt *statement)
{
	ListCell   *cell;

	/* IF: its condition, and those of its branches */
	if (statement->cmd_type == PLPGSQL_STMT_IF)
	{
		forget(AS(if)->cond);
		forget_statements(AS(if)->then_body);
		foreach(cell, AS(if)->elsif_list)
		{
			forget(((PLpgSQL_if_elsif *) lfirst(cell))->cond);
			forget_statements(((PLpgSQL_if_elsif *) lfirst(cell))->stmts);
		}
		forget_statements(AS(if)->else_body);
		return;
	}

	/* CASE: its expression, and those of its branches */
	forget(AS(case)->t_expr);
	foreach(cell, AS(case)->case_when_list)
	{
		forget(((PLpgSQL_case_when *) lfirst(cell))->expr);
		forget_statements(((PLpgSQL_case_when *) lfirst(cell))->stmts);
	}
	forget_statements(AS(case)->else_stmts);
}

/* The loops */
static void
forget_loop(PLpgSQL_stmt *statement)
{
	/* what controls the loop, then what it repeats */
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_LOOP:
			forget_statements(AS(loop)->body);
			break;
		case PLPGSQL_STMT_WHILE:
			forget(AS(while)->cond);
			forget_statements(AS(while)->body);
			break;
		case PLPGSQL_STMT_FORI:
			forget(AS(fori)->lower);
			forget(AS(fori)->upper);
			forget(AS(fori)->step);
			forget_statements(AS(fori)->body);
			break;
		case PLPGSQL_STMT_FORS:
			forget(AS(fors)->query);
			forget_statements(AS(fors)->body);
			break;
		case PLPGSQL_STMT_FORC:
			forget(AS(forc)->argquery);
			forget_statements(AS(forc)->body);
			break;
		case PLPGSQL_STMT_DYNFORS:
			forget(AS(dynfors)->query);
			forget_all(AS(dynfors)->params);
			forget_statements(AS(dynfors)->body);
			break;
		case PLPGSQL_STMT_FOREACH_A:
			forget(AS(foreach_a)->expr);
			forget_statements(AS(foreach_a)->body);
			break;
		default:
			break;
	}
}

/* RAISE, with its options */
static void
forget_raise(PLpgSQL_stmt_raise *raise)
{
	ListCell   *cell;

	forget_all(raise->params);
	foreach(cell, raise->options)
	{
		forget(((PLpgSQL_raise_option *) lfirst(cell))->expr);
	}
}

/* Any statement, with those that it contains */
static void
forget_statement(PLpgSQL_stmt *statement)
{
	/* forget the expressions of the statement, and what it contains */
	switch (statement->cmd_type)
	{
		case PLPGSQL_STMT_BLOCK:
			forget_block(AS(block));
			break;
		case PLPGSQL_STMT_IF:
		case PLPGSQL_STMT_CASE:
			forget_branches(statement);
			break;
		case PLPGSQL_STMT_ASSIGN:
			forget(AS(assign)->expr);
			break;
		case PLPGSQL_STMT_PERFORM:
			forget(AS(perform)->expr);
			break;
		case PLPGSQL_STMT_CALL:
			forget(AS(call)->expr);
			break;
		case PLPGSQL_STMT_EXIT:
			forget(AS(exit)->cond);
			break;
		case PLPGSQL_STMT_RETURN:
			forget(AS(return)->expr);
			break;
		case PLPGSQL_STMT_RETURN_NEXT:
			forget(AS(return_next)->expr);
			break;
		case PLPGSQL_STMT_RETURN_QUERY:
			forget(AS(return_query)->dynquery);
			forget_all(AS(return_query)->params);
			break;
		case PLPGSQL_STMT_RAISE:
			forget_raise(AS(raise));
			break;
		case PLPGSQL_STMT_ASSERT:
			forget(AS(assert)->cond);
			forget(AS(assert)->message);
			break;
		case PLPGSQL_STMT_DYNEXECUTE:
			forget(AS(dynexecute)->query);
			forget_all(AS(dynexecute)->params);
			break;
		case PLPGSQL_STMT_OPEN:
			forget(AS(open)->dynquery);
			forget_all(AS(open)->params);
			break;
		case PLPGSQL_STMT_FETCH:
			forget(AS(fetch)->expr);
			break;
		default:
			forget_loop(statement);
	}
}

/* Forget what the statements of a list have ready */
static void
forget_statements(List *statements)
{
	ListCell   *cell;

	foreach(cell, statements)
	{
		forget_statement(lfirst(cell));
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

/* The plugin's func_setup: the other plugin gets what PL/pgSQL has given us */
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

/* May a value of this type hold one of a domain? */
static bool
may_hold_domain(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		type = element;
	switch (get_typtype(type))
	{
		case TYPTYPE_DOMAIN:
		case TYPTYPE_COMPOSITE:
			return true;
		case TYPTYPE_RANGE:
			return may_hold_domain(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return may_hold_domain(get_multirange_range(type));
		default:
			return false;
	}
}

/* May values be converted to a domain where it has no expression for that? */
static bool
may_convert(PLpgSQL_function *function)
{
	if (may_hold_domain(function->fn_rettype))
		return true;
	for (int i = 0; i < function->ndatums; i++)
	{
		PLpgSQL_datum *datum = function->datums[i];

		if (datum->dtype == PLPGSQL_DTYPE_REC)
			return true;
		if ((datum->dtype == PLPGSQL_DTYPE_VAR ||
			 datum->dtype == PLPGSQL_DTYPE_PROMISE) &&
			may_hold_domain(((PLpgSQL_var *) datum)->datatype->typoid))
			return true;
	}
	return false;
}

/* A function begins for the first time: forget what it has ready */
static void
forget_function(PLpgSQL_function *function)
{
	MemoryContext old;

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
			forget(((PLpgSQL_variable *) datum)->default_val);
	}
	forget_block(function->action);
	old = MemoryContextSwitchTo(begun_context);
	begun = lappend(begun, function);
	MemoryContextSwitchTo(old);
}

/* The plugin's func_beg: forget what the function has ready */
static void
begin_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (!list_member_ptr(begun, function))
		forget_function(function);
	if (other && other->func_beg)
		other->func_beg(estate, function);
}

/* The plugin's func_end: only the other plugin needs it */
static void
end_function(PLpgSQL_execstate *estate, PLpgSQL_function *function)
{
	if (other && other->func_end)
		other->func_end(estate, function);
}

/* The plugin's stmt_beg: only the other plugin needs it */
static void
begin_statement(PLpgSQL_execstate *estate, PLpgSQL_stmt *statement)
{
	if (other && other->stmt_beg)
		other->stmt_beg(estate, statement);
}

/* The plugin's stmt_end: only the other plugin needs it */
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

/* A validator is going to begin, in a context that outlives it */
void
dwf_closed_plpgsql_prepare(void)
{
	if (*plugin_place() != &plugin)
		begun_context = CurrentMemoryContext;
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
	begun = NIL;
}

/* It has ended, perhaps in another one, however.  Cannot fail. */
void
dwf_closed_plpgsql_leave(bool is_outermost)
{
	if (is_outermost)
		*plugin_place() = other;
}
