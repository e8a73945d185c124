/*-------------------------------------------------------------------------
 *
 * sockets.h
 *	  The sockets that the gateway listens on.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SOCKETS_H
#define DWF_SOCKETS_H

#include "postgres.h"

/* How many there are at most */
#define DWF_LISTEN_MAX	16

extern int	dwf_sockets_fds[DWF_LISTEN_MAX];
extern int	dwf_sockets_count;

extern bool dwf_sockets_open(long *retry_after);
extern void dwf_sockets_close(void);

#endif							/* DWF_SOCKETS_H */
