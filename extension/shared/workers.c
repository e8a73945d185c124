/*-------------------------------------------------------------------------
 *
 * workers.c
 *	  Through what backends and our own processes speak to each other.
 *
 * Backends leave requests for the launcher (look at this database) and news
 * for the worker of their database (this has come to that address), and set
 * its latch.  News go through a ring of bytes; when it is full they are lost,
 * and the worker is told of which workflows: it then has everyone look for
 * himself that waits for news of these.  The same, for all, when no worker is
 * there.  A commit with many news takes half of the room that is left at most,
 * so that it does not make others lose theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/workers.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/shmem.h"

/* The bytes of a DwfNews that precede its texts in the ring */
#define NEWS_HEADER		offsetof(DwfNews, workflow_id)

/* The place of this process, if it is a worker */
static DwfWorker *my_place = NULL;

/* Where this database's worker was when we last told it something */
static DwfWorker *last_worker = NULL;

/* Places for workers: as many as the server could run */
static int
place_count(void)
{
	return max_worker_processes;
}

Size
dwf_workers_size(void)
{
	Size		size = add_size(offsetof(DwfWorkers, workers),
								mul_size(place_count(), sizeof(DwfWorker)));

	return MAXALIGN(add_size(size, mul_size(place_count(), sizeof(Oid))));
}

/* Initialise the shared memory; runs in the postmaster */
void
dwf_workers_init_shared(DwfWorkers *service)
{
	memset(service, 0, offsetof(DwfWorkers, workers));
	service->launcher = DWF_NO_PROC;
	service->gateway.proc = DWF_NO_PROC;
	ConditionVariableInit(&service->worker_left);
	service->nworkers = place_count();
	service->gone = (Oid *) &service->workers[service->nworkers];
	for (int i = 0; i < service->nworkers; i++)
	{
		DwfWorker  *worker = &service->workers[i];

		worker->database = InvalidOid;
		worker->proc = DWF_NO_PROC;
		worker->lost.any = false;
		pg_atomic_init_u64(&worker->batch, 0);
		for (int r = 0; r < DWF_RECENT_SIZE; r++)
			pg_atomic_init_u64(&worker->recent[r], 0);
	}
}

static inline LWLock *
service_lock(void)
{
	return dwf_shmem_workers_lock();
}

static void
set_latch_of(int proc)
{
	if (proc != DWF_NO_PROC)
		SetLatch(&GetPGProcByNumber(proc)->procLatch);
}

/* The worker of a database, or NULL; the caller holds the lock */
static DwfWorker *
find_worker(Oid database)
{
	for (int i = 0; i < dwf_shared->service->nworkers; i++)
		if (dwf_shared->service->workers[i].database == database)
			return &dwf_shared->service->workers[i];
	return NULL;
}

/* ----- for backends ----- */

/*
 * Something about a database has changed that decides whether it has a worker:
 * have the launcher, and the worker if there is one, look at it again.
 * InvalidOid: at all of them.  Cannot fail.
 */
void
dwf_workers_request(Oid database)
{
	DwfWorkers *service;

	if (dwf_shared == NULL)
		return;
	service = dwf_shared->service;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (!OidIsValid(database) || service->nrequests == DWF_REQUESTS_MAX)
		service->check_all = true;
	else
		service->requests[service->nrequests++] = database;
	set_latch_of(service->launcher);

	for (int i = 0; i < service->nworkers; i++)
	{
		DwfWorker  *worker = &service->workers[i];

		if (OidIsValid(database) && worker->database != database)
			continue;
		worker->must_check = true;
		set_latch_of(worker->proc);
	}
	service->gateway.must_check = true;
	set_latch_of(service->gateway.proc);
	LWLockRelease(service_lock());
}

/* Has a worker nothing to do, so that it may sleep without a timeout? */
static inline bool
is_idle(const DwfWorker *worker)
{
	return worker->head == worker->tail && !worker->lost.any;
}

/* What says that news are in the ring of a batch */
static inline uint64
tag_of(uint64 hash, uint64 batch)
{
	return hash + batch * UINT64CONST(0x9E3779B97F4A7C15);
}

/* The ring's news are about to be taken, or were lost */
static void
next_batch(DwfWorker *worker)
{
	pg_atomic_write_u64(&worker->batch,
						pg_atomic_read_u64(&worker->batch) + 1);
}

