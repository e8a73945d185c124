/*-------------------------------------------------------------------------
 *
 * inbox.h
 *	  News for suspended workflows that were taken from the ring.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_INBOX_H
#define DWF_INBOX_H

#include "base/durable_wf.h"

#include "shared/news.h"

/* The next news of one of the two queues, while they are served */
typedef struct DwfInboxSlice
{
	bool		is_bulk;		/* filled by the caller */
	int			end;			/* where the slice ends in its queue */
} DwfInboxSlice;

extern void dwf_inbox_init(void);
extern void dwf_inbox_add(const char *news, uint32 length, DwfLost *lost);
extern bool dwf_inbox_has(bool is_bulk);
extern void dwf_inbox_begin(DwfInboxSlice *slice);
extern bool dwf_inbox_read(DwfInboxSlice *slice, DwfNews *news);
extern void dwf_inbox_forget(const DwfInboxSlice *slice);
extern void dwf_inbox_empty(bool is_bulk);

#endif							/* DWF_INBOX_H */
