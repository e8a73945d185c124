/*-------------------------------------------------------------------------
 *
 * pass_on.c
 *	  Pass requests on to the nodes of the cluster that they are for.
 *
 * In a helper, since the other node may be down, or slow; and as those of one
 * owner, so that the helpers are not all waiting for it (turn.c).  The
 * transaction writes there and here, so it commits in two phases: a request
 * that gets a 503 was not delivered.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/pass_on.h"

#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/refusal.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/transaction.h"
#include "hook/elsewhere.h"

/* The time for the calls of one request in ms, without its validator's */
#define CALL_TIMEOUT	5000

/*
 * The status for an error: one that the other node raises for the request, or
 * that its validator raises, or 503.  Where it was raised is not known here:
 * 42501 may be the validator's, and is a 503.
 */
static int
status_of(const ErrorData *error)
{
	int			status = dwf_resume_status(error->sqlerrcode);

	return status == 503 ? dwf_refusal_status(error) : status;
}

/*
 * Have the node of a request take it, in a transaction of its own, or tell its
 * place.  An error sets the task's status.
 */
void
dwf_pass_on_request(DwfTask *task)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		dwf_transaction_begin(CALL_TIMEOUT + dwf_setting_validator_timeout);
		dwf_resume_check_privilege();
		MemoryContextSwitchTo(context);
		PushActiveSnapshot(GetTransactionSnapshot());
		dwf_elsewhere_take(task->request);
		PopActiveSnapshot();
		dwf_transaction_commit(true);
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(context);

		task->status = status_of(error);
		if (task->status == 503)
			dwf_transaction_log_failure(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}
