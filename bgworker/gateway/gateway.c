/*-------------------------------------------------------------------------
 *
 * gateway.c
 *	  The HTTP gateway: a background worker that resumes webhooks.
 *
 * One process and one thread.  It sleeps on one set of events: its latch, and
 * an epoll descriptor that all sockets are behind.  A round of its loop does
 *
 *	orders		leave, look for the extension, read the settings
 *	read		dwf_server_run(): read from clients, write answers
 *	ask			whether there are webhooks for large bodies (ask.c)
 *	resume		webhooks with all complete requests, in one transaction
 *				(resume.c)
 *	follow		streams for their readers (follow.c)
 *	validate	give requests to helpers, take their answers (validate.c)
 *	answer		held requests whose responses have come, or whose clients have
 *				left (answer.c)
 *	cut			connections that are too slow (conn.c)
 *
 * and the next round follows at once if there was something to do.  While a
 * transaction waits for the disk, more requests gather in their sockets: so
 * one transaction comes to resume many.
 *
 * A gateway that is in no database answers 503; launch_gateway.c has when.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/durable_wf.h"
#include "base/process.h"
#include "base/process_settings.h"
#include "base/settings.h"
#include "bgworker/gateway/answer.h"
#include "bgworker/gateway/ask.h"
#include "bgworker/gateway/conn.h"
#include "bgworker/gateway/follow.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/sockets.h"
#include "bgworker/gateway/transaction.h"
#include "bgworker/gateway/validate.h"
#include "shared/presence.h"
#include "shared/workers.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void dwf_gateway_main(Datum arg);

/* How long statistics are kept before they are reported, in ms */
#define STATISTICS_DELAY	1000

/* The set of events */
static WaitEventSet *events;

/* This process leaves by an order, or since its settings have changed */
static bool on_purpose = false;

/* The settings at its start; when they change, another gateway is needed */
static char *my_database;
static char *my_role;

/* ----- what is watched ----- */

/* Make the set of events: the latch, the postmaster, the sockets */
static void
watch(void)
{
	events = DWF_CREATE_WAIT_EVENT_SET(3);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, NULL);
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, dwf_server_fd(), NULL,
					  NULL);
}

/* Sleep until an event; the next round finds out which */
static void
sleep_on_events(long timeout)
{
	WaitEvent	happened;

	(void) WaitEventSetWait(events, timeout, &happened, 1,
							dwf_compat_wait_event("DurableWfGateway"));
}

/* ----- the beginning and the end ----- */

/* Callback before the gateway's end, by an error too */
static void
gateway_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_conn_say_goodbye(*dwf_transaction_is_in_doubt);
	dwf_workers_gateway_end(on_purpose);
}

/* End the helpers, and note which held requests get no answer any more */
static void
finish(void)
{
	dwf_validate_end();
	dwf_answer_end();
}

/* Leave on purpose; the launcher starts another gateway if one is wanted */
static void
leave(void)
{
	finish();
	on_purpose = true;
	proc_exit(0);
}

/*
 * Connect to the database, as the role of the settings or the owner; or to
 * none
 */
static void
connect_to(Oid database, Oid owner)
{
	dwf_process_handle_signals();
	if (!OidIsValid(database))
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	else if (dwf_setting_http_role[0] != '\0')
		BackgroundWorkerInitializeConnection(dwf_setting_http_database,
											 dwf_setting_http_role, 0);
	else
		BackgroundWorkerInitializeConnectionByOid(database, owner, 0);

	my_database = MemoryContextStrdup(TopMemoryContext,
									  dwf_setting_http_database);
	my_role = MemoryContextStrdup(TopMemoryContext, dwf_setting_http_role);

	/* the settings of role and database do not apply to some of ours */
	dwf_process_settings_begin(false);
}

/* Can this gateway resume webhooks?  Logs why not. */
static bool
find_extension(Oid database)
{
	if (!OidIsValid(database))
		ereport(LOG,
				(errmsg("durable_wf gateway answers 503: it cannot use database \"%s\"",
						dwf_setting_http_database),
				 errdetail("It is not there, or has not the extension, or is wanted without sessions."),
				 errhint("The gateway goes on when that has changed.")));
	else if (dwf_resume_begin())
		return true;
	else
		ereport(LOG,
				(errmsg("durable_wf gateway answers 503: the extension in database \"%s\" has no webhooks",
						dwf_setting_http_database),
				 errhint("Run ALTER EXTENSION durable_wf UPDATE there.")));
	return false;
}

