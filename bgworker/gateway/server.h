/*-------------------------------------------------------------------------
 *
 * server.h
 *	  Accept connections, read requests and check them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SERVER_H
#define DWF_SERVER_H

#include "postgres.h"

#include "bgworker/gateway/conn.h"

/* Does the gateway take requests, or answer 503? */
extern bool dwf_server_is_open;

extern void dwf_server_start(void);
extern int	dwf_server_fd(void);
extern void dwf_server_watch_sockets(void);
extern void dwf_server_run(void);
extern void dwf_server_let_come(DwfConn *conn);
extern bool dwf_server_has_more(void);
extern void dwf_server_note_failure(void);

#endif							/* DWF_SERVER_H */
