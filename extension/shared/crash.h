/*-------------------------------------------------------------------------
 *
 * crash.h
 *	  Which workflows have lost the process that executed them by a crash.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CRASH_H
#define DWF_CRASH_H

#include "base/durable_wf.h"

extern void dwf_crash_init_shared(void);
extern void dwf_crash_watch(void);
extern void dwf_crash_forget(text *workflow_id);
extern void dwf_crash_enter(text *workflow_id);
extern void dwf_crash_leave(void);
extern void dwf_crash_note(void);
extern void dwf_crash_forget(text *workflow_id);
extern bool dwf_crash_is_noted(text *workflow_id);

#endif							/* DWF_CRASH_H */
