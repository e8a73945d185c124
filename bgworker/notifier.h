/*-------------------------------------------------------------------------
 *
 * notifier.h
 *	  Notify the sessions that listen, for the worker of their database.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_NOTIFIER_H
#define DWF_NOTIFIER_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

extern void dwf_notifier_init(void);
extern void dwf_notifier_add(const char *news, uint32 length, bool resync);
extern long dwf_notifier_time_left(void);
extern bool dwf_notifier_is_due(void);
extern TimestampTz dwf_notifier_next(void);
extern void dwf_notifier_tell(void);

#endif							/* DWF_NOTIFIER_H */
