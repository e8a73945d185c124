/*-------------------------------------------------------------------------
 *
 * launch_gateway.h
 *	  When there is a gateway; for the launcher.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FRONT_H
#define DWF_FRONT_H

#include "base/durable_wf.h"

/* What the gateway's main function is given beside its database */
typedef struct DwfGatewayStart
{
	uint32		generation;		/* of the launcher */
	Oid			owner;			/* of the extension */
} DwfGatewayStart;

extern long dwf_front_tend(uint32 generation, Oid database, bool is_settled);
extern void dwf_front_reload(void);

#endif							/* DWF_FRONT_H */
