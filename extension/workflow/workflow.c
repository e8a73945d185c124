/*-------------------------------------------------------------------------
 *
 * workflow.c
 *	  Identity and life: wf_start, wf_start_attached, wf_status, wf_current,
 *	  wf_complete, wf_fail, wf_cancel, wf_result.
 *
 *	(none)  --wf_start-->  PENDING  --wf_complete-->  SUCCESS
 *	                                --wf_fail----->   ERROR
 *	                                --wf_cancel--->   CANCELLED
 *
 * RUNNING and WAITING are states of workflows that a session executes, or has
 * executed: see attach.c and executor.c.  Only wf_retry leads back from an
 * end (retry.c).  Each transition is one UPDATE of one row, whose trigger
 * notes a wake for all that wait for that.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/args.h"
#include "base/owner.h"
#include "base/restricted.h"
#include "cluster/forward.h"
#include "cluster/route.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/trace.h"
#include "session/wait.h"
#include "shared/claim.h"
#include "shared/preloaded.h"
#include "shared/presence.h"
#include "shared/waiter.h"
#include "shared/workers.h"
#include "store/home.h"
#include "store/store.h"
#include "workflow/attach.h"
#include "workflow/attributes.h"
#include "workflow/body.h"
#include "workflow/family.h"
#include "workflow/far_family.h"
#include "workflow/life.h"

PG_FUNCTION_INFO_V1(wf_start_attached);
PG_FUNCTION_INFO_V1(wf_current);
PG_FUNCTION_INFO_V1(wf_complete);
PG_FUNCTION_INFO_V1(wf_fail);

/* Argument n, whose type is passed by reference, as a value */
static DwfValue
argument_value(FunctionCallInfo fcinfo, int n)
{
	DwfValue	value = {0};

	value.isnull = PG_ARGISNULL(n);
	if (!value.isnull)
		value.value = PG_GETARG_DATUM(n);
	return value;
}

/* Argument n, of which the objects of an older version know nothing */
static DwfValue
later_argument(FunctionCallInfo fcinfo, int n)
{
	DwfValue	none = {.isnull = true};

	return n < PG_NARGS() ? argument_value(fcinfo, n) : none;
}

/* The arguments of wf_start */
static DwfStart
start_arguments(FunctionCallInfo fcinfo)
{
	DwfStart	start = {0};

	/* what to start, and for which processes */
	start.workflow_id = dwf_args_optional_name(fcinfo, 0, "workflow_id",
											   DWF_WORKFLOW_ID_MAX);
	start.body = dwf_args_optional_name(fcinfo, 1, "body", DWF_KEY_MAX);
	if (start.body)
		start.body = dwf_body_resolve(start.body, GetUserId());
	start.input = argument_value(fcinfo, 2);
	start.queue = dwf_args_optional_name(fcinfo, 3, "queue", DWF_KEY_MAX);
	if (start.body && start.queue)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a workflow cannot have both a body and a queue"),
				 errdetail("Workers run a body; client processes take what is in a queue.")));

	/* the times */
	dwf_args_require(fcinfo, 4, "start_after");
	start.is_delayed = dwf_args_is_positive(PG_GETARG_INTERVAL_P(4),
											"start_after");
	start.start_after = argument_value(fcinfo, 4);
	if (!PG_ARGISNULL(5))
		(void) dwf_args_is_positive(PG_GETARG_INTERVAL_P(5), "timeout");
	start.timeout = argument_value(fcinfo, 5);
	start.attributes = later_argument(fcinfo, 6);
	if (!start.attributes.isnull)
		dwf_attributes_check(start.attributes.value);
	start.parent = dwf_family_parent();
	return start;
}

/* A new random id */
static text *
generate_id(void)
{
	Datum		uuid = DirectFunctionCall1(gen_random_uuid, (Datum) 0);

	return cstring_to_text(DatumGetCString(DirectFunctionCall1(uuid_out,
															   uuid)));
}

/* Raise 42710 unless an existing workflow is what this call would start */
static void
check_same_start(const DwfStart *start)
{
	if (!dwf_store_same_start(start))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("workflow \"%s\" already exists with a different body, input or queue",
						text_to_cstring(start->workflow_id)),
				 errhint("Pass null to take the workflow as it is.")));
}

/*
 * What wf_start settles where it is called: the id, the body's name, and whose
 * child it is
 */
