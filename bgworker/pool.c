/*-------------------------------------------------------------------------
 *
 * pool.c
 *	  The executors of one database, for the worker that starts them.
 *
 * An executor belongs to one role: its process has logged in as that role, so
 * that a body cannot take another one's rights.  The worker starts an executor
 * when a body is due and no executor of its owner waits for work.  An executor
 * leaves by itself after durable_wf.executor_idle_timeout without work.
 *
 * Up to durable_wf.max_executors run at a time.  A role that has none gets one
 * beyond that, so that bodies of other roles which never end cannot keep its
 * bodies from running.  An executor whose body waits for a heavyweight lock
 * does not count, up to twice max_executors in all: so a session that holds a
 * lock delays those bodies only that want the lock.  Whether executors wait is
 * read only while there is work and no room for it.  Executors that do nothing
 * useful make room (room.c).
 *
 * A failure of a role's executors delays the next start for that role only:
 *
 *	the role may not		its work waits until roles or privileges change,
 *	log in					or else for a growing delay
 *	the executor cannot		a growing delay
 *	connect, or ends before
 *	it has claimed a body
 *	the executor dies with	a growing delay from the second time on
 *	its first body
 *	the executor leaves		a short delay from the second time on: the row of
 *	without a body			its work may be locked
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/pool.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/process.h"
#include "bgworker/room.h"
#include "shared/address.h"
#include "shared/executors.h"
#include "shared/saturation.h"
#include "shared/waiter.h"
#include "store/catalog.h"
#include "store/store.h"
#include "workflow/body.h"

/* The failures of a role's executors in a row */
typedef struct Trouble
{
	Oid			role;
	int			count;
	TimestampTz try_after;		/* none is started before this */
	char	   *refusal;		/* why it may not log in, as logged, or NULL */
} Trouble;

/* All in ms: when to try again after there was no slot */
#define NO_SLOT_GAP		1000

/* ... when to read again whether executors wait for locks */
#define NO_ROOM_GAP		500

/* ... the delays after failures of a role: the first, and the longest */
#define TROUBLE_GAP		1000
#define TROUBLE_GAP_MAX	60000
#define DEATH_GAP		500
#define DEATH_GAP_MAX	5000
#define IDLE_GAP		500

static List *executors = NIL;	/* in TopMemoryContext */
static List *troubles = NIL;	/* likewise */

/* The log says that there is no slot */
static bool warned_no_slot = false;

/* Work is due, and there was no slot for an executor */
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

/* Forget the trouble of a role */
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

/* The trouble of a role, made if there is none */
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

/* Note a failure: the delay is "gap", doubled each time, at most "max" */
static void
delay(Trouble *trouble, int gap, int max)
{
	int64		left = Min((int64) gap << Min(trouble->count, 10), max);

	trouble->count++;
	trouble->try_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													 left);
}

/* Note a failure; the first one in a row causes no delay */
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

/*
 * An executor of a role has ended; "told" is how far it had come.  That says
 * nothing of a role that may not run bodies: its trouble ends when it may.
 */
static void
judge(Oid role, uint32 told)
{
	const Trouble *trouble = find_trouble(role);

	if (trouble && trouble->refusal)
		return;
	if (told & DWF_EXECUTOR_SERVED)
		end_trouble(role);
	else if (told & DWF_EXECUTOR_CLAIMED)
		delay_next(have_trouble(role), DEATH_GAP, DEATH_GAP_MAX);
	else if (told & DWF_EXECUTOR_MUST_LEAVE)
		;						/* it gave way */
	else if (told & DWF_EXECUTOR_LEFT)
		delay_next(have_trouble(role), IDLE_GAP, IDLE_GAP);
	else
		delay(have_trouble(role), TROUBLE_GAP, TROUBLE_GAP_MAX);
}

/* ----- executors ----- */

/* Forget the executors that have ended; returns whether any had */
bool
dwf_pool_reap(void)
{
	bool		one_ended = false;
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);
		pid_t		pid;

		if (GetBackgroundWorkerPid(executor->handle, &pid) != BGWH_STOPPED)
			continue;
		judge(executor->role, (uint32) dwf_executors_state(executor->cell));
		dwf_executors_free(executor->cell);
		pfree(executor->handle);
		pfree(executor);
		executors = foreach_delete_current(executors, cell);
		one_ended = true;
	}
	return one_ended;
}

