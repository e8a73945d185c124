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
 * This session sleeps in Citus' loop, which does not look at the socket of its
 * client.  So it has the server look, with client_connection_check_interval,
 * if that is off.
 *
 *-------------------------------------------------------------------------
 */
#include "cluster/far_wait.h"

#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/settings.h"
#include "cluster/forward.h"
#include "session/result.h"
#include "session/wait.h"

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
	Datum		result;

	for (;;)
	{
		int64		left = wait->deadline == DWF_WAIT_NEVER ?
		0 : time_left(wait);
		int64		slice = left;

		/* where it may not wait, it raises if there is nothing */
		if (looks_first)
			slice = 0;
		else if (wait->may_commit && (left < 0 || left > SLICE_MS))
			slice = SLICE_MS;
		set_timeout(fcinfo, n, slice);
		result = hand_over(call, fcinfo, place);
		if (!dwf_forward_has_expired() || left == 0)
			return result;
		if (looks_first)
			dwf_wait_check(wait);
		looks_first = false;
		if (wait->may_commit)
			dwf_wait_commit();
	}
}

/* Make a call that may wait on the node of the workflow "place" */
Datum
dwf_far_wait(const DwfCall *call, FunctionCallInfo fcinfo, text *place)
{
	MemoryContext context = CurrentMemoryContext;
	DwfWait		wait;
	Datum		result;

	dwf_wait_init(&wait, fcinfo, call->function);
	wait.deadline = dwf_args_deadline(fcinfo, DWF_AT_TIMEOUT(call->at),
									  "timeout");
	dwf_wait_enter(&wait);
	result = wait_there(call, fcinfo, place, &wait);
	dwf_wait_leave(&wait, context);
	return dwf_result_decode(fcinfo, result);
}
