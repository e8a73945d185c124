/*-------------------------------------------------------------------------
 *
 * far_wait.c
 *	  Wait for what comes on another node of the cluster.
 *
 * A session of that node waits, in a call that this one has handed to it: it
 * is woken there by the commit that it waits for, and this session by its
 * answer.  The two hold a connection, and a transaction each.  A CALL that can
 * commit gives that back once a minute, so that it holds back VACUUM for no
 * longer, and waits on.
 *
 * A body does not wait so: it is suspended.  The other node notes what it
 * waits for, as a row of durable_wf.wait whose workflow is not there, in the
 * transaction that writes the suspension here.  Its worker finds that row by
 * the news that wake any suspended workflow, and has this node let the
 * workflow go on (durable_wf.wake).
 *
 *	F1	The row there and the suspension here commit together, before the last
 *		look.  What commits before that look is seen by it; what commits later
 *		finds the row, and the workflow suspended.  The row is removed in the
 *		transaction that wakes, or by the workflow, if it goes on by itself; a
 *		wake for nothing makes the workflow look and suspend itself again.
 *
 * This session sleeps in Citus' loop, which does not look at the socket of its
 * client.  So it has the server look, with client_connection_check_interval,
 * if that is off.
 *
 * No more than durable_wf.max_forwarded_waits sessions of this node wait so
 * (far_waits.c).  One beyond that looks, and raises if there is nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/far_wait.h"

#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/settings.h"
#include "cluster/forward.h"
#include "cluster/route.h"
#include "session/result.h"
#include "session/wait.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/far_waits.h"
#include "shared/preloaded.h"
#include "shared/workers.h"
#include "store/anchor.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_wake);

/* How long a wait that can commit lasts until it does, and between two looks
 * at the client's socket; in milliseconds */
#define SLICE_MS	60000
#define CLIENT_CHECK	"2000"

/* Set the timeout of a call; negative: none */
static void
set_timeout(FunctionCallInfo fcinfo, int n, int64 milliseconds)
{
	Interval   *span = palloc0(sizeof(Interval));

	span->time = milliseconds * 1000;
	fcinfo->args[n].isnull = milliseconds < 0;
	fcinfo->args[n].value = IntervalPGetDatum(span);
}

/* Hand the call over, while the server looks at the client's socket */
static Datum
hand_over(const DwfCall *call, FunctionCallInfo fcinfo, text *place)
{
	bool		watches = MyProcPort && client_connection_check_interval == 0;
	int			nest_level = NewGUCNestLevel();
	volatile Datum result = (Datum) 0;

	if (watches)
	{
		(void) set_config_option("client_connection_check_interval",
								 CLIENT_CHECK, PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
		enable_timeout_after(CLIENT_CONNECTION_CHECK_TIMEOUT,
							 client_connection_check_interval);
	}
	PG_TRY();
	{
		result = dwf_forward_call(fcinfo, call->function, place);
	}
	PG_FINALLY();
	{
		if (watches)
			disable_timeout(CLIENT_CONNECTION_CHECK_TIMEOUT, false);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, nest_level);
	return result;
}

/* Milliseconds until a wait ends; negative if it does not */
static int64
time_left(const DwfWait *wait)
{
	if (wait->ends_at == DWF_WAIT_FOREVER)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
										   wait->ends_at);
}

/* Raise 53400: too many sessions wait on other nodes, this one may not */
static void
report_too_many(const DwfCall *call, text *place)
{
	DwfNode		node = dwf_anchor_node(dwf_anchor_hash(place));

	ereport(ERROR,
			(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			 errmsg("%s() cannot wait on another node, since too many sessions of this one do",
					call->function),
			 errdetail("The workflow is on node %s:%d. durable_wf.max_forwarded_waits is %d.",
					   node.host, node.port, dwf_setting_max_forwarded_waits),
			 errhint("Connect to that node and wait there, or let a SQL workflow wait, which needs no connection.")));
}

/*
 * Wait by steps until the other node has something or the time is up; the
 * result is as result.c writes it
 */
static Datum
wait_there(const DwfCall *call, FunctionCallInfo fcinfo, text *place,
		   DwfWait *wait)
{
	int			n = DWF_AT_TIMEOUT(call->at);
	bool		looks_first = dwf_journal_in_command() ||
	!dwf_setting_wait_in_transaction;
	bool		has_place = false;
	Datum		result;

	for (;;)
	{
		int64		left = wait->deadline == DWF_WAIT_NEVER ?
		0 : time_left(wait);
		int64		slice = left;

		/* where it may not wait, it raises if there is nothing */
		if (left != 0 && !has_place)
			has_place = dwf_far_waits_enter(dwf_setting_max_forwarded_waits);
		if (looks_first || !has_place)
			slice = 0;
		else if (wait->may_commit && (left < 0 || left > SLICE_MS))
			slice = SLICE_MS;
		set_timeout(fcinfo, n, slice);
		result = hand_over(call, fcinfo, place);
		if (!dwf_forward_has_expired() || left == 0)
			return result;
		if (looks_first)
			dwf_wait_check(wait);
		if (!has_place)
			report_too_many(call, place);
		looks_first = false;
		if (wait->may_commit)
			dwf_wait_commit();
	}
}

