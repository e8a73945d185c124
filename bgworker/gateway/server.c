/*-------------------------------------------------------------------------
 *
 * server.c
 *	  libmicrohttpd: accept connections, read and check requests.
 *
 * Callbacks run inside libmicrohttpd, which no error may leave by a jump.  So
 * they call no function of PostgreSQL that could raise one, and use malloc().
 * The one exception is FATAL, which does not come back.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <microhttpd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/durable_wf.h"
#include "base/settings.h"

/* The memory of a connection, for headers; a request with more gets a 431 */
#define HEADERS_MAX		(32 * 1024)

/* A body's buffer is kept for the next request up to this size */
#define BODY_KEPT		(16 * 1024)

/* So much of a body is read beyond the limit, before the connection ends */
#define TOO_LARGE_READ	(4 * 1024 * 1024)

/* How long /healthz answers 503 after a failure, in ms */
#define UNHEALTHY		10000

/* How many connections are accepted in a row */
#define ACCEPT_MAX		64

/* Descriptors that the process needs beside its connections' */
#define OTHER_FILES		1200

bool		dwf_server_is_open = false;

/* When dwf_server_note_failure() was called last, by dwf_conn_now(); or 0 */
static int64 failed_at = 0;

static struct MHD_Daemon *http = NULL;

/* So many connections the limit of open files allows */
static int	files_max;

/* ----- callbacks ----- */

/* Callback: a connection begins, or ends */
static void
connection_changed(void *arg, struct MHD_Connection *connection,
				   void **context, enum MHD_ConnectionNotificationCode code)
{
	DwfConn    *conn = *context;

	(void) arg;
	if (code == MHD_CONNECTION_NOTIFY_STARTED)
	{
		const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

		*context = dwf_conn_new(connection, info->connect_fd);
	}
	else if (conn)
	{
		dwf_conn_free(conn);
		*context = NULL;
	}
}

/* Callback: a request line is in; the result is the request's context */
static void *
request_begins(void *arg, const char *target,
			   struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
	MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	DwfConn    *conn = info->socket_context;

	(void) arg;
	if (conn == NULL)
		return NULL;
	free(conn->target);
	conn->target = strdup(dwf_request_path(target));
	conn->is_begun = conn->is_too_large = false;
	conn->body_length = 0;
	if (conn->state == DWF_CONN_IDLE)
		dwf_conn_enter(conn, DWF_CONN_READING);
	conn->is_fresh = false;
	return conn->target ? conn : NULL;
}

/* Callback: a request has ended, its answer was sent or the client has gone */
static void
request_ends(void *arg, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode code)
{
	DwfConn    *conn = *context;

	(void) arg;
	(void) connection;
	(void) code;
	if (conn == NULL)
		return;
	if (conn->body_size > BODY_KEPT)
	{
		free(conn->body);
		conn->body = NULL;
		conn->body_size = 0;
	}
	conn->body_length = 0;
	dwf_conn_enter(conn, DWF_CONN_IDLE);
	*context = NULL;
}

/* What a request's headers say of its body, and errors in them */
typedef struct Framing
{
	int			lengths;		/* headers Content-Length */
	int			hosts;			/* headers Host */
	bool		is_chunked;
	bool		is_malformed;
	bool		is_encoded;		/* by a content coding */
	unsigned long long length;
} Framing;

/* Is a header's name a token of RFC 9110? */
static bool
is_token(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] >= 0x7f ||
			strchr("\"(),/:;<=>?@[\\]{}", name[i]))
			return false;
	return length > 0;
}

