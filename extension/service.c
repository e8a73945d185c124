/*-------------------------------------------------------------------------
 *
 * service.c
 *	  Through what backends and our own processes speak to each other.
 *
 * Backends leave requests for the launcher (look at this database) and news
 * for the worker of their database (this has come to that address), and set
 * its latch.  News go through a ring of bytes; when it is full they are lost,
 * and the worker is told so: it then has everyone look for himself.  The same
 * when no worker is there: it starts with a resync.
 *
 *-------------------------------------------------------------------------
 */
#include "service.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/wait_event.h"

#include "shmem.h"

/* The bytes of a DwfNews that precede its texts in the ring */
#define NEWS_HEADER		offsetof(DwfNews, workflow_id)

/* The place of this process, if it is a worker */
static DwfWorker *my_place = NULL;

/* Places for workers: as many as the server could run */
static int
place_count(void)
{
	return max_worker_processes;
}

Size
dwf_service_size(void)
{
	Size		size = add_size(offsetof(DwfService, workers),
								mul_size(place_count(), sizeof(DwfWorker)));

	return MAXALIGN(add_size(size, mul_size(place_count(), sizeof(Oid))));
}

/* Initialise the shared memory; runs in the postmaster */
void
dwf_service_init_shared(DwfService *service)
{
	memset(service, 0, offsetof(DwfService, workers));
	service->launcher = DWF_NO_PROC;
	ConditionVariableInit(&service->worker_left);
	service->nworkers = place_count();
	service->gone = (Oid *) &service->workers[service->nworkers];
	for (int i = 0; i < service->nworkers; i++)
	{
		service->workers[i].database = InvalidOid;
		service->workers[i].proc = DWF_NO_PROC;
	}
}

