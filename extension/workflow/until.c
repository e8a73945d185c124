/*-------------------------------------------------------------------------
 *
 * until.c
 *	  A deadline as a timeout: wf_until.
 *
 * It is no step: a wait records its own deadline, and a replay looks at that,
 * whatever is left until then.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "utils/timestamp.h"


/* wf_until(deadline) → interval; NULL for a moment that never comes */
PG_FUNCTION_INFO_V1(wf_until);
Datum
wf_until(PG_FUNCTION_ARGS)
{
	TimestampTz deadline = PG_GETARG_TIMESTAMPTZ(0);
	TimestampTz now = GetCurrentTimestamp();
	Interval   *left = palloc0(sizeof(Interval));

	if (TIMESTAMP_IS_NOEND(deadline))
		PG_RETURN_NULL();
	if (deadline > now)
		left->time = deadline - now;
	PG_RETURN_INTERVAL_P(left);
}
