/*-------------------------------------------------------------------------
 *
 * conn_time.c
 *	  Connections that wait: held requests, time limits, the end (see conn.c).
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/conn.h"

#include <sys/socket.h>

#include "base/settings.h"
#include "bgworker/gateway/held.h"
#include "bgworker/gateway/reading.h"

/* How long a connection may do nothing between two requests, in ms */
#define IDLE_MAX		75000

/* Answers without a request */
#define RAW(line, more) \
	"HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n" more "\r\n"
static const char raw_unavailable[] = RAW("503 Service Unavailable", "Retry-After: 1\r\n");
static const char raw_no_answer[] = RAW("504 Gateway Timeout", "");

/* ----- held requests ----- */

/*
 * Hold a request until dwf_conn_answer(), its time limit, or the client's
 * leaving.  The request itself is not needed any more.
 */
void
dwf_conn_hold(DwfConn *conn, int64 request_id)
{
	Assert(conn->request_id == 0);
	dwf_held_add(conn, request_id);
	dwf_incoming_forget(&conn->incoming);
	dwf_conn_unreserve(conn);
	dwf_conn_enter(conn, conn->has_ended ? DWF_CONN_GONE : DWF_CONN_HELD);
}

/*
 * Close held connections whose clients have gone away, at most "max".  Returns
 * how many requests have no connection left, and their ids in "request_ids".
 */
int
dwf_conn_drop_gone(int64 *request_ids, int max)
{
	int			dropped = 0;

	while (dropped < max && !dlist_is_empty(&dwf_conn_lists[DWF_CONN_GONE]))
	{
		DwfConn    *conn = dlist_head_element(DwfConn, node,
											  &dwf_conn_lists[DWF_CONN_GONE]);
		int64		request_id = conn->request_id;

		dwf_conn_close(conn);
		if (dwf_held_find(request_id) == NULL)
			request_ids[dropped++] = request_id;
	}
	return dropped;
}

/* ----- time ----- */

/* The time limit of a state, in ms; 0: none */
static int64
time_allowed(DwfConnState state)
{
	switch (state)
	{
		case DWF_CONN_IDLE:
			return IDLE_MAX;
		case DWF_CONN_READING:
		case DWF_CONN_ASKED:
		case DWF_CONN_ASIDE:
		case DWF_CONN_OPENING:
		case DWF_CONN_FULL:
		case DWF_CONN_WRITING:
		case DWF_CONN_CLOSING:
			return dwf_setting_http_request_timeout;
		case DWF_CONN_STREAM:
			return dwf_setting_http_stream_heartbeat;
		case DWF_CONN_HELD:
			return dwf_setting_http_response_timeout;
		default:
			return 0;
	}
}

/* Tell the reader of a stream that the server is there */
static void
send_heartbeat(DwfConn *conn)
{
	const char *text = dwf_reading_heartbeat(conn->is_lines);

	(void) dwf_conn_send_stream(conn, text, strlen(text), false);
}

/*
 * A connection has passed its time limit: answer it, or cut it; a reader of a
 * stream gets a sign of life
 */
static void
end_slow(DwfConn *conn)
{
	if (conn->state == DWF_CONN_HELD)
		dwf_conn_answer_status(conn, 504);
	else if (conn->state == DWF_CONN_STREAM)
		send_heartbeat(conn);
	else if (conn->state == DWF_CONN_OPENING)
		dwf_conn_answer(conn, dwf_reading_refuse(&conn->incoming, 503));
	else if (conn->state == DWF_CONN_ASIDE || conn->state == DWF_CONN_ASKED)
		dwf_conn_answer_status(conn, 503);
	else if (conn->state == DWF_CONN_READING &&
			 dwf_incoming_is_begun(&conn->incoming))
		dwf_conn_answer_status(conn, 408);
	else
		dwf_conn_close(conn);
}

/*
 * End all connections that have passed their time limit.  Returns for how many
 * milliseconds no other one will, -1 for ever.
 */
long
dwf_conn_cut_slow(void)
{
	int64		now = dwf_conn_now();
	int64		next = -1;

	for (int state = 0; state < DWF_CONN_STATES; state++)
	{
		int64		allowed = time_allowed(state);

		/* the head of a list has been there for the longest time */
		while (allowed > 0 && !dlist_is_empty(&dwf_conn_lists[state]))
		{
			DwfConn    *conn = dlist_head_element(DwfConn, node,
												  &dwf_conn_lists[state]);
			int64		left = conn->since + allowed - now;

			if (left > 0)
			{
				next = next < 0 ? left : Min(next, left);
				break;
			}
			end_slow(conn);
		}
	}
	return (long) Min(next, INT_MAX);
}

/* ----- the end ----- */

/*
 * Send bytes to all connections of a state; those for which a socket has no
 * room are lost
 */
static void
say_to_all(DwfConnState state, const char *text, size_t length)
{
	dlist_iter	iter;

	dlist_foreach(iter, &dwf_conn_lists[state])
	{
		(void) !send(dlist_container(DwfConn, node, iter.cur)->fd, text,
					 length, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

/*
 * The process ends: send a 503 to requests that were not delivered, a 504 to
 * those that were and are held.  "in_doubt": READY ones may have been
 * delivered, so they get no answer.  CHECKED ones get none either: a helper
 * has them.
 */
void
dwf_conn_say_goodbye(bool in_doubt)
{
	if (dwf_conn_lists[DWF_CONN_READY].head.next == NULL)
		return;					/* it has not begun */
	if (!in_doubt)
		say_to_all(DWF_CONN_READY, raw_unavailable,
				   sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASKED, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASIDE, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_HELD, raw_no_answer, sizeof(raw_no_answer) - 1);
}
