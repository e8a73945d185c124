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

#include "base/process.h"
#include "base/settings.h"
#include "cluster/route.h"
#include "hook/closed_world.h"
#include "hook/hook.h"
#include "log.h"
#include "query.h"
#include "session/arrival.h"
#include "session/trace.h"
#include "shared/shmem.h"
#include "search.h"
#include "store/direct.h"
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
	BackgroundWorker worker;

	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;

	dwf_process_describe(&worker, "durable_wf", "dwf_launcher_main",
						 "durable_wf launcher");
	worker.bgw_restart_time = 1;
	RegisterBackgroundWorker(&worker);
}

/* Called once, when the library is loaded */
void
_PG_init(void)
{
	dwf_settings_define();
	dwf_shmem_init();
	dwf_xact_init();
	dwf_direct_init(dwf_note_arrival, dwf_release_hooks);
	dwf_search_init();
	dwf_utility_init();
	dwf_query_init();
	dwf_trace_init();
	dwf_route_init();
	dwf_log_init();
	dwf_closed_world_init();
	register_launcher();
}
