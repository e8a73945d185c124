/*-------------------------------------------------------------------------
 *
 * log.h
 *	  What the server's log gets of our errors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LOG_H
#define DWF_LOG_H

#include "base/durable_wf.h"

extern void dwf_log_init(void);

#endif							/* DWF_LOG_H */
