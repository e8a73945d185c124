/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  The clients' connections: their states, times and answers.
 *
 *	(none)	--accepted--------------> READING	its first request is to come
 *	READING	--its body is large-----> ASKED		until its token was found
 *	ASKED	--found-----------------> READING
 *	READING	--complete--------------> READY		the main loop takes it
 *	READING	--complete, and large---> ASIDE
 *	READY	--has a validator-------> ASIDE		until a helper is idle
 *	ASIDE	--given to a helper-----> CHECKED
 *	READY, CHECKED --held-----------> HELD		a manual webhook
 *	HELD	--the client has left---> GONE		until that was noted
 *	READING, ASKED --refused--------> answered	4xx, 5xx
 *	READY, CHECKED, HELD, ASIDE ----> answered
 *	HELD, ASIDE --timed out---------> answered	504, 503
 *
 *	answered --the socket is full---> WRITING	until it has taken the rest
 *	answered --all is sent----------> IDLE
 *	answered --all is sent----------> CLOSING	the last one; or closed at once
 *	IDLE	--bytes come------------> READING
 *	CLOSING	--the client closes-----> (none)
 *	GONE	------------------------> (none)
 *	any		--timed out, or broken--> (none)	cut
 *
 * The client's bytes are read in IDLE and READING only (server.c): a request
 * that is being worked on keeps the next one in the socket.
 *
 * Each state has a list in the order of entry and one time limit, so that the
 * head of each list is the next to run out of time: nothing is done for a
 * connection on which nothing happens.  A connection with something to do is
 * in one more list.
 *
 * An answer is given to the socket at once.  What that has no room for is
 * copied, and sent when there is room.
 *
 * A socket that is closed while bytes of the client are unread sends a reset,
 * which may overtake the answer.  So in CLOSING what the client still sends is
 * read and thrown away, up to CLOSING_BYTES.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/conn.h"

#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/held.h"

/* How long a connection may do nothing between two requests, in ms */
#define IDLE_MAX		75000

/* So much memory all large bodies may have together, or two of the largest */
#define LARGE_BYTES		((Size) 64 * 1024 * 1024)

/* The connections of each state, in the order of entry, and their numbers */
static dlist_head conns[DWF_CONN_STATES];
static int	counts[DWF_CONN_STATES];
static int	nconns = 0;
static Size reserved = 0;		/* for large bodies */
static bool is_started = false;

/* Those with something to do, and how many they are */
static dlist_head work;
static int	nwork = 0;

/* The head of an answer is made here: there is always room for it */
static char head[DWF_REPLY_HEAD_MAX];

/* Answers without a request */
#define RAW(line, more) \
	"HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n" more "\r\n"
static const char raw_unavailable[] = RAW("503 Service Unavailable", "Retry-After: 1\r\n");
static const char raw_no_answer[] = RAW("504 Gateway Timeout", "");

