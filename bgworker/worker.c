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

#include <limits.h>
#include <math.h>

#include "access/xact.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/snapmgr.h"

#include "home.h"
#include "listener.h"
#include "owner.h"
#include "plan.h"
#include "pool.h"
#include "presence.h"
#include "service.h"
#include "shmem.h"
#include "store.h"

/* Each so many sessions that listen lengthen the gap by as much again */
#define SESSIONS_PER_GAP	100.0

/* The extension's owner */
static Oid	owner = InvalidOid;

/* Workflows here come from another database and wait for wf_adopt() */
static bool is_copy = false;

/* News that were taken, for those who listen, and whether some were lost */
#define PENDING_MAX		(1024 * 1024)
static StringInfoData pending;
static bool pending_resync = false;

/* News of suspended workflows were passed by while they did not run here */
static bool missed_news = true;

/* The launcher that has started this worker */
static uint32 generation;

/* Workflows whose row somebody holds are looked at again after this, in ms */
#define HELD_GAP	500

/*
 * Look at this database: has it the extension, and do its workflows run here?
 * Returns the former.
 */
static bool
look_around(void)
{
	bool		wanted;
	bool		was_copy = is_copy;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	wanted = OidIsValid(get_extension_oid("durable_wf", true));
	owner = wanted ? dwf_plan_extension_owner() : InvalidOid;
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

/* Do workflows run by themselves in this database? */
static bool
runs_here(void)
{
	return !is_copy && !dwf_setting_paused &&
		OidIsValid(dwf_plan_find_relation("wait"));
}

/*
 * Do what is due by the clock: cancel the workflows that have run out of time,
 * let go on those whose wait has.  Returns when there is something next.
 */
static TimestampTz
serve_clock(bool *resumed)
{
	TimestampTz next_end = DT_NOEND;
	TimestampTz next_wait = DT_NOEND;
	bool		held = false;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (runs_here())
	{
		if (missed_news)
		{
			/* some may have been restored since this worker began */
			dwf_store_expect_all();
			*resumed |= dwf_store_reconcile(&held) > 0;
		}
		missed_news = false;
		(void) dwf_store_end_overdue(&next_end);
		*resumed |= dwf_store_resume_due(&next_wait) > 0;
	}
	else
		missed_news = true;
	PopActiveSnapshot();
	CommitTransactionCommand();
	return Min(next_end, next_wait);
}

/*
 * See to it that bodies which are due are run.  Returns when to look again.
 */
static TimestampTz
serve_bodies(void)
{
	if (is_copy || dwf_setting_paused)
		return DT_NOEND;
	return dwf_pool_start();
}

/* Know for what to expect news, from before this worker was there */
static void
expect_news(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(dwf_plan_find_relation("wait")))
		dwf_store_expect_all();
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* The shorter of a time to sleep, -1 for ever, and the time until a moment */
static long
sooner(long timeout, TimestampTz moment)
{
	long		left;

	if (moment == DT_NOEND)
		return timeout;
	left = Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), moment),
			   INT_MAX);
	return timeout < 0 ? left : Min(timeout, left);
}

/* Show in pg_stat_activity what the worker does not do */
static void
report_idle(void)
{
	pgstat_report_activity(STATE_IDLE,
						   dwf_setting_paused ? "workflows are paused: durable_wf.paused" :
						   is_copy ? "workflows wait for wf_adopt()" :
						   dwf_pool_lacks_slot ? "workflows wait for a process: max_worker_processes" : "");
}

/* Leave for good, as far as this worker knows */
static void
leave(void)
{
	dwf_pool_end();
	dwf_service_worker_gone(generation);
	proc_exit(0);
}

static void
worker_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_pool_abandon();
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

/* The listens of this database, those for a workflow by its hash */
typedef struct Listens
{
	DwfListen  *all;			/* sorted */
	int			count;
	int			first_workflow; /* those of roles come before it */
} Listens;

static int
compare_listens(const void *a, const void *b)
{
	uint64		left = ((const DwfListen *) a)->key.workflow_hash;
	uint64		right = ((const DwfListen *) b)->key.workflow_hash;

	return (left > right) - (left < right);
}

/*
 * To be called when the news have been taken: whose interest made a sender
 * leave them is there now.
 */
static void
list_listens(Listens *listens)
{
	listens->all = dwf_listener_list(&listens->count);
	qsort(listens->all, listens->count, sizeof(DwfListen), compare_listens);
	listens->first_workflow = 0;
	while (listens->first_workflow < listens->count &&
		   listens->all[listens->first_workflow].key.workflow_hash == 0)
		listens->first_workflow++;
}

