/*-------------------------------------------------------------------------
 *
 * durable_wf.c
 *	  _PG_init: the settings, the hooks, the callbacks.
 *
 *-------------------------------------------------------------------------
 */
#include "durable_wf.h"

#include "miscadmin.h"
#include "utils/guc.h"

#include "launcher.h"
#include "shmem.h"
#include "utility.h"
#include "wakeup.h"

PG_MODULE_MAGIC;

char	   *dwf_setting_workflow_id;
int			dwf_setting_notify_min_gap;
bool		dwf_setting_paused;

/* A workflow id as a setting: within the limit, '' for none */
static bool
check_workflow_id(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (strlen(*value) <= DWF_WORKFLOW_ID_MAX)
		return true;
	GUC_check_errdetail("A workflow id has at most %d bytes.",
						DWF_WORKFLOW_ID_MAX);
	return false;
}

/* PostgreSQL 15 leaves it to each library to declare this */
PGDLLEXPORT void _PG_init(void);

/* Called once, when the library is loaded */
void
_PG_init(void)
{
	DefineCustomStringVariable("durable_wf.workflow_id",
							   "The workflow that calls act as when they name none.",
							   "Set it for a session, or with SET LOCAL for a transaction; empty means none.",
							   &dwf_setting_workflow_id, "", PGC_USERSET, 0,
							   check_workflow_id, NULL, NULL);
	DefineCustomIntVariable("durable_wf.notify_min_gap",
							"The least time between two batches of notifications to listeners.",
							"News come at once when it was quiet; 0 means always at once.",
							&dwf_setting_notify_min_gap, 50, 0, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("durable_wf.paused",
							 "Lets no SQL workflow and no timer run in this cluster.",
							 "For physical copies: a staging clone, the exercise of a recovery.",
							 &dwf_setting_paused, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	MarkGUCPrefixReserved("durable_wf");

	dwf_shmem_init();
	dwf_wakeup_init();
	dwf_utility_init();
	dwf_launcher_register();
}