/* Start an executor of a role; returns false when there is no slot for it */
static bool
start_executor(Oid role)
{
	BackgroundWorker worker;
	MemoryContext old;
	DwfExecutor *executor;
	uint64		cell = dwf_executors_take();

	if (cell == DWF_NO_CELL)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	executor = palloc0(sizeof(DwfExecutor));

	/* describe it */
	dwf_process_describe(&worker, "durable_wf", "dwf_executor_main",
						 "durable_wf executor");
	worker.bgw_main_arg = ObjectIdGetDatum(MyDatabaseId);
	memcpy(worker.bgw_extra, &role, sizeof(role));
	memcpy(worker.bgw_extra + sizeof(role), &cell, sizeof(cell));

	/* start it; keep it, or free all again */
	executor->role = role;
	executor->cell = cell;
	if (dwf_process_start(&worker, &executor->handle))
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

/* Log that there is no slot, once until an executor finds one */
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

/* Wake an executor of a role that waits for work; false if none does */
static bool
wake_executor(Oid role)
{
	return dwf_waiter_wake(dwf_address_work_hash(role), DWF_DOOR_WORK, 1) > 0;
}

/*
 * This role may not run bodies: its work waits.  Log each reason once.
 * Returns when to look again; a statement that changes roles or privileges
 * makes the worker look before that.
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
	/* look again later each time */
	if (trouble->try_after <= GetCurrentTimestamp())
		delay(trouble, TROUBLE_GAP, TROUBLE_GAP_MAX);
	return trouble->try_after;
}

/*
 * Wake or start an executor for a role, or end its workflows if it is dropped.
 * Returns when to do so again; DT_NOEND: not before the worker is told.
 */
static TimestampTz
serve_role(Oid role)
{
	bool		is_gone;
	const char *refusal = dwf_body_refusal(role, &is_gone);
	Trouble    *trouble = find_trouble(role);
	TimestampTz now = GetCurrentTimestamp();

	/* may it run bodies? */
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

	/* an executor that waits is woken, else one is started */
	if (wake_executor(role))
		return DT_NOEND;
	if (trouble && now < trouble->try_after)
	{
		(void) dwf_room_make(executors, role, DWF_LACKS_TIME);
		return trouble->try_after;
	}
	if (!dwf_room_exists(executors, role))
	{
		if (dwf_room_make(executors, role, DWF_LACKS_ROOM))
			dwf_saturation_add(dwf_address_work_hash(role));
		return TimestampTzPlusMilliseconds(now, NO_ROOM_GAP);
	}
	if (!dwf_pool_lacks_slot && start_executor(role))
		return DT_NOEND;
	(void) dwf_room_make(executors, role, DWF_LACKS_SLOT);
	warn_no_slot();
	dwf_pool_lacks_slot = true;
	return TimestampTzPlusMilliseconds(now, NO_SLOT_GAP);
}

/* Tell all executors when the next look is */
static void
plan_look(TimestampTz next)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		dwf_executors_plan(((DwfExecutor *) lfirst(cell))->cell, next);
	}
}

/*
 * Wake or start an executor for each role that has a body which is due, in a
 * transaction of its own.  Returns when to do so again; DT_NOEND: not before
 * the worker is told.
 */
TimestampTz
dwf_pool_start(void)
{
	TimestampTz next = DT_NOEND;
	bool		must_look_again;
	ListCell   *cell;

	dwf_pool_lacks_slot = false;
	plan_look(DT_NOEND);
	dwf_room_begin(executors);
	dwf_saturation_begin();
	dwf_process_begin();
	if (OidIsValid(dwf_catalog_find_relation("wait")))
		foreach(cell, dwf_store_roles_with_work(&next))
	{
		TimestampTz again = serve_role(lfirst_oid(cell));

		next = Min(next, again);
	}
	dwf_process_commit();
	must_look_again = dwf_room_end(executors);
	must_look_again |= dwf_saturation_end();
	if (must_look_again)
		return DT_NOBEGIN;
	plan_look(next);
	return next;
}

/* End all executors, and wait until they are gone; blocks for that time */
void
dwf_pool_end(void)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		TerminateBackgroundWorker(((DwfExecutor *) lfirst(cell))->handle);
	}
	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		(void) WaitForBackgroundWorkerShutdown(executor->handle);
		dwf_executors_free(executor->cell);
	}
	executors = NIL;
}

/* Tell all executors to end, but wait for none: this process is ending */
void
dwf_pool_abandon(void)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		TerminateBackgroundWorker(((DwfExecutor *) lfirst(cell))->handle);
		dwf_executors_free(((DwfExecutor *) lfirst(cell))->cell);
	}
	executors = NIL;
}
