/*-------------------------------------------------------------------------
 *
 * conn_answer.c
 *	  Answer clients: give bytes to their sockets (see conn.c).
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "bgworker/gateway/held.h"

/* The head of an answer is made here: there is always room for it */
static char head[DWF_REPLY_HEAD_MAX];

/* ----- writing ----- */

/* All of an answer was sent: go on, or close */
static void
end_answer(DwfConn *conn)
{
	bool		is_all_read = conn->incoming.phase == DWF_PHASE_COMPLETE;

	dwf_conn_free_request(conn);
	if (conn->keeps_alive && !conn->is_broken)
	{
		dwf_conn_enter(conn, DWF_CONN_IDLE);
		if (conn->rest || conn->is_readable || conn->has_ended)
			dwf_conn_add_work(conn);
		return;
	}

	/* close it at once if that cannot send a reset */
	if (conn->is_broken ||
		(!conn->is_readable &&
		 (conn->has_ended || (is_all_read && conn->rest == NULL))))
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
 * Keep what the socket had no room for: all parts but "sent" bytes; returns
 * false if there is no memory
 */
static bool
keep_rest(DwfConn *conn, const struct iovec *parts, int count, size_t all,
		  size_t sent)
{
	Assert(conn->out == NULL);
	if (!dwf_conn_may_keep(conn, all - sent))
		return false;			/* the reader comes again */
	conn->out = malloc(all - sent);
	if (conn->out == NULL)
		return false;
	for (int i = 0; i < count; i++)
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

/* What has become of bytes for a client */
typedef enum Sent
{
	SENT_ALL,
	SENT_PART,					/* the rest was kept */
	SENT_CLOSED					/* the connection was closed */
} Sent;

/* Send parts, none of them empty */
static Sent
send_parts(DwfConn *conn, struct iovec *parts, int count)
{
	struct msghdr message = {.msg_iov = parts,.msg_iovlen = count};
	size_t		all = 0;
	ssize_t		sent;

	/* give it to the socket */
	for (int i = 0; i < count; i++)
		all += parts[i].iov_len;
	do
		sent = sendmsg(conn->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent == (ssize_t) all)
		return SENT_ALL;

	/* the rest later */
	conn->is_writable = false;
	if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		conn->is_broken = true;
	if (!conn->is_broken &&
		keep_rest(conn, parts, count, all, (size_t) Max(sent, 0)))
		return SENT_PART;
	dwf_conn_close(conn);
	return SENT_CLOSED;
}

/* All that was kept is sent */
static void
end_writing(DwfConn *conn)
{
	if (conn->state == DWF_CONN_WRITING)
	{
		end_answer(conn);
		return;
	}
	dwf_conn_free_rest(conn);
	dwf_conn_enter(conn, DWF_CONN_STREAM);
	dwf_conn_want(conn);
}

/*
 * The socket of a connection that is WRITING or FULL has room; may close it.
 * A reader of a stream begins its time anew with each byte that it takes.
 */
void
dwf_conn_write(DwfConn *conn)
{
	size_t		left = conn->out_length - conn->out_sent;
	ssize_t		sent = send(conn->fd, conn->out + conn->out_sent, left,
							MSG_DONTWAIT | MSG_NOSIGNAL);

	if (sent == (ssize_t) left)
		end_writing(conn);
	else if (sent < 0 && errno == EINTR)
		dwf_conn_add_work(conn);
	else if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
		dwf_conn_close(conn);
	else
	{
		conn->is_writable = false;
		conn->out_sent += Max(sent, 0);
		if (sent > 0 && conn->state == DWF_CONN_FULL)
			dwf_conn_enter(conn, DWF_CONN_FULL);
	}
}

/* ----- answers ----- */

/* What an answer's head has to say of the connection */
static DwfReplyTo
describe(DwfConn *conn)
{
	const DwfIncoming *incoming = &conn->incoming;
	DwfReplyTo	to = {0};

	to.keeps_alive = incoming->phase == DWF_PHASE_COMPLETE &&
		incoming->parser.keeps_alive;
	to.is_http_1_0 = incoming->is_http_1_0;
	to.is_head = incoming->head &&
		strcmp(dwf_incoming_method(incoming), "HEAD") == 0;
	return to;
}

/*
 * Answer a request; may close the connection.  An answer that cannot be sent,
 * by its status or by a header that is not of HTTP, becomes a 500.  A request
 * that is not complete gets no other after it.
 */
void
dwf_conn_answer(DwfConn *conn, const DwfReply *answer)
{
	DwfReplyTo	to = describe(conn);
	struct iovec parts[2] = {0};
	Sent		sent;

	/* the head, then the body */
	conn->keeps_alive = to.keeps_alive;
	parts[0].iov_base = head;
	parts[0].iov_len = dwf_reply_head(answer, &to, head);
	if (parts[0].iov_len == 0)
	{
		answer = dwf_reply_plain(500);
		parts[0].iov_len = dwf_reply_head(answer, &to, head);
	}
	parts[1].iov_base = unconstify(char *, answer->body);
	parts[1].iov_len = answer->body_length;
	dwf_held_forget(conn);
	sent = send_parts(conn, parts, dwf_reply_has_body(answer, &to) ? 2 : 1);
	if (sent == SENT_ALL)
		end_answer(conn);
	else if (sent == SENT_PART)
		dwf_conn_enter(conn, DWF_CONN_WRITING);
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

/* Send a 503 on a socket that is not a connection's */
void
dwf_conn_say(int fd)
{
	static const char text[] =
	"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
	"Content-Length: 0\r\nRetry-After: 1\r\n\r\n";

	(void) !send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ----- streams ----- */

/*
 * Begin the answer to a reader of a stream, which has no length: it comes in
 * chunks, or ends with the connection.  Returns false if that was all, since
 * only the head was wanted, or if the connection was closed.
 */
bool
dwf_conn_begin_stream(DwfConn *conn, const DwfReply *answer)
{
	DwfReplyTo	to = describe(conn);
	struct iovec part = {0};

	if (to.is_head)
	{
		dwf_conn_answer(conn, answer);
		return false;
	}
	to.is_stream = true;
	to.keeps_alive &= !to.is_http_1_0;
	conn->keeps_alive = to.keeps_alive;
	conn->is_begun = true;
	part.iov_base = head;
	part.iov_len = dwf_reply_head(answer, &to, head);
	dwf_incoming_forget(&conn->incoming);
	switch (send_parts(conn, &part, 1))
	{
		case SENT_ALL:
			dwf_conn_enter(conn, DWF_CONN_STREAM);
			return true;
		case SENT_PART:
			dwf_conn_enter(conn, DWF_CONN_FULL);
			return true;
		default:
			return false;
	}
}

/* Add a part to those that are sent together, unless it is empty */
static void
add_part(struct iovec *parts, int *count, const char *text, size_t length)
{
	if (length == 0)
		return;
	parts[*count].iov_base = unconstify(char *, text);
	parts[(*count)++].iov_len = length;
}

/*
 * Send a part of a stream to a reader that is not FULL.  "is_last" ends the
 * answer; then there may be no text.  Returns whether the connection is still
 * that of a reader; else it may be closed.
 */
bool
dwf_conn_send_stream(DwfConn *conn, const char *text, size_t length,
					 bool is_last)
{
	struct iovec parts[3];
	char		size[32] = "";
	const char *end = "";
	int			count = 0;
	Sent		sent = SENT_ALL;

	/* the chunk: size, text, end; then the last one */
	if (!conn->incoming.is_http_1_0)
	{
		if (length > 0)
			snprintf(size, sizeof(size), "%zx\r\n", length);
		end = length == 0 ? "0\r\n\r\n" : is_last ? "\r\n0\r\n\r\n" : "\r\n";
	}
	add_part(parts, &count, size, strlen(size));
	add_part(parts, &count, text, length);
	add_part(parts, &count, end, strlen(end));
	if (count > 0)
		sent = send_parts(conn, parts, count);

	/* what is next */
	if (sent == SENT_ALL && is_last)
		end_answer(conn);
	else if (sent == SENT_ALL)
		dwf_conn_enter(conn, DWF_CONN_STREAM);
	else if (sent == SENT_PART)
		dwf_conn_enter(conn, is_last ? DWF_CONN_WRITING : DWF_CONN_FULL);
	return sent != SENT_CLOSED && !is_last;
}
