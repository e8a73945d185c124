/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  The memory that all backends share: one slot per backend, and buckets
 *	  of what the slots wait for.  Floor 1.
 *
 * Locking, once and for all:
 *
 *	partition lock i	guards the link lists of every bucket b with
 *						b % DWF_PARTITIONS == i.  At most one partition lock
 *						is held at a time and nothing else is locked under
 *						it.  Waking and leaving cannot fail; who copies out
 *						can run out of memory, and the abort unlocks.
 *	slot contents		written by the slot's backend only, while none of its
 *						links is in a bucket.  Whoever finds a link in a
 *						bucket may read the slot for as long as it holds that
 *						bucket's partition lock.
 *	signalled, nlinks	atomics.
 *	wait_id				atomic: zero as soon as the wait is over.
 *	heads				each set by its spinlock; see queue_head.c.
 *	horizon				its spinlock; see horizon.c.
 *	attached, _id, ...	by the slot's backend, under the attachment lock.
 *	prepared, service,	a lock each, after the partition locks; never two of
 *	the listens			them at a time.
 *	counters			written by the slot's backend only, read by anybody;
 *						atomic so that no reader sees half a number.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SHMEM_H
#define DWF_SHMEM_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "port/atomics.h"
#include "storage/lwlock.h"

#include "shared/horizon.h"
#include "shared/prepared.h"
#include "shared/queue_head.h"
#include "shared/service.h"

#define DWF_PARTITIONS		64
#define DWF_FILTER_SIZE		4096	/* a power of two */
#define DWF_DATABASES		64	/* a power of two: counters by database */

/* What one call can wait for: topics, and room for the doors behind them */
#define DWF_TOPICS_MAX		128
#define DWF_LINKS_MAX		(DWF_TOPICS_MAX + 4)
#define DWF_TOPIC_BYTES_MAX	4096

/* The subjects that wf_stat counts by */
typedef enum DwfSubject
{
	DWF_SUBJECT_MESSAGE,
	DWF_SUBJECT_EVENT,
	DWF_SUBJECT_NOTIFY,
	DWF_SUBJECT_HOOK,
	DWF_SUBJECT_RESULT,
	DWF_SUBJECT_QUEUE,
	DWF_SUBJECT_TIMER,
	DWF_SUBJECT_STREAM,
	DWF_SUBJECT_ALL,			/* what concerns all of them at once */
	DWF_SUBJECT_COUNT
} DwfSubject;

/* What is counted for each of them */
typedef enum DwfCounter
{
	DWF_COUNT_SENDS,			/* committed sends, events, ends */
	DWF_COUNT_RECEIVES,			/* committed receives */
	DWF_COUNT_WAITS,			/* calls that had to wait */
	DWF_COUNT_TIMEOUTS,			/* waits that ended by their timeout */
	DWF_COUNT_WAKES,			/* waiters this backend woke */
	DWF_COUNT_SPURIOUS,			/* times it woke and found nothing */
	DWF_COUNT_PASSED_ON,		/* wakes it handed on as it left */
	DWF_COUNT_NOTIFICATIONS,	/* NOTIFYs to listeners */
	DWF_COUNT_RESYNCS,			/* times that listeners had to look themselves */
	DWF_COUNT_RECONCILES,		/* ... and that all waiters of a database had
								 * to */
	DWF_COUNT_COUNT
} DwfCounter;

/* One thing a slot waits for, a member of its bucket's list */
typedef struct DwfLink
{
	dlist_node	node;
	uint64		hash;
	int32		slot;
	uint16		key_offset;		/* into the slot's keys */
	uint16		key_length;
	char		door;
	bool		shown;			/* is what the caller waits for, not an aid */
} DwfLink;

typedef struct DwfSlot
{
	pg_atomic_uint32 signalled; /* a wake was given and is not yet used */
	pg_atomic_uint32 dismissed; /* it must not wait any longer */
	pg_atomic_uint32 dismisses; /* a database in which it lets nobody wait */
	pg_atomic_uint32 holds;		/* a database that our worker must leave */
	pg_atomic_uint64 attached;	/* what it executes; see claim.c */
	int			attached_pid;	/* its pid, while it does, and the like */
	Oid			attached_database;
	Oid			attached_role;
	TimestampTz attached_since;
	int			attached_length;
	char		attached_id[DWF_WORKFLOW_ID_MAX];
	bool		runs_body;		/* it is an executor that runs the body */
	bool		is_interrupted; /* the body has to end; see claim.c */
	int			pid;
	Oid			database;
	Oid			role;
	pg_atomic_uint64 wait_id;	/* names this wait for a broadcast, or 0 */
	TimestampTz since;
	TimestampTz deadline;
	int			nlinks;
	int			workflow_length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	DwfLink		links[DWF_LINKS_MAX];
	char		keys[DWF_TOPIC_BYTES_MAX];
	pg_atomic_uint64 counters[DWF_SUBJECT_COUNT][DWF_COUNT_COUNT];
} DwfSlot;

typedef struct DwfBucket
{
	pg_atomic_uint32 nlinks;	/* zero tells a sender that nobody waits */
	dlist_head	links;			/* longest waiting first */
} DwfBucket;

typedef struct DwfShared
{
	uint64		hash_seed;		/* random, so that nobody can aim at a bucket */
	pg_atomic_uint64 next_wait_id;	/* starts at the clock: never used before */
	TimestampTz started_at;
	int			nslots;			/* one per backend, by proc number */
	uint32		nbuckets;		/* a power of two */
	LWLockPadded *partitions;
	DwfBucket  *buckets;
	DwfSlot    *slots;
	DwfQueueHeadSet *heads;
	DwfHorizon	horizon;
	DwfPrepared *prepared;		/* max_prepared_transactions of them */
	pg_atomic_uint64 own_from;	/* full xid; see prepared.c */
	DwfService *service;
	ConditionVariable attachment_ended;
	pg_atomic_uint32 nbodies;	/* how many slots run a body */
	pg_atomic_uint32 nsuspended;	/* 1 when something was ever suspended */

	/* who listens: see listener.c */
	uint8		secret[32];
	pg_atomic_uint32 nlistens;
	pg_atomic_uint32 filter[DWF_FILTER_SIZE];
	pg_atomic_uint32 listeners[DWF_DATABASES];	/* sessions */

	pg_atomic_uint32 ndismissing;	/* sessions whose "dismisses" is set */
} DwfShared;

/* NULL when the library was not in shared_preload_libraries */
extern DwfShared *dwf_shared;

extern void dwf_shmem_init(void);
extern void dwf_shmem_require(const char *function);
extern LWLock *dwf_shmem_prepared_lock(void);
extern LWLock *dwf_shmem_service_lock(void);
extern LWLock *dwf_shmem_listener_lock(void);
extern LWLock *dwf_shmem_claim_lock(void);
extern DwfSlot *dwf_shmem_my_slot(void);
extern DwfSubject dwf_shmem_subject(char door);
extern const char *dwf_shmem_subject_name(DwfSubject subject);
extern void dwf_shmem_count(DwfSubject subject, DwfCounter counter, uint64 n);

#endif							/* DWF_SHMEM_H */
