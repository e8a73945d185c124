/*-------------------------------------------------------------------------
 *
 * client.c
 *	  Notice that the client of this session has disconnected.
 *
 * A call takes messages and workflows for the client that called.  When the
 * client has died, its backend must take nothing more:
 *
 * C1	A session that sleeps in a wait watches its client's socket, and ends
 *		at once when the socket is closed.  The socket is in core's own set
 *		of events, so watching it needs neither a descriptor nor a period.
 * C2	What a call has taken is committed only after one more check of the
 *		socket: at the take if the client has begun a transaction block,
 *		which it ends by a command of its own; else before the commit that
 *		the server makes by itself, at the end of the statement or in a
 *		procedure.
 * C3	The socket of a host that has vanished is closed by the keepalives of
 *		TCP.  They are turned on in sessions that execute a workflow, or wait
 *		for one.
 *
 * A session ends as core ends one with client_connection_check_interval, and
 * by the same event: a client that has shut down its sending side counts as
 * disconnected, commands that it has sent ahead do not matter.  Processes
 * without a client watch nothing; on a platform where the server cannot watch
 * a socket, C1 and C2 do nothing.
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

/* This transaction has taken messages or a workflow for the client */
static bool has_taken = false;

/* The socket has our keepalives, not those of the settings */
static bool keeps_alive = false;

/* Is there a client, and can the server see that it disconnects? */
static bool
is_watched(void)
{
	return MyProcPort != NULL && WaitEventSetCanReportClosed();
}

/*
 * End the session, since the client has disconnected; if interrupts are held,
 * as soon as they are not
 */
static void
leave(void)
{
	ClientConnectionLost = true;
	InterruptPending = true;
	CHECK_FOR_INTERRUPTS();
}

/* End the session if the client has disconnected */
static void
check(void)
{
	if (!pq_check_connection())
		leave();
}

/*
 * Sleep until the latch is set or the timeout in ms is over; -1 is none.  Ends
 * the session when the client disconnects, and the process when the postmaster
 * dies.
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

	/* core sets the event before each wait of its own, so it may stay set */
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

/* Note that this transaction has taken something for the client; see C2 */
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
 * Called before a commit.  End the session if the server commits by itself, a
 * call has taken something, and the client has disconnected.  A COMMIT of the
 * client's counts even if it was the last command that it sent.
 */
void
dwf_client_check_commit(void)
{
	if (has_taken && !IsTransactionBlock())
		check();
}

/* Note that the transaction has ended.  Cannot fail. */
void
dwf_client_end_xact(void)
{
	has_taken = false;
}

/*
 * Have the kernel notice within about durable_wf.attach_keepalive that the
 * client's host has vanished, unless the settings make it do so earlier.
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

/* Give the keepalives the values of the settings again */
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
