/*-------------------------------------------------------------------------
 *
 * suspend.h
 *	  Waits that end with the suspension of their workflow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SUSPEND_H
#define DWF_SUSPEND_H

#include "base/durable_wf.h"

#include "session/wait.h"

extern void dwf_suspend_check_call(const DwfWait *wait);
extern bool dwf_suspend_is_wanted(const DwfWait *wait);
extern bool dwf_suspend_wait(DwfWait *wait);

#endif							/* DWF_SUSPEND_H */