/*
 * Connect, and begin to take connections; the process ends here if another
 * launcher rules by now, or if the database is held
 */
static void
begin_work(Oid database)
{
	DwfGatewayStart start;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	connect_to(database, start.owner);
	if (!dwf_workers_gateway_begin(start.generation))
	{
		on_purpose = true;
		proc_exit(0);
	}
	before_shmem_exit(gateway_exit, (Datum) 0);
	if (OidIsValid(database) && dwf_presence_is_held(database))
		leave();
	dwf_server_is_open = find_extension(database);
	dwf_server_start();
	watch();
	if (dwf_server_is_open)
	{
		dwf_answer_watch();
		dwf_follow_start();
	}
}

/* ----- the loop ----- */

/* Handle SIGTERM, SIGHUP and the orders of other processes; may leave */
static void
take_orders(void)
{
	bool		leaves;
	bool		check;

	ResetLatch(MyLatch);
	QueryCancelPending = false; /* nothing to cancel, as in an idle session */
	if (ProcDiePending)
	{
		ProcDiePending = false; /* it is handled here */
		finish();
		proc_exit(1);			/* not on purpose: another one starts */
	}
	CHECK_FOR_INTERRUPTS();

	/* other settings need another gateway, or none */
	if (dwf_process_reload() &&
		(dwf_setting_http_port == 0 ||
		 strcmp(my_database, dwf_setting_http_database) != 0 ||
		 strcmp(my_role, dwf_setting_http_role) != 0))
		leave();

	/* told to leave, or the extension has gone */
	dwf_workers_gateway_orders(&leaves, &check);
	if (check && dwf_server_is_open && !dwf_resume_begin())
	{
		leaves = true;
		dwf_server_is_open = false; /* there is nothing to note it in */
	}
	if (leaves)
		leave();
}

/*
 * Report statistics, of which autovacuum needs the numbers of changed rows:
 * after STATISTICS_DELAY, not after each transaction.  Cuts the timeout for
 * that.
 */
static void
report(long *timeout)
{
	static TimestampTz flush_at = 0;
	TimestampTz now = GetCurrentTimestamp();
	bool		is_time = flush_at != 0 && now >= flush_at;

	if (pgstat_report_stat(is_time) == 0)
		flush_at = 0;
	else if (flush_at == 0 || is_time)
		flush_at = TimestampTzPlusMilliseconds(now, STATISTICS_DELAY);
	if (*timeout == 0)
		return;
	pgstat_report_activity(STATE_IDLE, NULL);
	if (flush_at != 0)
	{
		long		left = TimestampDifferenceMilliseconds(now, flush_at);

		*timeout = dwf_process_shorter(*timeout, left);
	}
}

/* The gateway's main function; its argument is the database, or none */
void
dwf_gateway_main(Datum arg)
{
	MemoryContext context;

	begin_work(DatumGetObjectId(arg));
	context = AllocSetContextCreate(TopMemoryContext, "durable_wf gateway",
									ALLOCSET_DEFAULT_SIZES);
	for (;;)
	{
		bool		busy;
		long		timeout;
		long		retry_after;
		long		answer_after;
		long		validate_after;

		/* orders and sockets */
		take_orders();
		if (dwf_sockets_open(&retry_after))
			dwf_server_watch_sockets();

		/* read, resume, validate, answer */
		dwf_server_run();
		busy = dwf_ask_tokens();
		busy |= dwf_resume_ready();
		busy |= dwf_follow_streams();
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		busy |= dwf_validate_tend(&validate_after);
		dwf_answer_drop_gone();
		dwf_answer_note_late();
		busy |= dwf_answer_held(&answer_after);

		/* cut, then sleep if there was nothing to do */
		timeout = dwf_process_shorter(retry_after, answer_after);
		timeout = dwf_process_shorter(timeout, validate_after);
		timeout = dwf_process_shorter(timeout, dwf_conn_cut_slow());
		if (busy || dwf_server_has_more())
			timeout = 0;
		report(&timeout);
		sleep_on_events(timeout);
	}
}
