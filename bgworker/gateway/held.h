/*-------------------------------------------------------------------------
 *
 * held.h
 *	  The held requests by their ids.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HELD_H
#define DWF_HELD_H

#include "postgres.h"

#include "bgworker/gateway/conn.h"

extern void dwf_held_start(void);
extern void dwf_held_add(DwfConn *conn, int64 request_id);
extern void dwf_held_forget(DwfConn *conn);
extern DwfConn *dwf_held_find(int64 request_id);

#endif							/* DWF_HELD_H */
