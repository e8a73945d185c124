/*-------------------------------------------------------------------------
 *
 * slot.h
 *	  The number of a process, by which the parts of our shared memory find
 *	  what they keep for it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SLOT_H
#define DWF_SLOT_H

#include "base/durable_wf.h"

#define DWF_NO_SLOT	(-1)

extern int	dwf_slot_count(void);
extern int	dwf_slot_mine(void);
extern void dwf_slot_set_latch(int slot);

#endif							/* DWF_SLOT_H */