/* Milliseconds by the monotonic clock */
int64
dwf_conn_now(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ----- the lists ----- */

/* Prepare for connections; raises, also FATAL, when that is not possible */
void
dwf_conn_start(void)
{
	for (int state = 0; state < DWF_CONN_STATES; state++)
		dlist_init(&conns[state]);
	dlist_init(&work);
	dwf_held_start();
	is_started = true;
}

/* Put a connection into the list of its state; its time begins anew */
static void
push(DwfConn *conn, DwfConnState state)
{
	conn->state = state;
	conn->since = dwf_conn_now();
	counts[state]++;
	dlist_push_tail(&conns[state], &conn->node);
}

/* Change a connection's state; its time begins anew */
void
dwf_conn_enter(DwfConn *conn, DwfConnState state)
{
	counts[conn->state]--;
	dlist_delete(&conn->node);
	push(conn, state);
}

/* How many connections are in a state */
int
dwf_conn_count(DwfConnState state)
{
	return counts[state];
}

/* Make a connection, in state READING; NULL when out of memory */
DwfConn *
dwf_conn_new(int fd)
{
	DwfConn    *conn = calloc(1, sizeof(DwfConn));

	if (conn == NULL)
		return NULL;
	conn->fd = fd;
	conn->is_writable = true;
	dwf_incoming_begin(&conn->incoming);
	push(conn, DWF_CONN_READING);
	nconns++;
	return conn;
}

/* Free the request, and what is left of its answer */
static void
free_request(DwfConn *conn)
{
	dwf_incoming_free(&conn->incoming);
	reserved -= conn->reserved;
	conn->reserved = 0;
	conn->is_large = false;
	free(conn->out);
	conn->out = NULL;
	conn->out_length = conn->out_sent = 0;
}

/* Close a connection, and free it */
void
dwf_conn_close(DwfConn *conn)
{
	dwf_held_forget(conn);
	counts[conn->state]--;
	dlist_delete(&conn->node);
	if (conn->has_work)
	{
		dlist_delete(&conn->work_node);
		nwork--;
	}
	nconns--;
	close(conn->fd);
	free_request(conn);
	free(conn->rest);
	free(conn);
}

/*
 * Is there room for one more connection below a limit?  If not, the longest
 * idle one is closed; returns false if none is idle.
 */
bool
dwf_conn_make_room(int limit)
{
	static const DwfConnState idle[] = {DWF_CONN_CLOSING, DWF_CONN_IDLE};

	if (nconns < limit)
		return true;
	for (int i = 0; i < (int) lengthof(idle); i++)
	{
		if (dlist_is_empty(&conns[idle[i]]))
			continue;
		dwf_conn_close(dlist_head_element(DwfConn, node, &conns[idle[i]]));
		return true;
	}
	return false;
}

/*
 * List the connections of a state, at most "max", the longest there first;
 * returns their number.  Those that are READY, ASIDE or CHECKED live until the
 * caller answers them.
 */
int
dwf_conn_ready(DwfConnState state, DwfConn **ready, int max)
{
	int			count = 0;
	dlist_iter	iter;

	dlist_foreach(iter, &conns[state])
	{
		if (count == max)
			break;
		ready[count++] = dlist_container(DwfConn, node, iter.cur);
	}
	return count;
}

/* A connection has something to do */
void
dwf_conn_add_work(DwfConn *conn)
{
	if (conn->has_work)
		return;
	conn->has_work = true;
	nwork++;
	dlist_push_tail(&work, &conn->work_node);
}

/* The next connection that has something to do, or NULL */
DwfConn *
dwf_conn_take_work(void)
{
	DwfConn    *conn;

	if (dlist_is_empty(&work))
		return NULL;
	conn = dlist_container(DwfConn, work_node, dlist_pop_head_node(&work));
	conn->has_work = false;
	nwork--;
	return conn;
}

/* How many connections have something to do */
int
dwf_conn_work_count(void)
{
	return nwork;
}

/*
 * Reserve memory for a large body, until the request is answered; false if
 * others have it
 */
bool
dwf_conn_reserve(DwfConn *conn, Size bytes)
{
	Size		max = Max(LARGE_BYTES, (Size) dwf_setting_http_max_body * 2);

	Assert(conn->reserved == 0);
	if (reserved + bytes > max)
		return false;
	reserved += bytes;
	conn->reserved = bytes;
	return true;
}

/* ----- writing ----- */

/* Send bytes; those for which the socket has no room are lost */
static void
say(int fd, const char *text, size_t length)
{
	(void) !send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Send a 503 on a socket that is not a connection's */
void
dwf_conn_say(int fd)
{
	say(fd, raw_unavailable, sizeof(raw_unavailable) - 1);
}

/* All of an answer was sent: go on, or close */
static void
end_answer(DwfConn *conn)
{
	bool		is_all_read = conn->incoming.phase == DWF_PHASE_COMPLETE;

	free_request(conn);
	if (conn->keeps_alive && !conn->is_broken)
	{
		dwf_conn_enter(conn, DWF_CONN_IDLE);
		if (conn->rest || conn->is_readable || conn->has_ended)
			dwf_conn_add_work(conn);
		return;
	}

	/* close it at once if that cannot send a reset */
	if (conn->has_ended || conn->is_broken ||
		(is_all_read && conn->rest == NULL && !conn->is_readable))
	{
		dwf_conn_close(conn);
		return;
	}
	(void) shutdown(conn->fd, SHUT_WR);
	free(conn->rest);
	conn->rest = NULL;
	dwf_conn_enter(conn, DWF_CONN_CLOSING);
	dwf_conn_add_work(conn);
}

/*
 * Keep what the socket had no room for: all of two parts but "sent" bytes;
 * returns false if there is no memory
 */
static bool
keep_rest(DwfConn *conn, const struct iovec *parts, size_t sent)
{
	size_t		all = parts[0].iov_len + parts[1].iov_len;

	conn->out = malloc(all - sent);
	if (conn->out == NULL)
		return false;
	for (int i = 0; i < 2; i++)
	{
		size_t		skipped = Min(sent, parts[i].iov_len);

		memcpy(conn->out + conn->out_length,
			   (char *) parts[i].iov_base + skipped,
			   parts[i].iov_len - skipped);
		conn->out_length += parts[i].iov_len - skipped;
		sent -= skipped;
	}
	return true;
}

/* Send two parts, the head and the body; may close the connection */
static void
send_parts(DwfConn *conn, const struct iovec *parts)
{
	struct msghdr message = {0};
	ssize_t		sent;

	/* give it to the socket */
	message.msg_iov = unconstify(struct iovec *, parts);
	message.msg_iovlen = parts[1].iov_len > 0 ? 2 : 1;
	do
		sent = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t) (parts[0].iov_len + parts[1].iov_len))
	{
		end_answer(conn);
		return;
	}

	/* the rest later */
	conn->is_writable = false;
	if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		conn->is_broken = true;
	if (conn->is_broken || !keep_rest(conn, parts, Max(sent, 0)))
	{
		dwf_conn_close(conn);
		return;
	}
	dwf_conn_enter(conn, DWF_CONN_WRITING);
}