static void
settle_start(FunctionCallInfo fcinfo)
{
	dwf_forward_set_parent(dwf_family_parent());
	if (PG_ARGISNULL(0))
	{
		fcinfo->args[0].value = PointerGetDatum(generate_id());
		fcinfo->args[0].isnull = false;
	}
	if (!PG_ARGISNULL(1))
		fcinfo->args[1].value =
			PointerGetDatum(dwf_body_resolve(PG_GETARG_TEXT_PP(1),
											 GetUserId()));
}

/*
 * Insert a workflow, and what belongs to its start.  Returns false if it
 * exists already, and is what this would start; raises 42501 or 42710 if it is
 * not.
 */
static bool
start_once(DwfStart *start)
{
	DwfLife		life;

	/* a workflow that the insert has met may be deleted before the look */
	while (!dwf_life_start(start, GetUserId()))
	{
		if (!dwf_store_life(start->workflow_id, &life))
			continue;
		dwf_identity_check_owner(start->workflow_id, &life, GetUserId());
		check_same_start(start);
		return false;
	}
	if (!start->attributes.isnull)
		dwf_attributes_start(start->workflow_id, start->attributes.value);
	if (start->parent)
		dwf_family_note_start(start->parent);
	if (!start->timeout.isnull)
		dwf_presence_changed(MyDatabaseId);
	return true;
}

/* What it does there when the call has been made */
static void
note_start(FunctionCallInfo fcinfo, Datum result)
{
	(void) fcinfo;
	dwf_far_family_note_start(DatumGetTextPP(result));
}

/*
 * wf_start(workflow_id, body, input, queue, start_after, timeout, attributes)
 * → text
 */
DWF_JOURNALLED_ALSO(wf_start, 0, DWF_AT_WORKFLOW(0), settle_start, note_start);
static Datum
do_wf_start(PG_FUNCTION_ARGS)
{
	DwfStart	start = start_arguments(fcinfo);
	bool		runs_here;

	dwf_store_require_writable("wf_start");
	runs_here = dwf_home_prepare_start();
	start.has_new_id = start.workflow_id == NULL;
	if (start.has_new_id)
		start.workflow_id = generate_id();
	if (!start_once(&start))
		PG_RETURN_TEXT_P(start.workflow_id);
	if (start.body && !dwf_preloaded())
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" will not run before durable_wf is preloaded",
						text_to_cstring(start.workflow_id)),
				 errhint("Add durable_wf to shared_preload_libraries and restart the server.")));
	else if (start.body && (!runs_here || dwf_workers_is_copy()))
		ereport(WARNING,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" will not run before wf_adopt() is called",
						text_to_cstring(start.workflow_id)),
				 errdetail("Workflows of this database come from another one, and may run there."),
				 errhint("When they no longer do, have the owner of the database call wf_adopt().")));
	PG_RETURN_TEXT_P(start.workflow_id);
}

/* The arguments of wf_start_attached */
static DwfStart
start_attached_arguments(FunctionCallInfo fcinfo)
{
	static Interval at_once;
	DwfStart	start = {.is_attached = true};

	/* if another session has claimed the id, it is started as by wf_start */
	start.start_after.value = IntervalPGetDatum(&at_once);
	start.workflow_id = dwf_args_optional_name(fcinfo, 0, "workflow_id",
											   DWF_WORKFLOW_ID_MAX);
	start.input = argument_value(fcinfo, 1);
	start.queue = dwf_args_name(fcinfo, 2, "queue", DWF_KEY_MAX);
	if (!PG_ARGISNULL(3))
		(void) dwf_args_is_positive(PG_GETARG_INTERVAL_P(3), "timeout");
	start.timeout = argument_value(fcinfo, 3);
	start.attributes = argument_value(fcinfo, 4);
	if (!start.attributes.isnull)
		dwf_attributes_check(start.attributes.value);
	return start;
}

/*
 * wf_start_attached(workflow_id, input, queue, timeout, attributes) →
 * (workflow_id, queue, input, attempt)
 *
 * The claim comes before the row: then its start is no news for the sessions
 * that wait for work (dwf_claim_has_news), and is lost only with the row.  Of
 * a workflow that exists the first column is returned; this session does not
 * attach to it.  That is so, too, if another session has claimed the id, which
 * then is that of a workflow that was removed.
 */
