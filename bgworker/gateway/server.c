/*-------------------------------------------------------------------------
 *
 * server.c
 *	  Accept connections, read requests and check them.
 *
 * All sockets are in one epoll set, whose descriptor the main loop watches
 * beside its latch.  Connections are there for edges: the set tells once that
 * a socket has bytes or room, which the connection notes until a call says
 * that it has none any more.  So no socket is added or changed after it was
 * accepted, and one that is not read from, since its request is being worked
 * on, wakes nobody.
 *
 * A round reads once from each connection that has something to do: one that
 * sends much delays no other for long.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/reading.h"
#include "bgworker/gateway/sockets.h"

/* How much is read at once: of a head, of a body or what is thrown away */
#define READ_HEAD		(8 * 1024)
#define READ_BODY		(256 * 1024)

/* So much of a client is thrown away before the connection is cut */
#define CLOSING_BYTES	(128 * 1024 * 1024)

/* How long /healthz answers 503 after a failure, in ms */
#define UNHEALTHY		10000

/* How many connections are accepted, and how many events taken, in a row */
#define ACCEPT_MAX		64
#define EVENTS_MAX		512

/* Descriptors that the process needs beside its connections' */
#define OTHER_FILES		1200

bool		dwf_server_is_open = false;

/* When dwf_server_note_failure() was called last, by dwf_conn_now(); or 0 */
static int64 failed_at = 0;

/* The epoll set, and whether it may have more events than were taken */
static int	epoll_fd = -1;
static bool has_more_events = false;

/* So many connections the limit of open files allows */
static int	files_max;

/* What was just read */
static char input[READ_BODY];

/* ----- checks ----- */

/* Note for /healthz that a round of requests has failed */
void
dwf_server_note_failure(void)
{
	failed_at = dwf_conn_now();
}

/*
 * Has a round failed a moment ago?  Not for longer: a load balancer that asks
 * may send no requests until the answer is 200 again.
 */
static bool
is_unhealthy(void)
{
	return failed_at != 0 && dwf_conn_now() - failed_at < UNHEALTHY;
}

/* Is a method one of these? */
static bool
is_method(const char *method, const char *const *methods)
{
	for (; *methods; methods++)
		if (strcmp(method, *methods) == 0)
			return true;
	return false;
}

/*
 * The head of a request is in: check it.  Returns 0 if the request is taken,
 * else the status of its answer.
 */
static int
look_at_head(DwfConn *conn)
{
	static const char *const methods[] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL
	};
	static const char *const health_methods[] = {"GET", "HEAD", NULL};
	static const char *const stream_methods[] = {
		"GET", "HEAD", "OPTIONS", NULL
	};
	const DwfIncoming *incoming = &conn->incoming;
	const char *method = dwf_incoming_method(incoming);
	const char *target = dwf_request_path(dwf_incoming_target(incoming));
	DwfRoute	route = dwf_request_route(target, conn->token);

	conn->route = route;
	/* is there such a path, and does it take the method and the body? */
	if (route == DWF_ROUTE_NONE)
		return 404;
	if (!is_method(method, route == DWF_ROUTE_HEALTH ? health_methods :
				   route == DWF_ROUTE_STREAM ? stream_methods : methods))
		return 405;
	if (incoming->left > (uint64) dwf_setting_http_max_body ||
		(route == DWF_ROUTE_STREAM && dwf_incoming_has_body(incoming)))
		return 413;
	if (route == DWF_ROUTE_HEALTH)
		return dwf_server_is_open && !is_unhealthy() ? 200 : 503;
	if (route == DWF_ROUTE_STREAM && strcmp(method, "OPTIONS") == 0)
		return 204;
	if (incoming->is_encoded)
		return 415;
	return dwf_server_is_open ? 0 : 503;
}

/* ----- reading ----- */

/*
 * May a body be large?  Then its token is looked for before it is read, so
 * that a stranger costs neither memory nor time.
 */
static bool
may_be_large(const DwfIncoming *incoming)
{
	return incoming->is_chunked || incoming->left > DWF_CONN_LARGE;
}

/*
 * The head of a request is in, and the request may be taken: let the body
 * come; may close the connection, returning false
 */
static bool
let_body_come(DwfConn *conn, bool is_all_taken)
{
	DwfIncoming *incoming = &conn->incoming;

	dwf_incoming_go_on(incoming, dwf_setting_http_max_body);
	return !incoming->expects_continue || !is_all_taken ||
		incoming->phase >= DWF_PHASE_COMPLETE || dwf_conn_continue(conn);
}

/* The token of a request was found: read its body; may close the connection */
void
dwf_server_let_come(DwfConn *conn)
{
	conn->is_large = true;
	dwf_conn_enter(conn, DWF_CONN_READING);
	if (let_body_come(conn, conn->rest == NULL))
		dwf_conn_add_work(conn);
}

/*
 * Answer a request at once, one for a stream as browsers want it; may close
 * the connection
 */
