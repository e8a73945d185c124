/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Start a worker in each database that has the extension.
 *
 * Which databases have it can only be seen from inside.  So the launcher
 * starts a worker in each database that allows connections; one that does not
 * find the extension says so and leaves.  After that the launcher sleeps until
 * it is asked about a database (presence.c) or a worker has ended.
 *
 *	(none)	 --listed-----> TO_START   the database is there
 *	TO_START --registered-> STARTED    it may have found the extension or not
 *	STARTED	 --gone-------> IDLE       it left on purpose; TO_START if asked
 *	STARTED	 --ended------> TO_START   it died: later, and later each time
 *	any		 --asked------> TO_START
 *	any		 --not listed-> (none)	   but STARTED when its worker has ended
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launcher.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "bgworker/launch_gateway.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "shared/service.h"
#include "shared/shmem.h"

/* How many workers may be on their way to find out at a time */
#define STARTING_MAX	3

/* Delay of a restart in milliseconds: at first, at most, and forgotten after */
#define DELAY_FIRST		1000
#define DELAY_MAX		60000
#define LIFE_GOOD		60000

typedef enum State
{
	TO_START,
	STARTED,
	IDLE
} State;

typedef struct Database
{
	Oid			oid;
	NameData	name;
	State		state;
	bool		listed;			/* it was there when last looked */
	bool		asked;			/* about it, since its worker was started */
	BackgroundWorkerHandle *handle; /* while STARTED */
	TimestampTz started_at;
	TimestampTz start_after;	/* while TO_START */
	int			failures;		/* in a row */
	bool		lacks_slot;		/* the last of them: there was none free */
} Database;

/* All databases that one can connect to, in TopMemoryContext */
static List *databases = NIL;
static bool warned_no_slot = false;

/* Which launcher this is; its workers tell by it that they are this one's */
static uint32 generation;

static Database *
find_database(Oid oid)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		if (((Database *) lfirst(cell))->oid == oid)
			return lfirst(cell);
	}
	return NULL;
}

/* Note a database that is there */
static void
list_database(Oid oid, Name name)
{
	Database   *database = find_database(oid);

	if (database == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		database = palloc0(sizeof(Database));
		database->oid = oid;
		database->state = TO_START;
		databases = lappend(databases, database);
		MemoryContextSwitchTo(old);
	}
	database->name = *name;
	database->listed = true;
}

/* Read pg_database: forget what is not there any more, note what is */
static void
list_databases(void)
{
	Relation	table;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *cell;

	foreach(cell, databases)
	{
		((Database *) lfirst(cell))->listed = false;
	}

	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	table = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(table, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database row = (Form_pg_database) GETSTRUCT(tuple);

		if (row->datallowconn && row->datconnlimit != DATCONNLIMIT_INVALID_DB)
			list_database(row->oid, &row->datname);
	}
	table_endscan(scan);
	table_close(table, AccessShareLock);
	CommitTransactionCommand();

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (database->listed || database->state == STARTED)
			continue;
		pfree(database);
		databases = foreach_delete_current(databases, cell);
	}
}

/*
 * Have the workers leave whose databases are closed to connections, or dropped.
 * One that is just starting cannot be told yet: it sets our latch when it can.
 */
static void
send_away_unlisted(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (database->listed || database->state != STARTED)
			continue;
		(void) dwf_service_tell_to_leave(database->oid);
		database->asked = true; /* it may be listed again by then */
	}
}

/* A worker has died: start another one, later each time */
static void
postpone(Database *database, TimestampTz now)
{
	int			delay;

	if (TimestampDifferenceExceeds(database->started_at, now, LIFE_GOOD))
		database->failures = 0;
	delay = Min(DELAY_MAX, DELAY_FIRST << Min(database->failures, 10));
	database->failures++;
	database->state = TO_START;
	database->start_after = TimestampTzPlusMilliseconds(now, delay);
}

/* A slot is free: it need not be waited for any longer */
static void
hurry_lacking(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (!database->lacks_slot)
			continue;
		database->start_after = 0;
		database->failures = 0;
		database->lacks_slot = false;
	}
}

/*
 * See which workers have ended, and why; true if the databases are to be read
 * again, since one has died or was in a database that was not listed
 */
static bool
reap_workers(void)
{
	bool		list_anyway = false;
	bool		one_ended = false;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);
		pid_t		pid;

		if (database->state != STARTED ||
			GetBackgroundWorkerPid(database->handle, &pid) != BGWH_STOPPED)
			continue;

		one_ended = true;
		pfree(database->handle);
		database->handle = NULL;
		if (dwf_service_take_gone(database->oid))
		{
			database->state = database->asked ? TO_START : IDLE;
			database->start_after = 0;
			database->failures = 0;
			list_anyway |= !database->listed;
		}
		else
		{
			postpone(database, GetCurrentTimestamp());
			list_anyway = true;
		}
	}
	if (one_ended)
		hurry_lacking();
	return list_anyway;
}

