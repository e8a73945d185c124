/*-------------------------------------------------------------------------
 *
 * validator.c
 *	  Validators, the functions that check what comes to a hook: find one,
 *	  run one.
 *
 * A validator is code of the hook's owner.  It runs in the session that
 * resumes the hook, whose role may be a superuser, and in the transaction of
 * the resume: its writes commit or roll back with that.
 *
 *	- It runs as the owner, in a security-restricted operation: it cannot
 *	  become another role, nor leave a deferred trigger, a temporary table, a
 *	  LISTEN or a cursor WITH HOLD behind.
 *	- It sees nothing of the session's own state, and leaves nothing in it
 *	  (closed_world.c).
 *	- Its time is limited.  The limit is a query cancel, which the function
 *	  could catch.  If it still runs GRACE milliseconds later, the session is
 *	  terminated.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/validator.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/varlena.h"

#include "base/compat.h"
#include "base/portable.h"
#include "base/settings.h"
#include "hook/closed_world.h"
#include "session/journal.h"

/* How long after its cancel a validator may still run, in milliseconds */
#define GRACE	10000

static TimeoutId validator_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t expired = 0;

/* ----- finding a validator ----- */

/* Find the function of this name with one jsonb argument; raises 42883 */
static Oid
find_function(text *name)
{
	ObjectWithArgs *object = makeNode(ObjectWithArgs);
	Oid			function;

	object->objname = textToQualifiedNameList(name);
	object->objargs = list_make1(makeTypeNameFromOid(JSONBOID, -1));
	function = LookupFuncWithArgs(OBJECT_FUNCTION, object, true);
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no function %s(jsonb)",
						text_to_cstring(name)),
				 errhint("A validator is a function (jsonb) that returns jsonb.")));
	return function;
}

/*
 * The qualified name of a function.  Raises 42809 unless it can be a
 * validator, and 42501 unless the owner may execute it.
 */
static text *
check_function(Oid function, Oid owner)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	text	   *qualified;

	/* Check its kind and its result */
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	if (form->prokind != PROKIND_FUNCTION || form->proretset ||
		form->prorettype != JSONBOID)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s(jsonb) cannot be a validator",
						NameStr(form->proname)),
				 errdetail("A validator is a function (jsonb) that returns one jsonb.")));

	/* Check the owner's privilege */
	if (!dwf_compat_can_execute(function, owner))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION,
					   NameStr(form->proname));
	qualified = dwf_portable_name(form->pronamespace, NameStr(form->proname));
	ReleaseSysCache(tuple);
	return qualified;
}

/*
 * The qualified name of the function that this name means with the current
 * search_path.  Raises 42883.
 */
text *
dwf_validator_qualify(text *name)
{
	Oid			function = find_function(name);

	return dwf_portable_name(get_func_namespace(function),
							 get_func_name(function));
}

/*
 * The qualified name of a validator, found with the current search_path, for a
 * hook of this owner.  Raises 42883, 42809 and 42501.
 */
text *
dwf_validator_resolve(text *name, Oid owner)
{
	return check_function(find_function(name), owner);
}

/* ----- running a validator ----- */

/*
 * The timeout's handler, called by a signal: cancel the query the first time,
 * terminate the session the second time.
 */
static void
handle_timeout(void)
{
	if (expired)
		ProcDiePending = true;
	else
		QueryCancelPending = true;
	expired = 1;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/* Start the timeout, for the outermost validator */
static void
start_timeout(void)
{
	TimestampTz end;

	if (validator_timeout == MAX_TIMEOUTS)
		validator_timeout = RegisterTimeout(USER_TIMEOUT, handle_timeout);
	expired = 0;
	end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									  dwf_setting_validator_timeout);
	enable_timeout_every(validator_timeout, end, GRACE);
}

/*
 * Stop the timeout.  Raises 57014 if it has fired although the function has
 * returned: its cancel must not hit a later statement.
 */
static void
stop_timeout(void)
{
	disable_timeout(validator_timeout, false);
	if (!expired)
		return;
	CHECK_FOR_INTERRUPTS();
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("the hook's validator took too long")));
}

/*
 * Call the function; returns a jsonb in "context", or 0 for SQL NULL.  Raises
 * 42883, 42809, 42501 and what the function raises.
 */
