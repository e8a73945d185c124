/*-------------------------------------------------------------------------
 *
 * server.c
 *	  The HTTP side of the gateway, by libmicrohttpd.
 *
 *	(none)	--accepted--------------> READING	its first request is awaited
 *	READING	--complete--------------> READY		taken by the main loop
 *	READY	--has a validator-------> ASIDE		until a helper has time
 *	ASIDE	--given to a helper-----> CHECKED
 *	READY, CHECKED --answered-------> WRITING
 *	READY, CHECKED --held------------------> HELD		a manual webhook
 *	HELD, ASIDE --timed out---------> WRITING	504, 503
 *	HELD	--answered--------------> WRITING
 *	READING	--refused at once-------> WRITING	404, 405, 413
 *	WRITING	--sent------------------> IDLE
 *	IDLE	--a request line is in--> READING
 *	any		--closed----------------> (none)
 *
 * A connection that is READY, ASIDE, CHECKED or HELD is suspended: libmicrohttpd
 * does not look at it.  Each state has a list in the order of entry and one time that one may
 * spend in it, so that the head of each list is the next to run out of time.
 * libmicrohttpd knows no time for a whole request, so this is ours.
 *
 * To cut a connection its socket is shut down; libmicrohttpd sees that and
 * closes it.  What has to be said before goes out by send(), which is safe as
 * long as no answer was begun on it.
 *
 * The callbacks run inside libmicrohttpd: an error must not leave them.  They
 * call nothing of the server's that could raise one; their memory is malloc's.
 *
 *-------------------------------------------------------------------------
 */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <microhttpd.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "durable_wf.h"

/* A connection's memory for its headers; more are 431 */
#define HEADERS_MAX		(32 * 1024)

/* How long a connection may do nothing between two requests, in ms */
#define IDLE_MAX		75000

/* A body's buffer is kept for the next request up to this size */
#define BODY_KEPT		(16 * 1024)

/* How much of a body is read beyond what is too large */
#define TOO_LARGE_READ	(4 * 1024 * 1024)

/* How long /healthz tells of a failure, in ms */
#define UNHEALTHY		10000

/* How many connections are accepted in a row */
#define ACCEPT_MAX		64

/* Files that the process needs beside its connections */
#define OTHER_FILES		1200

bool		dwf_server_is_open = false;

/* When resuming has last failed for a reason of ours, in ms; 0: never */
static int64 failed_at = 0;

static struct MHD_Daemon *http = NULL;
static dlist_head conns[DWF_CONN_STATES];
static int	counts[DWF_CONN_STATES];
static int	nconns = 0;
static int	ncut = 0;
static int	files_max;

/* The held requests by their ids, and who of them has gone away */
static HTAB *held = NULL;
static int	gone_fd = -1;

typedef struct Held
{
	int64		request_id;
	DwfConn    *first;			/* clients with one key have one request */
} Held;

/* Answers that are always the same, made once */
typedef struct Plain
{
	int			status;
	const char *text;
	const char *header;			/* one more, with its value */
	const char *value;
	struct MHD_Response *response;
} Plain;

static Plain plains[] = {
	{200, "ok\n", NULL, NULL, NULL},
	{202, "", NULL, NULL, NULL},
	{400, "bad request\n", NULL, NULL, NULL},
	{403, "refused\n", NULL, NULL, NULL},
	{404, "no such webhook\n", NULL, NULL, NULL},
	{405, "method not allowed\n",
		"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", NULL},
	{413, "the body is too large\n", NULL, NULL, NULL},
	{500, "the answer cannot be sent\n", NULL, NULL, NULL},
	{503, "try again later\n", "Retry-After", "1", NULL},
	{504, "no answer in time\n", NULL, NULL, NULL}
};

/* What is said on a socket by ourselves */
#define RAW(line, more) \
	"HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n" more "\r\n"
static const char raw_timeout[] = RAW("408 Request Timeout", "");
static const char raw_too_large[] = RAW("413 Content Too Large", "");
static const char raw_unavailable[] =
	RAW("503 Service Unavailable", "Retry-After: 1\r\n");
static const char raw_no_answer[] = RAW("504 Gateway Timeout", "");

