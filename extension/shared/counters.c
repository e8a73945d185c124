/*-------------------------------------------------------------------------
 *
 * counters.c
 *	  What wf_stat shows.
 *
 * Each slot has counters of its own, so counting needs no lock: the slot's
 * process adds to them, and a reader adds up those of all slots.  They are
 * atomics so that no reader sees half a number.
 *
 * They count for one database.  A process whose slot has counted for another
 * one adds what it finds there to the sums of that database, before it counts
 * for the first time; else it goes on with what the slot's last process has
 * left.  A spinlock guards the sums, and keeps a reader from a slot whose
 * counters are on their way there.  A database without room shares the last
 * sums with others.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/counters.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared/slot.h"

/* The counters of one slot */
typedef struct SlotCounters
{
	Oid			database;		/* changed by the slot's process, under the
								 * lock */
	pg_atomic_uint64 cells[DWF_SUBJECT_COUNT][DWF_COUNT_COUNT];
} SlotCounters;

/* How many databases have sums of their own */
#define DATABASES	128

/* What processes that have left a database have counted there */
typedef struct DatabaseSums
{
	Oid			database;		/* guarded by the lock, like the cells */
	uint64		cells[DWF_SUBJECT_COUNT][DWF_COUNT_COUNT];
} DatabaseSums;

typedef struct Counters
{
	slock_t		lock;
	DatabaseSums sums[DATABASES];
	SlotCounters slots[FLEXIBLE_ARRAY_MEMBER];
} Counters;

static Counters *counters = NULL;

/* How much shared memory this part needs */
Size
dwf_counters_size(void)
{
	return add_size(offsetof(Counters, slots),
					mul_size(dwf_slot_count(), sizeof(SlotCounters)));
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
	SpinLockInit(&counters->lock);
	memset(counters->sums, 0, sizeof(counters->sums));
	for (int i = 0; i < dwf_slot_count(); i++)
	{
		counters->slots[i].database = InvalidOid;
		for (int s = 0; s < DWF_SUBJECT_COUNT; s++)
			for (int c = 0; c < DWF_COUNT_COUNT; c++)
				pg_atomic_init_u64(&counters->slots[i].cells[s][c], 0);
	}
}

/* The sums of a database, with a place if they had none; under the lock */
static DatabaseSums *
sums_of(Oid database)
{
	int			i = 0;

	while (i < DATABASES - 1 && OidIsValid(counters->sums[i].database) &&
		   counters->sums[i].database != database)
		i++;
	if (i < DATABASES - 1)
		counters->sums[i].database = database;
	return &counters->sums[i];
}

/* This process is the first of its database in its slot; cannot fail */
static void
change_database(SlotCounters *slot)
{
	DatabaseSums *sums;

	SpinLockAcquire(&counters->lock);
	sums = sums_of(slot->database);
	for (int s = 0; s < DWF_SUBJECT_COUNT; s++)
		for (int c = 0; c < DWF_COUNT_COUNT; c++)
		{
			sums->cells[s][c] += pg_atomic_read_u64(&slot->cells[s][c]);
			pg_atomic_write_u64(&slot->cells[s][c], 0);
		}
	slot->database = MyDatabaseId;
	SpinLockRelease(&counters->lock);
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
		case DWF_DOOR_STREAM:
		case DWF_DOOR_TURN:
			return DWF_SUBJECT_STREAM;
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
		[DWF_SUBJECT_STREAM] = "stream",
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
	if (counters->slots[slot].database != MyDatabaseId)
		change_database(&counters->slots[slot]);
	cell = &counters->slots[slot].cells[subject][counter];
	pg_atomic_write_u64(cell, pg_atomic_read_u64(cell) + n);
}

/*
 * What all processes have counted for this database since the server has
 * started
 */
uint64
dwf_counters_sum(DwfSubject subject, DwfCounter counter)
{
	uint64		sum;

	SpinLockAcquire(&counters->lock);
	sum = sums_of(MyDatabaseId)->cells[subject][counter];
	for (int i = 0; i < dwf_slot_count(); i++)
	{
		SlotCounters *slot = &counters->slots[i];

		if (slot->database == MyDatabaseId)
			sum += pg_atomic_read_u64(&slot->cells[subject][counter]);
	}
	SpinLockRelease(&counters->lock);
	return sum;
}
