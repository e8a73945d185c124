/*-------------------------------------------------------------------------
 *
 * query.c
 *	  What we do before a query is run, or one of its functions called.
 *
 * The server's hooks, each installed once, and the parts of durable_wf that
 * they ask, in this order:
 *
 *	ExecutorStart		may a validator use these tables (closed_world.c);
 *						may a step (step_scope.c); a body writes in its steps
 *						only (guard.c), which also explains what is refused
 *	object access		a function is made ready to be called: may a body call
 *						it (guard.c), does it take an advisory lock
 *						(session_lock.c), does it set something
 *						(kept_plans.c), may a validator call it
 *						(closed_functions.c); an object is created or changed:
 *						is it temporary, in a step (step_scope.c)
 *
 * Utility statements are in utility.c.
 *
 *-------------------------------------------------------------------------
 */
#include "query.h"

#include "catalog/objectaccess.h"
#include "executor/executor.h"

#include "hook/closed_functions.h"
#include "hook/closed_world.h"
#include "session/guard.h"
#include "session/kept_plans.h"
#include "session/session_lock.h"
#include "session/step_scope.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static object_access_hook_type prev_object_access = NULL;

/* Start a query as the server, or the next library, does */
static void
start_query(QueryDesc *query, int flags)
{
	if (prev_executor_start)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* The hook: a query is about to be started */
static void
executor_start(QueryDesc *query, int flags)
{
	dwf_closed_world_check_query(query);
	dwf_step_scope_begin_query(query, flags);
	dwf_guard_start_query(query, flags, start_query);
}

/* The hook: an object is about to be used, or was created */
static void
object_access(ObjectAccessType access, Oid class, Oid object, int sub_object,
			  void *arg)
{
	if (prev_object_access)
		prev_object_access(access, class, object, sub_object, arg);
	if (access == OAT_FUNCTION_EXECUTE)
	{
		dwf_guard_check_function(object);
		dwf_session_lock_note_function(object);
		dwf_kept_plans_note_function(object);
		dwf_closed_functions_check(object);
	}
	else
		dwf_step_scope_check_object(access, class, object, sub_object);
}

/* Install the hooks */
void
dwf_query_init(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = object_access;
	prev_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}