/* Is a header's value one line, without control characters? */
static bool
is_line(const char *value, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		unsigned char c = value[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Is a name another one, upper and lower case alike? */
static bool
is_named(const char *name, size_t length, const char *other)
{
	return length == strlen(other) && pg_strncasecmp(name, other, length) == 0;
}

/* Callback for one header: note what it says of the body */
static enum MHD_Result
note_framing(void *arg, enum MHD_ValueKind kind, const char *name,
			 size_t name_length, const char *value, size_t length)
{
	Framing    *framing = arg;

	(void) kind;
	if (name == NULL || value == NULL)
		return MHD_YES;

	/* is it well-formed, and does it concern the body? */
	framing->is_malformed |= !is_token(name, name_length) ||
		!is_line(value, length);
	if (is_named(name, name_length, "Content-Length"))
	{
		framing->lengths++;
		framing->length = strtoull(value, NULL, 10);
	}
	else if (is_named(name, name_length, "Transfer-Encoding"))
	{
		framing->is_malformed |= framing->is_chunked ||
			!is_named(value, length, "chunked");
		framing->is_chunked = true;
	}
	else if (is_named(name, name_length, "Content-Encoding"))
		framing->is_encoded |= length > 0 &&
			!is_named(value, length, "identity");
	else if (is_named(name, name_length, "Host"))
		framing->is_malformed |= framing->hosts++ > 0;
	return MHD_YES;
}

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
 * The headers of a request are in: check them.  Returns 0 if the request is
 * taken, else the status of its answer.  "has_body" takes whether a body is to
 * come.
 */
static int
look_at_request(DwfConn *conn, bool *has_body)
{
	static const char *const methods[] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", NULL
	};
	static const char *const health_methods[] = {"GET", "HEAD", NULL};
	Framing		framing = {0};
	DwfRoute	route = dwf_request_route(conn->target, conn->token);

	/*
	 * Two lengths, or a header that another server may read as a length and
	 * this one does not, are a way to smuggle requests past a proxy: the 400
	 * closes the connection.
	 */
	(void) MHD_get_connection_values_n(conn->connection, MHD_HEADER_KIND,
									   note_framing, &framing);
	*has_body = framing.is_chunked || framing.length > 0;
	if (framing.is_malformed || framing.lengths > 1 ||
		(framing.lengths > 0 && framing.is_chunked))
		return 400;

	/* is there such a path, and does it take the method and the body? */
	if (route == DWF_ROUTE_NONE)
		return 404;
	if (!is_method(conn->method,
				   route == DWF_ROUTE_HEALTH ? health_methods : methods))
		return 405;
	if (framing.length > (unsigned long long) dwf_setting_http_max_body)
		return 413;
	if (route == DWF_ROUTE_HEALTH)
		return dwf_server_is_open && !is_unhealthy() ? 200 : 503;
	if (framing.is_encoded)
		return 415;
	return dwf_server_is_open ? 0 : 503;
}

/*
 * Append a part of a body; returns false if the connection is to be closed:
 * there is no memory, or the body is too large by more than TOO_LARGE_READ.
 * One that is too large by less is read to its end, since a client that is
 * still sending when the connection closes may lose the answer.
 */
static bool
append_body(DwfConn *conn, const char *data, size_t length)
{
	size_t		needed = conn->body_length + length;
	size_t		max = (size_t) dwf_setting_http_max_body;

	/* too large: count it, keep nothing */
	if (needed > max)
	{
		conn->is_too_large = true;
		conn->body_length = needed;
		if (needed - max <= TOO_LARGE_READ)
			return true;
		dwf_conn_say(conn->fd, 413);
		return false;
	}

	/* make room, then copy */
	if (needed > conn->body_size)
	{
		size_t		size = Max(needed, Max(1024, conn->body_size * 2));
		char	   *body = realloc(conn->body, size);

		if (body == NULL)
		{
			dwf_conn_say(conn->fd, 503);
			return false;
		}
		conn->body = body;
		conn->body_size = size;
	}
	memcpy(conn->body + conn->body_length, data, length);
	conn->body_length = needed;
	return true;
}

/* Callback: a request's headers are in, a part of its body, or all of it */
static enum MHD_Result
handle_request(void *arg, struct MHD_Connection *connection, const char *url,
			   const char *method, const char *version, const char *data,
			   size_t *data_size, void **context)
{
	DwfConn    *conn = *context;

	(void) arg;
	(void) url;
	(void) version;
	if (conn == NULL || conn->is_cut)
		return MHD_NO;

	/* the headers */
	if (!conn->is_begun)
	{
		bool		has_body;

		conn->is_begun = true;
		conn->method = method;
		conn->status = look_at_request(conn, &has_body);

		/* to answer before a request is complete closes the connection */
		return conn->status == 0 || !has_body ||
			dwf_conn_answer_now(conn, conn->status) ? MHD_YES : MHD_NO;
	}

	/* a part of the body */
	if (*data_size > 0)
	{
		if (!append_body(conn, data, *data_size))
			return MHD_NO;
		*data_size = 0;
		return MHD_YES;
	}

	/* all of it: refuse the request, or suspend it for the main loop */
	if (conn->is_too_large)
		conn->status = 413;
	if (conn->status != 0)
		return dwf_conn_answer_now(conn, conn->status) ? MHD_YES : MHD_NO;
	MHD_suspend_connection(connection);
	dwf_conn_enter(conn, DWF_CONN_READY);
	return MHD_YES;
}

/* Callback: libmicrohttpd has found its state broken; end the process */
static void
server_is_broken(void *arg, const char *file, unsigned int line,
				 const char *reason)
{
	(void) arg;
	ereport(FATAL,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("libmicrohttpd: %s (%s:%u)", reason ? reason : "broken",
					file, line)));
}