static Datum
call_function(text *name, Oid owner, Datum payload, MemoryContext context)
{
	LOCAL_FCINFO(fcinfo, 1);
	FmgrInfo	function;
	Oid			oid = find_function(name);
	MemoryContext old;
	Datum		result;

	/* Check the function again: it or the privilege may have changed */
	(void) check_function(oid, owner);
	fmgr_info(oid, &function);
	InitFunctionCallInfoData(*fcinfo, &function, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = payload;
	fcinfo->args[0].isnull = false;

	/* Call it, and keep the result beyond the subtransaction */
	PushActiveSnapshot(GetTransactionSnapshot());
	result = FunctionCallInvoke(fcinfo);
	old = MemoryContextSwitchTo(context);
	if (!fcinfo->isnull)
		result = PointerGetDatum(PG_DETOAST_DATUM_COPY(result));
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	return fcinfo->isnull ? (Datum) 0 : result;
}

/* The part of a run that is in the subtransaction; returns as call_function */
static Datum
run_restricted(text *name, Oid owner, Datum payload, DwfClosedWorld *world)
{
	int			nest_level = NewGUCNestLevel();
	int			own_level;
	Oid			user;
	int			security;
	Datum		result;

	/* Become the owner, with the owner's settings */
	GetUserIdAndSecContext(&user, &security);
	SetUserIdAndSecContext(owner, security | SECURITY_RESTRICTED_OPERATION |
						   SECURITY_LOCAL_USERID_CHANGE);
	if (world->is_outermost)
		start_timeout();		/* the session sets the limit */
	dwf_closed_settings_enter(owner, &world->settings);
	own_level = NewGUCNestLevel();	/* SET frees nothing of what is hidden */

	/* Call the function, and close the cursors that it left open */
	result = call_function(name, owner, payload, world->settings.context);
	dwf_closed_portals_drop();

	/* Undo all, but for what was written */
	if (world->is_outermost)
		stop_timeout();
	AtEOXact_GUC(false, own_level);
	dwf_closed_settings_leave(&world->settings);
	AtEOXact_GUC(false, nest_level);
	SetUserIdAndSecContext(user, security);
	return result;
}

/*
 * Raise what a validator has raised, now with the context of its callers,
 * which was hidden from it.  A cancel by the timeout gets its own message.
 */
static void
rethrow(ErrorData *error, bool timed_out)
{
	if (timed_out && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ereport(ERROR,
				(errcode(ERRCODE_QUERY_CANCELED),
				 errmsg("the hook's validator took too long"),
				 errdetail("It may take %d ms (durable_wf.validator_timeout).",
						   dwf_setting_validator_timeout)));
	ThrowErrorData(error);
	pg_unreachable();
}

/*
 * Run a validator as the hook's owner, and return what it returns: a jsonb, or
 * 0 for SQL NULL.  Raises what it raises, 57014 if it takes too long, and
 * 42883, 42809, 42501 and 42704 if it cannot run.
 */
Datum
dwf_validator_run(text *name, Oid owner, Datum payload)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner resources = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;
	volatile Datum result = (Datum) 0;
	DwfClosedWorld world;
	bool		was_in_command;

	/* A role that was dropped runs nothing */
	if (!SearchSysCacheExists1(AUTHOID, ObjectIdGetDatum(owner)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("the owner of the hook does not exist any more")));

	/*
	 * Hide the session from the validator.  It may not wait, and the calls of
	 * our functions in it are not steps.
	 */
	dwf_closed_world_prepare(&world);
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	was_in_command = dwf_journal_set_in_command(true);
	dwf_closed_world_enter(&world);

	/* Run it, and undo its subtransaction if it raises */
	PG_TRY();
	{
		result = run_restricted(name, owner, payload, &world);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		if (world.is_outermost && validator_timeout != MAX_TIMEOUTS)
		{
			disable_timeout(validator_timeout, false);
			/* Drop the timeout's cancel if it has not been processed */
			if (expired && error->sqlerrcode != ERRCODE_QUERY_CANCELED)
				QueryCancelPending = false;
		}
		dwf_closed_settings_leave(&world.settings);
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();

	/* Show the session again */
	dwf_closed_world_leave(&world);
	(void) dwf_journal_set_in_command(was_in_command);
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = resources;

	if (error)
		rethrow(error, world.is_outermost && expired);
	return result;
}
