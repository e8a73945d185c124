/*-------------------------------------------------------------------------
 *
 * body_timeout.h
 *	  How long the body of a SQL workflow may take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_BODY_TIMEOUT_H
#define DWF_BODY_TIMEOUT_H

#include "base/durable_wf.h"

extern void dwf_body_timeout_start(void);
extern void dwf_body_timeout_start_step(void);
extern void dwf_body_timeout_stop(void);
extern bool dwf_body_timeout_has_run_out(void);

#endif							/* DWF_BODY_TIMEOUT_H */
