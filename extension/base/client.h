/*-------------------------------------------------------------------------
 *
 * client.h
 *	  Notice that the client of this session has disconnected.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLIENT_H
#define DWF_CLIENT_H

#include "base/durable_wf.h"

extern void dwf_client_sleep(long timeout, uint32 wait_event);
extern void dwf_client_note_taken(void);
extern void dwf_client_check_commit(void);
extern void dwf_client_end_xact(void);
extern void dwf_client_keep_alive(void);
extern void dwf_client_keep_as_set(void);

#endif							/* DWF_CLIENT_H */