/*
 * Are the news of this address in the ring already?  To be asked after our
 * commit, with a barrier in between: if the batch is still the same now, the
 * worker takes them later, and notifies later still, when what we have brought
 * can be seen.  If the worker dies before, there is a resync.
 */
bool
dwf_workers_has_news(uint64 hash)
{
	DwfWorker  *worker = last_worker;

	if (worker == NULL || worker->database != MyDatabaseId)
		return false;
	return tag_of(hash, pg_atomic_read_u64(&worker->batch)) ==
		pg_atomic_read_u64(&worker->recent[hash % DWF_RECENT_SIZE]);
}

static void
ring_write(DwfWorker *worker, const void *data, uint32 length)
{
	uint32		at = worker->head % DWF_RING_BYTES;
	uint32		first = Min(length, DWF_RING_BYTES - at);

	memcpy(worker->ring + at, data, first);
	memcpy(worker->ring, (const char *) data + first, length - first);
	worker->head += length;
}

/*
 * Begin to tell this database's worker what has come where; NULL if there is
 * none.  The caller puts or loses its news and closes, and nothing else.
 * Cannot fail.
 */
DwfWorker *
dwf_workers_open_ring(void)
{
	DwfWorker  *worker;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker == NULL)
		LWLockRelease(service_lock());
	else
	{
		worker->was_idle = is_idle(worker);
		worker->share = (DWF_RING_BYTES - (worker->head - worker->tail)) / 2;
		worker->used = 0;
	}
	last_worker = worker;
	return worker;
}

/*
 * Something has come there; the texts of workflow and key are in a row.  False
 * when there is no room: then it is lost.
 */
bool
dwf_workers_put_news(DwfWorker *worker, uint64 hash, char door,
					 const char *texts, uint16 workflow_length,
					 uint16 key_length)
{
	DwfNews		news;
	uint32		length = workflow_length + key_length;
	uint32		size = NEWS_HEADER + length;

	/* what fits is not refused to who brings no more than that */
	if (worker->head - worker->tail + size > DWF_RING_BYTES ||
		(worker->used > 0 && worker->used + size > worker->share))
		return false;
	worker->used += size;
	memset(&news, 0, NEWS_HEADER);
	news.door = door;
	news.workflow_length = workflow_length;
	news.key_length = key_length;
	ring_write(worker, &news, NEWS_HEADER);
	ring_write(worker, texts, length);
	pg_atomic_write_u64(&worker->recent[hash % DWF_RECENT_SIZE],
						tag_of(hash, pg_atomic_read_u64(&worker->batch)));
	return true;
}

/* Is this, or everything, among what was lost? */
bool
dwf_workers_has_lost(const DwfLost *lost, uint64 workflow_hash)
{
	uint32		bit = workflow_hash / 2 % DWF_LOST_BITS;

	return lost->all || (lost->bits[bit / 64] >> bit % 64 & 1) != 0;
}

/* More was lost */
void
dwf_workers_add_lost(DwfLost *lost, const DwfLost *more)
{
	if (!more->any)
		return;
	lost->any = true;
	lost->all |= more->all;
	for (int i = 0; i < DWF_LOST_BITS / 64; i++)
		lost->bits[i] |= more->bits[i];
}

/* News of a workflow are lost, or of whichever if its hash is 0 */
void
dwf_workers_lose_news(DwfWorker *worker, uint64 workflow_hash)
{
	uint32		bit = workflow_hash / 2 % DWF_LOST_BITS;

	worker->lost.any = true;
	if (workflow_hash == 0)
		worker->lost.all = true;
	else
		worker->lost.bits[bit / 64] |= UINT64CONST(1) << bit % 64;
}

/*
 * Who gives the worker something to do wakes it; when it has something to do
 * already, it does not sleep for longer than the least gap.
 */
void
dwf_workers_close_ring(DwfWorker *worker)
{
	if (worker->was_idle && !is_idle(worker))
		set_latch_of(worker->proc);
	LWLockRelease(service_lock());
}

/*
 * A transaction has committed in this database of which nobody knows what it
 * did: all have to look, and the worker at everything.  Cannot fail.
 */
void
dwf_workers_recheck(void)
{
	DwfWorker  *worker;

	if (dwf_shared == NULL)
		return;
	worker = dwf_workers_open_ring();
	if (worker == NULL)
		return;
	dwf_workers_lose_news(worker, 0);
	worker->must_recheck = worker->must_run = true;
	set_latch_of(worker->proc);
	dwf_workers_close_ring(worker);
}

