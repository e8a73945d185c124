/*-------------------------------------------------------------------------
 *
 * launch_gateway.c
 *	  When there is a gateway; a part of the launcher.
 *
 * While durable_wf.http_port is set there is one gateway.  It serves the
 * webhooks of durable_wf.http_database as long as that has the extension and
 * nobody wants it without sessions; else it is in no database, and answers
 * each request with 503, so that whoever sends it tries again.  A process
 * cannot change its database: one gateway leaves and another one comes.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launch_gateway.h"

#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "shared/service.h"

#define DWF_GATEWAY_LIBRARY	"durable_wf_gateway"

/* Delay of a restart in milliseconds: at first, at most, and forgotten after */
#define DELAY_FIRST		1000
#define DELAY_MAX		60000
#define LIFE_GOOD		60000

static BackgroundWorkerHandle *handle = NULL;	/* while there is one */
static Oid	started_in;			/* its database, or none */
static TimestampTz started_at;
static TimestampTz start_after = 0;
static int	failures = 0;		/* in a row */
static bool lacks_library = false;
static bool warned_no_slot = false;

/* The settings were read again: what was in vain may not be any more */
void
dwf_launch_gateway_reload(void)
{
	lacks_library = false;
	if (handle == NULL)
	{
		start_after = 0;
		failures = 0;
	}
}

/* Start another one later, and later each time */
static void
postpone(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(started_at, now, LIFE_GOOD))
		failures = 0;
	start_after = TimestampTzPlusMilliseconds(now,
											  Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10)));
	failures++;
}

/* See whether the gateway has ended, and why */
static void
reap(void)
{
	pid_t		pid;

	if (handle == NULL ||
		GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return;
	pfree(handle);
	handle = NULL;
	if (dwf_service_take_gateway_left())
	{
		start_after = 0;
		failures = 0;
	}
	else
		postpone();
}

/*
 * Is the gateway's library installed?  It is a part that a build without
 * libmicrohttpd has not.  With a search path of its own the server finds it.
 */
static bool
has_library(void)
{
	char		path[MAXPGPATH];

	if (strcmp(Dynamic_library_path, "$libdir") != 0)
		return true;
	snprintf(path, sizeof(path), "%s/%s%s", pkglib_path, DWF_GATEWAY_LIBRARY,
			 DLSUFFIX);
	if (access(path, R_OK) == 0)
		return true;
	ereport(WARNING,
			(errcode(ERRCODE_UNDEFINED_FILE),
			 errmsg("there is no durable_wf gateway: library \"%s\" is not installed",
					DWF_GATEWAY_LIBRARY),
			 errhint("Build durable_wf where libmicrohttpd is installed, with its headers,"
					 " and reload the settings.")));
	return false;
}

/* Register a gateway; false when there is no slot for it */
static bool
start(uint32 generation, Oid database)
{
	BackgroundWorker worker = {0};
	DwfGatewayStart extra;
	MemoryContext old;
	bool		registered;

	extra.generation = generation;
	extra.owner = OidIsValid(database) ? dwf_service_owner(database) :
		InvalidOid;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, DWF_GATEWAY_LIBRARY, BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dwf_gateway_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "durable_wf gateway", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "durable_wf gateway", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker.bgw_extra, &extra, sizeof(extra));
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &handle);
	MemoryContextSwitchTo(old);
	started_in = database;
	started_at = GetCurrentTimestamp();
	return registered;
}

/* Start a gateway, if it is time to */
static void
try_start(uint32 generation, Oid database)
{
	if (lacks_library || GetCurrentTimestamp() < start_after)
		return;
	lacks_library = !has_library();
	if (lacks_library)
		return;
	if (start(generation, database))
	{
		warned_no_slot = false;
		return;
	}
	if (!warned_no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no slot for the durable_wf gateway"),
				 errhint("Increase max_worker_processes; it will start when a slot is free.")));
	warned_no_slot = true;
	postpone();
}

/*
 * See to it that there is a gateway if one is wanted, and where it is wanted.
 * "is_settled" is false while it is still to be found out whether the database
 * has the extension: then none is started, and one that is there stays.
 * Returns how long to sleep until there is something to do, -1 for ever.
 *
 * One that is just starting cannot be sent away yet; it sets our latch when it
 * can be.  One that is not wanted any more by the settings leaves by itself.
 */
long
dwf_launch_gateway_tend(uint32 generation, Oid database, bool is_settled)
{
	reap();
	if (handle && is_settled && started_in != database)
		dwf_service_send_gateway_away();
	if (handle || !is_settled || dwf_setting_http_port == 0)
		return -1;

	try_start(generation, database);
	if (handle || lacks_library)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), start_after);
}
