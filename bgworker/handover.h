/*-------------------------------------------------------------------------
 *
 * handover.h
 *	  Resume a body of which a session has told this executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HANDOVER_H
#define DWF_HANDOVER_H

#include "base/durable_wf.h"

extern void dwf_handover_begin(uint64 work_hash);
extern text *dwf_handover_find(void);
extern void dwf_handover_refuse(void);
extern void dwf_handover_end(void);

#endif							/* DWF_HANDOVER_H */
