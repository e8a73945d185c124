/*-------------------------------------------------------------------------
 *
 * suspend.h
 *	  Waits in the body of a SQL workflow, which end with its suspension.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SUSPEND_H
#define DWF_SUSPEND_H

#include "base/durable_wf.h"

#include "session/wait.h"

extern void dwf_suspend_check_call(const DwfWait *wait);
extern bool dwf_suspend_wait(DwfWait *wait);

#endif							/* DWF_SUSPEND_H */