/* Where those for a workflow begin, if there are any */
static int
find_listens(const Listens *listens, uint64 workflow_hash)
{
	int			low = listens->first_workflow;
	int			high = listens->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (listens->all[middle].key.workflow_hash < workflow_hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Notify a channel of news at this door */
static void
notify_channel(const char *channel, char door, const char *payload)
{
	Async_Notify(channel, payload);
	dwf_shmem_count(dwf_shmem_subject(door), DWF_COUNT_NOTIFICATIONS, 1);
}

/*
 * Notify who listens for all of the owner's workflows, and who for this one
 * and may see it.  One that is gone has news only of its life, which is over.
 */
static void
notify_news(const Listens *listens, const DwfNews *news)
{
	uint64		hash = dwf_listener_workflow_hash(news->workflow_id,
												  news->workflow_length);
	int			first = find_listens(listens, hash);
	bool		wanted = first < listens->count &&
		listens->all[first].key.workflow_hash == hash;
	char	   *payload;
	bool		exists;
	DwfLife		life;

	if ((!wanted && listens->first_workflow == 0) ||
		news->door == DWF_DOOR_RESPONSE)	/* for suspended workflows only */
		return;
	payload = make_payload(news);
	exists = dwf_store_life(cstring_to_text_with_len(news->workflow_id,
													 news->workflow_length),
							&life);

	for (int i = 0; exists && i < listens->first_workflow; i++)
		if (listens->all[i].key.role == life.owner)
			notify_channel(listens->all[i].channel, news->door, payload);
	for (int i = first; i < listens->count &&
		 listens->all[i].key.workflow_hash == hash; i++)
		if (exists ? dwf_owner_allows(life.owner, listens->all[i].key.role)
			: news->door == DWF_DOOR_LIFE)
			notify_channel(listens->all[i].channel, news->door, payload);
}

/* Tell everyone who listens in this database to look for himself */
static void
notify_resync(const Listens *listens)
{
	for (int i = 0; i < listens->count; i++)
		Async_Notify(listens->all[i].channel,
					 "{\"workflow_id\": null, \"kind\": \"resync\", \"key\": null}");
	if (listens->count > 0)
		dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RESYNCS, 1);
}

/* True unless the same news are in this batch already */
static bool
are_new(HTAB *seen, const char *news, uint32 length)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) news, length,
										   dwf_shared->hash_seed);
	bool		found;

	(void) hash_search(seen, &hash, HASH_ENTER, &found);
	return !found;
}

/* Let suspended workflows go on that wait for this */
static uint64
resume_for_news(const DwfNews *news, bool *held)
{
	text	   *target = cstring_to_text_with_len(news->workflow_id,
												  news->workflow_length);
	text	   *key = cstring_to_text_with_len(news->key, news->key_length);

	if (news->door == DWF_DOOR_LIFE)
		dwf_store_forget_waits(target);
	return dwf_store_resume(news->door, target, key, held);
}

/*
 * Take the news out of the ring: at once for suspended workflows, and to be
 * kept for those who listen.  Returns whether a workflow goes on.
 */
static bool
take_news(DwfWorker *place, TimestampTz *next_clock)
{
	char	   *ring;
	uint32		length;
	uint64		resumed = 0;
	bool		held = false;
	bool		resync;

	pgstat_report_activity(STATE_RUNNING, "taking news");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	ring = palloc(DWF_RING_BYTES);
	length = dwf_service_take_ring(place, ring, &resync);
	pending_resync |= resync;
	if (resync)
		*next_clock = DT_NOBEGIN;	/* a prepared one may have set a timeout */
	if (pending.len + length <= PENDING_MAX)
		appendBinaryStringInfo(&pending, ring, length);
	else
		pending_resync = true;

	/* while nothing was ever suspended there is nobody to look for */
	if (dwf_listener_expects() && !runs_here())
		missed_news = true;
	else if (dwf_listener_expects())
	{
		if (resync)
		{
			resumed = dwf_store_reconcile(&held);
			dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RECONCILES, 1);
		}
		for (uint32 at = 0; at < length;)
		{
			DwfNews		news;

			at += dwf_service_read_news(ring + at, &news);
			resumed += resume_for_news(&news, &held);
		}
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	if (held)
		*next_clock = Min(*next_clock,
						  TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													  HELD_GAP));
	return resumed > 0;
}

