/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  The clients' connections: their states, times and answers.
 *
 *	(none)	--accepted--------------> READING	its first request is to come
 *	READING	--complete--------------> READY		the main loop takes it
 *	READY	--has a validator-------> ASIDE		until a helper is idle
 *	ASIDE	--given to a helper-----> CHECKED
 *	READY, CHECKED --answered-------> WRITING
 *	READY, CHECKED --held-----------> HELD		a manual webhook
 *	HELD, ASIDE --timed out---------> WRITING	504, 503
 *	HELD	--answered--------------> WRITING
 *	READING	--refused at once-------> WRITING	404, 405, 413, 415, ...
 *	WRITING	--sent------------------> IDLE
 *	IDLE	--a request line is in--> READING
 *	any		--closed----------------> (none)
 *
 * A connection that is READY, ASIDE, CHECKED or HELD is suspended:
 * libmicrohttpd does not look at it.  Each state has a list in the order of
 * entry and one time limit, so that the head of each list is the next to run
 * out of time.  libmicrohttpd has no time limit for a whole request, so this
 * one is ours.
 *
 * To cut a connection is to shut down its socket; libmicrohttpd sees that and
 * closes it.  A last answer before that goes out by send(), which is safe as
 * long as libmicrohttpd has begun no answer on that socket.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/conn.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <time.h>

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/held.h"

/* How long a connection may do nothing between two requests, in ms */
#define IDLE_MAX		75000

/* The connections of each state, in the order of entry, and their numbers */
static dlist_head conns[DWF_CONN_STATES];
static int	counts[DWF_CONN_STATES];
static int	nconns = 0;
static int	ncut = 0;
static bool is_started = false;

/*
 * Was one resumed since the last MHD_run()?  MHD_get_timeout() ignores that.
 */
bool		dwf_conn_has_resumed = false;

/* A plain answer: always the same bytes, made once */
typedef struct Plain
{
	int			status;
	const char *text;
	const char *header;			/* one more header, or NULL */
	const char *value;
	struct MHD_Response *response;
} Plain;

static Plain plains[] = {
	{200, "ok\n", NULL, NULL, NULL},
	{202, "", NULL, NULL, NULL},
	{400, "bad request\n", "Connection", "close", NULL},
	{401, "refused\n", "WWW-Authenticate", "Signature", NULL},
	{403, "refused\n", NULL, NULL, NULL},
	{404, "no such webhook\n", NULL, NULL, NULL},
	{405, "method not allowed\n",
	"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", NULL},
	{413, "the body is too large\n", NULL, NULL, NULL},
	{415, "content codings are not taken\n",
	"Accept-Encoding", "identity", NULL},
	{500, "the answer cannot be sent\n", NULL, NULL, NULL},
	{503, "try again later\n", "Retry-After", "1", NULL},
	{504, "no answer in time\n", NULL, NULL, NULL}
};

/* Answers that are sent by send(), without libmicrohttpd */
#define RAW(line, more) \
	"HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n" more "\r\n"
static const char raw_timeout[] = RAW("408 Request Timeout", "");
static const char raw_too_large[] = RAW("413 Content Too Large", "");
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

