/*-------------------------------------------------------------------------
 *
 * attempt.c
 *	  Do a piece of the worker's work so that its failure stops no other piece.
 *
 * Each piece has a transaction of its own.  An error in it is logged once,
 * until that kind of work succeeds again or fails by another SQLSTATE.  The
 * caller tries again after 1 s, 2 s, 4 s and so on, at most a minute.  The
 * worker and its executors go on.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/attempt.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/process.h"

/* The longest delay after a failure, in ms */
#define LONGEST_GAP		60000

/* Is the delay after the last failure over? */
bool
dwf_attempt_may(const DwfAttempt *attempt)
{
	return attempt->failures == 0 ||
		attempt->again_at <= GetCurrentTimestamp();
}

/* Log an error, unless the last one that was logged had its SQLSTATE */
static void
report(DwfAttempt *attempt, const ErrorData *error, text *workflow_id)
{
	if (attempt->said == error->sqlerrcode || attempt->is_silent)
		return;
	attempt->said = error->sqlerrcode;
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("durable_wf worker could not %s: %s",
					attempt->purpose, error->message),
			 error->detail ? errdetail_internal("%s", error->detail) : 0,
			 attempt->hint ? errhint("%s", attempt->hint) :
			 error->hint ? errhint("%s", error->hint) : 0,
			 workflow_id ? errcontext("workflow \"%s\"",
									  text_to_cstring(workflow_id)) : 0,
			 error->context ? errcontext("%s", error->context) : 0));
}

/* Note a success; log it if the log has a failure of this kind of work */
static void
succeed(DwfAttempt *attempt)
{
	if (attempt->is_of_many)
		return;
	if (attempt->said != 0)
		ereport(LOG,
				(errmsg("durable_wf worker can %s again", attempt->purpose)));
	attempt->failures = attempt->said = 0;
}

/* Note a failure: the next attempt is later each time */
void
dwf_attempt_fail(DwfAttempt *attempt)
{
	attempt->again_at =
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									Min(1000L << Min(attempt->failures, 6),
										LONGEST_GAP));
	attempt->failures++;
}

/* Run the work in a transaction with a snapshot; raises what it raises */
static void
run(const DwfAttempt *attempt, void (*work) (void *argument), void *argument)
{
	dwf_process_begin();
	if (attempt->lock_timeout > 0)
	{
		char		value[16];

		pg_ltoa(attempt->lock_timeout, value);
		(void) set_config_option("lock_timeout", value, PGC_SUSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
								 false);
	}
	work(argument);
	dwf_process_commit();
}

/*
 * Do a piece of work; returns false if it has raised an error, which is logged
 * with the workflow, unless that is NULL.  What the work has allocated in its
 * transaction is freed in both cases.  Raises only FATAL, as a SIGTERM does.
 */
bool
dwf_attempt(DwfAttempt *attempt, void (*work) (void *argument),
			void *argument, text *workflow_id)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool succeeded = false;

	/* run it */
	pgstat_report_activity(STATE_RUNNING, attempt->purpose);
	PG_TRY();
	{
		if (attempt->begins_itself)
			work(argument);
		else
			run(attempt, work, argument);
		succeeded = true;
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* abort, keep the error, log it */
		MemoryContextSwitchTo(context);
		HOLD_INTERRUPTS();
		QueryCancelPending = false;
		error = CopyErrorData();
		AbortCurrentTransaction();
		FlushErrorState();
		MemoryContextSwitchTo(context);
		report(attempt, error, workflow_id);
		FreeErrorData(error);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(context);
	if (succeeded)
		succeed(attempt);
	else
		dwf_attempt_fail(attempt);
	return succeeded;
}
