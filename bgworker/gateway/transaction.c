/*-------------------------------------------------------------------------
 *
 * transaction.c
 *	  Begin, commit and abort the gateway's transactions.
 *
 * A lock that is not to be had within LOCK_TIMEOUT is an error.  If a table is
 * locked, the next transactions would wait as well; so after such an error the
 * time is LOCK_TIMEOUT_SHORT until a transaction has succeeded.
 *
 * A commit may wait for long, where a standby has to confirm it.  A process
 * that has to leave meanwhile does not know whether the commit lasts.  Then
 * its requests get no answer, neither a 2xx nor a 503.
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

/* How long to wait for a lock: usually, and after an error */
#define LOCK_TIMEOUT	"100ms"
#define LOCK_TIMEOUT_SHORT	"10ms"

/* A lock was not to be had; resume.c sets it to false after a success */
bool		dwf_transaction_is_locked = false;

static volatile bool in_doubt = false;

/*
 * A transaction may have been committed, and its requests were not answered.
 * In a helper this points into the memory that it shares with the gateway.
 */
volatile bool *dwf_transaction_is_in_doubt = &in_doubt;

/* Is an error not the last one, of less than ten seconds ago? */
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

/* Log why requests get a 503; the same SQLSTATE once in ten seconds */
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

/* Copy the current error into a context, and flush the error's state */
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
 * Begin a transaction that waits for no lock for long.  If "time" is not 0,
 * the transaction is cancelled after so many milliseconds.
 */
void
dwf_transaction_begin(int time)
{
	const char *lock_timeout = LOCK_TIMEOUT;

	if (dwf_transaction_is_locked)
		lock_timeout = LOCK_TIMEOUT_SHORT;
	(void) set_config_option("lock_timeout", lock_timeout, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SET, true, 0, false);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	*dwf_transaction_is_in_doubt = false;
	if (time > 0)
		enable_timeout_after(STATEMENT_TIMEOUT, time);
}

/*
 * Commit.  "is_promise": a client will get a 2xx; else the commit waits
 * neither for the disk nor for a standby.  A promise is in doubt until the
 * caller has answered the requests and says so.  A SIGTERM that came during
 * the commit ends the process here.
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
	if (ProcDiePending)			/* but not for a cancel */
		CHECK_FOR_INTERRUPTS();
}

/*
 * Abort the transaction after an error, which is copied into a context; to be
 * called in PG_CATCH
 */
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
