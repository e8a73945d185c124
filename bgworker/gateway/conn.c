/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  The gateway's clients: what each connection is at, for how long it may be
 *	  at that, and what it is told.
 *
 *	(none)	--accepted--------------> READING	its first request is awaited
 *	READING	--complete--------------> READY		taken by the main loop
 *	READY	--has a validator-------> ASIDE		until a helper has time
 *	ASIDE	--given to a helper-----> CHECKED
 *	READY, CHECKED --answered-------> WRITING
 *	READY, CHECKED --held-----------> HELD		a manual webhook
 *	HELD, ASIDE --timed out---------> WRITING	504, 503
 *	HELD	--answered--------------> WRITING
 *	READING	--refused at once-------> WRITING	404, 405, 413, 415
 *	WRITING	--sent------------------> IDLE
 *	IDLE	--a request line is in--> READING
 *	any		--closed----------------> (none)
 *
 * A connection that is READY, ASIDE, CHECKED or HELD is suspended:
 * libmicrohttpd does not look at it.  Each state has a list in the order of
 * entry and one time that one may spend in it, so that the head of each list
 * is the next to run out of time.  libmicrohttpd knows no time for a whole
 * request, so this is ours.
 *
 * To cut a connection its socket is shut down; libmicrohttpd sees that and
 * closes it.  What has to be said before goes out by send(), which is safe as
 * long as no answer was begun on it.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/conn.h"

#include <microhttpd.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "base/durable_wf.h"
#include "base/settings.h"

/* How long a connection may do nothing between two requests, in ms */
#define IDLE_MAX		75000

static dlist_head conns[DWF_CONN_STATES];
static int	counts[DWF_CONN_STATES];
static int	nconns = 0;
static int	ncut = 0;
static bool is_started = false;

/* One was resumed since libmicrohttpd has last run, which does not say so */
bool		dwf_conn_has_resumed = false;

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

/* What is said on a socket by ourselves */
#define RAW(line, more) \
	"HTTP/1.1 " line "\r\nConnection: close\r\nContent-Length: 0\r\n" more "\r\n"
static const char raw_timeout[] = RAW("408 Request Timeout", "");
static const char raw_too_large[] = RAW("413 Content Too Large", "");
static const char raw_unavailable[] =
RAW("503 Service Unavailable", "Retry-After: 1\r\n");
static const char raw_no_answer[] = RAW("504 Gateway Timeout", "");

/* Milliseconds by a clock that nobody sets */
int64
dwf_conn_now(void)
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

/* Say that a body is too large, or that there is no room */
void
dwf_conn_say(int fd, int status)
{
	if (status == 413)
		say(fd, raw_too_large, sizeof(raw_too_large) - 1);
	else
		say(fd, raw_unavailable, sizeof(raw_unavailable) - 1);
}

/* ----- the lists ----- */

/* Is a connection suspended, so that its request can be answered? */
static inline bool
is_suspended(const DwfConn *conn)
{
	return conn->state >= DWF_CONN_READY && conn->state <= DWF_CONN_HELD;
}

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

int
dwf_conn_count(DwfConnState state)
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

/* A connection begins; NULL when out of memory */
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

/* It ends */
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

/* Are there less than so many?  Who does nothing leaves for another. */
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
 * The complete requests of a state, at most so many; each is to be answered or
 * held.  They stay where they are until then: nobody else ends them.
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

