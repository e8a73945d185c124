/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *	  What this transaction's end must wake.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAKEUP_H
#define DWF_WAKEUP_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "shared/address.h"
#include "store/store.h"


/* The notes of a transaction that was prepared; only wakeup.c reads them */
typedef struct DwfNotes
{
	struct Note *notes;
	int			count;
	int			max;
	struct StringInfoData *texts;
} DwfNotes;

/* What an arrival does besides waking waiters */
#define DWF_WAKES_ALL	1		/* all, also where an arrival serves one */
#define DWF_INTERRUPTS	2		/* interrupt the executor of the workflow */

extern bool dwf_wakeup_has_notes(void);
extern void dwf_wakeup_swap(DwfNotes *notes);
extern void dwf_wakeup_end_xact(XactEvent event);
extern void dwf_wakeup_end_subxact(SubTransactionId subid);
extern void dwf_wakeup_note_arrival(const DwfAddress *address, uint64 hash,
									uint32 count, int flags);
extern void dwf_wakeup_note_due(const DwfAddress *work, TimestampTz due);
extern void dwf_wakeup_note_work(text *workflow_id, bool is_due);
extern void dwf_wakeup_note_resumed(const DwfResumed * resumed);
extern void dwf_wakeup_note_turn(const DwfAddress *address);
extern int	dwf_wakeup_note_take(const DwfAddress *address);
extern void dwf_wakeup_note_removal(const DwfAddress *address);
extern void dwf_wakeup_settle_take(int position, uint32 taken);

#endif							/* DWF_WAKEUP_H */