/* Send bytes; those for which the socket has no room are lost */
static void
say(int fd, const char *text, size_t length)
{
	(void) !send(fd, text, length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Send a 413, or for any other status a 503, without libmicrohttpd */
void
dwf_conn_say(int fd, int status)
{
	if (status == 413)
		say(fd, raw_too_large, sizeof(raw_too_large) - 1);
	else
		say(fd, raw_unavailable, sizeof(raw_unavailable) - 1);
}

/* ----- the lists ----- */

/* Is a connection suspended, with a complete request? */
static inline bool
is_suspended(const DwfConn *conn)
{
	return conn->state >= DWF_CONN_READY && conn->state <= DWF_CONN_HELD;
}

/* Change a connection's state; its time begins anew */
void
dwf_conn_enter(DwfConn *conn, DwfConnState state)
{
	counts[conn->state]--;
	dlist_delete(&conn->node);
	conn->state = state;
	conn->since = dwf_conn_now();
	counts[state]++;
	dlist_push_tail(&conns[state], &conn->node);
}

/* How many connections are in a state */
int
dwf_conn_count(DwfConnState state)
{
	return counts[state];
}

/* Shut a connection down; libmicrohttpd will close it */
static void
cut(DwfConn *conn)
{
	if (conn->is_cut)
		return;
	conn->is_cut = true;
	ncut++;
	(void) shutdown(conn->fd, SHUT_RDWR);
}

/* Make a connection, in state READING; NULL when out of memory */
DwfConn *
dwf_conn_new(struct MHD_Connection *connection, int fd)
{
	DwfConn    *conn = calloc(1, sizeof(DwfConn));

	if (conn == NULL)
		return NULL;
	conn->connection = connection;
	conn->fd = fd;
	conn->is_fresh = true;
	conn->state = DWF_CONN_READING;
	conn->since = dwf_conn_now();
	counts[DWF_CONN_READING]++;
	dlist_push_tail(&conns[DWF_CONN_READING], &conn->node);
	nconns++;
	return conn;
}

/* Free a connection that libmicrohttpd has closed */
void
dwf_conn_free(DwfConn *conn)
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
}

/*
 * Is there room for one more connection below a limit?  If not, the longest
 * idle one is cut; returns false if none is idle.
 */
bool
dwf_conn_make_room(int limit)
{
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

/*
 * List the connections of a state, at most "max", the longest there first;
 * returns their number.  They live until the caller answers them, since
 * libmicrohttpd does not look at suspended connections.
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

/* Change the state of a suspended connection, to ASIDE or CHECKED */
void
dwf_conn_set_state(DwfConn *conn, DwfConnState state)
{
	Assert(is_suspended(conn));
	dwf_conn_enter(conn, state);
}

/* ----- answers ----- */

/* The plain answer of a status; if it has none, "status" becomes 500 */
static struct MHD_Response *
plain_response(int *status)
{
	for (int i = 0; i < (int) lengthof(plains); i++)
		if (plains[i].status == *status)
			return plains[i].response;
	*status = 500;
	return plain_response(status);
}

/* Make the plain answers; FATAL when out of memory */
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

/* Answer inside a callback of libmicrohttpd's; false if that has failed */
bool
dwf_conn_answer_now(DwfConn *conn, int status)
{
	struct MHD_Response *response = plain_response(&status);

	dwf_conn_enter(conn, DWF_CONN_WRITING);
	return MHD_queue_response(conn->connection, status, response) == MHD_YES;
}

/* Answer a complete request, and resume its connection */
static void
send_response(DwfConn *conn, int status, struct MHD_Response *response)
{
	Assert(is_suspended(conn));
	dwf_held_forget(conn);
	dwf_conn_enter(conn, DWF_CONN_WRITING);
	if (MHD_queue_response(conn->connection, status, response) != MHD_YES)
		cut(conn);
	MHD_resume_connection(conn->connection);
	dwf_conn_has_resumed = true;
}

/* Answer with a plain answer; a 4xx that has none gets the body of the 403 */
void
dwf_conn_answer_status(DwfConn *conn, int status)
{
	bool		is_refusal = status >= 400 && status <= 499;
	int			sent = status;
	struct MHD_Response *response = plain_response(&sent);

	if (sent != status && is_refusal)
	{
		sent = 403;
		response = plain_response(&sent);
		sent = status;
	}
	send_response(conn, sent, response);
}

/* End a connection without an answer to its complete request */
void
dwf_conn_hang_up(DwfConn *conn)
{
	cut(conn);
	dwf_conn_answer_status(conn, 504);
}

/* Is this a header of the connection, which libmicrohttpd writes itself? */
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
 * Answer a complete request.  An answer that cannot be sent, by its status or
 * by a header that is not of HTTP, becomes a 500.
 */
void
dwf_conn_answer(DwfConn *conn, const DwfReply *answer)
{
	bool		has_body = answer->status != 204 && answer->status != 304;
	struct MHD_Response *response;

	if (answer->status < 200 || answer->status > 599)
	{
		dwf_conn_answer_status(conn, 500);
		return;
	}
	if (answer->status == 202 && answer->nheaders == 0 &&
		answer->body_length == 0)
	{
		dwf_conn_answer_status(conn, 202);
		return;
	}

	/* make the response: the body, then the headers */
	response =
		MHD_create_response_from_buffer(has_body ? answer->body_length : 0,
										unconstify(char *, answer->body),
										MHD_RESPMEM_MUST_COPY);
	for (int i = 0; response && i < answer->nheaders; i++)
		/* libmicrohttpd refuses headers without a value */
		if (!is_ours(answer->names[i]) && answer->values[i][0] != '\0' &&
			MHD_add_response_header(response, answer->names[i],
									answer->values[i]) != MHD_YES)
		{
			MHD_destroy_response(response);
			response = NULL;
		}
	if (response == NULL)
	{
		dwf_conn_answer_status(conn, 500);
		return;
	}

	/* it is counted: destroyed when it was sent */
	send_response(conn, answer->status, response);
	MHD_destroy_response(response);
}

/* ----- held requests ----- */

/*
 * Hold a request until dwf_conn_answer() or its time limit.  libmicrohttpd
 * does not look at its socket meanwhile; so held.c watches that, to let go a
 * request whose client has gone away.
 */
void
dwf_conn_hold(DwfConn *conn, int64 request_id)
{
	Assert(is_suspended(conn) && conn->request_id == 0);
	dwf_held_add(conn, request_id);
	dwf_conn_enter(conn, DWF_CONN_HELD);
}

/*
 * Let go held connections whose clients have gone away, at most "max".
 * Returns how many requests have no connection left, and their ids in
 * "request_ids".
 */
int
dwf_conn_drop_gone(int64 *request_ids, int max)
{
	DwfConn    *gone[64];
	int			count = dwf_held_gone(gone, Min(max, (int) lengthof(gone)));
	int			dropped = 0;

	for (int i = 0; i < count; i++)
	{
		int64		request_id = gone[i]->request_id;

		dwf_conn_hang_up(gone[i]);
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
		case DWF_CONN_ASIDE:
		case DWF_CONN_WRITING:
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
	if (conn->state == DWF_CONN_HELD || conn->state == DWF_CONN_ASIDE)
	{
		dwf_conn_answer_status(conn, conn->state == DWF_CONN_HELD ? 504 : 503);
		return;
	}
	if (conn->state == DWF_CONN_READING && !conn->is_fresh)
		say(conn->fd, raw_timeout, sizeof(raw_timeout) - 1);
	cut(conn);

	/* to the end of its list, where it stays until it is closed */
	dwf_conn_enter(conn, conn->state);
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
	say_to_all(DWF_CONN_ASIDE, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_HELD, raw_no_answer, sizeof(raw_no_answer) - 1);
}

/* ----- the beginning ----- */

/* Prepare for connections; raises, also FATAL, when that is not possible */
void
dwf_conn_start(void)
{
	/* lists, held requests, plain answers */
	for (int state = 0; state < DWF_CONN_STATES; state++)
		dlist_init(&conns[state]);
	dwf_held_start();
	make_plain_responses();
	is_started = true;
}
