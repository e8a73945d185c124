/*-------------------------------------------------------------------------
 *
 * restricted.h
 *	  Code that this session runs for another role than its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_RESTRICTED_H
#define DWF_RESTRICTED_H

#include "base/durable_wf.h"

extern bool dwf_restricted(void);
extern bool dwf_restricted_is_validator(void);
extern int	dwf_restricted_enter_validator(void);
extern void dwf_restricted_leave_validator(void);
extern void dwf_restricted_refuse(const char *function);

#endif							/* DWF_RESTRICTED_H */
