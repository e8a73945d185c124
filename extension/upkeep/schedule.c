/*-------------------------------------------------------------------------
 *
 * schedule.c
 *	  The database of pg_cron.  The rest of scheduling is in
 *	  install/schedule.sql.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "utils/builtins.h"
#include "utils/guc.h"

PG_FUNCTION_INFO_V1(dwf_cron_database);

/*
 * durable_wf.cron_database() → text: the setting cron.database_name, or null
 * if pg_cron is not loaded.  All roles may call this; not all may read the
 * setting itself.
 */
Datum
dwf_cron_database(PG_FUNCTION_ARGS)
{
	const char *database = GetConfigOption("cron.database_name", true, false);

	if (database == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(database));
}
