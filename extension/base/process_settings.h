/*-------------------------------------------------------------------------
 *
 * process_settings.h
 *	  What our processes' sessions begin with.  Floor 2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SESSION_H
#define DWF_SESSION_H

#include "base/durable_wf.h"

extern PGDLLEXPORT void dwf_session_begin(bool runs_bodies);

#endif							/* DWF_SESSION_H */