/* Take the requests; true if databases are to be looked at again, now */
static bool
take_requests(bool list_anyway)
{
	List	   *requests;
	bool		all = dwf_service_take_requests(&requests);
	ListCell   *cell;

	if (!all && requests == NIL && !list_anyway)
		return false;

	list_databases();
	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (!all && !list_member_oid(requests, database->oid))
			continue;
		/* a worker that is there looks itself; it may be just leaving */
		database->asked = true;
		if (database->state == STARTED)
			continue;
		database->state = TO_START;
		database->start_after = 0;
		database->failures = 0;
	}
	list_free(requests);
	return true;
}

/* Register a worker; false when there is no slot for it */
static bool
register_worker(Database *database)
{
	BackgroundWorker worker = {0};
	MemoryContext old;
	bool		registered;

	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "durable_wf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dwf_worker_main", BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "durable_wf worker %s",
			 NameStr(database->name));
	strlcpy(worker.bgw_type, "durable_wf worker", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	worker.bgw_notify_pid = MyProcPid;

	old = MemoryContextSwitchTo(TopMemoryContext);
	registered = RegisterDynamicBackgroundWorker(&worker, &database->handle);
	MemoryContextSwitchTo(old);
	return registered;
}

/* There is no slot for another process */
static void
warn_no_slot(Database *database)
{
	if (!warned_no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no slot for the durable_wf worker of database \"%s\"",
						NameStr(database->name)),
				 errhint("Increase max_worker_processes; it will start when a slot is free.")));
	warned_no_slot = true;
}

/* How many workers have yet to find out whether they are wanted? */
static int
count_starting(void)
{
	int			starting = 0;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (database->state == STARTED &&
			!dwf_service_is_serving(database->oid))
			starting++;
	}
	return starting;
}

/*
 * Start what is to be started.  Returns how long to sleep until there is
 * something to start, in milliseconds, -1 for ever.
 */
static long
start_workers(void)
{
	int			starting = count_starting();
	long		timeout = -1;
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);
		TimestampTz now = GetCurrentTimestamp();
		long		left;

		if (database->state != TO_START)
			continue;
		if (dwf_presence_is_held(database->oid))
		{
			database->state = IDLE; /* we are asked again when it is not */
			continue;
		}
		if (database->start_after <= now && starting < STARTING_MAX)
		{
			database->lacks_slot = !register_worker(database);
			if (!database->lacks_slot)
			{
				database->state = STARTED;
				database->asked = false;
				database->started_at = now;
				starting++;
				warned_no_slot = false;
				continue;
			}
			if (starting == 0)	/* else one of those may be about to leave */
				warn_no_slot(database);
			database->started_at = now;
			postpone(database, now);
		}
		if (database->start_after <= now)
			continue;			/* when one of those starting has found out */
		left = TimestampDifferenceMilliseconds(now, database->start_after);
		timeout = timeout < 0 ? left : Min(timeout, left);
	}
	return timeout;
}

/* Where the gateway's database is listed; NULL if it is not there */
static Database *
find_gateway_database(void)
{
	ListCell   *cell;

	foreach(cell, databases)
	{
		Database   *database = lfirst(cell);

		if (database->listed &&
			strcmp(NameStr(database->name), dwf_setting_http_database) == 0)
			return database;
	}
	return NULL;
}

/*
 * Start the gateway, or move it: to its database when a worker is at work
 * there, since then the extension is, to none when it has not the extension.
 * Returns how long to sleep, as start_workers().
 */
static long
tend_gateway(void)
{
	Database   *database = find_gateway_database();
	bool		serves;

	if (database == NULL || dwf_presence_is_held(database->oid))
		return dwf_launch_gateway_tend(generation, InvalidOid, true);
	serves = database->state == STARTED &&
		dwf_service_is_serving(database->oid);
	return dwf_launch_gateway_tend(generation, serves ? database->oid : InvalidOid,
								   serves || database->state == IDLE);
}

/* The shorter of two times to sleep, -1 for ever */
static long
shorter(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

static void
launcher_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_service_launcher_end();
}

/* The launcher's main function */
void
dwf_launcher_main(Datum arg)
{
	(void) arg;
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	/* no database: the shared catalogs, and a line in pg_stat_activity */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(launcher_exit, (Datum) 0);
	dwf_prepared_begin_own();
	generation = dwf_service_launcher_begin();

	for (;;)
	{
		long		timeout;

		ResetLatch(MyLatch);
		if (ProcDiePending)
			proc_exit(1);		/* 0 would mean: never again */
		QueryCancelPending = false; /* nothing to cancel, as in an idle
									 * session */
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			dwf_launch_gateway_reload();
		}

		/* to read them may wait for a lock, and that resets the latch */
		if (take_requests(reap_workers()))
			continue;
		send_away_unlisted();
		timeout = shorter(start_workers(), tend_gateway());
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0), timeout,
						 dwf_compat_wait_event("DurableWfLauncher"));
	}
}