/* There is a body to run in this database.  Cannot fail. */
void
dwf_workers_ask_run(void)
{
	DwfWorker  *worker;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker && !worker->must_run)
	{
		worker->must_run = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

/* Has this database's worker found that its workflows wait for wf_adopt()? */
bool
dwf_workers_is_copy(void)
{
	DwfWorker  *worker;
	bool		is_copy;

	if (dwf_shared == NULL)
		return false;
	LWLockAcquire(service_lock(), LW_SHARED);
	worker = find_worker(MyDatabaseId);
	is_copy = worker && worker->is_copy;
	LWLockRelease(service_lock());
	return is_copy;
}

/*
 * Roles, or their privileges, have changed, in all databases: it may be that
 * bodies can be run now that could not before.  Cannot fail.
 */
void
dwf_workers_ask_all(void)
{
	if (dwf_shared == NULL)
		return;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < dwf_shared->service->nworkers; i++)
	{
		DwfWorker  *worker = &dwf_shared->service->workers[i];

		if (!OidIsValid(worker->database))
			continue;
		worker->must_run = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

/*
 * Something in this database is due at that time, which is committed: have the
 * worker look at the clock, unless it does so by then anyhow.  Cannot fail.
 *
 * It says when that is after it has looked, and takes that back before it
 * looks again; so if we read a time that it has said before it looked, it will
 * see what we have committed.
 */
void
dwf_workers_ask_clock(TimestampTz deadline)
{
	DwfWorker  *worker;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker && !worker->must_run && deadline < worker->next_clock)
	{
		worker->must_run = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

/* Is the gateway in a database?  The caller holds the lock. */
static bool
gateway_is_in(Oid database)
{
	return dwf_shared->service->gateway.proc != DWF_NO_PROC &&
		dwf_shared->service->gateway.database == database;
}

/* Have the gateway leave, if there is one; the caller holds the lock */
static void
send_gateway_away(void)
{
	dwf_shared->service->gateway.must_leave = true;
	set_latch_of(dwf_shared->service->gateway.proc);
}

/*
 * Tell the worker of a database, and the gateway if it is there, to leave it;
 * false if there is neither
 */
bool
dwf_workers_tell_to_leave(Oid database)
{
	DwfWorker  *worker;
	bool		has_gateway;

	if (dwf_shared == NULL)
		return false;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	has_gateway = gateway_is_in(database);
	if (has_gateway)
		send_gateway_away();
	worker = find_worker(database);
	if (worker)
	{
		worker->must_leave = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
	return worker != NULL || has_gateway;
}

/* Has a database a process of ours that it can be left by? */
static bool
is_occupied(Oid database)
{
	bool		occupied;

	LWLockAcquire(service_lock(), LW_SHARED);
	occupied = find_worker(database) != NULL || gateway_is_in(database);
	LWLockRelease(service_lock());
	return occupied;
}

/*
 * Wait until a database has no worker and no gateway, at most so many
 * milliseconds.  Interruptible.
 */
void
dwf_workers_wait_until_left(Oid database, long timeout)
{
	TimestampTz deadline = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													   timeout);
	ConditionVariable *left = &dwf_shared->service->worker_left;

	ConditionVariablePrepareToSleep(left);
	for (;;)
	{
		long		remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
																deadline);

		if (remaining == 0 || !is_occupied(database))
			break;
		(void) ConditionVariableTimedSleep(left, remaining, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* ----- for the launcher ----- */

/* Is there any worker, or a gateway? */
static bool
any_worker(void)
{
	bool		found;

	LWLockAcquire(service_lock(), LW_SHARED);
	found = dwf_shared->service->gateway.proc != DWF_NO_PROC;
	for (int i = 0; i < dwf_shared->service->nworkers; i++)
		found |= OidIsValid(dwf_shared->service->workers[i].database);
	LWLockRelease(service_lock());
	return found;
}

/*
 * This process is the launcher: requests set its latch.  Workers of an earlier
 * launcher, of whose end this one would not hear, leave first; those of them
 * that are still starting find that they are of another generation, and do not
 * begin.  Returns the generation that this launcher's workers are to name.
 * Waits, interruptibly.
 */
uint32
dwf_workers_launcher_begin(void)
{
	DwfWorkers *service = dwf_shared->service;
	uint32		generation;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	generation = ++service->generation;
	for (int i = 0; i < service->nworkers; i++)
	{
		service->workers[i].must_leave = true;
		set_latch_of(service->workers[i].proc);
	}
	send_gateway_away();
	LWLockRelease(service_lock());

	ConditionVariablePrepareToSleep(&service->worker_left);
	while (any_worker())
		ConditionVariableSleep(&service->worker_left, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	service->launcher = DWF_MY_PROC_NUMBER;
	service->check_all = true;
	service->ngone = 0;
	service->gateway.has_left = true;
	LWLockRelease(service_lock());
	return generation;
}

/* It is not any more */
void
dwf_workers_launcher_end(void)
{
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	dwf_shared->service->launcher = DWF_NO_PROC;
	LWLockRelease(service_lock());
}

/*
 * Take what was requested: returns true if all databases are to be looked at,
 * else the list has those that are.
 */
bool
dwf_workers_take_requests(List **databases)
{
	DwfWorkers *service = dwf_shared->service;
	Oid			requests[DWF_REQUESTS_MAX];
	int			count;
	bool		all;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	all = service->check_all;
	count = service->nrequests;
	memcpy(requests, service->requests, count * sizeof(Oid));
	service->check_all = false;
	service->nrequests = 0;
	LWLockRelease(service_lock());

	*databases = NIL;
	for (int i = 0; i < count; i++)
		*databases = list_append_unique_oid(*databases, requests[i]);
	return all;
}

/* Has the worker of a database left on purpose?  Asked once. */
bool
dwf_workers_take_gone(Oid database)
{
	DwfWorkers *service = dwf_shared->service;
	bool		found = false;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	for (int i = service->ngone - 1; i >= 0; i--)
		if (service->gone[i] == database)
		{
			service->gone[i] = service->gone[--service->ngone];
			found = true;
		}
	LWLockRelease(service_lock());
	return found;
}

/* Has a database a worker at work? */
bool
dwf_workers_is_serving(Oid database)
{
	bool		serving;

	LWLockAcquire(service_lock(), LW_SHARED);
	serving = find_worker(database) != NULL;
	LWLockRelease(service_lock());
	return serving;
}

/* Who owns the extension of a database; invalid when it has no worker at work */
Oid
dwf_workers_owner(Oid database)
{
	DwfWorker  *worker;
	Oid			owner;

	LWLockAcquire(service_lock(), LW_SHARED);
	worker = find_worker(database);
	owner = worker ? worker->owner : InvalidOid;
	LWLockRelease(service_lock());
	return owner;
}

/* The gateway is wanted elsewhere, or not at all */
void
dwf_workers_send_gateway_away(void)
{
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	send_gateway_away();
	LWLockRelease(service_lock());
}

/* Has the gateway that has ended left on purpose?  Asked once. */
bool
dwf_workers_take_gateway_left(void)
{
	DwfGateway *gateway = &dwf_shared->service->gateway;
	bool		has_left;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	has_left = gateway->has_left;
	gateway->has_left = false;
	LWLockRelease(service_lock());
	return has_left;
}

/* ----- for a worker ----- */

/*
 * This worker leaves on purpose: there is no use in another one until the
 * database is asked about again.  A later launcher than its own waits for
 * another worker and is not told.
 */
void
dwf_workers_gone(uint32 generation)
{
	DwfWorkers *service = dwf_shared->service;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (service->generation == generation &&
		service->ngone < service->nworkers)
		service->gone[service->ngone++] = MyDatabaseId;
	LWLockRelease(service_lock());
}

/*
 * Take a place as the worker of this database, where the extension is that
 * role's; NULL if there is another one,
 * or none free, or if the launcher that started it is not there any more.
 * Starts with a resync: nobody has collected news before.
 */
DwfWorker *
dwf_workers_begin(uint32 generation, Oid owner)
{
	DwfWorkers *service = dwf_shared->service;
	DwfWorker  *place = NULL;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (service->generation == generation &&
		find_worker(MyDatabaseId) == NULL)
		place = find_worker(InvalidOid);
	if (place)
	{
		place->database = MyDatabaseId;
		place->owner = owner;
		place->is_copy = false; /* until it says so */
		place->proc = DWF_MY_PROC_NUMBER;
		place->must_leave = false;
		place->must_check = true;	/* what came since it looked was not told */
		place->must_run = true;
		place->must_recheck = false;
		memset(&place->lost, 0, sizeof(DwfLost));
		place->lost.any = place->lost.all = true;
		place->next_clock = DT_NOEND;
		place->head = place->tail = 0;
		next_batch(place);
		set_latch_of(service->launcher);
	}
	LWLockRelease(service_lock());
	my_place = place;
	return place;
}

/* Give the place back, if this process has one */
void
dwf_workers_end(void)
{
	if (my_place == NULL)
		return;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	my_place->database = InvalidOid;
	my_place->proc = DWF_NO_PROC;
	LWLockRelease(service_lock());
	my_place = NULL;
	ConditionVariableBroadcast(&dwf_shared->service->worker_left);
}

/* This worker has found out whether its workflows wait for wf_adopt() */
void
dwf_workers_say_copy(DwfWorker *worker, bool is_copy)
{
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker->is_copy = is_copy;
	LWLockRelease(service_lock());
}

/* When this worker looks at the clock next; DT_NOEND before it finds out */
void
dwf_workers_plan_clock(DwfWorker *worker, TimestampTz next)
{
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker->next_clock = next;
	LWLockRelease(service_lock());
}

/* Take what the worker was told */
void
dwf_workers_take_orders(DwfWorker *worker, DwfOrders *orders)
{
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	orders->leave = worker->must_leave;
	orders->check = worker->must_check;
	orders->run = worker->must_run;
	orders->recheck = worker->must_recheck;
	orders->has_news = !is_idle(worker);
	worker->must_check = worker->must_run = worker->must_recheck = false;
	LWLockRelease(service_lock());
}

/*
 * Empty the ring into a copy of DWF_RING_BYTES; returns how many of them are
 * used.  "lost" is what did not come through it.
 */
uint32
dwf_workers_take_ring(DwfWorker *worker, char *copy, DwfLost *lost)
{
	uint32		length;
	uint32		at;
	uint32		first;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	next_batch(worker);
	length = worker->head - worker->tail;
	at = worker->tail % DWF_RING_BYTES;
	first = Min(length, DWF_RING_BYTES - at);
	memcpy(copy, worker->ring + at, first);
	memcpy(copy + first, worker->ring, length - first);
	worker->tail = worker->head;
	lost->any = worker->lost.any;
	if (lost->any)
	{
		*lost = worker->lost;
		memset(&worker->lost, 0, sizeof(DwfLost));
	}
	LWLockRelease(service_lock());
	return length;
}

/* Read the news at the beginning of a copy; returns their length */
uint32
dwf_workers_read_news(const char *copy, DwfNews *news)
{
	memcpy(news, copy, NEWS_HEADER);
	copy += NEWS_HEADER;
	memcpy(news->workflow_id, copy, news->workflow_length);
	memcpy(news->key, copy + news->workflow_length, news->key_length);
	return NEWS_HEADER + news->workflow_length + news->key_length;
}

/* ----- for the gateway ----- */

/*
 * This process is the gateway.  False if there is another one, or if the
 * launcher that started it is not there any more.
 */
bool
dwf_workers_gateway_begin(uint32 generation)
{
	DwfWorkers *service = dwf_shared->service;
	bool		begins;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	begins = service->generation == generation &&
		service->gateway.proc == DWF_NO_PROC;
	if (begins)
	{
		service->gateway.proc = DWF_MY_PROC_NUMBER;
		service->gateway.database = MyDatabaseId;
		service->gateway.must_leave = service->gateway.must_check = false;
		service->gateway.has_left = false;
		set_latch_of(service->launcher);
	}
	LWLockRelease(service_lock());
	return begins;
}

/* It is not any more; "on_purpose": another one may be started at once */
void
dwf_workers_gateway_end(bool on_purpose)
{
	DwfGateway *gateway = &dwf_shared->service->gateway;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (gateway->proc == DWF_MY_PROC_NUMBER)
	{
		gateway->proc = DWF_NO_PROC;
		gateway->database = InvalidOid;
		gateway->has_left = on_purpose;
	}
	LWLockRelease(service_lock());
	ConditionVariableBroadcast(&dwf_shared->service->worker_left);
}

/* Take what the gateway was told */
void
dwf_workers_gateway_orders(bool *leave, bool *check)
{
	DwfGateway *gateway = &dwf_shared->service->gateway;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	*leave = gateway->must_leave;
	*check = gateway->must_check;
	gateway->must_check = false;
	LWLockRelease(service_lock());
}
