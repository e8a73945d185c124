/*-------------------------------------------------------------------------
 *
 * shmem.c
 *	  Reserve and initialise the shared memory, and count in it.
 *
 * There is one slot per backend, found by proc number, so a slot can neither
 * run out nor leak, and counting needs no lock: each backend writes its own
 * counters, the reader adds them up.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/shmem.h"

#include "common/pg_prng.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shared/crash.h"
#include "shared/executors.h"
#include "shared/listener.h"

#define DWF_TRANCHE		"durable_wf"
#define DWF_BUCKETS_MIN	1024
#define DWF_LOCKS		(DWF_PARTITIONS + 4)

DwfShared  *dwf_shared = NULL;

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* Number of buckets: a power of two with few links in each */
static uint32
bucket_count(void)
{
	uint32		wanted = Max((uint32) MaxBackends * 4, DWF_BUCKETS_MIN);

	return pg_nextpower2_32(wanted);
}

static Size
shared_size(void)
{
	Size		size = MAXALIGN(sizeof(DwfShared));

	size = add_size(size, MAXALIGN(mul_size(bucket_count(),
											sizeof(DwfBucket))));
	size = add_size(size, MAXALIGN(mul_size(MaxBackends, sizeof(DwfSlot))));
	size = add_size(size, dwf_queue_head_size());
	size = add_size(size, dwf_service_size());
	return add_size(size, mul_size(dwf_prepared_count(), sizeof(DwfPrepared)));
}

static void
request_shmem(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();

	RequestAddinShmemSpace(shared_size());
	RequestAddinShmemSpace(dwf_listener_size());
	RequestAddinShmemSpace(dwf_executors_size());
	RequestNamedLWLockTranche(DWF_TRANCHE, DWF_LOCKS);
}

/* Lay out and initialise a new segment; runs in the postmaster */
static void
init_shared(DwfShared *shared)
{
	char	   *next = (char *) shared + MAXALIGN(sizeof(DwfShared));

	if (!pg_strong_random(&shared->hash_seed, sizeof(shared->hash_seed)) ||
		!pg_strong_random(shared->secret, sizeof(shared->secret)))
		elog(FATAL, "could not get random bytes");
	shared->started_at = GetCurrentTimestamp();
	pg_atomic_init_u64(&shared->next_wait_id, (uint64) shared->started_at);
	shared->partitions = GetNamedLWLockTranche(DWF_TRANCHE);

	shared->nbuckets = bucket_count();
	shared->buckets = (DwfBucket *) next;
	for (uint32 i = 0; i < shared->nbuckets; i++)
	{
		pg_atomic_init_u32(&shared->buckets[i].nlinks, 0);
		dlist_init(&shared->buckets[i].links);
	}
	next += MAXALIGN(mul_size(shared->nbuckets, sizeof(DwfBucket)));

	shared->nslots = MaxBackends;
	shared->slots = (DwfSlot *) next;
	for (int i = 0; i < shared->nslots; i++)
	{
		DwfSlot    *slot = &shared->slots[i];

		memset(slot, 0, sizeof(DwfSlot));
		pg_atomic_init_u32(&slot->signalled, 0);
		pg_atomic_init_u32(&slot->dismissed, 0);
		pg_atomic_init_u32(&slot->dismisses, InvalidOid);
		pg_atomic_init_u32(&slot->holds, InvalidOid);
		pg_atomic_init_u64(&slot->attached, 0);
		pg_atomic_init_u64(&slot->wait_id, 0);
		for (int s = 0; s < DWF_SUBJECT_COUNT; s++)
			for (int c = 0; c < DWF_COUNT_COUNT; c++)
				pg_atomic_init_u64(&slot->counters[s][c], 0);
	}
	next += MAXALIGN(mul_size(shared->nslots, sizeof(DwfSlot)));

	shared->heads = (DwfQueueHeadSet *) next;
	dwf_queue_head_init_shared(shared->heads);
	next += dwf_queue_head_size();

	shared->service = (DwfService *) next;
	dwf_service_init_shared(shared->service);
	next += dwf_service_size();

	ConditionVariableInit(&shared->attachment_ended);
	pg_atomic_init_u32(&shared->nbodies, 0);
	pg_atomic_init_u32(&shared->nsuspended, 0);
	dwf_horizon_init_shared(&shared->horizon);
	shared->prepared = (DwfPrepared *) next;
	memset(shared->prepared, 0, dwf_prepared_count() * sizeof(DwfPrepared));
	pg_atomic_init_u64(&shared->own_from, 0);
	pg_atomic_init_u32(&shared->ndismissing, 0);
	pg_atomic_init_u32(&shared->nlistens, 0);
	for (int i = 0; i < DWF_FILTER_SIZE; i++)
		pg_atomic_init_u32(&shared->filter[i], 0);
	for (int i = 0; i < DWF_DATABASES; i++)
		pg_atomic_init_u32(&shared->listeners[i], 0);
}

static void
startup_shmem(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	dwf_shared = ShmemInitStruct("durable_wf", shared_size(), &found);
	if (!found)
		init_shared(dwf_shared);
	dwf_listener_init_shared();
	dwf_executors_init_shared();
	if (!IsUnderPostmaster)
		dwf_crash_init_memory();
	LWLockRelease(AddinShmemInitLock);
}

/* Install the hooks, when called from shared_preload_libraries */
void
dwf_shmem_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = request_shmem;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

/* Raise 55000 unless the shared memory exists; "function" is its SQL name */
void
dwf_shmem_require(const char *function)
{
	if (dwf_shared == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s needs durable_wf to be preloaded", function),
				 errdetail("Waiting and waking use shared memory that only a preloaded library can reserve."),
				 errhint("Add durable_wf to shared_preload_libraries and restart the server.")));
}

/* The lock of the names of prepared transactions */
LWLock *
dwf_shmem_prepared_lock(void)
{
	return &dwf_shared->partitions[DWF_PARTITIONS].lock;
}

/* The lock of what backends and our processes tell each other */
LWLock *
dwf_shmem_service_lock(void)
{
	return &dwf_shared->partitions[DWF_PARTITIONS + 1].lock;
}

/* The lock of the table of listens */
LWLock *
dwf_shmem_listener_lock(void)
{
	return &dwf_shared->partitions[DWF_PARTITIONS + 2].lock;
}

/* The lock under which sessions claim workflows */
LWLock *
dwf_shmem_claim_lock(void)
{
	return &dwf_shared->partitions[DWF_PARTITIONS + 3].lock;
}

/* This backend's slot, or NULL when there is no shared memory for it */
DwfSlot *
dwf_shmem_my_slot(void)
{
	int			number;

	if (dwf_shared == NULL || MyProc == NULL)
		return NULL;
	number = DWF_MY_PROC_NUMBER;
	if (number < 0 || number >= dwf_shared->nslots)
		return NULL;
	return &dwf_shared->slots[number];
}

/* The subject that a door's traffic is counted under */
DwfSubject
dwf_shmem_subject(char door)
{
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

/* What users call a subject, as the column door says it; NULL for all */
const char *
dwf_shmem_subject_name(DwfSubject subject)
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

/* Add n to one of this backend's counters; cannot fail */
void
dwf_shmem_count(DwfSubject subject, DwfCounter counter, uint64 n)
{
	DwfSlot    *slot = dwf_shmem_my_slot();
	pg_atomic_uint64 *cell;

	if (slot == NULL)
		return;
	cell = &slot->counters[subject][counter];
	pg_atomic_write_u64(cell, pg_atomic_read_u64(cell) + n);
}
