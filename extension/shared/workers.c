/*-------------------------------------------------------------------------
 *
 * workers.c
 *	  Which processes of ours there are, and what they are asked to do.
 *
 * Backends leave requests for the launcher (look at this database) and orders
 * for the worker of their database and for the gateway, and set their latches.
 * What has come to addresses they tell the worker by way of news.c.
 *
 * Workers and the gateway name the launcher that has started them, by its
 * generation: those of an earlier launcher have to leave.
 *
 * Locks: one LWLock guards all of it.  No other lock is taken under it; a
 * process that holds it may set the latches of the processes that it names.
 *
 *-------------------------------------------------------------------------
 */
#include "shared/workers.h"

#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/news.h"
#include "shared/preloaded.h"
#include "shared/slot.h"

#define REQUESTS_MAX	32

/* A worker, or a place for one; free when database is invalid */
typedef struct Worker
{
	Oid			database;
	Oid			owner;			/* of the extension in it */
	bool		is_copy;		/* its workflows wait for wf_adopt() */
	int			slot;			/* the worker's, or DWF_NO_SLOT */
	DwfOrders	orders;			/* has_news and is_urgent are not used */
	TimestampTz next_clock;		/* it wakes up then at the latest; or
								 * DT_NOEND, also while it finds out */
} Worker;

/* The HTTP gateway, when there is one; its database may be none */
typedef struct Gateway
{
	int			slot;			/* the gateway's, or DWF_NO_SLOT */
	Oid			database;
	bool		must_leave;
	bool		must_check;		/* is the extension still there? */
	bool		has_left;		/* the last one has left on purpose */
} Gateway;

/* The lock guards all but the condition variable, which has its own */
typedef struct Processes
{
	int			launcher;		/* its slot, or DWF_NO_SLOT */
	uint32		generation;		/* which launcher it is, counted from 1 */
	bool		check_all;		/* look at every database again */
	int			nrequests;		/* or at these */
	Oid			requests[REQUESTS_MAX];
	int			ngone;			/* workers that have left on purpose, */
	Oid		   *gone;			/* by database; room for one for each place */
	ConditionVariable left;		/* a worker or the gateway has left */
	Gateway		gateway;
	Worker		workers[FLEXIBLE_ARRAY_MEMBER]; /* places: as many as the
												 * server could run */
} Processes;

static Processes *shared = NULL;
static LWLock *lock = NULL;

/* The place of this process, if it is a worker */
static Worker *my_place = NULL;

/* How much shared memory this part needs */
Size
dwf_workers_size(void)
{
	return add_size(offsetof(Processes, workers),
					mul_size(max_worker_processes,
							 sizeof(Worker) + sizeof(Oid)));
}

/* Find the shared memory, or lay it out; under AddinShmemInitLock */
void
dwf_workers_init_shared(LWLockPadded *locks)
{
	bool		found;

	lock = &locks[0].lock;
	shared = ShmemInitStruct("durable_wf workers", dwf_workers_size(), &found);
	if (found)
		return;
	memset(shared, 0, dwf_workers_size());
	shared->launcher = DWF_NO_SLOT;
	shared->gateway.slot = DWF_NO_SLOT;
	ConditionVariableInit(&shared->left);
	shared->gone = (Oid *) &shared->workers[max_worker_processes];
	for (int i = 0; i < max_worker_processes; i++)
	{
		shared->workers[i].database = InvalidOid;
		shared->workers[i].slot = DWF_NO_SLOT;
	}
}

/* The worker of a database, or NULL; the caller holds the lock */
static Worker *
find_worker(Oid database)
{
	for (int i = 0; i < max_worker_processes; i++)
		if (shared->workers[i].database == database)
			return &shared->workers[i];
	return NULL;
}

/* ----- for backends ----- */

/*
 * Something has changed that decides whether a database, or with InvalidOid
 * any database, has a worker: have the launcher look at it again, and our
 * processes in it, and the gateway wherever it is.  Cannot fail.
 */
