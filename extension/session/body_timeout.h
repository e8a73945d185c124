/*-------------------------------------------------------------------------
 *
 * body_timeout.h
 *	  How long the body of a SQL workflow may take.  Floor 2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOCK_H
#define DWF_CLOCK_H

#include "base/durable_wf.h"

extern void dwf_clock_start(void);
extern void dwf_clock_start_step(void);
extern void dwf_clock_stop(void);
extern bool dwf_clock_has_run_out(void);

#endif							/* DWF_CLOCK_H */