/* Milliseconds by a clock that nobody sets */
static int64
now_ms(void)
{
	struct timespec now;

	(void) clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
say(int fd, const char *text, size_t length)
{
	(void) !send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* ----- the lists ----- */

static void
enter(DwfConn *conn, DwfConnState state)
{
	counts[conn->state]--;
	dlist_delete(&conn->node);
	conn->state = state;
	conn->since = now_ms();
	counts[state]++;
	dlist_push_tail(&conns[state], &conn->node);
}

int
dwf_server_count(DwfConnState state)
{
	return counts[state];
}

/* End a connection; libmicrohttpd will find that it has ended */
static void
cut(DwfConn *conn)
{
	if (conn->is_cut)
		return;
	conn->is_cut = true;
	ncut++;
	(void) shutdown(conn->fd, SHUT_RDWR);
}

/* ----- answers ----- */

static struct MHD_Response *
plain_response(int *status)
{
	for (int i = 0; i < (int) lengthof(plains); i++)
		if (plains[i].status == *status)
			return plains[i].response;
	*status = 500;
	return plain_response(status);
}

/* Make the answers that are always the same; raises when out of memory */
static void
make_plain_responses(void)
{
	for (int i = 0; i < (int) lengthof(plains); i++)
	{
		Plain	   *plain = &plains[i];

		plain->response =
			MHD_create_response_from_buffer(strlen(plain->text),
											unconstify(char *, plain->text),
											MHD_RESPMEM_PERSISTENT);
		if (plain->response == NULL)
			ereport(FATAL, (errcode(ERRCODE_OUT_OF_MEMORY),
							errmsg("out of memory")));
		if (plain->text[0] != '\0')
			(void) MHD_add_response_header(plain->response, "Content-Type",
										   "text/plain; charset=utf-8");
		if (plain->header)
			(void) MHD_add_response_header(plain->response, plain->header,
										   plain->value);
	}
}

/* Answer from inside a callback */
static enum MHD_Result
answer_now(DwfConn *conn, int status)
{
	struct MHD_Response *response = plain_response(&status);

	enter(conn, DWF_CONN_WRITING);
	return MHD_queue_response(conn->connection, status, response);
}

/* Forget that a request is held */
static void
forget_held(DwfConn *conn)
{
	Held	   *entry;
	DwfConn   **link;

	if (conn->request_id == 0)
		return;
	entry = hash_search(held, &conn->request_id, HASH_FIND, NULL);
	for (link = &entry->first; *link != conn; link = &(*link)->next_held)
		;
	*link = conn->next_held;
	if (entry->first == NULL)
		(void) hash_search(held, &conn->request_id, HASH_REMOVE, NULL);
	(void) epoll_ctl(gone_fd, EPOLL_CTL_DEL, conn->fd, NULL);
	conn->request_id = 0;
}

/* Is a connection suspended, so that its request can be answered? */
static inline bool
is_suspended(const DwfConn *conn)
{
	return conn->state >= DWF_CONN_READY && conn->state <= DWF_CONN_HELD;
}

/* Answer a request that is complete */
static void
send_response(DwfConn *conn, int status, struct MHD_Response *response)
{
	Assert(is_suspended(conn));
	forget_held(conn);
	enter(conn, DWF_CONN_WRITING);
	if (MHD_queue_response(conn->connection, status, response) != MHD_YES)
		cut(conn);
	MHD_resume_connection(conn->connection);
}

/* The same with one of the plain answers */
void
dwf_server_answer_status(DwfConn *conn, int status)
{
	struct MHD_Response *response = plain_response(&status);

	send_response(conn, status, response);
}

/* The same with none: the connection ends */
void
dwf_server_hang_up(DwfConn *conn)
{
	cut(conn);
	dwf_server_answer_status(conn, 504);
}

/* Headers that belong to the connection, or are made here */
static bool
is_ours(const char *name)
{
	static const char *const ours[] = {
		"connection", "content-length", "date", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade"
	};

	for (int i = 0; i < (int) lengthof(ours); i++)
		if (pg_strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

/*
 * The same with any answer.  One that cannot be sent - a status or a header
 * that HTTP does not have - is a 500.
 */
void
dwf_server_answer(DwfConn *conn, const DwfReply *answer)
{
	bool		has_body = answer->status != 204 && answer->status != 304;
	struct MHD_Response *response;

	if (answer->status < 200 || answer->status > 599)
	{
		dwf_server_answer_status(conn, 500);
		return;
	}
	if (answer->status == 202 && answer->nheaders == 0 &&
		answer->body_length == 0)
	{
		dwf_server_answer_status(conn, 202);
		return;
	}
	response =
		MHD_create_response_from_buffer(has_body ? answer->body_length : 0,
										unconstify(char *, answer->body),
										MHD_RESPMEM_MUST_COPY);
	for (int i = 0; response && i < answer->nheaders; i++)
		if (!is_ours(answer->names[i]) &&
			MHD_add_response_header(response, answer->names[i],
									answer->values[i]) != MHD_YES)
		{
			MHD_destroy_response(response);
			response = NULL;
		}
	if (response == NULL)
	{
		dwf_server_answer_status(conn, 500);
		return;
	}
	send_response(conn, answer->status, response);
	MHD_destroy_response(response);
}

/* ----- held requests ----- */

/*
 * Hold a request until it is answered.  libmicrohttpd does not look at it
 * meanwhile, so we do: who has gone away need not be held.
 */
void
dwf_server_hold(DwfConn *conn, int64 request_id)
{
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = conn};
	Held	   *entry;
	bool		found;

	Assert(is_suspended(conn) && conn->request_id == 0);
	entry = hash_search(held, &request_id, HASH_ENTER, &found);
	conn->next_held = found ? entry->first : NULL;
	entry->first = conn;
	conn->request_id = request_id;
	(void) epoll_ctl(gone_fd, EPOLL_CTL_ADD, conn->fd, &event);
	enter(conn, DWF_CONN_HELD);
}

/* A connection of a held request; NULL if it is not held any more */
DwfConn *
dwf_server_held(int64 request_id)
{
	Held	   *entry = hash_search(held, &request_id, HASH_FIND, NULL);

	return entry ? entry->first : NULL;
}

/* Let go those held whose clients have gone away */
void
dwf_server_drop_gone(void)
{
	struct epoll_event events[64];
	int			count;

	while ((count = epoll_wait(gone_fd, events, lengthof(events), 0)) > 0)
		for (int i = 0; i < count; i++)
			dwf_server_hang_up(events[i].data.ptr);
}

/* ----- callbacks ----- */

/* A connection begins, or ends */
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

		conn = calloc(1, sizeof(DwfConn));
		*context = conn;
		if (conn == NULL)
			return;
		conn->connection = connection;
		conn->fd = info->connect_fd;
		conn->is_fresh = true;
		conn->state = DWF_CONN_READING;
		conn->since = now_ms();
		counts[DWF_CONN_READING]++;
		dlist_push_tail(&conns[DWF_CONN_READING], &conn->node);
		nconns++;
	}
	else if (conn)
	{
		Assert(!is_suspended(conn));
		counts[conn->state]--;
		dlist_delete(&conn->node);
		nconns--;
		if (conn->is_cut)
			ncut--;
		free(conn->target);
		free(conn->body);
		free(conn);
		*context = NULL;
	}
}

/* A request line is in; what is returned belongs to the request */
static void *
request_begins(void *arg, const char *target, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	DwfConn    *conn = info->socket_context;

	(void) arg;
	if (conn == NULL)
		return NULL;
	free(conn->target);
	conn->target = strdup(target);
	conn->is_begun = conn->is_too_large = false;
	conn->body_length = 0;
	if (conn->state == DWF_CONN_IDLE)
		enter(conn, DWF_CONN_READING);
	conn->is_fresh = false;
	return conn->target ? conn : NULL;
}

/* A request has ended, its answer is out or nobody wants it */
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
	enter(conn, DWF_CONN_IDLE);
	*context = NULL;
}

