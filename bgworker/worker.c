/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker of one database: its orders, its loop, its sleep.
 *
 * It sleeps until something is due or its latch is set, by a session that puts
 * news into its ring or gives it an order.  The loop does a piece
 * of each kind of work in turn: for suspended workflows (suspended.c), for
 * sessions that listen (notifier.c), for workflows that are due to run
 * (pool.c).  An error in a piece does not end the worker (attempt.c).
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/launcher.h"

#include <limits.h>

#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/durable_wf.h"
#include "base/process.h"
#include "base/process_settings.h"
#include "base/settings.h"
#include "bgworker/attempt.h"
#include "bgworker/delivery.h"
#include "bgworker/inbox.h"
#include "bgworker/notifier.h"
#include "bgworker/pool.h"
#include "bgworker/suspended.h"
#include "shared/address.h"
#include "shared/claims.h"
#include "shared/listener.h"
#include "shared/news.h"
#include "shared/presence.h"
#include "shared/returned.h"
#include "shared/saturation.h"
#include "shared/waiter.h"
#include "shared/workers.h"
#include "store/catalog.h"
#include "store/home.h"
#include "store/library.h"
#include "store/probe.h"
#include "store/store.h"

/* The extension's owner, or InvalidOid while the extension is not there */
static Oid	owner = InvalidOid;

/* The workflows here come from another database and wait for wf_adopt() */
static bool is_copy = false;

/* The launcher that has started this worker */
static uint32 generation;

/* Bodies that run may have lost the right to: look at each of them */
static bool must_recheck = false;

/* The extension may have gone: look for it */
static bool must_look = false;

static DwfAttempt looking_around = {.purpose = "look at its database"};
static DwfAttempt rechecking = {.purpose = "look at the workflows that run"};
static DwfAttempt starting = {
	.purpose = "start executors",
	.begins_itself = true
};

/*
 * Look for the extension, its owner, and whether the workflows here are a
 * copy. Returns whether the extension is there.  Inside a transaction.
 */
static bool
look_around(void)
{
	bool		was_copy = is_copy;
	bool		wanted = OidIsValid(get_extension_oid("durable_wf", true));

	owner = wanted ? dwf_catalog_owner() : InvalidOid;
	is_copy = wanted && dwf_home_runs_nothing();
	if (is_copy && !was_copy)
		ereport(LOG,
				(errmsg("workflows of database \"%s\" come from another one and do not run here",
						get_database_name(MyDatabaseId)),
				 errhint("When they no longer run there, call wf_adopt() in this database.")));
	return wanted;
}

/* A piece of work: look_around(), whose result goes into the argument */
static void
find_whether_wanted(void *argument)
{
	*(bool *) argument = look_around();
}

/* Look at the database if it may have changed; false: it wants no worker */
static bool
is_wanted(void)
{
	bool		wanted = true;

	if (must_look && dwf_attempt_may(&looking_around))
		must_look = !dwf_attempt(&looking_around, find_whether_wanted, &wanted,
								 NULL);
	return wanted;
}

/* A piece of work: start executors; the argument takes when to do so again */
static void
start_executors(void *argument)
{
	*(TimestampTz *) argument = dwf_pool_start();
}

/*
 * Wake or start executors for bodies that are due; returns when to look again
 */
static TimestampTz
serve_bodies(void)
{
	TimestampTz next = DT_NOEND;

	if (is_copy || dwf_setting_paused)
		return DT_NOEND;
	if (!dwf_attempt_may(&starting) ||
		!dwf_attempt(&starting, start_executors, &next, NULL))
		return starting.again_at;
	return next;
}

/* A time to sleep, -1 for ever, cut at a moment; DT_NOEND cuts nothing */
static long
sooner(long timeout, TimestampTz moment)
{
	long		left;

	if (moment == DT_NOEND)
		return timeout;
	left = Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), moment),
			   INT_MAX);
	return dwf_process_shorter(timeout, left);
}

/* Show in pg_stat_activity why the worker does nothing */
static void
report_idle(void)
{
	pgstat_report_activity(STATE_IDLE,
						   dwf_setting_paused ? "workflows are paused: durable_wf.paused" :
						   is_copy ? "workflows wait for wf_adopt()" :
						   dwf_pool_lacks_slot ? "workflows wait for a process: max_worker_processes" : "");
}

/* Leave on purpose: the launcher starts no other worker until it is asked */
static void
leave(void)
{
	dwf_pool_end();
	dwf_workers_gone(generation);
	proc_exit(0);
}

/* Callback before the worker's end, by an error too */
static void
worker_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_pool_abandon();
	dwf_saturation_exit();
	dwf_returned_end();			/* before another worker can begin */
	dwf_workers_end();
}

/*
 * A piece of work: interrupt each body whose workflow has ended or has another
 * owner, whichever session has committed that
 */
static void
recheck_bodies(void *argument)
{
	ListCell   *cell;

	(void) argument;
	foreach(cell, dwf_claims_list())
	{
		DwfExecution *execution = lfirst(cell);
		DwfAddress	address = {DWF_DOOR_LIFE, execution->workflow_id, NULL};
		DwfLife		life;

		if (execution->is_body &&
			(!dwf_probe_life(execution->workflow_id, GetActiveSnapshot(),
							 &life) ||
			 life.finished || life.owner != execution->role))
			dwf_claims_interrupt(dwf_address_hash(&address));
	}
}

