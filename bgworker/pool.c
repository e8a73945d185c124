/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The executors of one database, as its worker knows them.
 *
 * An executor belongs to one role: its process has logged in as that role, so
 * that a body cannot become anybody else.  One is started when a body is due
 * and no executor of its owner waits for work; they leave by themselves when
 * they have had nothing to do for a while.
 *
 * Up to durable_wf.max_executors run at a time; a role that has none gets one
 * beyond that, so that bodies of others which never yield cannot keep it from
 * running.  One whose body waits for a lock of the server does not count: up to
 * as many again are started beside those, so that whoever holds a lock keeps
 * those waiting that want it, and no others.  That an executor waits is looked
 * up while there is work for which there is no room, and at no other time.
 *
 * What goes wrong with the executors of a role delays the starts of that role,
 * and of no other:
 *
 *	it may not log in		its work waits; looked at again when roles or
 *							privileges change, or else after a growing delay
 *	cannot connect, or		a growing delay
 *	ends before it has
 *	claimed anything
 *	dies with its first		a growing delay from the second on
 *	body
 *	leaves without a		a short delay from the second on: what it was
 *	body					started for may be held
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/pool.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "base/settings.h"
#include "shared/executors.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/store.h"
#include "workflow/body.h"

typedef struct Executor
{
	Oid			role;
	int			cell;			/* where it tells how far it has come */
	BackgroundWorkerHandle *handle;
} Executor;

/* What has gone wrong with a role's executors, the last times in a row */
typedef struct Trouble
{
	Oid			role;
	int			count;
	TimestampTz try_after;		/* none is started before this */
	char	   *refusal;		/* what the log says, or NULL */
} Trouble;

/* In milliseconds: while there is no slot for another one, it is tried again */
#define NO_SLOT_GAP		1000

/* ... after this, while there is no room, whether executors wait for locks */
#define NO_ROOM_GAP		500

/* ... and the delays of a role in trouble: the first, and the longest */
#define TROUBLE_GAP		1000
#define TROUBLE_GAP_MAX	60000
#define DEATH_GAP		500
#define DEATH_GAP_MAX	5000
#define IDLE_GAP		500

static List *executors = NIL;	/* in TopMemoryContext */
static List *troubles = NIL;	/* likewise */

static bool warned_no_slot = false;

/* What is due waits for a slot */
bool		dwf_pool_lacks_slot = false;

/* ----- trouble ----- */

/* The trouble of a role, or NULL */
static Trouble *
find_trouble(Oid role)
{
	ListCell   *cell;

	foreach(cell, troubles)
	{
		if (((Trouble *) lfirst(cell))->role == role)
			return lfirst(cell);
	}
	return NULL;
}

/* It is over */
static void
end_trouble(Oid role)
{
	Trouble    *trouble = find_trouble(role);

	if (trouble == NULL)
		return;
	troubles = list_delete_ptr(troubles, trouble);
	if (trouble->refusal)
		pfree(trouble->refusal);
	pfree(trouble);
}

/* The trouble of a role, which it has from now on if it had none */
static Trouble *
have_trouble(Oid role)
{
	Trouble    *trouble = find_trouble(role);
	MemoryContext old;

	if (trouble)
		return trouble;
	old = MemoryContextSwitchTo(TopMemoryContext);
	trouble = palloc0(sizeof(Trouble));
	trouble->role = role;
	troubles = lappend(troubles, trouble);
	MemoryContextSwitchTo(old);
	return trouble;
}

/* Once more: try again after a gap, twice as long each time up to a maximum */
static void
delay(Trouble *trouble, int gap, int max)
{
	int			doublings = Min(trouble->count, 10);

	trouble->count++;
	trouble->try_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 Min((int64) gap << doublings, max));
}

/* The same from the second time on */
static void
delay_next(Trouble *trouble, int gap, int max)
{
	if (trouble->count == 0)
		trouble->count = 1;
	else
	{
		trouble->count--;
		delay(trouble, gap, max);
		trouble->count++;
	}
}

