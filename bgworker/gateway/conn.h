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

#include "bgworker/gateway/request.h"

struct MHD_Connection;

/* The states of a connection; each has a list, the longest there first */
typedef enum DwfConnState
{
	DWF_CONN_IDLE,				/* between two requests */
	DWF_CONN_READING,			/* a request is coming in */
	DWF_CONN_READY,				/* a complete request, for the main loop */
	DWF_CONN_ASIDE,				/* it waits for a helper, which runs
								 * validators */
	DWF_CONN_CHECKED,			/* a helper has it */
	DWF_CONN_HELD,				/* it waits for a response of the workflow */
	DWF_CONN_WRITING,			/* its answer is being sent */
	DWF_CONN_STATES
} DwfConnState;

/* A client's connection, and its request */
typedef struct DwfConn DwfConn;
struct DwfConn
{
	dlist_node	node;
	DwfConnState state;
	bool		is_cut;			/* shut down; libmicrohttpd will close it */
	bool		is_begun;		/* this request's headers were checked */
	bool		is_too_large;	/* its body is */
	bool		is_fresh;		/* no request has come on it yet */
	int			fd;
	int64		since;			/* in this state, by dwf_conn_now() */
	struct MHD_Connection *connection;
	const char *method;
	char	   *target;
	char	   *body;
	size_t		body_length;
	size_t		body_size;
	int			status;			/* of the answer, if it is refused; or 0 */
	int64		request_id;		/* while HELD, else 0 */
	DwfConn    *next_held;		/* another connection with that id */
	Oid			owner;			/* whose validator it waits for, while ASIDE */
	char		token[DWF_TOKEN_MAX + 1];
};

/* An answer; dwf_conn_answer() copies the body */
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

/* Called inside libmicrohttpd's callbacks: these raise no error */
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
extern int	dwf_conn_drop_gone(int64 *request_ids, int max);
extern long dwf_conn_cut_slow(void);
extern void dwf_conn_say_goodbye(bool in_doubt);

#endif							/* DWF_CONN_H */
