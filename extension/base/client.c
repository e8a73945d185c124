/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Is this session's client still there?
 *
 * What a call takes is meant for the client that called.  When that has died,
 * its backend must not take anything any more:
 *
 * C1	A session that sleeps in a wait watches its client's socket, and ends
 *		at once when that is closed.  The socket is in core's own set of
 *		events, so that watching needs no descriptor and no period.
 * C2	What was taken is committed only after one more look at the socket: at
 *		the take if the client has begun a transaction block, which it ends
 *		by a command of its own; else before the commit that the server makes
 *		by itself, at the end of the statement or in a procedure.
 * C3	The socket of a host that has vanished is closed by the keepalives of
 *		TCP, which are turned on for sessions that execute a workflow, or wait
 *		for one.
 *
 * A session ends as core ends one, with client_connection_check_interval and
 * by the same event: a client that has shut down its sending side counts as
 * gone, commands that it has sent ahead do not matter.  Processes without a
 * client watch nothing, and where the server cannot watch, C1 and C2 do
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "base/client.h"

/*
 * How the connection is encrypted does not matter here, and the headers of the
 * libraries that do it may be absent.  Ports look the same without them.
 */
#undef ENABLE_GSS
#undef USE_OPENSSL
#undef USE_SSL

#include "access/xact.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"

#include "base/settings.h"

/* This transaction has taken something for the client */
static bool has_taken = false;

/* The socket's keepalives are ours, not those of the settings */
static bool keeps_alive = false;

/* Is there a client whose going the server can see? */
static bool
is_watched(void)
{
	return MyProcPort != NULL && WaitEventSetCanReportClosed();
}

/* The client has gone: end the session, as soon as interrupts may */
static void
leave(void)
{
	ClientConnectionLost = true;
	InterruptPending = true;
	CHECK_FOR_INTERRUPTS();
}

/* Leave if the client has gone */
static void
check(void)
{
	if (!pq_check_connection())
		leave();
}

/*
 * Sleep until the latch is set or the timeout, in ms, is over; -1: none.
 * Ends the session when the client goes, the process with the postmaster.
 */
void
dwf_client_sleep(long timeout, uint32 wait_event)
{
	WaitEvent	events[FeBeWaitSetNEvents];
	int			count;

	if (!is_watched())
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH |
						 (timeout >= 0 ? WL_TIMEOUT : 0),
						 timeout, wait_event);
		return;
	}

	/* whoever waits for the socket says first what for */
	ModifyWaitEvent(FeBeWaitSet, FeBeWaitSetSocketPos, WL_SOCKET_CLOSED, NULL);
	count = WaitEventSetWait(FeBeWaitSet, timeout, events, lengthof(events),
							 wait_event);
	for (int i = 0; i < count; i++)
	{
		if (events[i].events & WL_POSTMASTER_DEATH)
			proc_exit(1);
		if (events[i].events & WL_SOCKET_CLOSED)
			leave();
	}
}

/* This transaction has taken something for the client; see C2 */
void
dwf_client_note_taken(void)
{
	if (!is_watched())
		return;
	has_taken = true;
	if (IsTransactionBlock())
		check();
}

/*
 * Before a commit: leave if it is not the client's own and what was taken has
 * lost its client.  The client's own may be the last that it has sent.
 */
void
dwf_client_check_commit(void)
{
	if (has_taken && !IsTransactionBlock())
		check();
}

/* The transaction has ended.  Cannot fail. */
void
dwf_client_end_xact(void)
{
	has_taken = false;
}

/*
 * Have the kernel notice within about durable_wf.attach_keepalive that the
 * client's host has vanished, unless it does so anyhow.
 */
void
dwf_client_keep_alive(void)
{
	int			wanted = dwf_setting_attach_keepalive;
	int			idle;
	int64		most;

	if (MyProcPort == NULL || wanted == 0 || keeps_alive)
		return;
	idle = pq_getkeepalivesidle(MyProcPort);
	if (idle <= 0)
		return;					/* not TCP, or the server cannot tell */
	most = idle + (int64) pq_getkeepalivesinterval(MyProcPort) *
		pq_getkeepalivescount(MyProcPort);
	if (most <= wanted)
		return;

	/* half of the time without a word, then three questions */
	keeps_alive = true;
	(void) pq_setkeepalivesidle(Max(wanted / 2, 1), MyProcPort);
	(void) pq_setkeepalivesinterval(Max(wanted / 6, 1), MyProcPort);
	(void) pq_setkeepalivescount(3, MyProcPort);
}

/* Keepalives are as the settings say again */
void
dwf_client_keep_as_set(void)
{
	if (!keeps_alive)
		return;
	keeps_alive = false;
	if (proc_exit_inprogress)
		return;
	(void) pq_setkeepalivesidle(tcp_keepalives_idle, MyProcPort);
	(void) pq_setkeepalivesinterval(tcp_keepalives_interval, MyProcPort);
	(void) pq_setkeepalivescount(tcp_keepalives_count, MyProcPort);
}
