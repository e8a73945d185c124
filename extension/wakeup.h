/*-------------------------------------------------------------------------
 *
 * wakeup.h
 *	  What this transaction's end must wake.  Floor 2.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAKEUP_H
#define DWF_WAKEUP_H

#include "durable_wf.h"

#include "access/xact.h"

#include "waiter.h"

extern void dwf_wakeup_end_xact(XactEvent event);
extern void dwf_wakeup_end_subxact(SubTransactionId subid);
extern int	dwf_wakeup_note_take(const DwfAddress *address);
extern void dwf_wakeup_settle_take(int position, uint32 taken);

#endif							/* DWF_WAKEUP_H */
