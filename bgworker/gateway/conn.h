/*-------------------------------------------------------------------------
 *
 * conn.h
 *	  The gateway's clients: connections, complete requests, answers.
 *	  Gateway, floor 2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CONN_H
#define DWF_CONN_H

#include "postgres.h"

#include "lib/ilist.h"

#include "request.h"

struct MHD_Connection;

/* What a connection is at; each has a list, the longest there first */
typedef enum DwfConnState
{
	DWF_CONN_IDLE,				/* between two requests */
	DWF_CONN_READING,			/* a request is coming in */
	DWF_CONN_READY,				/* it is complete: to be resumed with */
	DWF_CONN_ASIDE,				/* the same, but for a process apart */
	DWF_CONN_CHECKED,			/* such a process has it */
	DWF_CONN_HELD,				/* its answer is awaited */
	DWF_CONN_WRITING,			/* the answer goes out */
	DWF_CONN_STATES
} DwfConnState;

/* A client's connection, and its request */
typedef struct DwfConn DwfConn;
struct DwfConn
{
	dlist_node	node;
	DwfConnState state;
	bool		is_cut;			/* shut down, about to be gone */
	bool		is_begun;		/* the headers of this request were looked at */
	bool		is_too_large;	/* its body */
	bool		is_fresh;		/* nothing of a request has come on it yet */
	int			fd;
	int64		since;			/* in this state: milliseconds, monotonic */
	struct MHD_Connection *connection;
	const char *method;
	char	   *target;
	char	   *body;
	size_t		body_length;
	size_t		body_size;
	int			status;			/* its answer, if it is not taken */
	int64		request_id;		/* while held */
	DwfConn    *next_held;		/* another one with the same */
	Oid			owner;			/* whose validator it waits for, while ASIDE */
	char		token[DWF_TOKEN_MAX + 1];
};

/* An answer; the body is copied */
typedef struct DwfReply
{
	int			status;
	int			nheaders;
	const char **names;
	const char **values;
	const char *body;
	size_t		body_length;
} DwfReply;

extern bool dwf_conn_has_resumed;

/* By libmicrohttpd's callbacks: these do not raise */
extern DwfConn *dwf_conn_new(struct MHD_Connection *connection, int fd);
extern void dwf_conn_free(DwfConn *conn);
extern void dwf_conn_enter(DwfConn *conn, DwfConnState state);
extern bool dwf_conn_answer_now(DwfConn *conn, int status);
extern void dwf_conn_say(int fd, int status);

extern void dwf_conn_start(void);
extern int64 dwf_conn_now(void);
extern bool dwf_conn_make_room(int limit);
extern int	dwf_conn_count(DwfConnState state);
extern int	dwf_conn_ready(DwfConnState state, DwfConn **ready, int max);
extern void dwf_conn_set_state(DwfConn *conn, DwfConnState state);
extern void dwf_conn_answer(DwfConn *conn, const DwfReply *answer);
extern void dwf_conn_answer_status(DwfConn *conn, int status);
extern void dwf_conn_hang_up(DwfConn *conn);
extern void dwf_conn_hold(DwfConn *conn, int64 request_id);
extern DwfConn *dwf_conn_held(int64 request_id);
extern int	dwf_conn_gone_fd(void);
extern int	dwf_conn_drop_gone(int64 *request_ids, int max);
extern long dwf_conn_cut_slow(void);
extern void dwf_conn_say_goodbye(bool in_doubt);

#endif							/* DWF_CONN_H */