/* Send on what was kept for those who listen */
static void
notify_batch(void)
{
	HASHCTL		control = {0};
	HTAB	   *seen;
	Listens		listens;

	pgstat_report_activity(STATE_RUNNING, "notifying listeners");
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	list_listens(&listens);
	control.keysize = control.entrysize = sizeof(uint64);
	control.hcxt = CurrentMemoryContext;
	seen = hash_create("durable_wf news", 256, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	if (pending_resync)
		notify_resync(&listens);
	for (int at = 0; at < pending.len;)
	{
		DwfNews		news;
		uint32		size = dwf_service_read_news(pending.data + at, &news);

		if (are_new(seen, pending.data + at, size))
			notify_news(&listens, &news);
		at += size;
	}
	CommitTransactionCommand();
	resetStringInfo(&pending);
	pending_resync = false;
	pgstat_report_stat(false);
}

/*
 * For how many milliseconds the next batch has to wait.  By a clock that
 * nobody sets.
 *
 * A batch wakes all sessions that listen, which on two CPUs takes each of them
 * some 30 microseconds; each hundred of them adds a gap, so that all together
 * never take more than a small part of one CPU.
 */
static long
time_left(instr_time last_batch)
{
	double		gap = dwf_setting_notify_min_gap *
		(1 + dwf_listener_sessions() / SESSIONS_PER_GAP);
	instr_time	passed;

	if (INSTR_TIME_IS_ZERO(last_batch))
		return 0;
	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, last_batch);
	return Max(0, (long) ceil(gap - INSTR_TIME_GET_MILLISEC(passed)));
}

/* Connect, and find out whether this database wants a worker */
static DwfWorker *
begin_work(Oid database)
{
	DwfWorker  *place;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));

	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	before_shmem_exit(worker_exit, (Datum) 0);

	/* a lost notification is told as a resync after the crash */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
	/* whatever the database's default is: nothing here can fail to serialize */
	SetConfigOption("default_transaction_isolation", "read committed",
					PGC_USERSET, PGC_S_SESSION);
	dwf_plan_set_patient();

	if (!look_around())
		leave();
	place = dwf_service_worker_begin(generation, owner);
	if (place == NULL || dwf_presence_is_held(database))
		leave();
	initStringInfo(&pending);
	expect_news();
	return place;
}

/*
 * A worker's main function; its argument is the database.  What it does in a
 * transaction may wait for a lock, and that resets the latch: so it takes its
 * orders again after each, before it sleeps.
 */
void
dwf_worker_main(Datum arg)
{
	DwfWorker  *place = begin_work(DatumGetObjectId(arg));
	TimestampTz next_clock = DT_NOBEGIN;
	TimestampTz next_body = DT_NOBEGIN;
	instr_time	last_batch;

	INSTR_TIME_SET_ZERO(last_batch);
	for (;;)
	{
		bool		leaves;
		bool		check;
		bool		run;
		bool		ordered;
		bool		has_news;
		bool		busy = false;
		long		gap_left;
		long		timeout = -1;

		ResetLatch(MyLatch);
		QueryCancelPending = false;	/* nothing to cancel, as in an idle session */
		if (ProcDiePending)
		{
			ProcDiePending = false; /* it is being heeded */
			dwf_pool_end();
			proc_exit(0);		/* without leave(): the launcher starts another */
		}
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			next_clock = next_body = DT_NOBEGIN;	/* perhaps no longer paused */
		}

		has_news = dwf_service_take_orders(place, &leaves, &check, &run);
		ordered = run;
		run |= dwf_pool_reap();
		if (leaves || (check && !look_around()))
			leave();
		gap_left = time_left(last_batch);
		if (has_news && (gap_left == 0 || dwf_listener_expects()))
		{
			run |= take_news(place, &next_clock);
			busy = true;
		}
		if (run || check || next_body <= GetCurrentTimestamp())
		{
			next_body = serve_bodies();
			busy = true;
		}
		if (ordered || check || next_clock <= GetCurrentTimestamp())
		{
			bool		resumed = false;

			dwf_service_plan_clock(place, DT_NOEND);
			next_clock = serve_clock(&resumed);
			dwf_service_plan_clock(place, next_clock);
			if (resumed)
				next_body = serve_bodies();
			busy = true;
		}
		if ((pending.len > 0 || pending_resync) && gap_left == 0)
		{
			notify_batch();
			INSTR_TIME_SET_CURRENT(last_batch);
			busy = true;
		}
		if (busy)
			continue;

		if (has_news || pending.len > 0 || pending_resync)
			timeout = gap_left;
		timeout = sooner(sooner(timeout, next_clock), next_body);
		report_idle();
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0), timeout,
						 dwf_compat_wait_event("DurableWfWorker"));
	}
}