/* Headers that say how long the body is */
typedef struct Framing
{
	int			lengths;
	bool		is_chunked;
	unsigned long long length;
} Framing;

static enum MHD_Result
note_framing(void *arg, enum MHD_ValueKind kind, const char *name,
			 const char *value)
{
	Framing    *framing = arg;

	(void) kind;
	if (name == NULL || value == NULL)
		return MHD_YES;
	if (pg_strcasecmp(name, "Content-Length") == 0)
	{
		framing->lengths++;
		framing->length = strtoull(value, NULL, 10);
	}
	else if (pg_strcasecmp(name, "Transfer-Encoding") == 0)
		framing->is_chunked = true;
	return MHD_YES;
}

/* Webhooks cannot be resumed, for a reason of ours: for /healthz */
void
dwf_server_note_failure(void)
{
	failed_at = now_ms();
}

/*
 * Was that a moment ago?  Not for longer: who asks may send us no requests
 * until we are healthy again.
 */
static bool
is_unhealthy(void)
{
	return failed_at != 0 && now_ms() - failed_at < UNHEALTHY;
}

static bool
is_method(const char *method, const char *const *methods)
{
	for (; *methods; methods++)
		if (strcmp(method, *methods) == 0)
			return true;
	return false;
}

/*
 * The headers of a request are in: is it one that we take?  0, or its answer.
 * "has_body": something is still to come.
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

	/* who says the length twice means to smuggle something */
	(void) MHD_get_connection_values(conn->connection, MHD_HEADER_KIND,
									 note_framing, &framing);
	*has_body = framing.is_chunked || framing.length > 0;
	if (framing.lengths > 1 || (framing.lengths > 0 && framing.is_chunked))
		return 400;
	if (route == DWF_ROUTE_NONE)
		return 404;
	if (!is_method(conn->method,
				   route == DWF_ROUTE_HEALTH ? health_methods : methods))
		return 405;
	if (framing.length > (unsigned long long) dwf_setting_http_max_body)
		return 413;
	if (route == DWF_ROUTE_HEALTH)
		return dwf_server_is_open && !is_unhealthy() ? 200 : 503;
	return dwf_server_is_open ? 0 : 503;
}