void
dwf_workers_request(Oid database)
{
	if (!dwf_preloaded())
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (!OidIsValid(database) || shared->nrequests == REQUESTS_MAX)
		shared->check_all = true;
	else
		shared->requests[shared->nrequests++] = database;
	dwf_slot_set_latch(shared->launcher);

	for (int i = 0; i < max_worker_processes; i++)
	{
		if (OidIsValid(database) && shared->workers[i].database != database)
			continue;
		shared->workers[i].orders.check = true;
		dwf_slot_set_latch(shared->workers[i].slot);
	}
	shared->gateway.must_check = true;
	dwf_slot_set_latch(shared->gateway.slot);
	LWLockRelease(lock);
}

/*
 * A transaction has committed in this database of which no process knows what
 * it did: have the worker take all news for lost, and look at everything.
 * Cannot fail.
 */
void
dwf_workers_recheck(void)
{
	Worker	   *worker;

	if (!dwf_preloaded())
		return;
	dwf_news_lose_all();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker)
	{
		worker->orders.recheck = worker->orders.check = true;
		dwf_slot_set_latch(worker->slot);
	}
	LWLockRelease(lock);
}

/* A body may have to run in this database: tell the worker.  Cannot fail. */
void
dwf_workers_ask_run(void)
{
	Worker	   *worker;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker && !worker->orders.run)
	{
		worker->orders.run = true;
		dwf_slot_set_latch(worker->slot);
	}
	LWLockRelease(lock);
}

/* Has this database's worker found that its workflows wait for wf_adopt()? */
bool
dwf_workers_is_copy(void)
{
	Worker	   *worker;
	bool		is_copy;

	if (!dwf_preloaded())
		return false;
	LWLockAcquire(lock, LW_SHARED);
	worker = find_worker(MyDatabaseId);
	is_copy = worker && worker->is_copy;
	LWLockRelease(lock);
	return is_copy;
}

/*
 * Roles, or their privileges, have changed, in all databases: have all workers
 * see whether bodies can be run now that could not before.  Cannot fail.
 */
void
dwf_workers_ask_all(void)
{
	if (!dwf_preloaded())
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < max_worker_processes; i++)
	{
		shared->workers[i].orders.run = true;	/* a free place has no latch */
		dwf_slot_set_latch(shared->workers[i].slot);
	}
	LWLockRelease(lock);
}

/*
 * Something in this database that is committed is due at a time: have the
 * worker look at the tables, unless it does so by then in any case.  Cannot
 * fail.
 *
 * The worker withdraws its time (DT_NOEND) before it looks, and says the next
 * one after it has looked.  While it looks, and while its time is later than
 * ours, it is told to look again; otherwise its next look comes early enough,
 * and after our commit.
 */
void
dwf_workers_ask_clock(TimestampTz deadline)
{
	Worker	   *worker;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	worker = find_worker(MyDatabaseId);
	if (worker && !worker->orders.clock && deadline < worker->next_clock)
	{
		worker->orders.clock = true;
		dwf_slot_set_latch(worker->slot);
	}
	LWLockRelease(lock);
}

/* Is there a gateway (in a database)?  The caller holds the lock. */
static bool
gateway_is_in(Oid database)
{
	return shared->gateway.slot != DWF_NO_SLOT &&
		(!OidIsValid(database) || shared->gateway.database == database);
}

/* Have the gateway leave, if there is one; the caller holds the lock */
static void
send_gateway_away(void)
{
	shared->gateway.must_leave = true;
	dwf_slot_set_latch(shared->gateway.slot);
}

/*
 * Tell the worker of a database, and the gateway if it is there, to leave it;
 * false if there is neither
 */
bool
dwf_workers_tell_to_leave(Oid database)
{
	Worker	   *worker;
	bool		has_gateway;

	if (!dwf_preloaded())
		return false;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	has_gateway = gateway_is_in(database);
	if (has_gateway)
		send_gateway_away();
	if ((worker = find_worker(database)) != NULL)
	{
		worker->orders.leave = true;
		dwf_slot_set_latch(worker->slot);
	}
	LWLockRelease(lock);
	return worker != NULL || has_gateway;
}