/* ----- in the body of a workflow ----- */

/* What a body waits for */
typedef struct FarLook
{
	const DwfCall *call;
	FunctionCallInfo fcinfo;
	text	   *place;
	Datum		result;
	bool		has_subscribed;
}			FarLook;

/* The look of a body: ask the other node, which does not wait */
static bool
look_there(DwfWait *wait)
{
	FarLook    *far = wait->arg;

	set_timeout(far->fcinfo, DWF_AT_TIMEOUT(far->call->at), 0);
	far->result = dwf_forward_call(far->fcinfo, far->call->function,
								   far->place);
	return !dwf_forward_has_expired();
}

/* Have the other node note what this workflow waits for */
static void
subscribe_there(DwfWait *wait)
{
	FarLook    *far = wait->arg;

	(void) dwf_forward_subscribe(far->fcinfo, far->call->function, far->place,
								 dwf_claim_require(wait->function));
	far->has_subscribed = true;
}

/* Wait in a body, which is suspended unless there is something at once */
static Datum
wait_in_body(const DwfCall *call, FunctionCallInfo fcinfo, text *place,
			 DwfWait *wait)
{
	FarLook		far = {call, fcinfo, place, (Datum) 0, false};
	bool		is_event = strcmp(call->function, "wf_get_event") == 0;
	bool		has_waited = dwf_journal_has_waited();

	wait->arg = &far;
	wait->look = look_there;
	wait->subscribe = subscribe_there;
	if (is_event)
		dwf_wait_at(wait, DWF_DOOR_EVENT, place, PG_GETARG_TEXT_PP(1));
	else
		dwf_wait_at(wait, DWF_DOOR_LIFE, place, NULL);

	/* it goes on by itself, or another run than the one that subscribed */
	(void) dwf_wait(wait);
	if (has_waited || far.has_subscribed)
		dwf_forward_unsubscribe(wait->function, place,
								dwf_claim_require(wait->function));
	return far.result;
}

/*
 * durable_wf.wake(workflow_id): what a workflow of this node waits for on
 * another node has come there; let it go on.  Raises 55P03 if its row is
 * locked.
 */
Datum
dwf_wake(PG_FUNCTION_ARGS)
{
	text	   *workflow_id = PG_GETARG_TEXT_PP(0);
	DwfResumed	resumed;

	dwf_preloaded_require("durable_wf.wake");
	resumed = dwf_store_resume(dwf_arrays_of_one_text(workflow_id));
	dwf_wakeup_note_resumed(&resumed);
	if (resumed.left.count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("workflow \"%s\" is locked",
						text_to_cstring(workflow_id))));
	dwf_workers_ask_clock(GetCurrentTimestamp());
	PG_RETURN_VOID();
}

/*
 * Let workflows go on that wait for what has come to this node: have the nodes
 * of those that are not here do it, and return the others
 */
Datum
dwf_far_wait_wake(Datum ids)
{
	Datum	   *id;
	int			count;
	int			nlocal = 0;

	if (!dwf_anchor_exists())
		return ids;
	count = dwf_arrays_read_texts(ids, &id, NULL);
	for (int i = 0; i < count; i++)
	{
		text	   *workflow_id = DatumGetTextPP(id[i]);

		if (!dwf_route_is_elsewhere(workflow_id))
		{
			id[nlocal++] = id[i];
			continue;
		}
		dwf_store_unsubscribe(workflow_id);
		(void) dwf_forward_texts("wake", workflow_id, &id[i], NULL, 1);
	}
	return dwf_arrays_of_text(id, nlocal);
}

/* ----- the call ----- */

/* Make a call that may wait on the node of the workflow "place" */
Datum
dwf_far_wait(const DwfCall *call, FunctionCallInfo fcinfo, text *place)
{
	MemoryContext context = CurrentMemoryContext;
	DwfWait		wait;
	volatile Datum result = (Datum) 0;

	dwf_wait_init(&wait, fcinfo, call->function);
	wait.deadline = dwf_args_deadline(fcinfo, DWF_AT_TIMEOUT(call->at),
									  "timeout");
	if (dwf_claim_is_body() && !dwf_journal_in_command())
	{
		result = wait_in_body(call, fcinfo, place, &wait);
		return dwf_result_decode(fcinfo, result);
	}
	dwf_wait_enter(&wait);
	PG_TRY();
	{
		result = wait_there(call, fcinfo, place, &wait);
	}
	PG_FINALLY();
	{
		dwf_far_waits_leave();
	}
	PG_END_TRY();
	dwf_wait_leave(&wait, context);
	return dwf_result_decode(fcinfo, result);
}