/* Move the news from the ring to suspended.c and to notifier.c */
static void
take_news(void)
{
	static char ring[DWF_RING_BYTES];
	static DwfLost lost;
	bool		urgent;
	bool		resync;
	uint32		length = dwf_news_take(ring, &lost, &urgent, &resync);

	dwf_suspended_add(ring, urgent ? length : 0, &lost);
	dwf_notifier_add(ring, length, resync);
}

/*
 * Connect, and look for the extension; the process ends here if there is none,
 * or if the database is held.  Takes the worker's place in shared memory.
 */
static void
begin_work(Oid database)
{
	bool		wanted;

	memcpy(&generation, MyBgworkerEntry->bgw_extra, sizeof(generation));

	dwf_process_handle_signals();
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
	before_shmem_exit(worker_exit, (Datum) 0);
	dwf_process_settings_begin(false);

	/* wait for no disk: news that a crash loses become a resync */
	SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_SESSION);
	/* our triggers fire for what the worker writes, whatever is set here */
	SetConfigOption("session_replication_role", "origin", PGC_SUSET,
					PGC_S_SESSION);

	/* leave if the extension is not there */
	dwf_process_begin();
	wanted = look_around();
	if (wanted)
		dwf_library_say_later();
	dwf_process_commit();
	if (!wanted)
		leave();

	/* take the place, then look for a hold; a holder does the reverse */
	if (!dwf_workers_begin(generation, owner) ||
		dwf_presence_is_held(database))
		leave();
	dwf_returned_begin();
	dwf_inbox_init();
	dwf_notifier_init();
}

/* Sleep until something is due or the latch is set */
static void
sleep_until(bool has_news, TimestampTz next_clock, TimestampTz next_body)
{
	long		timeout = has_news ? dwf_notifier_time_left() : -1;

	timeout = sooner(sooner(timeout, next_clock), next_body);
	timeout = sooner(timeout, dwf_notifier_next());
	timeout = sooner(timeout, dwf_suspended_next());
	timeout = sooner(timeout, dwf_delivery_next());
	timeout = sooner(timeout, dwf_suspended_aside());
	if (must_recheck)
		timeout = sooner(timeout, rechecking.again_at);
	if (must_look)
		timeout = sooner(timeout, looking_around.again_at);
	report_idle();
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
					 (timeout >= 0 ? WL_TIMEOUT : 0), timeout,
					 dwf_compat_wait_event("DurableWfWorker"));
}

/*
 * A worker's main function; its argument is the database.  A wait for a lock
 * inside a transaction resets the latch; so the worker takes its orders again
 * after each round that had a transaction, before it sleeps.
 */
void
dwf_worker_main(Datum arg)
{
	TimestampTz next_clock = DT_NOBEGIN;
	TimestampTz next_body = DT_NOBEGIN;
	bool		said_copy = false;

	begin_work(DatumGetObjectId(arg));
	for (;;)
	{
		DwfOrders	orders;
		bool		run;
		bool		busy = false;

		ResetLatch(MyLatch);
		QueryCancelPending = false; /* nothing to cancel, as in an idle
									 * session */
		if (ProcDiePending)
		{
			ProcDiePending = false; /* it is handled here */
			dwf_pool_end();
			proc_exit(0);		/* not leave(): the launcher starts another */
		}
		CHECK_FOR_INTERRUPTS();
		if (dwf_process_reload())
		{
			next_clock = next_body = DT_NOBEGIN;	/* paused may be off */
			dwf_delivery_look();
		}

		/* take orders; leave if there is nothing for a worker here */
		dwf_workers_take_orders(&orders);
		must_look |= orders.check;
		must_recheck |= orders.recheck;
		run = orders.run | dwf_pool_reap();
		if (orders.leave || !is_wanted())
			leave();
		if (is_copy != said_copy)
			dwf_workers_say_copy(is_copy);
		said_copy = is_copy;

		/* news: for suspended workflows at once, for listeners later */
		if (orders.has_news &&
			(orders.is_urgent || dwf_notifier_time_left() == 0))
		{
			take_news();
			busy = true;
		}
		if (dwf_suspended_has_news())
		{
			dwf_suspended_news();
			busy = true;
		}

		/* bodies: those that must end, those that are due */
		if (must_recheck && dwf_attempt_may(&rechecking))
			must_recheck = !dwf_attempt(&rechecking, recheck_bodies, NULL,
										NULL);
		if (run || orders.check || next_body <= GetCurrentTimestamp())
		{
			next_body = serve_bodies();
			busy = true;
		}

		/* the clock: deadlines, timeouts, workflows set aside */
		next_clock = Min(next_clock, dwf_suspended_aside());
		if (orders.clock || orders.check || dwf_suspended_has_left() ||
			next_clock <= GetCurrentTimestamp())
		{
			dwf_workers_plan_clock(DT_NOEND);
			next_clock = dwf_suspended_by_clock(is_copy);
			dwf_workers_plan_clock(next_clock);
			busy = true;
		}

		/* messages that were given back */
		if (dwf_delivery_is_due())
		{
			dwf_delivery_count();
			busy = true;
		}

		/* a page of a pass, a batch for listeners */
		if (dwf_suspended_is_due())
		{
			dwf_suspended_lost();
			busy = true;
		}
		if (dwf_notifier_is_due())
		{
			dwf_notifier_tell();
			busy = true;
		}

		if (!busy)
			sleep_until(orders.has_news, next_clock, next_body);
	}
}
