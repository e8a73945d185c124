/*-------------------------------------------------------------------------
 *
 * saturation.h
 *	  For whose work the worker can do nothing now.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SATURATION_H
#define DWF_SATURATION_H

#include "base/durable_wf.h"

extern Size dwf_saturation_size(void);
extern void dwf_saturation_init_shared(void);
extern bool dwf_saturation_exists(uint64 work_hash);
extern void dwf_saturation_begin(void);
extern void dwf_saturation_add(uint64 work_hash);
extern bool dwf_saturation_end(void);
extern void dwf_saturation_exit(void);

#endif							/* DWF_SATURATION_H */
