/*-------------------------------------------------------------------------
 *
 * step_scope.h
 *	  What the command of a step leaves in the session: nothing.  Floor 5.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STEP_SCOPE_H
#define DWF_STEP_SCOPE_H

#include "base/durable_wf.h"

extern void dwf_step_scope_begin(void);
extern void dwf_step_scope_end(text *step);
extern void dwf_step_scope_abort(void);
extern void dwf_step_scope_refuse(const char *command);
extern void dwf_step_scope_init(void);

#endif							/* DWF_STEP_SCOPE_H */
