/*-------------------------------------------------------------------------
 *
 * route.h
 *	  To which node of a cluster a call goes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ROUTE_H
#define DWF_ROUTE_H

#include "base/durable_wf.h"

extern void dwf_route_init(void);
extern bool dwf_route_is_elsewhere(text *workflow_id);
extern void dwf_route_require_here(const char *function, text *workflow_id);
extern void dwf_route_send_to_others(const char *function, Datum *arguments,
									 bool *nulls, int count);

#endif							/* DWF_ROUTE_H */