/* ----- headers ----- */

/* The headers of a request, while they are collected */
typedef struct Collector
{
	DwfHttpHeader *headers;
	int			count;
	int			size;
} Collector;

/* Callback for one header: count it */
static enum MHD_Result
count_header(void *arg, enum MHD_ValueKind kind, const char *name,
			 const char *value)
{
	(void) kind;
	(void) name;
	(void) value;
	((Collector *) arg)->size++;
	return MHD_YES;
}

/* Callback for one header: collect it */
static enum MHD_Result
collect_header(void *arg, enum MHD_ValueKind kind, const char *name,
			   const char *value)
{
	Collector  *collector = arg;
	DwfHttpHeader *header = &collector->headers[collector->count];

	(void) kind;
	if (collector->count == collector->size)
		return MHD_NO;
	header->name = name ? name : "";
	header->value = value ? value : "";
	header->order = collector->count++;
	return MHD_YES;
}

/* List the headers of a complete request, palloc'd; returns their number */
int
dwf_server_headers(DwfConn *conn, DwfHttpHeader **headers)
{
	Collector	collector = {0};

	(void) MHD_get_connection_values(conn->connection, MHD_HEADER_KIND,
									 count_header, &collector);
	collector.headers = palloc(Max(collector.size, 1) * sizeof(DwfHttpHeader));
	(void) MHD_get_connection_values(conn->connection, MHD_HEADER_KIND,
									 collect_header, &collector);
	*headers = collector.headers;
	return collector.count;
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

/* Start libmicrohttpd, without sockets yet; FATAL when that fails */
void
dwf_server_start(void)
{
	raise_file_limit();
	dwf_conn_start();

	/* all waits are the main loop's: no listening socket, no timeout */
	MHD_set_panic_func(server_is_broken, NULL);
	http = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET |
							MHD_ALLOW_SUSPEND_RESUME,
							0, NULL, NULL, handle_request, NULL,
							MHD_OPTION_URI_LOG_CALLBACK, request_begins, NULL,
							MHD_OPTION_NOTIFY_COMPLETED, request_ends, NULL,
							MHD_OPTION_NOTIFY_CONNECTION, connection_changed,
							NULL,
							MHD_OPTION_CONNECTION_LIMIT, 1000000U,
							MHD_OPTION_CONNECTION_MEMORY_LIMIT,
							(size_t) HEADERS_MAX,
							MHD_OPTION_CONNECTION_TIMEOUT, 0U,
							MHD_OPTION_STRICT_FOR_CLIENT, 1,
							MHD_OPTION_END);
	if (http == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not start libmicrohttpd: %m")));
}

/* The descriptor that is readable when dwf_server_run() has something to do */
int
dwf_server_fd(void)
{
	return MHD_get_daemon_info(http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* Accept connections from a socket; those without room get a 503 */
void
dwf_server_accept(int listen_fd)
{
	for (int i = 0; i < ACCEPT_MAX; i++)
	{
		struct sockaddr_storage address;
		socklen_t	length = sizeof(address);
		int			fd = accept4(listen_fd, (struct sockaddr *) &address,
								 &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		int			on = 1;

		if (fd < 0)
			return;

		/* is there room for it? */
		if (!dwf_conn_make_room(Min(dwf_setting_http_max_connections,
									files_max)))
		{
			dwf_conn_say(fd, 503);
			close(fd);
			continue;
		}

		/* give it to libmicrohttpd, which closes it if that fails */
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void) MHD_add_connection(http, fd, (struct sockaddr *) &address,
								  length);
	}
}

/* Run libmicrohttpd: read and write what does not block */
void
dwf_server_run(void)
{
	dwf_conn_has_resumed = false;
	(void) MHD_run(http);
}

/* Has dwf_server_run() something to do that no descriptor tells of? */
bool
dwf_server_has_more(void)
{
	unsigned long long timeout;

	return dwf_conn_has_resumed ||
		(MHD_get_timeout(http, &timeout) == MHD_YES && timeout == 0);
}
