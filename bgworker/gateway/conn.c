/*-------------------------------------------------------------------------
 *
 * conn.c
 *	  The clients' connections: their states, and the lists of these.
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
 *	READING	--for a stream----------> OPENING	until its token was looked for
 *	OPENING	--found-----------------> STREAM	items are sent when they come
 *	STREAM	--the socket is full----> FULL
 *	FULL	--it has room-----------> STREAM
 *	READING, ASKED, OPENING --refused--> answered
 *	READY, CHECKED, HELD, ASIDE ----> answered
 *	STREAM	--the end---------------> answered
 *	HELD, ASIDE --timed out---------> answered	504, 503
 *	STREAM	--silent for long-------> STREAM	it gets an empty comment
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

#include <time.h>
#include <unistd.h>

#include "base/durable_wf.h"
#include "base/settings.h"
#include "bgworker/gateway/held.h"

/* So much memory all large bodies may have together, or two of the largest */
#define LARGE_BYTES		((Size) 256 * 1024 * 1024)

/*
 * ... and what readers of streams have not taken yet, of items that are larger
 * than KEPT_SMALL
 */
#define KEPT_BYTES		((Size) 256 * 1024 * 1024)
#define KEPT_SMALL		((Size) 128 * 1024)

/* The connections of each state, in the order of entry, and their numbers */
dlist_head	dwf_conn_lists[DWF_CONN_STATES];
static int	counts[DWF_CONN_STATES];
static int	nconns = 0;
static Size reserved = 0;		/* for large bodies */
static Size kept = 0;			/* of large items, for readers */

/* Those with something to do, and how many they are */
static dlist_head work;
static int	nwork = 0;

/* Readers of streams that want items, or the end */
dlist_head	dwf_conn_wanting;

/* Called when a connection is no reader any more */
void		(*dwf_conn_leave_stream) (DwfConn *conn) = NULL;

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
		dlist_init(&dwf_conn_lists[state]);
	dlist_init(&work);
	dlist_init(&dwf_conn_wanting);
	dwf_held_start();
}

/* Put a connection into the list of its state; its time begins anew */
static void
push(DwfConn *conn, DwfConnState state)
{
	conn->state = state;
	conn->since = dwf_conn_now();
	counts[state]++;
	dlist_push_tail(&dwf_conn_lists[state], &conn->node);
}

/* Change a connection's state; its time begins anew */
void
dwf_conn_enter(DwfConn *conn, DwfConnState state)
{
	counts[conn->state]--;
	dlist_delete(&conn->node);
	push(conn, state);
}

/*
 * A request is for another node: a helper asks that to take it or, with
 * "wants_place", only where it is
 */
void
dwf_conn_pass_on(DwfConn *conn, bool wants_place)
{
	conn->is_elsewhere = true;
	conn->wants_place = wants_place;
	conn->owner = DWF_CONN_OWNER_ELSEWHERE;
	dwf_conn_enter(conn, DWF_CONN_ASIDE);
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

/* May so much be kept of an answer, for which the socket has no room? */
bool
dwf_conn_may_keep(DwfConn *conn, Size bytes)
{
	if (!conn->is_begun || bytes <= KEPT_SMALL)
		return true;
	if (kept + bytes > KEPT_BYTES && kept > 0)
		return false;
	conn->kept = bytes;
	kept += bytes;
	return true;
}

/* Free what is left of an answer */
void
dwf_conn_free_rest(DwfConn *conn)
{
	kept -= conn->kept;
	conn->kept = 0;
	free(conn->out);
	conn->out = NULL;
	conn->out_length = conn->out_sent = 0;
}

/* Free the request, and what is left of its answer */
void
dwf_conn_free_request(DwfConn *conn)
{
	if (conn->stream)
		dwf_conn_leave_stream(conn);
	if (conn->is_wanting)
		dlist_delete(&conn->want_node);
	conn->stream = NULL;
	conn->is_wanting = conn->is_begun = false;
	dwf_held_forget(conn);
	dwf_incoming_free(&conn->incoming);
	dwf_conn_unreserve(conn);
	conn->is_large = conn->is_elsewhere = conn->wants_place = false;
	dwf_conn_free_rest(conn);
}

/* Close a connection, and free it */
void
dwf_conn_close(DwfConn *conn)
{
	counts[conn->state]--;
	dlist_delete(&conn->node);
	if (conn->has_work)
	{
		dlist_delete(&conn->work_node);
		nwork--;
	}
	nconns--;
	close(conn->fd);
	dwf_conn_free_request(conn);
	free(conn->rest);
	free(conn);
}

/* Close the connection that is longest in a state and has nothing to do */
static bool
close_oldest(DwfConnState state)
{
	dlist_iter	iter;

	dlist_foreach(iter, &dwf_conn_lists[state])
	{
		DwfConn    *conn = dlist_container(DwfConn, node, iter.cur);

		if (conn->has_work)
			continue;			/* a request may just have come on it */
		dwf_conn_close(conn);
		return true;
	}
	return false;
}

/*
 * Is there room for one more connection below a limit?  If not, one that is to
 * be closed anyway makes room, or the longest idle one; returns false if there
 * is none.
 */
bool
dwf_conn_make_room(int limit)
{
	return nconns < limit || close_oldest(DWF_CONN_CLOSING) ||
		close_oldest(DWF_CONN_IDLE);
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

	dlist_foreach(iter, &dwf_conn_lists[state])
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
 * Reserve memory for a large body, so many bytes in all, until the request is
 * answered; false if others have it
 */
bool
dwf_conn_reserve(DwfConn *conn, Size bytes)
{
	Size		max = Max(LARGE_BYTES, (Size) dwf_setting_http_max_body * 2);

	if (bytes <= conn->reserved)
		return true;
	if (reserved + (bytes - conn->reserved) > max)
		return false;
	reserved += bytes - conn->reserved;
	conn->reserved = bytes;
	return true;
}

/* A large body is not needed any more */
void
dwf_conn_unreserve(DwfConn *conn)
{
	reserved -= conn->reserved;
	conn->reserved = 0;
}

/* A reader of a stream wants items, or the end: they will be looked for */
void
dwf_conn_want(DwfConn *conn)
{
	if (conn->is_wanting)
		return;
	conn->is_wanting = true;
	dlist_push_tail(&dwf_conn_wanting, &conn->want_node);
}

/* ... and it is being looked for them */
void
dwf_conn_want_no_more(DwfConn *conn)
{
	Assert(conn->is_wanting);
	conn->is_wanting = false;
	dlist_delete(&conn->want_node);
}
