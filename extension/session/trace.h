/*-------------------------------------------------------------------------
 *
 * trace.h
 *	  The trace context that a send takes along, and that of what was received.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TRACE_H
#define DWF_TRACE_H

#include "base/durable_wf.h"

#include "base/settings.h"
#include "store/store.h"

extern void dwf_trace_init(void);
extern text *dwf_trace_find(void);
extern void dwf_trace_begin(bool is_known, const text *traceparent);
extern void dwf_trace_note_taken(const DwfItem *items, int count);
extern void dwf_trace_note_replayed(int step_no);
extern void dwf_trace_forget(void);

/* The trace context that what is sent now takes along, or NULL */
static inline text *
dwf_trace_current(void)
{
	return dwf_setting_may_trace ? dwf_trace_find() : NULL;
}

#endif							/* DWF_TRACE_H */