static void
answer_at_once(DwfConn *conn, int status)
{
	const DwfIncoming *incoming = &conn->incoming;
	bool		has_head = incoming->phase > DWF_PHASE_HEADERS &&
	incoming->phase != DWF_PHASE_REFUSED;

	if (!has_head || conn->route != DWF_ROUTE_STREAM)
		dwf_conn_answer_status(conn, status);
	else if (status == 204)
		dwf_conn_answer(conn, dwf_reading_preflight(incoming));
	else
		dwf_conn_answer(conn, dwf_reading_refuse(incoming, status));
}

/*
 * A request is complete: for the main loop, for a helper, or for a stream
 */
static void
hand_over(DwfConn *conn)
{
	if (conn->route == DWF_ROUTE_STREAM)
		dwf_conn_enter(conn, DWF_CONN_OPENING);
	else if (conn->is_large && conn->incoming.body_length > DWF_CONN_LARGE)
		dwf_conn_enter(conn, DWF_CONN_ASIDE);
	else
		dwf_conn_enter(conn, DWF_CONN_READY);
}

/*
 * Keep bytes that a request has not taken, for the next one; false if there is
 * no memory
 */
static bool
keep_rest(DwfConn *conn, const char *bytes, size_t length)
{
	Assert(conn->rest == NULL);
	if (length == 0)
		return true;
	conn->rest = malloc(length);
	if (conn->rest == NULL)
		return false;
	memcpy(conn->rest, bytes, length);
	conn->rest_length = length;
	return true;
}

/*
 * Let a request take bytes that were read; may close the connection.  A
 * complete request is handed over.
 */
static void
take(DwfConn *conn, const char *bytes, size_t length)
{
	DwfIncoming *incoming = &conn->incoming;
	size_t		taken = dwf_incoming_take(incoming, bytes, length);
	int			status = 0;

	/* the head, then what is there of the body */
	if (conn->state == DWF_CONN_IDLE && dwf_incoming_is_begun(incoming))
		dwf_conn_enter(conn, DWF_CONN_READING);
	if (incoming->phase == DWF_PHASE_HEAD_IN)
	{
		status = look_at_head(conn);
		if (!dwf_incoming_has_body(incoming))
			dwf_incoming_go_on(incoming, 0);
		else if (status == 0 && may_be_large(incoming))
			dwf_conn_enter(conn, DWF_CONN_ASKED);
		else if (status == 0)
		{
			if (!let_body_come(conn, taken == length))
				return;
			taken += dwf_incoming_take(incoming, bytes + taken,
									   length - taken);
		}
	}
	if (incoming->phase == DWF_PHASE_REFUSED)
		status = incoming->status;
	else if (conn->is_large && !dwf_conn_reserve(conn, incoming->body_length))
		status = 503;			/* chunks that have become too much */

	/* is it complete, or to be answered at once? */
	if (!keep_rest(conn, bytes + taken, length - taken))
		dwf_conn_close(conn);
	else if (status != 0)
		answer_at_once(conn, status);
	else if (incoming->phase == DWF_PHASE_COMPLETE)
		hand_over(conn);
}

/*
 * Receive bytes, at most "size"; returns how many.  0: none are there now.
 * -1: none will come.
 */
static ssize_t
receive(DwfConn *conn, size_t size, int flags)
{
	ssize_t		length;

	if (!conn->is_readable)
		return conn->has_ended ? -1 : 0;
	length = recv(conn->fd, input, size, MSG_DONTWAIT | flags);
	if (length > 0)
	{
		conn->is_readable = length == (ssize_t) size;
		if (conn->is_readable || conn->has_ended)
			dwf_conn_add_work(conn);
		return length;
	}
	if (length == 0 || (errno != EAGAIN && errno != EWOULDBLOCK &&
						errno != EINTR))
		return -1;
	conn->is_readable = errno == EINTR;
	if (conn->is_readable)
		dwf_conn_add_work(conn);
	return conn->has_ended && !conn->is_readable ? -1 : 0;
}

/* Read from a connection that waits for a request; may close it */
static void
read_request(DwfConn *conn)
{
	bool		in_body = conn->incoming.phase == DWF_PHASE_DATA;
	ssize_t		length;

	/* what has come after the last request */
	if (conn->rest)
	{
		char	   *rest = conn->rest;

		conn->rest = NULL;
		if (conn->is_readable || conn->has_ended)
			dwf_conn_add_work(conn);
		take(conn, rest, conn->rest_length);
		free(rest);
		return;
	}

	/* what has come now */
	length = receive(conn, in_body ? READ_BODY : READ_HEAD, 0);
	if (length < 0)
		dwf_conn_close(conn);
	else if (length > 0)
		take(conn, input, length);
}

/* Throw away what comes after the last answer; may close the connection */
static void
throw_away(DwfConn *conn)
{
	ssize_t		length = receive(conn, READ_BODY, MSG_TRUNC);

	if (length > 0)
		conn->thrown_away += length;
	if (length < 0 || conn->thrown_away > CLOSING_BYTES)
		dwf_conn_close(conn);
}