/* Is a worker or the gateway in a database, or with InvalidOid: in any? */
static bool
is_occupied(Oid database)
{
	bool		occupied;

	LWLockAcquire(lock, LW_SHARED);
	occupied = gateway_is_in(database);
	for (int i = 0; i < max_worker_processes && !occupied; i++)
		occupied = OidIsValid(shared->workers[i].database) &&
			(!OidIsValid(database) ||
			 shared->workers[i].database == database);
	LWLockRelease(lock);
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
	long		remaining;

	ConditionVariablePrepareToSleep(&shared->left);
	while (is_occupied(database) &&
		   (remaining = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														deadline)) > 0)
		(void) ConditionVariableTimedSleep(&shared->left, remaining,
										   PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
}

/* ----- for the launcher ----- */

/*
 * This process is the launcher: requests set its latch.  Workers of an earlier
 * launcher, whose end would not be told to this one, leave first; those of
 * them that are still starting find that they are of another generation, and
 * do not begin.  Returns the generation that this launcher's workers are to
 * name.  Waits, interruptibly.
 */
uint32
dwf_workers_launcher_begin(void)
{
	uint32		generation;

	/* send the processes of a former launcher away */
	LWLockAcquire(lock, LW_EXCLUSIVE);
	generation = ++shared->generation;
	for (int i = 0; i < max_worker_processes; i++)
	{
		shared->workers[i].orders.leave = true;
		dwf_slot_set_latch(shared->workers[i].slot);
	}
	send_gateway_away();
	LWLockRelease(lock);
	/* wait until they have left */
	ConditionVariablePrepareToSleep(&shared->left);
	while (is_occupied(InvalidOid))
		ConditionVariableSleep(&shared->left, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	LWLockAcquire(lock, LW_EXCLUSIVE);
	shared->launcher = dwf_slot_mine(); /* in the place of the former one */
	shared->check_all = true;
	shared->ngone = 0;
	shared->gateway.has_left = true;
	LWLockRelease(lock);
	return generation;
}

/* This process stops being the launcher */
void
dwf_workers_launcher_end(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	shared->launcher = DWF_NO_SLOT;
	LWLockRelease(lock);
}

/*
 * Take what was requested: returns true if the launcher has to look at all
 * databases, else the list has those that it has to look at.
 */
bool
dwf_workers_take_requests(List **databases)
{
	Oid			requests[REQUESTS_MAX];
	int			count;
	bool		all;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	all = shared->check_all;
	count = shared->nrequests;
	memcpy(requests, shared->requests, count * sizeof(Oid));
	shared->check_all = false;
	shared->nrequests = 0;
	LWLockRelease(lock);

	*databases = NIL;
	for (int i = 0; i < count; i++)
		*databases = list_append_unique_oid(*databases, requests[i]);
	return all;
}

/* Has the worker of a database left on purpose?  True once for each time. */
bool
dwf_workers_take_gone(Oid database)
{
	bool		found = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = shared->ngone - 1; i >= 0; i--)
		if (shared->gone[i] == database)
		{
			shared->gone[i] = shared->gone[--shared->ngone];
			found = true;
		}
	LWLockRelease(lock);
	return found;
}

/* The owner of a database's extension; invalid when no worker is at work */
Oid
dwf_workers_owner(Oid database)
{
	Worker	   *worker;
	Oid			owner;

	LWLockAcquire(lock, LW_SHARED);
	worker = find_worker(database);
	owner = worker ? worker->owner : InvalidOid;
	LWLockRelease(lock);
	return owner;
}

/* Has a database a worker at work? */
bool
dwf_workers_is_serving(Oid database)
{
	return OidIsValid(dwf_workers_owner(database));
}

/* Have the gateway leave: it is wanted elsewhere, or not at all */
void
dwf_workers_send_gateway_away(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	send_gateway_away();
	LWLockRelease(lock);
}

/* Has the gateway that has ended left on purpose?  True once. */
bool
dwf_workers_take_gateway_left(void)
{
	bool		has_left;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	has_left = shared->gateway.has_left;
	shared->gateway.has_left = false;
	LWLockRelease(lock);
	return has_left;
}

