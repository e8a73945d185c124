/*-------------------------------------------------------------------------
 *
 * durable_wf.c
 *	  Load the library: define the settings, set the hooks, register the
 *	  callbacks and the launcher.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"

#include "base/settings.h"
#include "hook/closed_world.h"
#include "query.h"
#include "shared/shmem.h"
#include "utility.h"
#include "xact.h"

PG_MODULE_MAGIC;

/* PostgreSQL 15 leaves it to each library to declare this */
PGDLLEXPORT void _PG_init(void);

/*
 * Have the postmaster start the launcher, but not in a binary upgrade.  The
 * postmaster finds its main function (bgworker/launcher.c) by name.
 */
static void
register_launcher(void)
{
	BackgroundWorker worker = {0};

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 1;
	strlcpy(worker.bgw_library_name, "durable_wf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dwf_launcher_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "durable_wf launcher", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "durable_wf launcher", BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* Called once, when the library is loaded */
void
_PG_init(void)
{
	dwf_settings_define();
	dwf_shmem_init();
	dwf_xact_init();
	dwf_utility_init();
	dwf_query_init();
	dwf_closed_world_init();
	register_launcher();
}
