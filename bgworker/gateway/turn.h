/*-------------------------------------------------------------------------
 *
 * turn.h
 *	  Which request is next, among those that wait for a helper.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TURN_H
#define DWF_TURN_H

#include "postgres.h"

#include "bgworker/gateway/conn.h"

extern int	dwf_turn_choose(DwfConn **waiting, int count,
							int (*count_helpers_of) (Oid owner));
extern void dwf_turn_pass_by(DwfConn **waiting, int count, Oid owner,
							 const char *token);
extern void dwf_turn_take(Oid owner);

#endif							/* DWF_TURN_H */