/* ----- for a worker ----- */

/*
 * This worker leaves on purpose: another one is of no use until the database
 * is asked about again.  A later launcher than the one that has started this
 * worker waits for a worker of its own, and is not told.
 */
void
dwf_workers_gone(uint32 generation)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->generation == generation &&
		shared->ngone < max_worker_processes)
		shared->gone[shared->ngone++] = MyDatabaseId;
	LWLockRelease(lock);
}

/*
 * Take a place and a ring for news as the worker of this database, where the
 * extension belongs to "owner".  False if the database has a worker, if no
 * place is free, or if the launcher that started this worker has ended.
 */
bool
dwf_workers_begin(uint32 generation, Oid owner)
{
	Worker	   *place = NULL;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->generation == generation && !find_worker(MyDatabaseId))
		place = find_worker(InvalidOid);
	if (place)
	{
		place->database = MyDatabaseId;
		place->owner = owner;
		place->is_copy = false; /* until it says so */
		place->slot = dwf_slot_mine();
		memset(&place->orders, 0, sizeof(DwfOrders));
		/* nothing has told it what came before */
		place->orders.check = place->orders.run = true;
		place->next_clock = DT_NOEND;
		dwf_slot_set_latch(shared->launcher);
	}
	LWLockRelease(lock);

	my_place = place;
	if (place)
		dwf_news_begin();
	return place != NULL;
}

/* Give the ring and the place back, if this process has one.  Cannot fail. */
void
dwf_workers_end(void)
{
	if (my_place == NULL)
		return;
	dwf_news_end();				/* before another worker can begin */
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_place->database = InvalidOid;
	my_place->slot = DWF_NO_SLOT;
	LWLockRelease(lock);
	my_place = NULL;
	ConditionVariableBroadcast(&shared->left);
}

/* This worker has found out whether its workflows wait for wf_adopt() */
void
dwf_workers_say_copy(bool is_copy)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_place->is_copy = is_copy;
	LWLockRelease(lock);
}

/* When this worker looks at the clock next; DT_NOEND while it finds out */
void
dwf_workers_plan_clock(TimestampTz next)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	my_place->next_clock = next;
	LWLockRelease(lock);
}

/* Take what this worker was told, and see whether there are news for it */
void
dwf_workers_take_orders(DwfOrders *orders)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	*orders = my_place->orders;
	my_place->orders.check = my_place->orders.run = false;
	my_place->orders.recheck = my_place->orders.clock = false;
	LWLockRelease(lock);
	orders->has_news = dwf_news_are_there(&orders->is_urgent);
}

/* ----- for the gateway ----- */

/*
 * This process is the gateway.  False if there is another one, or if the
 * launcher that started it has ended.
 */
bool
dwf_workers_gateway_begin(uint32 generation)
{
	bool		begins;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	begins = shared->generation == generation &&
		shared->gateway.slot == DWF_NO_SLOT;
	if (begins)
	{
		shared->gateway.slot = dwf_slot_mine();
		shared->gateway.database = MyDatabaseId;
		shared->gateway.must_leave = shared->gateway.must_check = false;
		shared->gateway.has_left = false;
		dwf_slot_set_latch(shared->launcher);
	}
	LWLockRelease(lock);
	return begins;
}

/* This process ends as the gateway; "on_purpose": start another at once */
void
dwf_workers_gateway_end(bool on_purpose)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	if (shared->gateway.slot == dwf_slot_mine())
	{
		shared->gateway.slot = DWF_NO_SLOT;
		shared->gateway.database = InvalidOid;
		shared->gateway.has_left = on_purpose;
	}
	LWLockRelease(lock);
	ConditionVariableBroadcast(&shared->left);
}

/* Take what the gateway was told */
void
dwf_workers_gateway_orders(bool *leave, bool *check)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	*leave = shared->gateway.must_leave;
	*check = shared->gateway.must_check;
	shared->gateway.must_check = false;
	LWLockRelease(lock);
}
