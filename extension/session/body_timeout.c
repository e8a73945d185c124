/*-------------------------------------------------------------------------
 *
 * body_timeout.c
 *	  How long the body of a SQL workflow may take.
 *
 * A body is one CALL that may last for years, and a background worker has no
 * client's statements that the server would time.  So a statement, for
 * statement_timeout, is a stretch of a body between two waits or steps, or a
 * step's command, for which durable_wf.step_timeout comes first.
 *
 *-------------------------------------------------------------------------
 */
#include "session/body_timeout.h"

#include "storage/proc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "base/settings.h"

/* When the present stretch or command will have taken too long; 0: never */
static TimestampTz limit = 0;

/* From now on, so many milliseconds are left; 0: no end of them */
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

/* A stretch begins */
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

/* Neither runs: the body waits, or has ended */
void
dwf_body_timeout_stop(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
}

/* Has the last command, or stretch, taken too long? */
bool
dwf_body_timeout_has_run_out(void)
{
	return limit != 0 && GetCurrentTimestamp() >= limit;
}
