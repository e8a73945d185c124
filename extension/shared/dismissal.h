/*-------------------------------------------------------------------------
 *
 * dismissal.h
 *	  No session waits in a database while its extension is altered or dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_DISMISSAL_H
#define DWF_DISMISSAL_H

#include "base/durable_wf.h"

extern Size dwf_dismissal_size(void);
extern void dwf_dismissal_init_shared(void);
extern void dwf_dismissal_begin(void);
extern void dwf_dismissal_end(void);
extern void dwf_dismissal_check(void);

#endif							/* DWF_DISMISSAL_H */