/*
 * Take a part of a body; false if there is no room for it.  A chunked one that
 * is too large is read on for a while, since to close on a client that is still
 * sending would take the answer away from it.
 */
static bool
append_body(DwfConn *conn, const char *data, size_t length)
{
	size_t		needed = conn->body_length + length;
	size_t		max = (size_t) dwf_setting_http_max_body;

	if (needed > max)
	{
		conn->is_too_large = true;
		conn->body_length = needed;
		if (needed - max <= TOO_LARGE_READ)
			return true;
		say(conn->fd, raw_too_large, sizeof(raw_too_large) - 1);
		return false;
	}
	if (needed > conn->body_size)
	{
		size_t		size = Max(needed, Max(1024, conn->body_size * 2));
		char	   *body = realloc(conn->body, size);

		if (body == NULL)
		{
			say(conn->fd, raw_unavailable, sizeof(raw_unavailable) - 1);
			return false;
		}
		conn->body = body;
		conn->body_size = size;
	}
	memcpy(conn->body + conn->body_length, data, length);
	conn->body_length = needed;
	return true;
}

/* A request's headers are in, a part of its body, or all of it */
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
	if (!conn->is_begun)
	{
		bool		has_body;

		conn->is_begun = true;
		conn->method = method;
		conn->status = look_at_request(conn, &has_body);

		/* to answer before a request is complete closes the connection */
		return conn->status == 0 || !has_body ? MHD_YES :
			answer_now(conn, conn->status);
	}
	if (*data_size > 0)
	{
		if (!append_body(conn, data, *data_size))
			return MHD_NO;
		*data_size = 0;
		return MHD_YES;
	}
	if (conn->is_too_large)
		conn->status = 413;
	if (conn->status != 0)
		return answer_now(conn, conn->status);
	MHD_suspend_connection(connection);
	enter(conn, DWF_CONN_READY);
	return MHD_YES;
}

/* libmicrohttpd has found its own state broken: end, without a word to it */
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

/* ----- the server ----- */

/* See to it that there may be as many files open as connections */
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

/* Start; raises when it cannot */
void
dwf_server_start(void)
{
	HASHCTL		control = {0};

	for (int state = 0; state < DWF_CONN_STATES; state++)
		dlist_init(&conns[state]);
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Held);
	held = hash_create("durable_wf held requests", 256, &control,
					   HASH_ELEM | HASH_BLOBS);
	raise_file_limit();
	make_plain_responses();
	gone_fd = epoll_create1(EPOLL_CLOEXEC);

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
	if (http == NULL || gone_fd < 0)
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not start libmicrohttpd: %m")));
}

