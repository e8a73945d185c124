/*-------------------------------------------------------------------------
 *
 * preloaded.h
 *	  Was the library preloaded, so that our shared memory is there?
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PRELOADED_H
#define DWF_PRELOADED_H

#include "base/durable_wf.h"

extern bool dwf_preloaded(void);
extern void dwf_preloaded_require(const char *function);
extern void dwf_preloaded_set(void);

#endif							/* DWF_PRELOADED_H */
