/*-------------------------------------------------------------------------
 *
 * far_waits.h
 *	  How many sessions of this node wait on other nodes of the cluster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FAR_WAITS_H
#define DWF_FAR_WAITS_H

#include "base/durable_wf.h"

extern Size dwf_far_waits_size(void);
extern void dwf_far_waits_init_shared(void);
extern bool dwf_far_waits_enter(int limit);
extern void dwf_far_waits_leave(void);

#endif							/* DWF_FAR_WAITS_H */
