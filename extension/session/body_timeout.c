/*-------------------------------------------------------------------------
 *
 * body_timeout.c
 *	  How long the body of a SQL workflow may take.
 *
 * A body is one CALL that may last for years, and the server applies
 * statement_timeout to the statements of clients only.  So here it applies to
 * each stretch of a body between two waits or steps, and to each command of a
 * step unless durable_wf.step_timeout is set for that.
 *
 *-------------------------------------------------------------------------
 */
#include "session/body_timeout.h"

#include "storage/proc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/settings.h"

/* When the present stretch or command has taken too long; 0: never */
static TimestampTz limit = 0;

/* Limit the time from now on, in milliseconds; 0: no limit */
static void
start(int timeout)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	limit = 0;
	if (timeout <= 0)
		return;
	limit = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	enable_timeout_at(STATEMENT_TIMEOUT, limit);
}

/* A stretch of the body begins */
void
dwf_body_timeout_start(void)
{
	start(StatementTimeout);
}

/* A step's command begins */
void
dwf_body_timeout_start_step(void)
{
	start(dwf_setting_step_timeout > 0 ? dwf_setting_step_timeout :
		  StatementTimeout);
}

/* No limit from now on: the body waits, or has ended */
void
dwf_body_timeout_stop(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
}

/* Has the stretch or command that began last taken too long? */
bool
dwf_body_timeout_has_run_out(void)
{
	return limit != 0 && GetCurrentTimestamp() >= limit;
}
