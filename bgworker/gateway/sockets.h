/*-------------------------------------------------------------------------
 *
 * sockets.h
 *	  The sockets that the gateway listens on.  Gateway, floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LISTEN_H
#define DWF_LISTEN_H

#include "postgres.h"

#define DWF_LISTEN_MAX	16

extern int	dwf_listen_fds[DWF_LISTEN_MAX];
extern int	dwf_listen_count;

extern bool dwf_listen_open(long *retry_after);
extern void dwf_listen_close(void);

#endif							/* DWF_LISTEN_H */