/* What is to be watched for something to read: of clients ... */
int
dwf_server_fd(void)
{
	return MHD_get_daemon_info(http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

/* ... and of held clients that have gone away */
int
dwf_server_gone_fd(void)
{
	return gone_fd;
}

/* Is there room for another connection?  Who does nothing leaves for it. */
static bool
make_room(void)
{
	int			limit = Min(dwf_setting_http_max_connections, files_max);
	dlist_iter	iter;

	if (nconns - ncut < limit)
		return true;
	dlist_foreach(iter, &conns[DWF_CONN_IDLE])
	{
		DwfConn    *conn = dlist_container(DwfConn, node, iter.cur);

		if (conn->is_cut)
			continue;
		cut(conn);
		return true;
	}
	return false;
}

/* Accept who wants to connect, or tell him that there is no room */
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
		if (!make_room())
		{
			say(fd, raw_unavailable, sizeof(raw_unavailable) - 1);
			close(fd);
			continue;
		}
		(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		(void) MHD_add_connection(http, fd, (struct sockaddr *) &address,
								  length);
	}
}

/* Read and write what can be */
void
dwf_server_run(void)
{
	(void) MHD_run(http);
}

/* Is there something to do that nothing to read would tell of? */
bool
dwf_server_has_more(void)
{
	unsigned long long timeout;

	return MHD_get_timeout(http, &timeout) == MHD_YES && timeout == 0;
}

/*
 * The complete requests of a state, at most so many; each is to be answered or
 * held.  They stay where they are until then: nobody else ends them.
 */
int
dwf_server_ready(DwfConnState state, DwfConn **ready, int max)
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

/* A complete request is at something else now: ASIDE or CHECKED */
void
dwf_server_set_state(DwfConn *conn, DwfConnState state)
{
	Assert(is_suspended(conn));
	enter(conn, state);
}

/* ----- headers ----- */

typedef struct Collector
{
	DwfHttpHeader *headers;
	int			count;
	int			size;
} Collector;

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

/* The headers of a complete request, in palloc'd memory; returns their number */
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

/* ----- time ----- */

/* How long one may be in a state, in ms; 0: as long as it takes */
static int64
time_allowed(DwfConnState state)
{
	switch (state)
	{
		case DWF_CONN_IDLE:
			return IDLE_MAX;
		case DWF_CONN_READING:
		case DWF_CONN_ASIDE:
		case DWF_CONN_WRITING:
			return dwf_setting_http_request_timeout;
		case DWF_CONN_HELD:
			return dwf_setting_http_response_timeout;
		default:
			return 0;
	}
}

/* One has been in its state for too long */
static void
end_slow(DwfConn *conn)
{
	if (conn->state == DWF_CONN_HELD || conn->state == DWF_CONN_ASIDE)
	{
		dwf_server_answer_status(conn, conn->state == DWF_CONN_HELD ? 504 : 503);
		return;
	}
	if (conn->state == DWF_CONN_READING && !conn->is_fresh)
		say(conn->fd, raw_timeout, sizeof(raw_timeout) - 1);
	cut(conn);

	/* behind those that are not cut yet, until it is gone */
	enter(conn, conn->state);
}

/*
 * Cut those that are too slow.  Returns for how many milliseconds nothing more
 * of that kind will be to do, -1 for ever.
 */
long
dwf_server_cut_slow(void)
{
	int64		now = now_ms();
	int64		next = -1;

	for (int state = 0; state < DWF_CONN_STATES; state++)
	{
		int64		allowed = time_allowed(state);

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

/* Say something to all in a state */
static void
say_to_all(DwfConnState state, const char *text, size_t length)
{
	dlist_iter	iter;

	dlist_foreach(iter, &conns[state])
		say(dlist_container(DwfConn, node, iter.cur)->fd, text, length);
}

/*
 * The process ends: tell those who have an answer to expect what has become of
 * their requests: not taken, or taken and not answered.  "in_doubt": some of
 * those that were ready may have been taken, and nobody knows of those that a
 * helper has.
 */
void
dwf_server_say_goodbye(bool in_doubt)
{
	if (http == NULL)
		return;
	if (!in_doubt)
		say_to_all(DWF_CONN_READY, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASIDE, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_HELD, raw_no_answer, sizeof(raw_no_answer) - 1);
}
