/*-------------------------------------------------------------------------
 *
 * traceparent.h
 *	  The form of a trace context, as the W3C has it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TRACEPARENT_H
#define DWF_TRACEPARENT_H

#include "base/durable_wf.h"

/* A longer one is of a version to come, and not ours to keep */
#define DWF_TRACEPARENT_MAX		256

extern bool dwf_traceparent_is_valid(const char *value, int length);

#endif							/* DWF_TRACEPARENT_H */
