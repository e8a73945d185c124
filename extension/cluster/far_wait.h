/*-------------------------------------------------------------------------
 *
 * far_wait.h
 *	  Wait for what comes on another node of the cluster.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FAR_WAIT_H
#define DWF_FAR_WAIT_H

#include "base/durable_wf.h"

#include "session/journal.h"

extern Datum dwf_far_wait(const DwfCall *call, FunctionCallInfo fcinfo,
						  text *place);
extern Datum dwf_far_wait_wake(Datum ids);

#endif							/* DWF_FAR_WAIT_H */