static inline LWLock *
service_lock(void)
{
	return dwf_shmem_service_lock();
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
dwf_service_request(Oid database)
{
	DwfService *service;
	DwfWorker  *worker;

	if (dwf_shared == NULL)
		return;
	service = dwf_shared->service;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (!OidIsValid(database) || service->nrequests == DWF_REQUESTS_MAX)
		service->check_all = true;
	else
		service->requests[service->nrequests++] = database;
	set_latch_of(service->launcher);

	worker = OidIsValid(database) ? find_worker(database) : NULL;
	if (worker)
	{
		worker->must_check = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

static void
ring_write(DwfWorker *worker, const void *data, uint32 length)
{
	const char *bytes = data;

	for (uint32 i = 0; i < length; i++)
		worker->ring[(worker->head + i) % DWF_RING_BYTES] = bytes[i];
	worker->head += length;
}

static void
ring_read(DwfWorker *worker, void *data, uint32 length)
{
	char	   *bytes = data;

	for (uint32 i = 0; i < length; i++)
		bytes[i] = worker->ring[(worker->tail + i) % DWF_RING_BYTES];
	worker->tail += length;
}

/* Tell this database's worker what has come where.  Cannot fail. */
void
dwf_service_put_news(const DwfNews *news)
{
	uint32		size = NEWS_HEADER + news->workflow_length + news->key_length;
	DwfWorker  *worker;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker)
	{
		if (worker->head - worker->tail + size > DWF_RING_BYTES)
			worker->must_resync = true;
		else
		{
			ring_write(worker, news, NEWS_HEADER);
			ring_write(worker, news->workflow_id, news->workflow_length);
			ring_write(worker, news->key, news->key_length);
		}
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

/* News of this database were lost.  Cannot fail. */
void
dwf_service_resync(void)
{
	DwfWorker  *worker;

	if (dwf_shared == NULL)
		return;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker)
	{
		worker->must_resync = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
}

/* Tell the worker of a database to leave it; false if there is none */
bool
dwf_service_tell_to_leave(Oid database)
{
	DwfWorker  *worker;

	if (dwf_shared == NULL)
		return false;
	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	worker = find_worker(database);
	if (worker)
	{
		worker->must_leave = true;
		set_latch_of(worker->proc);
	}
	LWLockRelease(service_lock());
	return worker != NULL;
}

/* Wait until a database has no worker; interruptible */
void
dwf_service_wait_until_left(Oid database)
{
	ConditionVariable *left = &dwf_shared->service->worker_left;

	ConditionVariablePrepareToSleep(left);
	for (;;)
	{
		bool		gone;

		LWLockAcquire(service_lock(), LW_SHARED);
		gone = find_worker(database) == NULL;
		LWLockRelease(service_lock());
		if (gone)
			break;
		ConditionVariableSleep(left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* ----- for the launcher ----- */

/* Is there any worker? */
static bool
any_worker(void)
{
	bool		found = false;

	LWLockAcquire(service_lock(), LW_SHARED);
	for (int i = 0; i < dwf_shared->service->nworkers; i++)
		found |= OidIsValid(dwf_shared->service->workers[i].database);
	LWLockRelease(service_lock());
	return found;
}

/*
 * This process is the launcher: requests set its latch.  Workers of an earlier
 * launcher, of whose end this one would not hear, leave first.
 */
void
dwf_service_launcher_begin(void)
{
	DwfService *service = dwf_shared->service;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	for (int i = 0; i < service->nworkers; i++)
	{
		service->workers[i].must_leave = true;
		set_latch_of(service->workers[i].proc);
	}
	LWLockRelease(service_lock());

	ConditionVariablePrepareToSleep(&service->worker_left);
	while (any_worker())
		ConditionVariableSleep(&service->worker_left, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	service->launcher = DWF_MY_PROC_NUMBER;
	service->check_all = true;
	service->ngone = 0;
	LWLockRelease(service_lock());
}

/* It is not any more */
void
dwf_service_launcher_end(void)
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
dwf_service_take_requests(List **databases)
{
	DwfService *service = dwf_shared->service;
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
dwf_service_take_gone(Oid database)
{
	DwfService *service = dwf_shared->service;
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
dwf_service_is_serving(Oid database)
{
	bool		serving;

	LWLockAcquire(service_lock(), LW_SHARED);
	serving = find_worker(database) != NULL;
	LWLockRelease(service_lock());
	return serving;
}

/* ----- for a worker ----- */

/*
 * This worker leaves on purpose: there is no use in another one until the
 * database is asked about again.
 */
void
dwf_service_worker_gone(void)
{
	DwfService *service = dwf_shared->service;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (service->ngone < service->nworkers)
		service->gone[service->ngone++] = MyDatabaseId;
	LWLockRelease(service_lock());
}

/*
 * Take a place as the worker of this database; NULL if there is another one,
 * or none free.  Starts with a resync: nobody has collected news before.
 */
DwfWorker *
dwf_service_worker_begin(void)
{
	DwfWorker  *place = NULL;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	if (find_worker(MyDatabaseId) == NULL)
		place = find_worker(InvalidOid);
	if (place)
	{
		place->database = MyDatabaseId;
		place->proc = DWF_MY_PROC_NUMBER;
		place->must_leave = false;
		place->must_check = false;
		place->must_resync = true;
		place->head = place->tail = 0;
		set_latch_of(dwf_shared->service->launcher);
	}
	LWLockRelease(service_lock());
	my_place = place;
	return place;
}

/* Give the place back, if this process has one */
void
dwf_service_worker_end(void)
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

/* Take the next news out of the ring; false when it is empty */
bool
dwf_service_take_news(DwfWorker *worker, DwfNews *news)
{
	bool		found;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	found = worker->head != worker->tail;
	if (found)
	{
		ring_read(worker, news, NEWS_HEADER);
		ring_read(worker, news->workflow_id, news->workflow_length);
		ring_read(worker, news->key, news->key_length);
	}
	LWLockRelease(service_lock());
	return found;
}

/* Take what the worker was told; true if there are news in its ring, too */
bool
dwf_service_take_orders(DwfWorker *worker, bool *leave, bool *check,
						bool *resync)
{
	bool		has_news;

	LWLockAcquire(service_lock(), LW_EXCLUSIVE);
	*leave = worker->must_leave;
	*check = worker->must_check;
	*resync = worker->must_resync;
	worker->must_check = false;
	worker->must_resync = false;
	has_news = worker->head != worker->tail;
	LWLockRelease(service_lock());
	return has_news;
}
