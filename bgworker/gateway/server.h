/*-------------------------------------------------------------------------
 *
 * server.h
 *	  The HTTP side of the gateway: connections, complete requests, answers.
 *	  Gateway, floor 2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SERVER_H
#define DWF_SERVER_H

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

/* Does it take requests, or answer 503? */
extern bool dwf_server_is_open;

extern void dwf_server_start(void);
extern int	dwf_server_fd(void);
extern int	dwf_server_gone_fd(void);
extern void dwf_server_accept(int listen_fd);
extern void dwf_server_run(void);
extern bool dwf_server_has_more(void);
extern int	dwf_server_ready(DwfConnState state, DwfConn **ready, int max);
extern void dwf_server_set_state(DwfConn *conn, DwfConnState state);
extern int	dwf_server_count(DwfConnState state);
extern int	dwf_server_headers(DwfConn *conn, DwfHttpHeader **headers);
extern void dwf_server_answer(DwfConn *conn, const DwfReply *answer);
extern void dwf_server_answer_status(DwfConn *conn, int status);
extern void dwf_server_hang_up(DwfConn *conn);
extern void dwf_server_hold(DwfConn *conn, int64 request_id);
extern DwfConn *dwf_server_held(int64 request_id);
extern void dwf_server_note_failure(void);
extern void dwf_server_drop_gone(void);
extern long dwf_server_cut_slow(void);
extern void dwf_server_say_goodbye(bool in_doubt);

#endif							/* DWF_SERVER_H */