/* An executor has ended that had come so far */
static void
judge(Oid role, uint32 told)
{
	if (told & DWF_EXECUTOR_SERVED)
		end_trouble(role);
	else if (told & DWF_EXECUTOR_CLAIMED)
		delay_next(have_trouble(role), DEATH_GAP, DEATH_GAP_MAX);
	else if (told & DWF_EXECUTOR_LEFT)
		delay_next(have_trouble(role), IDLE_GAP, IDLE_GAP);
	else
		delay(have_trouble(role), TROUBLE_GAP, TROUBLE_GAP_MAX);
}

/* ----- executors ----- */

/* Does an executor wait for a lock of the server?  It may just have ended. */
static bool
waits_for_lock(Executor *executor)
{
	pid_t		pid;
	PGPROC	   *proc;

	if (GetBackgroundWorkerPid(executor->handle, &pid) != BGWH_STARTED)
		return false;
	proc = BackendPidGetProc(pid);
	return proc && (proc->wait_event_info & 0xFF000000U) == PG_WAIT_LOCK;
}

/*
 * How many executors are there, of a role or, if it is invalid, of all?  And
 * how many of them wait for a lock?
 */
static int
count_executors(Oid role, int *nwaiting)
{
	int			count = 0;
	ListCell   *cell;

	*nwaiting = 0;
	foreach(cell, executors)
	{
		Executor   *executor = lfirst(cell);

		if (OidIsValid(role) && executor->role != role)
			continue;
		count++;
		if (waits_for_lock(executor))
			(*nwaiting)++;
	}
	return count;
}

/* Is there room for another executor of a role? */
static bool
has_room(Oid role)
{
	int			waiting_of_role;
	int			of_role = count_executors(role, &waiting_of_role);
	int			waiting;
	int			all = count_executors(InvalidOid, &waiting);

	if (of_role == 0)
		return true;
	if (all - waiting < dwf_setting_max_executors &&
		all < 2 * dwf_setting_max_executors)
		return true;
	return of_role == waiting_of_role && of_role < dwf_setting_max_executors;
}

/* Forget the executors that have ended; returns whether any has */
bool
dwf_pool_reap(void)
{
	bool		one_ended = false;
	ListCell   *cell;

	foreach(cell, executors)
	{
		Executor   *executor = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(executor->handle, &pid) != BGWH_STOPPED)
			continue;
		judge(executor->role, dwf_executors_ask(executor->cell));
		dwf_executors_free(executor->cell);
		pfree(executor->handle);
		pfree(executor);
		executors = foreach_delete_current(executors, cell);
		one_ended = true;
	}
	return one_ended;
}

/* Start an executor of a role; false when there is no slot for it */
static bool
start_executor(Oid role)
{
	BackgroundWorker worker = {0};
	MemoryContext old;
	Executor   *executor;
	int			cell = dwf_executors_take();

	if (cell < 0)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	executor = palloc0(sizeof(Executor));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "durable_wf", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, "dwf_executor_main", BGW_MAXLEN);
	strlcpy(worker.bgw_name, "durable_wf executor", BGW_MAXLEN);
	strlcpy(worker.bgw_type, "durable_wf executor", BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	memcpy(worker.bgw_extra, &role, sizeof(role));
	memcpy(worker.bgw_extra + sizeof(role), &cell, sizeof(cell));
	worker.bgw_notify_pid = MyProcPid;

	executor->role = role;
	executor->cell = cell;
	if (RegisterDynamicBackgroundWorker(&worker, &executor->handle))
	{
		executors = lappend(executors, executor);
		warned_no_slot = false;
	}
	else
	{
		dwf_executors_free(cell);
		pfree(executor);
		executor = NULL;
	}
	MemoryContextSwitchTo(old);
	return executor != NULL;
}

/* There is no slot for another process */
static void
warn_no_slot(void)
{
	if (!warned_no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no slot for a durable_wf executor"),
				 errhint("Increase max_worker_processes; it will start when a slot is free.")));
	warned_no_slot = true;
}