/* A complete request is at something else now: ASIDE or CHECKED */
void
dwf_conn_set_state(DwfConn *conn, DwfConnState state)
{
	Assert(is_suspended(conn));
	dwf_conn_enter(conn, state);
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

/* Answer from inside a callback of libmicrohttpd's; false: the client is gone */
bool
dwf_conn_answer_now(DwfConn *conn, int status)
{
	struct MHD_Response *response = plain_response(&status);

	dwf_conn_enter(conn, DWF_CONN_WRITING);
	return MHD_queue_response(conn->connection, status, response) == MHD_YES;
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

/* Answer a request that is complete */
static void
send_response(DwfConn *conn, int status, struct MHD_Response *response)
{
	Assert(is_suspended(conn));
	forget_held(conn);
	dwf_conn_enter(conn, DWF_CONN_WRITING);
	if (MHD_queue_response(conn->connection, status, response) != MHD_YES)
		cut(conn);
	MHD_resume_connection(conn->connection);
	dwf_conn_has_resumed = true;
}

/* The same with one of the plain answers, or that of a refusal by any 4xx */
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

/* The same with none: the connection ends */
void
dwf_conn_hang_up(DwfConn *conn)
{
	cut(conn);
	dwf_conn_answer_status(conn, 504);
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
	response =
		MHD_create_response_from_buffer(has_body ? answer->body_length : 0,
										unconstify(char *, answer->body),
										MHD_RESPMEM_MUST_COPY);
	for (int i = 0; response && i < answer->nheaders; i++)
		/* libmicrohttpd knows no header without a value */
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
	send_response(conn, answer->status, response);
	MHD_destroy_response(response);
}

/* ----- held requests ----- */

/*
 * Hold a request until it is answered.  libmicrohttpd does not look at it
 * meanwhile, so we do: who has gone away need not be held.
 */
void
dwf_conn_hold(DwfConn *conn, int64 request_id)
{
	struct epoll_event event = {.events = EPOLLRDHUP,.data.ptr = conn};
	Held	   *entry;
	bool		found;

	Assert(is_suspended(conn) && conn->request_id == 0);
	entry = hash_search(held, &request_id, HASH_ENTER, &found);
	conn->next_held = found ? entry->first : NULL;
	entry->first = conn;
	conn->request_id = request_id;
	(void) epoll_ctl(gone_fd, EPOLL_CTL_ADD, conn->fd, &event);
	dwf_conn_enter(conn, DWF_CONN_HELD);
}

/* A connection of a held request; NULL if it is not held any more */
DwfConn *
dwf_conn_held(int64 request_id)
{
	Held	   *entry = hash_search(held, &request_id, HASH_FIND, NULL);

	return entry ? entry->first : NULL;
}

/* What is to be watched for held clients that have gone away */
int
dwf_conn_gone_fd(void)
{
	return gone_fd;
}

/*
 * Let go those held whose clients have gone away, at most so many at a time;
 * the requests that nobody waits for any more are returned, and how many
 */
int
dwf_conn_drop_gone(int64 *request_ids, int max)
{
	struct epoll_event events[64];
	int			count = epoll_wait(gone_fd, events,
								   Min(max, (int) lengthof(events)), 0);
	int			dropped = 0;

	for (int i = 0; i < count; i++)
	{
		DwfConn    *conn = events[i].data.ptr;
		int64		request_id = conn->request_id;

		dwf_conn_hang_up(conn);
		if (dwf_conn_held(request_id) == NULL)
			request_ids[dropped++] = request_id;
	}
	return dropped;
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
		dwf_conn_answer_status(conn, conn->state == DWF_CONN_HELD ? 504 : 503);
		return;
	}
	if (conn->state == DWF_CONN_READING && !conn->is_fresh)
		say(conn->fd, raw_timeout, sizeof(raw_timeout) - 1);
	cut(conn);

	/* behind those that are not cut yet, until it is gone */
	dwf_conn_enter(conn, conn->state);
}

/*
 * Cut those that are too slow.  Returns for how many milliseconds nothing more
 * of that kind will be to do, -1 for ever.
 */
long
dwf_conn_cut_slow(void)
{
	int64		now = dwf_conn_now();
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
	{
		say(dlist_container(DwfConn, node, iter.cur)->fd, text, length);
	}
}

/*
 * The process ends: tell those who have an answer to expect what has become of
 * their requests: not taken, or taken and not answered.  "in_doubt": some of
 * those that were ready may have been taken, and nobody knows of those that a
 * helper has.
 */
void
dwf_conn_say_goodbye(bool in_doubt)
{
	if (!is_started)
		return;
	if (!in_doubt)
		say_to_all(DWF_CONN_READY, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_ASIDE, raw_unavailable, sizeof(raw_unavailable) - 1);
	say_to_all(DWF_CONN_HELD, raw_no_answer, sizeof(raw_no_answer) - 1);
}

/* ----- the beginning ----- */

/* Get ready to have connections; raises when that cannot be */
void
dwf_conn_start(void)
{
	HASHCTL		control = {0};

	for (int state = 0; state < DWF_CONN_STATES; state++)
		dlist_init(&conns[state]);
	control.keysize = sizeof(int64);
	control.entrysize = sizeof(Held);
	held = hash_create("durable_wf held requests", 256, &control,
					   HASH_ELEM | HASH_BLOBS);
	make_plain_responses();
	gone_fd = epoll_create1(EPOLL_CLOEXEC);
	if (gone_fd < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not watch connections: %m")));
	is_started = true;
}
