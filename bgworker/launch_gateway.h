/*-------------------------------------------------------------------------
 *
 * launch_gateway.h
 *	  Start the gateway, and move it; for the launcher.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LAUNCH_GATEWAY_H
#define DWF_LAUNCH_GATEWAY_H

#include "base/durable_wf.h"

/* What the launcher gives to the gateway beside its database */
typedef struct DwfGatewayStart
{
	uint32		generation;		/* of the launcher */
	Oid			owner;			/* of the extension */
} DwfGatewayStart;

extern long dwf_launch_gateway_tend(uint32 generation, Oid database,
									bool is_settled);
extern void dwf_launch_gateway_reload(void);

#endif							/* DWF_LAUNCH_GATEWAY_H */
