/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  Where pg_cron is.  The rest of scheduling is in install/schedule.sql.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "utils/builtins.h"
#include "utils/guc.h"

PG_FUNCTION_INFO_V1(dwf_cron_database);

/*
 * durable_wf.cron_database() → text.  Not everyone may read the setting, but
 * everyone may know whom to ask.
 */
Datum
dwf_cron_database(PG_FUNCTION_ARGS)
{
	const char *database = GetConfigOption("cron.database_name", true, false);

	if (database == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(database));
}