Datum
wf_start_attached(PG_FUNCTION_ARGS)
{
	DwfStart	start = start_attached_arguments(fcinfo);
	Datum		values[4] = {0};
	bool		nulls[4] = {false, true, true, true};
	int			holder_pid;

	dwf_restricted_refuse("wf_start_attached");
	dwf_attach_check("wf_start_attached");
	(void) dwf_home_prepare_start();
	if (start.workflow_id == NULL)
		start.workflow_id = generate_id();
	dwf_route_require_here("wf_start_attached", start.workflow_id);
	values[0] = PointerGetDatum(start.workflow_id);

	start.is_attached = dwf_claim_take(start.workflow_id, start.queue,
									   &holder_pid);
	if (start.is_attached)
	{
		dwf_claim_set_unsure(true);
		dwf_trace_begin(true, NULL);
	}
	if (!start_once(&start))
	{
		if (start.is_attached)
			dwf_claim_release();	/* others may have skipped it */
	}
	else if (start.is_attached)
	{
		dwf_claim_set_unsure(false);
		dwf_claim_set_from_queue();
		dwf_journal_begin(start.workflow_id, 0);
		dwf_trace_begin(false, NULL);
		values[1] = PointerGetDatum(start.queue);
		values[2] = start.input.value;
		values[3] = Int32GetDatum(1);
		nulls[1] = nulls[3] = false;
		nulls[2] = start.input.isnull;
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* wf_status(workflow_id) → text */
DWF_JOURNALLED(wf_status, 0, DWF_AT_WORKFLOW(0));
static Datum
do_wf_status(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	DwfLife		life;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	PG_RETURN_TEXT_P(cstring_to_text(life.status));
}

/* wf_current() → text, or null */
Datum
wf_current(PG_FUNCTION_ARGS)
{
	text	   *workflow_id = dwf_identity_current();

	if (workflow_id == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(workflow_id);
}

/*
 * A call that ends a workflow.  It ends the run of the one that this session
 * executes; another one, which it names, it ends by a step like any other.
 */
static Datum
call_end(const DwfCall *own, const DwfCall *other, FunctionCallInfo fcinfo)
{
	DwfValue	named = later_argument(fcinfo, 1);
	bool		is_own = named.isnull ||
	dwf_claim_executes_that(DatumGetTextPP(named.value));

	return dwf_journal_call(is_own ? own : other, fcinfo);
}

/* End the workflow of argument 1, or the current one; or raise why not */
static void
finish(FunctionCallInfo fcinfo, const char *status, DwfValue output,
	   DwfValue error)
{
	text	   *workflow_id = dwf_identity_argument(fcinfo,
													PG_NARGS() > 1 ? 1 : -1);

	while (!dwf_life_end(workflow_id, GetUserId(), status, output, error))
		dwf_identity_check_live(workflow_id, GetUserId());
	if (dwf_claim_executes_that(workflow_id))
		dwf_claim_finish_at_commit();
}

/* What wf_complete does */
static Datum
do_wf_complete(PG_FUNCTION_ARGS)
{
	DwfValue	none = {.isnull = true};

	dwf_store_require_writable("wf_complete");
	finish(fcinfo, DWF_STATUS_SUCCESS, argument_value(fcinfo, 0), none);
	PG_RETURN_VOID();
}

/* wf_complete(output, workflow_id) → void */
Datum
wf_complete(PG_FUNCTION_ARGS)
{
	static const DwfCall own = {
		"wf_complete", -1, InvalidOid, do_wf_complete, 0, true,
		DWF_AT_CURRENT, NULL, NULL
	};
	static const DwfCall other = {
		"wf_complete", 1, InvalidOid, do_wf_complete, 0, false,
		DWF_AT_WORKFLOW(1), NULL, NULL
	};

	return call_end(&own, &other, fcinfo);
}

/* What wf_fail does */
static Datum
do_wf_fail(PG_FUNCTION_ARGS)
{
	DwfValue	none = {.isnull = true};

	dwf_args_require(fcinfo, 0, "error");
	dwf_store_require_writable("wf_fail");
	finish(fcinfo, DWF_STATUS_ERROR, none, argument_value(fcinfo, 0));
	PG_RETURN_VOID();
}

/* wf_fail(error, workflow_id) → void */
Datum
wf_fail(PG_FUNCTION_ARGS)
{
	static const DwfCall own = {
		"wf_fail", -1, InvalidOid, do_wf_fail, 0, true,
		DWF_AT_CURRENT, NULL, NULL
	};
	static const DwfCall other = {
		"wf_fail", 1, InvalidOid, do_wf_fail, 0, false,
		DWF_AT_WORKFLOW(1), NULL, NULL
	};

	return call_end(&own, &other, fcinfo);
}

/* Who cancels, and why: what is kept as the error of what is cancelled */
static text *
cancel_error(DwfValue reason)
{
	char	   *role = GetUserNameFromId(GetUserId(), false);

	if (reason.isnull)
		return cstring_to_text(psprintf("cancelled by %s", role));
	return cstring_to_text(psprintf("cancelled by %s: %s", role,
									TextDatumGetCString(reason.value)));
}

/* Are the children to be cancelled, too?  Then they must all be visible. */
static bool
with_children(FunctionCallInfo fcinfo)
{
	if (PG_NARGS() <= 2)
		return false;
	dwf_args_require(fcinfo, 2, "children");
	if (PG_GETARG_BOOL(2) && IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot cancel children in a REPEATABLE READ or SERIALIZABLE transaction"),
				 errdetail("Its snapshot does not show those that were started since.")));
	return PG_GETARG_BOOL(2);
}

/* What wf_cancel does on a cluster where it was called, after the call */
static void
cancel_far(FunctionCallInfo fcinfo, Datum result)
{
	(void) result;
	if (with_children(fcinfo))
		dwf_far_family_cancel(PG_GETARG_TEXT_PP(0),
							  cancel_error(later_argument(fcinfo, 1)));
}

/*
 * wf_cancel(workflow_id, reason, children) → boolean, false when the
 * workflow has ended already
 */
DWF_JOURNALLED_ALSO(wf_cancel, 0, DWF_AT_WORKFLOW(0), NULL, cancel_far);
static Datum
do_wf_cancel(PG_FUNCTION_ARGS)
{
	DwfValue	none = {.isnull = true};
	DwfValue	error = {0};
	text	   *workflow_id;
	bool		children;
	bool		was_live = true;
	DwfLife		life;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	children = with_children(fcinfo);
	dwf_store_require_writable("wf_cancel");
	error.value = PointerGetDatum(cancel_error(later_argument(fcinfo, 1)));

	while (was_live &&
		   !dwf_life_end(workflow_id, GetUserId(), DWF_STATUS_CANCELLED,
						 none, error))
	{
		dwf_identity_check_exists(workflow_id, &life, GetUserId());
		was_live = !life.finished;
	}
	if (was_live && dwf_claim_executes_that(workflow_id))
		dwf_claim_end_at_commit();
	if (children)
		dwf_family_cancel(workflow_id, DatumGetTextPP(error.value));
	PG_RETURN_BOOL(was_live);
}

/* What wf_result waits for, and what its last look has seen */
typedef struct ResultWait
{
	text	   *workflow_id;
	DwfOutcome	outcome;
} ResultWait;

/* The look of wf_result: has the workflow ended?  Raises WF001 and 42501. */
static bool
look_for_end(DwfWait *wait)
{
	ResultWait *result = wait->arg;

	return dwf_identity_outcome(result->workflow_id, &result->outcome,
								wait->role);
}

/* wf_result(workflow_id, timeout) → (status, output, error); also a CALL */
DWF_JOURNALLED(wf_result, 0, DWF_WAITS_AT(0, 1));
static Datum
do_wf_result(PG_FUNCTION_ARGS)
{
	ResultWait	result = {0};
	DwfWait		wait;
	Datum		values[3];
	bool		nulls[3];

	dwf_wait_init(&wait, fcinfo, "wf_result");
	result.workflow_id = dwf_args_name(fcinfo, 0, "workflow_id",
									   DWF_WORKFLOW_ID_MAX);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");

	/* wait for the workflow's end */
	dwf_wait_at(&wait, DWF_DOOR_LIFE, result.workflow_id, NULL);
	wait.look = look_for_end;
	wait.arg = &result;
	(void) dwf_wait(&wait);

	/* the row; without an end, what the last look has seen */
	values[0] = CStringGetTextDatum(result.outcome.life.status);
	nulls[0] = false;
	values[1] = result.outcome.output.value;
	nulls[1] = result.outcome.output.isnull;
	values[2] = result.outcome.error.value;
	nulls[2] = result.outcome.error.isnull;
	return dwf_args_return_row(fcinfo, values, nulls);
}