/* The socket of a connection that is WRITING has room; may close it */
void
dwf_conn_write(DwfConn *conn)
{
	size_t		left = conn->out_length - conn->out_sent;
	ssize_t		sent = send(conn->fd, conn->out + conn->out_sent, left,
							MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == (ssize_t) left)
	{
		end_answer(conn);
		return;
	}
	if (sent < 0 && errno == EINTR)
		dwf_conn_add_work(conn);
	else if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		dwf_conn_close(conn);
	else
	{
		conn->is_writable = false;
		conn->out_sent += Max(sent, 0);
	}
}

/* ----- answers ----- */

/*
 * Answer a request; may close the connection.  An answer that cannot be sent,
 * by its status or by a header that is not of HTTP, becomes a 500.  A request
 * that is not complete gets no other after it.
 */
void
dwf_conn_answer(DwfConn *conn, const DwfReply *answer)
{
	DwfIncoming *incoming = &conn->incoming;
	DwfReplyTo	to = {0};
	struct iovec parts[2] = {0};

	/* does the connection go on? */
	dwf_held_forget(conn);
	conn->keeps_alive = incoming->phase == DWF_PHASE_COMPLETE &&
		incoming->parser.keeps_alive;
	to.keeps_alive = conn->keeps_alive;
	to.is_http_1_0 = incoming->is_http_1_0;
	to.is_head = incoming->head &&
		strcmp(dwf_incoming_method(incoming), "HEAD") == 0;

	/* the head, then the body */
	parts[0].iov_base = head;
	parts[0].iov_len = dwf_reply_head(answer, &to, head);
	if (parts[0].iov_len == 0)
	{
		answer = dwf_reply_plain(500);
		parts[0].iov_len = dwf_reply_head(answer, &to, head);
	}
	if (dwf_reply_has_body(answer, &to))
	{
		parts[1].iov_base = unconstify(char *, answer->body);
		parts[1].iov_len = answer->body_length;
	}
	send_parts(conn, parts);
}

/* Answer with a plain answer; may close the connection */
void
dwf_conn_answer_status(DwfConn *conn, int status)
{
	dwf_conn_answer(conn, dwf_reply_plain(status));
}

/*
 * Tell a client that waits for it to send the body; returns false if the
 * connection was closed
 */
bool
dwf_conn_continue(DwfConn *conn)
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
	ssize_t		length = sizeof(text) - 1;

	if (send(conn->fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) == length)
		return true;
	dwf_conn_close(conn);
	return false;
}

/* End a connection without an answer to its complete request */
void
dwf_conn_hang_up(DwfConn *conn)
{
	dwf_conn_close(conn);
}

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
	reserved -= conn->reserved;
	conn->reserved = 0;
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

	while (dropped < max && !dlist_is_empty(&conns[DWF_CONN_GONE]))
	{
		DwfConn    *conn = dlist_head_element(DwfConn, node,
											  &conns[DWF_CONN_GONE]);
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
		case DWF_CONN_WRITING:
		case DWF_CONN_CLOSING:
			return dwf_setting_http_request_timeout;
		case DWF_CONN_HELD:
			return dwf_setting_http_response_timeout;
		default:
			return 0;
	}
}

/* A connection has passed its time limit: answer it, or cut it */
static void
end_slow(DwfConn *conn)
{
	if (conn->state == DWF_CONN_HELD)
		dwf_conn_answer_status(conn, 504);
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
		while (allowed > 0 && !dlist_is_empty(&conns[state]))
		{
			DwfConn    *conn = dlist_head_element(DwfConn, node,
												  &conns[state]);
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

/* Send bytes to all connections of a state */
static void
say_to_all(DwfConnState state, const char *text, size_t length)
{
	dlist_iter	iter;

	dlist_foreach(iter, &conns[state])
	{
		say(dlist_container(DwfConn, node, iter.cur)->fd, text, length);
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
	if (!is_started)
		return;
	if (!in_doubt)
		say_to_all(DWF_CONN_READY, raw_unavailable,
				   sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASKED, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASIDE, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_HELD, raw_no_answer, sizeof(raw_no_answer) - 1);
}