/* Wake an executor of a role that waits for work; false if there is none */
static bool
wake_executor(Oid role)
{
	DwfAddress	work = {.door = DWF_DOOR_WORK};

	work.key = cstring_to_text(psprintf("%u", role));
	return dwf_waiter_wake(dwf_waiter_hash(&work), work.door, 1) > 0;
}

/*
 * Bodies cannot be run as this role: its work waits.  The log says so once.
 * Returns when to look again, unless somebody tells before.
 */
static TimestampTz
wait_for_role(Oid role, const char *refusal)
{
	Trouble    *trouble = have_trouble(role);

	if (trouble->refusal == NULL || strcmp(trouble->refusal, refusal) != 0)
	{
		if (trouble->refusal)
			pfree(trouble->refusal);
		trouble->refusal = MemoryContextStrdup(TopMemoryContext, refusal);
		trouble->count = 0;
		trouble->try_after = 0;
		ereport(LOG,
				(errmsg("workflows in database \"%s\" wait: %s",
						get_database_name(MyDatabaseId), refusal),
				 errhint("They go on when it may again; or give them to another role by wf_set_owner().")));
	}
	if (trouble->try_after <= GetCurrentTimestamp())
		delay(trouble, TROUBLE_GAP, TROUBLE_GAP_MAX);
	return trouble->try_after;
}

/*
 * Wake or start what a role needs.  Returns when to do so again, DT_NOEND when
 * there is no telling.
 */
static TimestampTz
serve_role(Oid role)
{
	bool		is_gone;
	const char *refusal = dwf_body_refusal(role, &is_gone);
	Trouble    *trouble = find_trouble(role);
	TimestampTz now = GetCurrentTimestamp();

	if (is_gone)
	{
		(void) dwf_store_fail_role(role,
								   "the workflow's owner cannot log in: it does not exist any more");
		return DT_NOEND;
	}
	if (refusal)
		return wait_for_role(role, refusal);
	if (trouble && trouble->refusal)
	{
		end_trouble(role);
		trouble = NULL;
	}
	if (wake_executor(role))
		return DT_NOEND;
	if (trouble && now < trouble->try_after)
		return trouble->try_after;
	if (!has_room(role))
		return TimestampTzPlusMilliseconds(now, NO_ROOM_GAP);
	if (!dwf_pool_lacks_slot && start_executor(role))
		return DT_NOEND;
	warn_no_slot();
	dwf_pool_lacks_slot = true;
	return TimestampTzPlusMilliseconds(now, NO_SLOT_GAP);
}

/*
 * Wake or start an executor for each role that has a body which is due.
 * Returns when to do so again, DT_NOEND if there is no telling.
 */
TimestampTz
dwf_pool_start(void)
{
	TimestampTz next = DT_NOEND;
	ListCell   *cell;

	dwf_pool_lacks_slot = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(dwf_catalog_find_relation("wait")))
		foreach(cell, dwf_store_roles_with_work(&next))
	{
		TimestampTz again = serve_role(lfirst_oid(cell));

		next = Min(next, again);
	}
	PopActiveSnapshot();
	CommitTransactionCommand();
	return next;
}

/* End all executors, and wait until they are gone */
void
dwf_pool_end(void)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		TerminateBackgroundWorker(((Executor *) lfirst(cell))->handle);
	}
	foreach(cell, executors)
	{
		Executor   *executor = lfirst(cell);

		(void) WaitForBackgroundWorkerShutdown(executor->handle);
		dwf_executors_free(executor->cell);
	}
	executors = NIL;
}

/* This process ends by an error: tell all executors to, but wait for none */
void
dwf_pool_abandon(void)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		TerminateBackgroundWorker(((Executor *) lfirst(cell))->handle);
		dwf_executors_free(((Executor *) lfirst(cell))->cell);
	}
	executors = NIL;
}