/* Do what there is to do for a connection; may close it */
static void
serve(DwfConn *conn)
{
	switch (conn->state)
	{
		case DWF_CONN_IDLE:
		case DWF_CONN_READING:
			if (conn->is_broken)
				dwf_conn_close(conn);
			else
				read_request(conn);
			break;
		case DWF_CONN_STREAM:
		case DWF_CONN_FULL:
			if (conn->is_broken || (conn->has_ended && conn->follows))
				dwf_conn_close(conn);
			else if (conn->is_writable && conn->state == DWF_CONN_FULL)
				dwf_conn_write(conn);
			break;
		case DWF_CONN_WRITING:
			if (conn->is_broken)
				dwf_conn_close(conn);
			else if (conn->is_writable)
				dwf_conn_write(conn);
			break;
		case DWF_CONN_CLOSING:
			if (conn->is_broken)
				dwf_conn_close(conn);
			else
				throw_away(conn);
			break;
		case DWF_CONN_HELD:
			if (conn->has_ended)
				dwf_conn_enter(conn, DWF_CONN_GONE);
			break;
		default:				/* the request is being worked on */
			break;
	}
}

/* ----- the server ----- */

/*
 * Raise the soft limit of open files to the hard one; warn if that is too low
 */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	files_max = INT_MAX;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 ||
		limit.rlim_cur == RLIM_INFINITY)
		return;
	if (limit.rlim_cur < limit.rlim_max)
	{
		limit.rlim_cur = limit.rlim_max;
		(void) setrlimit(RLIMIT_NOFILE, &limit);
		(void) getrlimit(RLIMIT_NOFILE, &limit);
	}
	files_max = Max(16, (int) Min(limit.rlim_cur, INT_MAX) - OTHER_FILES);
	if (files_max < dwf_setting_http_max_connections)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("the durable_wf gateway takes %d connections, not durable_wf.http_max_connections",
						files_max),
				 errhint("Raise the limit of open files of the server (LimitNOFILE of its systemd unit).")));
}

/* Prepare for connections, without sockets yet; FATAL when that fails */
void
dwf_server_start(void)
{
	raise_file_limit();
	dwf_conn_start();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not watch connections: %m")));
}

/* The descriptor that is readable when dwf_server_run() has something to do */
int
dwf_server_fd(void)
{
	return epoll_fd;
}

/* Watch the sockets that the gateway listens on; those it did already, too */
void
dwf_server_watch_sockets(void)
{
	for (int i = 0; i < dwf_sockets_count; i++)
	{
		struct epoll_event event = {.events = EPOLLIN};

		event.data.ptr = &dwf_sockets_fds[i];
		(void) epoll_ctl(epoll_fd, EPOLL_CTL_ADD, dwf_sockets_fds[i], &event);
	}
}

/* Add a connection that was accepted; returns false if that is not possible */
static bool
add_connection(int fd)
{
	struct epoll_event event = {0};
	DwfConn    *conn = dwf_conn_new(fd);

	if (conn == NULL)
		return false;
	event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	event.data.ptr = conn;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		dwf_conn_close(conn);
	return true;
}

/* Accept connections from a socket; those without room get a 503 */
static void
accept_from(int listen_fd)
{
	for (int i = 0; i < ACCEPT_MAX; i++)
	{
		int			fd = accept4(listen_fd, NULL, NULL,
								 SOCK_NONBLOCK | SOCK_CLOEXEC);
		int			on = 1;

		if (fd < 0)
			return;
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (!dwf_conn_make_room(Min(dwf_setting_http_max_connections,
									files_max)) ||
			!add_connection(fd))
		{
			dwf_conn_say(fd);
			close(fd);
		}
	}
}

/* Is this one of the sockets that the gateway listens on? */
static bool
is_listening(const void *pointer)
{
	const int  *fd = pointer;

	return fd >= dwf_sockets_fds && fd < dwf_sockets_fds + DWF_LISTEN_MAX;
}

/* Note what has happened to a connection's socket */
static void
note_event(DwfConn *conn, uint32 events)
{
	conn->is_readable |= (events & EPOLLIN) != 0;
	conn->is_writable |= (events & EPOLLOUT) != 0;
	conn->has_ended |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	conn->is_broken |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	dwf_conn_add_work(conn);
}

/* Take events of sockets, and accept connections when all are noted */
static void
take_events(void)
{
	struct epoll_event events[EVENTS_MAX];
	int			count = epoll_wait(epoll_fd, events, EVENTS_MAX, 0);

	has_more_events = count == EVENTS_MAX;
	for (int i = 0; i < count; i++)
		if (!is_listening(events[i].data.ptr))
			note_event(events[i].data.ptr, events[i].events);
	for (int i = 0; i < count; i++)
		if (is_listening(events[i].data.ptr))
			accept_from(*(int *) events[i].data.ptr);
}

/* Read and write what does not block, once from each connection */
void
dwf_server_run(void)
{
	int			left;

	take_events();
	for (left = dwf_conn_work_count(); left > 0; left--)
	{
		DwfConn    *conn = dwf_conn_take_work();

		if (conn == NULL)
			break;
		serve(conn);
	}
}

/* Has dwf_server_run() something to do that no descriptor tells of? */
bool
dwf_server_has_more(void)
{
	return has_more_events || dwf_conn_work_count() > 0;
}
