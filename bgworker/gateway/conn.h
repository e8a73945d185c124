/*-------------------------------------------------------------------------
 *
 * conn.h
 *	  The clients' connections: their states, times and answers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CONN_H
#define DWF_CONN_H

#include "postgres.h"

#include "lib/ilist.h"

#include "bgworker/gateway/incoming.h"
#include "bgworker/gateway/reply.h"

/*
 * A body is large from here on.  JSON of that length takes the gateway about a
 * millisecond.
 */
#define DWF_CONN_LARGE	(32 * 1024)

/* The states of a connection; each has a list, the longest there first */
typedef enum DwfConnState
{
	DWF_CONN_IDLE,				/* between two requests */
	DWF_CONN_READING,			/* a request is coming in */
	DWF_CONN_ASKED,				/* its head has; the body is large, so its
								 * token is looked for first */
	DWF_CONN_READY,				/* a complete request, for the main loop */
	DWF_CONN_ASIDE,				/* it waits for a helper, which runs
								 * validators, and takes large bodies */
	DWF_CONN_CHECKED,			/* a helper has it */
	DWF_CONN_OPENING,			/* a complete request for a stream */
	DWF_CONN_STREAM,			/* a reader of a stream, which has all that
								 * was found */
	DWF_CONN_FULL,				/* ... whose socket has no room for it */
	DWF_CONN_HELD,				/* it waits for a response of the workflow */
	DWF_CONN_GONE,				/* it was held, and the client has left */
	DWF_CONN_WRITING,			/* the socket has no room for the answer */
	DWF_CONN_CLOSING,			/* the last answer was sent, what still comes
								 * is thrown away */
	DWF_CONN_STATES
} DwfConnState;

/* A client's connection, and its request */
typedef struct DwfConn DwfConn;
struct DwfConn
{
	dlist_node	node;			/* in the list of its state */
	dlist_node	work_node;		/* in the list of those with something to do */
	DwfConnState state;
	int			fd;
	int64		since;			/* in this state, by dwf_conn_now() */
	bool		has_work;		/* it is in that list */
	bool		is_readable;	/* the socket may have bytes, ... */
	bool		is_writable;	/* ... and room */
	bool		has_ended;		/* the client sends no more than that */
	bool		is_broken;		/* the socket is of no use any more */
	bool		keeps_alive;	/* another request may follow the answer */

	/* the request, and bytes that have come after it */
	DwfIncoming incoming;
	char	   *rest;
	size_t		rest_length;
	DwfRoute	route;
	char		token[DWF_TOKEN_MAX + 1];

	/* the part of the answer for which the socket had no room */
	char	   *out;
	size_t		out_length;
	size_t		out_sent;
	Size		kept;			/* so much of a stream is in it */

	size_t		thrown_away;	/* bytes, while CLOSING */
	int64		request_id;		/* while HELD or GONE, else 0 */
	DwfConn    *next_held;		/* another connection with that id */
	Oid			owner;			/* whose webhook it is for, while ASIDE */
	/* of a reader of a stream */
	struct DwfFollowed *stream; /* or NULL */
	dlist_node	reader_node;	/* in the list of its readers */
	dlist_node	want_node;		/* in dwf_conn_wanting */
	bool		is_wanting;
	bool		is_begun;		/* the head of the answer was sent */
	bool		is_lines;		/* as lines of JSON, not as events */
	bool		follows;		/* it wants what comes, too */
	int64		after;			/* it has had the items up to this one */

	bool		is_elsewhere;	/* it is for another node of the cluster, */
	bool		wants_place;	/* ... where it has to go itself */

	bool		is_large;		/* it was ASKED for, and may have its body */
	Size		reserved;		/* so much of what all large bodies may have */
};

/* In place of the owner of a webhook, where another node knows him */
#define DWF_CONN_OWNER_ELSEWHERE	((Oid) 1)

extern dlist_head dwf_conn_lists[DWF_CONN_STATES];
extern dlist_head dwf_conn_wanting;
extern void (*dwf_conn_leave_stream) (DwfConn *conn);

/* conn.c */
extern void dwf_conn_start(void);
extern int64 dwf_conn_now(void);
extern DwfConn *dwf_conn_new(int fd);
extern void dwf_conn_close(DwfConn *conn);
extern bool dwf_conn_make_room(int limit);
extern int	dwf_conn_count(DwfConnState state);
extern int	dwf_conn_ready(DwfConnState state, DwfConn **ready, int max);
extern void dwf_conn_enter(DwfConn *conn, DwfConnState state);
extern void dwf_conn_pass_on(DwfConn *conn, bool wants_place);
extern void dwf_conn_add_work(DwfConn *conn);
extern DwfConn *dwf_conn_take_work(void);
extern int	dwf_conn_work_count(void);
extern bool dwf_conn_reserve(DwfConn *conn, Size bytes);
extern void dwf_conn_unreserve(DwfConn *conn);
extern void dwf_conn_free_request(DwfConn *conn);
extern bool dwf_conn_may_keep(DwfConn *conn, Size bytes);
extern void dwf_conn_free_rest(DwfConn *conn);
extern void dwf_conn_want(DwfConn *conn);
extern void dwf_conn_want_no_more(DwfConn *conn);

/* conn_answer.c */
extern void dwf_conn_say(int fd);
extern void dwf_conn_answer(DwfConn *conn, const DwfReply *answer);
extern void dwf_conn_answer_status(DwfConn *conn, int status);
extern bool dwf_conn_continue(DwfConn *conn);
extern void dwf_conn_write(DwfConn *conn);
extern void dwf_conn_hang_up(DwfConn *conn);
extern bool dwf_conn_begin_stream(DwfConn *conn, const DwfReply *answer);
extern bool dwf_conn_send_stream(DwfConn *conn, const char *text,
								 size_t length, bool is_last);

/* conn_time.c */
extern void dwf_conn_hold(DwfConn *conn, int64 request_id);
extern int	dwf_conn_drop_gone(int64 *request_ids, int max);
extern long dwf_conn_cut_slow(void);
extern void dwf_conn_say_goodbye(bool in_doubt);

#endif							/* DWF_CONN_H */
