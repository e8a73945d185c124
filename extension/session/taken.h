/*-------------------------------------------------------------------------
 *
 * taken.h
 *	  Which mailbox items this transaction has taken.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TAKEN_H
#define DWF_TAKEN_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "store/store.h"

extern void dwf_taken_note(const DwfAddress *queue, const DwfItem *items,
						   int count);
extern void dwf_taken_end_xact(XactEvent event);
extern void dwf_taken_end_subxact(SubTransactionId subid);

#endif							/* DWF_TAKEN_H */
