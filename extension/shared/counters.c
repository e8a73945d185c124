/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  What wf_stat shows.
 *
 * Each slot has counters of its own, so counting needs no lock: the slot's
 * process adds to them, and a reader adds up those of all slots.  They are
 * atomics so that no reader sees half a number.  A process that begins goes on
 * with the counters that the slot's last process has left.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/counters.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/slot.h"

/* The counters of one slot */
typedef struct SlotCounters
{
	pg_atomic_uint64 cells[DWF_SUBJECT_COUNT][DWF_COUNT_COUNT];
} SlotCounters;

static SlotCounters *counters = NULL;	/* by slot */

/* How much shared memory this part needs */
Size
dwf_counters_size(void)
{
	return mul_size(dwf_slot_count(), sizeof(SlotCounters));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_counters_init_shared(void)
{
	bool		found;

	counters = ShmemInitStruct("durable_wf counters", dwf_counters_size(),
							   &found);
	if (found)
		return;
	for (int i = 0; i < dwf_slot_count(); i++)
		for (int s = 0; s < DWF_SUBJECT_COUNT; s++)
			for (int c = 0; c < DWF_COUNT_COUNT; c++)
				pg_atomic_init_u64(&counters[i].cells[s][c], 0);
}

/* The subject that a door's traffic is counted under */
DwfSubject
dwf_counters_subject(char door)
{
	/* doors that users know as one thing are counted as one */
	switch (door)
	{
		case DWF_DOOR_TOPIC:
		case DWF_DOOR_NO_TOPIC:
			return DWF_SUBJECT_MESSAGE;
		case DWF_DOOR_EVENT:
			return DWF_SUBJECT_EVENT;
		case DWF_DOOR_NOTIFY:
		case DWF_DOOR_BROADCAST:
			return DWF_SUBJECT_NOTIFY;
		case DWF_DOOR_HOOK:
		case DWF_DOOR_RESPONSE:
		case DWF_DOOR_GATEWAY:
			return DWF_SUBJECT_HOOK;
		case DWF_DOOR_QUEUE:
		case DWF_DOOR_WORK:
			return DWF_SUBJECT_QUEUE;
		case DWF_DOOR_TIMER:
			return DWF_SUBJECT_TIMER;
		default:
			Assert(door == DWF_DOOR_LIFE);
			return DWF_SUBJECT_RESULT;
	}
}

/* What users call a subject, in the column "door"; NULL for all of them */
const char *
dwf_counters_subject_name(DwfSubject subject)
{
	static const char *const names[DWF_SUBJECT_COUNT] = {
		[DWF_SUBJECT_MESSAGE] = "message",
		[DWF_SUBJECT_EVENT] = "event",
		[DWF_SUBJECT_NOTIFY] = "notify",
		[DWF_SUBJECT_HOOK] = "hook",
		[DWF_SUBJECT_RESULT] = "result",
		[DWF_SUBJECT_QUEUE] = "queue",
		[DWF_SUBJECT_TIMER] = "timer",
	};

	return names[subject];
}

/* Add n to one of this process's counters, if it has any; cannot fail */
void
dwf_counters_add(DwfSubject subject, DwfCounter counter, uint64 n)
{
	int			slot = dwf_slot_mine();
	pg_atomic_uint64 *cell;

	if (slot == DWF_NO_SLOT)
		return;
	cell = &counters[slot].cells[subject][counter];
	pg_atomic_write_u64(cell, pg_atomic_read_u64(cell) + n);
}

/* What all processes have counted since the server has started */
uint64
dwf_counters_sum(DwfSubject subject, DwfCounter counter)
{
	uint64		sum = 0;

	for (int i = 0; i < dwf_slot_count(); i++)
		sum += pg_atomic_read_u64(&counters[i].cells[subject][counter]);
	return sum;
}
