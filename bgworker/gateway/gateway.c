/*-------------------------------------------------------------------------
 *
 * gateway.c
 *	  The HTTP gateway: a background worker that resumes webhooks.
 *
 * One process and one thread.  It sleeps in one set of events: its latch, the
 * sockets that it listens on, libmicrohttpd's epoll descriptor, and that of
 * held clients who have gone away.  A round of the loop
 *
 *	orders		leave, look at the extension, read the settings
 *	read		dwf_server_run(): takes in what clients have sent, and sends what
 *				was answered
 *	resume		all complete requests in one transaction; see resume.c
 *	validate	give requests to helpers, and take what they say; see validate.c
 *	answer		held requests that were answered
 *	cut			clients that are too slow
 *
 * is followed by the next as long as there is something to do.  While a
 * transaction waits for the disk, the next requests gather in their sockets:
 * that is how one transaction comes to take many.
 *
 * A gateway without a database has nothing to resume with and answers 503; see
 * launch_gateway.c for when there is which.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/durable_wf.h"
#include "base/process_settings.h"
#include "base/settings.h"
#include "bgworker/gateway/answer.h"
#include "bgworker/gateway/conn.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/sockets.h"
#include "bgworker/gateway/transaction.h"
#include "bgworker/gateway/validate.h"
#include "bgworker/launch_gateway.h"
#include "shared/presence.h"
#include "shared/service.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void dwf_gateway_main(Datum arg);

/* What is watched: the latch, the postmaster, two of the server, the sockets */
#define EVENTS_MAX	(4 + DWF_LISTEN_MAX)

/* How long what was counted is kept to be handed in, in milliseconds */
#define STATISTICS_DELAY	1000

/* What is in an event's user data */
typedef enum Watched
{
	WATCH_LATCH,
	WATCH_CLIENTS,
	WATCH_GONE,
	WATCH_LISTEN
} Watched;

static const Watched watched[] = {
	WATCH_LATCH, WATCH_CLIENTS, WATCH_GONE, WATCH_LISTEN
};

static WaitEventSet *events = NULL;

/* It leaves because it was asked to, or the settings want another one */
static bool on_purpose = false;

/* The settings that it was started with; others need another gateway */
static char *my_database;
static char *my_role;

/* ----- the beginning and the end ----- */

static void
gateway_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	dwf_conn_say_goodbye(*dwf_transaction_is_in_doubt);
	dwf_service_gateway_end(on_purpose);
}

/* Finish what others do for us, and note what cannot be */
static void
finish(void)
{
	dwf_validate_end();
	dwf_answer_end();
}

/* Leave, for the launcher to start another one if there is to be one */
static void
leave(void)
{
	finish();
	on_purpose = true;
	proc_exit(0);
}

/* Connect: to the database as the role that the settings name, or to none */
static void
connect_to(Oid database, Oid owner)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
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

	/* whatever the role's settings are */
	dwf_process_settings_begin(false);
}

/* Can this gateway resume webhooks?  Says so if not. */
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

/* Become the gateway */
static void
begin_work(Oid database)
{
	DwfGatewayStart start;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	connect_to(database, start.owner);
	if (!dwf_service_gateway_begin(start.generation))
	{
		on_purpose = true;
		proc_exit(0);
	}
	before_shmem_exit(gateway_exit, (Datum) 0);
	if (OidIsValid(database) && dwf_presence_is_held(database))
		leave();
	dwf_server_is_open = find_extension(database);
	dwf_server_start();
	if (dwf_server_is_open)
		dwf_answer_watch();
}

/* ----- what is watched ----- */

/* Make the set of events anew: one cannot take anything out of it */
static void
watch(void)
{
	if (events)
		FreeWaitEventSet(events);
	events = DWF_CREATE_WAIT_EVENT_SET(EVENTS_MAX);
	AddWaitEventToSet(events, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch,
					  unconstify(Watched *, &watched[WATCH_LATCH]));
	AddWaitEventToSet(events, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL,
					  NULL);
	AddWaitEventToSet(events, WL_SOCKET_READABLE, dwf_server_fd(), NULL,
					  unconstify(Watched *, &watched[WATCH_CLIENTS]));
	AddWaitEventToSet(events, WL_SOCKET_READABLE, dwf_conn_gone_fd(), NULL,
					  unconstify(Watched *, &watched[WATCH_GONE]));
	for (int i = 0; i < dwf_sockets_count; i++)
		AddWaitEventToSet(events, WL_SOCKET_READABLE, dwf_sockets_fds[i], NULL,
						  unconstify(Watched *, &watched[WATCH_LISTEN]));
}

/* Sleep until something happens, and take in who wants to connect */
static void
sleep_on_events(long timeout)
{
	WaitEvent	happened[EVENTS_MAX];
	int			count = WaitEventSetWait(events, timeout, happened, EVENTS_MAX,
										 dwf_compat_wait_event("DurableWfGateway"));

	for (int i = 0; i < count; i++)
	{
		const Watched *what = happened[i].user_data;

		if (what && *what == WATCH_LISTEN)
			dwf_server_accept(happened[i].fd);
		else if (what && *what == WATCH_GONE)
			dwf_answer_drop_gone();
	}
}

/* ----- the loop ----- */

/* Do what this process was told to do */
static void
take_orders(void)
{
	bool		leaves;
	bool		check;

	ResetLatch(MyLatch);
	QueryCancelPending = false; /* nothing to cancel, as in an idle session */
	if (ProcDiePending)
	{
		ProcDiePending = false; /* it is being heeded */
		finish();
		proc_exit(1);			/* not on purpose: the launcher starts another */
	}
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		if (dwf_setting_http_port == 0 ||
			strcmp(my_database, dwf_setting_http_database) != 0 ||
			strcmp(my_role, dwf_setting_http_role) != 0)
			leave();
	}
	dwf_service_gateway_orders(&leaves, &check);
	if (check && dwf_server_is_open && !dwf_resume_begin())
	{
		leaves = true;
		dwf_server_is_open = false; /* there is nothing to note it in */
	}
	if (leaves)
		leave();
}

/* The shorter of two times to sleep, -1 for ever */
static long
shorter(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}

/*
 * Hand in what was counted, for autovacuum above all: soon, as sessions do that
 * fall idle, but not after each transaction.
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
		*timeout = shorter(*timeout,
						   TimestampDifferenceMilliseconds(now, flush_at));
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

		take_orders();
		if (dwf_sockets_open(&retry_after) || events == NULL)
			watch();

		dwf_server_run();
		busy = dwf_resume_ready();
		MemoryContextSwitchTo(context);
		MemoryContextReset(context);
		busy |= dwf_validate_tend(&validate_after);
		dwf_answer_note_late();
		busy |= dwf_answer_held(&answer_after);
		timeout = shorter(shorter(retry_after, answer_after),
						  shorter(validate_after, dwf_conn_cut_slow()));
		if (busy || dwf_server_has_more())
			timeout = 0;
		report(&timeout);
		sleep_on_events(timeout);
	}
}
