/*-------------------------------------------------------------------------
 *
 * launch_gateway.c
 *	  Start the gateway, and move it; a part of the launcher.
 *
 * While durable_wf.http_port is set there is one gateway.  It serves the
 * webhooks of durable_wf.http_database as long as that has the extension and
 * no statement wants that database without sessions.  Else the gateway is in
 * no database and answers each request with 503, so that the client tries
 * again. A process cannot change its database: one gateway leaves, another one
 * starts.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launch_gateway.h"

#include <unistd.h>

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/timestamp.h"

#include "base/process.h"
#include "base/settings.h"
#include "shared/workers.h"

#define DWF_GATEWAY_LIBRARY	"durable_wf_gateway"

/* The delay of a restart, in ms: at first, at most; a life that ends delays */
#define DELAY_FIRST		1000
#define DELAY_MAX		60000
#define LIFE_GOOD		60000

static BackgroundWorkerHandle *handle = NULL;	/* NULL: no gateway */
static Oid	started_in;			/* its database, or InvalidOid */
static TimestampTz started_at;
static TimestampTz start_after = 0;
static int	failures = 0;		/* in a row */
static bool lacks_library = false;
static bool warned_no_slot = false;

/* The settings were read again: try at once what has failed before */
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

/* The gateway has died or found no slot: start the next later each time */
static void
postpone(void)
{
	TimestampTz now = GetCurrentTimestamp();
	int			delay;

	if (TimestampDifferenceExceeds(started_at, now, LIFE_GOOD))
		failures = 0;
	delay = Min(DELAY_MAX, DELAY_FIRST << Min(failures, 10));
	start_after = TimestampTzPlusMilliseconds(now, delay);
	failures++;
}

/* See whether the gateway has ended, and whether it has left on purpose */
static void
reap(void)
{
	pid_t		pid;

	if (handle == NULL ||
		GetBackgroundWorkerPid(handle, &pid) != BGWH_STOPPED)
		return;
	pfree(handle);
	handle = NULL;
	if (dwf_workers_take_gateway_left())
	{
		start_after = 0;
		failures = 0;
	}
	else
		postpone();
}

/*
 * Is the gateway's library installed?  A build without a parser of HTTP has
 * none.  If the search path of libraries is not the default one, the answer is
 * yes, and the server finds the library, or says that it cannot.
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
			 errhint("Build durable_wf where llhttp or http-parser is installed, with its headers,"
					 " and reload the settings.")));
	return false;
}

/* Start a gateway; returns false when there is no slot for it */
static bool
start(uint32 generation, Oid database)
{
	BackgroundWorker worker;
	DwfGatewayStart extra;

	extra.generation = generation;
	extra.owner = OidIsValid(database) ? dwf_workers_owner(database) :
		InvalidOid;

	dwf_process_describe(&worker, DWF_GATEWAY_LIBRARY, "dwf_gateway_main",
						 "durable_wf gateway");
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	memcpy(worker.bgw_extra, &extra, sizeof(extra));

	started_in = database;
	started_at = GetCurrentTimestamp();
	return dwf_process_start(&worker, &handle);
}

/* Start a gateway, if its delay is over and its library is there */
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
 * Start the gateway if the settings want one, or send it away if it is in
 * another database than this.  "is_settled" is false while the launcher does
 * not know whether the database has the extension: then no gateway is started,
 * and one that runs stays.  Returns for how many milliseconds there is nothing
 * to do, -1 for ever.  Does not block.
 *
 * A gateway that is just starting cannot be sent away yet; the postmaster sets
 * our latch when it can be.  A gateway whose settings have changed leaves by
 * itself.
 */
long
dwf_launch_gateway_tend(uint32 generation, Oid database, bool is_settled)
{
	reap();
	if (handle && is_settled && started_in != database)
		dwf_workers_send_gateway_away();
	if (handle || !is_settled || dwf_setting_http_port == 0)
		return -1;

	try_start(generation, database);
	if (handle || lacks_library)
		return -1;
	return TimestampDifferenceMilliseconds(GetCurrentTimestamp(), start_after);
}
