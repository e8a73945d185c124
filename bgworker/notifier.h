/*-------------------------------------------------------------------------
 *
 * notifier.h
 *	  Notify the sessions that listen.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TELL_H
#define DWF_TELL_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

extern void dwf_tell_init(void);
extern void dwf_tell_add(const char *news, uint32 length, bool resync);
extern long dwf_tell_time_left(void);
extern bool dwf_tell_is_due(void);
extern TimestampTz dwf_tell_next(void);
extern void dwf_tell(void);

#endif							/* DWF_TELL_H */
