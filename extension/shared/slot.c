/*-------------------------------------------------------------------------
 *
 * slot.c
 *	  The number of a process, by which the parts of our shared memory find
 *	  what they keep for it.
 *
 * A slot is a number below dwf_slot_count(): the process's own among the
 * server's processes.  Each backend has one, so slots can neither run out nor
 * leak.  What is kept for each slot is in arrays, one of each part that keeps
 * something (waiter.c, claims.c, presence.c, dismissal.c, counters.c), so that
 * no part reads or writes what belongs to another one.
 *
 * This is the only file that sets the latch of another process.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/slot.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"

#include "shared/preloaded.h"

/* How many slots there are */
int
dwf_slot_count(void)
{
	return MaxBackends;
}

/*
 * This process's slot; DWF_NO_SLOT if it has none (an auxiliary process), or
 * if our shared memory is not there
 */
int
dwf_slot_mine(void)
{
	int			number;

	if (!dwf_preloaded() || MyProc == NULL)
		return DWF_NO_SLOT;
	number = DWF_MY_PROC_NUMBER;
	return number >= 0 && number < dwf_slot_count() ? number : DWF_NO_SLOT;
}

/*
 * Wake the process in a slot, if "slot" is one.  The caller has published
 * before what the process is to find.  Cannot fail and does not block.
 */
void
dwf_slot_set_latch(int slot)
{
	if (slot != DWF_NO_SLOT)
		SetLatch(&GetPGProcByNumber(slot)->procLatch);
}
