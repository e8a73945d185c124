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
 * running.
 *
 *-------------------------------------------------------------------------
 */
#include "pool.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "plan.h"
#include "store.h"
#include "waiter.h"

typedef struct Executor
{
	Oid			role;
	BackgroundWorkerHandle *handle;
	TimestampTz started_at;
} Executor;

/* While there is no slot for another one, it is tried again after this, in ms */
#define NO_SLOT_GAP		1000

static List *executors = NIL;	/* in TopMemoryContext */

/* Roles whose executors end at once are not tried again before this */
static TimestampTz try_after = 0;
static bool warned_no_slot = false;

/* What is due waits for a slot */
bool		dwf_pool_lacks_slot = false;

/* How many executors are there, of a role or, if it is invalid, of all? */
static int
count_executors(Oid role)
{
	int			count = 0;
	ListCell   *cell;

	foreach(cell, executors)
		if (!OidIsValid(role) || ((Executor *) lfirst(cell))->role == role)
			count++;
	return count;
}

/* Can a role's executor connect? */
static bool
can_execute(Oid role)
{
	HeapTuple	tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(role));
	bool		can_login = HeapTupleIsValid(tuple) &&
		((Form_pg_authid) GETSTRUCT(tuple))->rolcanlogin;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return can_login && dwf_compat_can_connect(MyDatabaseId, role);
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
		/* one that ended at once may have been refused: not over and over */
		if (!TimestampDifferenceExceeds(executor->started_at,
										GetCurrentTimestamp(), 1000))
			try_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
													1000);
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
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	Executor   *executor = palloc0(sizeof(Executor));

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
	worker.bgw_notify_pid = MyProcPid;

	executor->role = role;
	executor->started_at = GetCurrentTimestamp();
	if (RegisterDynamicBackgroundWorker(&worker, &executor->handle))
	{
		executors = lappend(executors, executor);
		warned_no_slot = false;
	}
	else
	{
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

/* Start what a role needs; false when there is no slot */
static bool
serve_role(Oid role)
{
	int			of_role = count_executors(role);

	if (!can_execute(role))
	{
		(void) dwf_store_fail_role(role,
								   "the workflow's owner cannot log in, or not connect to this database");
		return true;
	}
	if (wake_executor(role))
		return true;
	if (of_role > 0 &&
		count_executors(InvalidOid) >= dwf_setting_max_executors)
		return true;
	return start_executor(role);
}

/*
 * Start an executor for each role that has a body which is due.  Returns when
 * to do so again, DT_NOEND if there is no telling.
 */
TimestampTz
dwf_pool_start(void)
{
	TimestampTz next = DT_NOEND;
	ListCell   *cell;

	if (GetCurrentTimestamp() < try_after)
		return try_after;
	dwf_pool_lacks_slot = false;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (OidIsValid(dwf_plan_find_relation("wait")))
		foreach(cell, dwf_store_roles_with_work(&next))
			if (!serve_role(lfirst_oid(cell)))
			{
				warn_no_slot();
				dwf_pool_lacks_slot = true;
				next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
												   NO_SLOT_GAP);
				break;
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
		TerminateBackgroundWorker(((Executor *) lfirst(cell))->handle);
	foreach(cell, executors)
		(void) WaitForBackgroundWorkerShutdown(((Executor *) lfirst(cell))->handle);
	executors = NIL;
}

/* This process ends by an error: tell all executors to, but wait for none */
void
dwf_pool_abandon(void)
{
	ListCell   *cell;

	foreach(cell, executors)
		TerminateBackgroundWorker(((Executor *) lfirst(cell))->handle);
	executors = NIL;
}
