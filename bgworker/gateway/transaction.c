/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  How the gateway's transactions begin, how they end, and how they fail.
 *
 * Nobody waits for long: a lock that is not to be had within LOCK_TIMEOUT is an
 * error.  If it was a table's, the next ones would wait, too; so once that has
 * happened the time is short until a transaction has succeeded.
 *
 * A process that has to leave while it waits for its commit, as it may for long
 * where a standby has to confirm it, does not know what became of it, and says
 * nothing to those whose requests those were: neither that they were taken nor
 * that they were not.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/transaction.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

/* How long to wait for a lock, in ms: usually, and when that was in vain */
#define LOCK_TIMEOUT	"100ms"
#define LOCK_TIMEOUT_SHORT	"10ms"

/* The last attempt failed for a lock; set to false by whoever succeeds */
bool		dwf_transaction_is_locked = false;

/* A transaction may have been committed and nobody told so */
static volatile bool in_doubt = false;
volatile bool *dwf_transaction_is_in_doubt = &in_doubt;

/* Is this not what was logged in the last ten seconds? */
static bool
is_to_be_logged(const ErrorData *error)
{
	static int	last_sqlstate = 0;
	static TimestampTz last_time = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (error->sqlerrcode == last_sqlstate &&
		!TimestampDifferenceExceeds(last_time, now, 10000))
		return false;
	last_sqlstate = error->sqlerrcode;
	last_time = now;
	return true;
}

/* Log why requests get a 503; the same thing once in ten seconds */
void
dwf_transaction_log_failure(const ErrorData *error)
{
	if (is_to_be_logged(error))
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("the durable_wf gateway cannot take requests: %s",
						error->message),
				 error->detail ? errdetail("%s", error->detail) : 0,
				 error->context ? errcontext("%s", error->context) : 0));
}

/* Take what was raised, with nothing left of it */
ErrorData *
dwf_transaction_take_error(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	return error;
}

/*
 * Begin a transaction that waits for no lock for long.  If "time" is not 0, the
 * transaction is cancelled after so many milliseconds.
 */
void
dwf_transaction_begin(int time)
{
	(void) set_config_option("lock_timeout",
							 dwf_transaction_is_locked ? LOCK_TIMEOUT_SHORT : LOCK_TIMEOUT,
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true,
							 0, false);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	*dwf_transaction_is_in_doubt = false;
	if (time > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, time);
}

/*
 * Commit.  "is_promise": somebody is told that something was taken; else nobody
 * has to wait until that is safe.  It is in doubt until the caller, who answers
 * the requests, says that it is not.  If this process has to leave then that is
 * now.
 */
void
dwf_transaction_commit(bool is_promise)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	*dwf_transaction_is_in_doubt = is_promise;
	if (!is_promise)
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	CommitTransactionCommand();
	if (ProcDiePending)			/* and nothing less */
		CHECK_FOR_INTERRUPTS();
}

/* The transaction has failed as a whole; the error is copied to a context */
ErrorData *
dwf_transaction_abort(MemoryContext context)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	disable_all_timeouts(false);
	QueryCancelPending = false;
	error = dwf_transaction_take_error(context);
	AbortCurrentTransaction();
	*dwf_transaction_is_in_doubt = false;
	MemoryContextSwitchTo(context);
	RESUME_INTERRUPTS();
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		dwf_transaction_is_locked = true;
	return error;
}
