/*-------------------------------------------------------------------------
 *
 * suspended.h
 *	  Let suspended workflows go on, and end those that have run out of time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SUSPENDED_H
#define DWF_SUSPENDED_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

#include "shared/news.h"


extern bool dwf_suspended_has_news(void);
extern bool dwf_suspended_has_left(void);
extern void dwf_suspended_add(const char *news, uint32 length,
							  const DwfLost *lost);
extern void dwf_suspended_news(void);
extern TimestampTz dwf_suspended_by_clock(bool is_copy);
extern TimestampTz dwf_suspended_aside(void);
extern bool dwf_suspended_is_due(void);
extern void dwf_suspended_lost(void);
extern TimestampTz dwf_suspended_next(void);

#endif							/* DWF_SUSPENDED_H */
