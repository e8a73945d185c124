/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker of one database: notify its listeners.
 *
 * It sleeps until its latch is set, by whoever puts news into its ring or has
 * an order for it.  News are sent on at once when the last batch is longer ago
 * than the least gap, else when that is over: a limit of the rate, no period.
 *
 *-------------------------------------------------------------------------
 */
#include "launcher.h"

#include "access/xact.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "home.h"
#include "listener.h"
#include "presence.h"
#include "service.h"
#include "shmem.h"
#include "store.h"

/* At most so many news in one transaction */
#define BATCH_MAX	1000

/* Workflows here come from another database and wait for wf_adopt() */
static bool is_copy = false;

/*
 * Look at this database: has it the extension, and do its workflows run here?
 * Returns the former.
 */
static bool
look_around(void)
{
	bool		wanted;
	bool		was_copy = is_copy;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	wanted = OidIsValid(get_extension_oid("durable_wf", true));
	is_copy = wanted && dwf_home_is_copy();
	if (is_copy && !was_copy)
		ereport(LOG,
				(errmsg("workflows of database \"%s\" come from another one and do not run here",
						get_database_name(MyDatabaseId)),
				 errhint("When they no longer run there, call wf_adopt() in this database.")));
	PopActiveSnapshot();
	CommitTransactionCommand();
	return wanted;
}

/* Show in pg_stat_activity what the worker does not do */
static void
report_idle(void)
{
	pgstat_report_activity(STATE_IDLE,
						   dwf_setting_paused ? "workflows are paused: durable_wf.paused" :
						   is_copy ? "workflows wait for wf_adopt()" : "");
}

/* Leave for good, as far as this worker knows */
static void
leave(void)
{
	dwf_service_worker_gone();
	proc_exit(0);
}

static void
worker_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_service_worker_end();
}

/* The payload that tells what has come where */
static char *
make_payload(const DwfNews *news)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"workflow_id\": ");
	escape_json(&payload, pnstrdup(news->workflow_id, news->workflow_length));
	appendStringInfo(&payload, ", \"kind\": \"%s\", \"key\": ",
					 dwf_shmem_subject_name(dwf_shmem_subject(news->door)));
	if (news->door == DWF_DOOR_NO_TOPIC || news->door == DWF_DOOR_LIFE)
		appendStringInfoString(&payload, "null");
	else
		escape_json(&payload, pnstrdup(news->key, news->key_length));
	appendStringInfoChar(&payload, '}');
	return payload.data;
}

/* Notify a channel, if anybody listens to it, of news at this door */
static void
notify_key(DwfListenKey key, char door, const char *payload)
{
	char		channel[DWF_CHANNEL_SIZE];

	if (!dwf_listener_exists(&key))
		return;
	dwf_listener_channel(&key, channel);
	Async_Notify(channel, payload);
	dwf_shmem_count(dwf_shmem_subject(door), DWF_COUNT_NOTIFICATIONS, 1);
}

/* Notify who listens for this workflow, and who for all of its owner */
static void
notify_news(const DwfNews *news)
{
	char	   *payload = make_payload(news);
	text	   *workflow_id = cstring_to_text_with_len(news->workflow_id,
													   news->workflow_length);
	DwfLife		life;

	notify_key(dwf_listener_workflow_key(news->workflow_id,
										 news->workflow_length),
			   news->door, payload);
	if (dwf_store_life(workflow_id, &life) && OidIsValid(life.owner))
		notify_key(dwf_listener_role_key(life.owner), news->door, payload);
}

/* Tell everyone who listens in this database to look for himself */
static void
notify_resync(void)
{
	ListCell   *cell;
	List	   *channels = dwf_listener_channels();

	foreach(cell, channels)
		Async_Notify(lfirst(cell),
					 "{\"workflow_id\": null, \"kind\": \"resync\", \"key\": null}");
	if (channels != NIL)
		dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RESYNCS, 1);
}

/* Send a batch on; true if there may be more */
static bool
notify_batch(DwfWorker *place, bool resync)
{
	DwfNews		news;
	int			count = 0;

	pgstat_report_activity(STATE_RUNNING, "notifying listeners");
	StartTransactionCommand();
	if (resync)
		notify_resync();
	while (count < BATCH_MAX && dwf_service_take_news(place, &news))
	{
		notify_news(&news);
		count++;
	}
	CommitTransactionCommand();
	return count == BATCH_MAX;
}

/* Connect, and find out whether this database wants a worker */
static DwfWorker *
begin_work(Oid database)
{
	DwfWorker  *place;

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	before_shmem_exit(worker_exit, (Datum) 0);

	/* a lost notification is told as a resync after the crash */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);

	if (!look_around())
		leave();
	place = dwf_service_worker_begin();
	if (place == NULL || dwf_presence_is_held(database))
		leave();
	return place;
}

/* A worker's main function; its argument is the database */
void
dwf_worker_main(Datum arg)
{
	DwfWorker  *place = begin_work(DatumGetObjectId(arg));
	TimestampTz last_batch = 0;
	bool		must_resync = false;

	for (;;)
	{
		bool		leaves;
		bool		check;
		bool		resync;
		bool		has_news;
		long		timeout = -1;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ShutdownRequestPending)
			proc_exit(0);		/* without leave(): the launcher starts another */
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
		}

		has_news = dwf_service_take_orders(place, &leaves, &check, &resync);
		if (leaves || (check && !look_around()))
			leave();
		must_resync |= resync;

		if (must_resync || has_news)
		{
			TimestampTz due = TimestampTzPlusMilliseconds(last_batch,
														  dwf_setting_notify_min_gap);

			timeout = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													  due);
			if (timeout == 0)
			{
				bool		more = notify_batch(place, must_resync);

				must_resync = false;
				last_batch = GetCurrentTimestamp();
				timeout = more ? dwf_setting_notify_min_gap : -1;
			}
		}
		report_idle();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0), timeout,
						 dwf_compat_wait_event("DurableWfWorker"));
	}
}
