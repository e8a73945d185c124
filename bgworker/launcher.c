/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Start a worker in each database that has the extension.
 *
 * Only a process inside a database can see whether that has the extension.  So
 * the launcher starts a worker in each database that allows connections; a
 * worker that does not find the extension says so and leaves.  After that the
 * launcher sleeps until it is asked about a database (presence.c) or a worker
 * has ended.
 *
 *	(none)	 --listed-----> TO_START   the database is in pg_database
 *	TO_START --registered-> STARTED    its worker may find the extension or not
 *	STARTED	 --gone-------> IDLE       the worker left on purpose; to TO_START
 *								   if the launcher was asked meanwhile
 *	STARTED	 --ended------> TO_START   the worker died: later each time
 *	any		 --asked------> TO_START   a STARTED one when its worker has left
 *	any		 --not listed-> (none)	   a STARTED one when its worker has ended
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launcher.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/process.h"
#include "base/settings.h"
#include "bgworker/launch_gateway.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "shared/service.h"
#include "shared/shmem.h"

/* How many workers may look for the extension at a time */
#define STARTING_MAX	3

/* The delay of a restart, in ms: at first, at most; a life that ends delays */
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
	bool		listed;			/* pg_database had it at the last look */
	bool		asked;			/* a request came since its worker started */
	BackgroundWorkerHandle *handle; /* while STARTED */
	TimestampTz started_at;
	TimestampTz start_after;	/* while TO_START */
	int			failures;		/* in a row */
	bool		lacks_slot;		/* the last failure: no slot was free */
} Database;

/* All databases that allow connections, in TopMemoryContext */
static List *databases = NIL;

/* The log says that there is no slot */
static bool warned_no_slot = false;

/* The number of this launcher; its workers carry it, and are known by it */
static uint32 generation;

/* The database of this OID; NULL if it is not known */
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

/* Note a database that allows connections; a new one is TO_START */
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

/*
 * Read pg_database: note what allows connections, forget the rest.  Begins a
 * transaction; may wait for a lock on the catalog.
 */
static void
list_databases(void)
{
	Relation	table;
	TableScanDesc scan;
	HeapTuple	tuple;
	ListCell   *cell;

	/* mark all, then unmark those that are there */
	foreach(cell, databases)
	{
		((Database *) lfirst(cell))->listed = false;
	}

	dwf_process_begin();
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
	dwf_process_commit();

	/* forget the rest, but for those whose worker has still to end */
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
 * Have those workers leave whose databases are not listed any more.  A worker
 * that is just starting cannot be told yet: it sets our latch when it can be.
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
		database->asked = true; /* when it has left, see about it again */
	}
}

/* A worker has died or found no slot: start the next later each time */
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

/* A slot is free: start those at once that have found none */
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
 * See which workers have ended, and which of them on purpose.  Returns whether
 * pg_database is to be read again: a worker has died, or it was in a database
 * that is not listed.
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

		/* free its handle; has it left on purpose, or died? */
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

/*
 * Take the requests of backends, and read pg_database if there are any or
 * "list_anyway" says so; returns whether it was read.  May wait for a lock.
 */
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
		/* a running worker checks that itself, unless it is leaving */
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

/* Start a database's worker; returns false when there is no slot for it */
static bool
register_worker(Database *database)
{
	BackgroundWorker worker;

	dwf_process_describe(&worker, "durable_wf", "dwf_worker_main",
						 "durable_wf worker");
	snprintf(worker.bgw_name, BGW_MAXLEN, "durable_wf worker %s",
			 NameStr(database->name));
	worker.bgw_main_arg = ObjectIdGetDatum(database->oid);
	memcpy(worker.bgw_extra, &generation, sizeof(generation));
	return dwf_process_start(&worker, &database->handle);
}

/* Log that there is no slot for a worker, once until one finds a slot */
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

/* How many workers are still looking for the extension? */
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
 * Start the workers whose delay is over, at most STARTING_MAX at a time.
 * Returns for how many milliseconds there is nothing to start, -1 for ever.
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
			database->state = IDLE; /* a request follows the end of the hold */
			continue;
		}
		/* start it now, unless too many look for the extension already */
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
			if (starting == 0)	/* else a slot may be free in a moment */
				warn_no_slot(database);
			database->started_at = now;
			postpone(database, now);
		}
		if (database->start_after <= now)
			continue;			/* a worker that starts sets our latch */
		left = TimestampDifferenceMilliseconds(now, database->start_after);
		timeout = dwf_process_shorter(timeout, left);
	}
	return timeout;
}

/* The database that the gateway's setting names; NULL if none is listed */
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
 * Start the gateway, or move it: into its database while a worker serves that,
 * which tells that the extension is there; into none while the database has
 * not the extension or is held.  Returns how long to sleep, as
 * start_workers().
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
	return dwf_launch_gateway_tend(generation,
								   serves ? database->oid : InvalidOid,
								   serves || database->state == IDLE);
}

/* Callback before the launcher's end, by an error too */
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
	dwf_process_handle_signals();

	/* connect to no database: pg_database is a shared catalog */
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	before_shmem_exit(launcher_exit, (Datum) 0);
	dwf_prepared_begin_own();
	generation = dwf_service_launcher_begin();

	for (;;)
	{
		long		timeout;

		ResetLatch(MyLatch);
		if (ProcDiePending)
			proc_exit(1);		/* 0 would tell: never start it again */
		QueryCancelPending = false; /* nothing to cancel, as in an idle
									 * session */
		CHECK_FOR_INTERRUPTS();
		if (dwf_process_reload())
			dwf_launch_gateway_reload();

		/* a wait for a lock has reset the latch: look again before sleeping */
		if (take_requests(reap_workers()))
			continue;
		send_away_unlisted();
		timeout = dwf_process_shorter(start_workers(), tend_gateway());
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0), timeout,
						 dwf_compat_wait_event("DurableWfLauncher"));
	}
}
