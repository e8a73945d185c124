/*-------------------------------------------------------------------------
 *
 * process.c
 *	  What all processes of ours do alike: how one is started, its signals,
 *	  its transactions.
 *
 * The processes themselves are in bgworker/.  This file is in base/, since
 * the gateway, a library of its own, starts helpers as the launcher starts
 * workers.
 *
 *-------------------------------------------------------------------------
 */
#include "base/process.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * Fill in the description of a process: its main function in a library, and
 * the name that pg_stat_activity and the log show.  Such a process has shared
 * memory and connects to a database, starts when recovery has ended, and is
 * never restarted by the postmaster.  The caller adds arguments, and changes
 * what differs.
 */
void
dwf_process_describe(BackgroundWorker *worker, const char *library,
					 const char *function, const char *name)
{
	memset(worker, 0, sizeof(BackgroundWorker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS |
		BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, library, BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, name, BGW_MAXLEN);
}

/*
 * Ask the postmaster for a process; it sets the latch of this one when that
 * has started, and when it has ended.  The handle is in TopMemoryContext.
 * Returns false when max_worker_processes leaves no slot.
 */
bool
dwf_process_start(BackgroundWorker *worker, BackgroundWorkerHandle **handle)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	bool		registered;

	worker->bgw_notify_pid = MyProcPid;
	registered = RegisterDynamicBackgroundWorker(worker, handle);
	MemoryContextSwitchTo(old);
	return registered;
}

/* Handle SIGHUP and SIGTERM as the server's own processes do */
void
dwf_process_handle_signals(void)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();
}

/* Read the settings again if SIGHUP has come; returns whether it has */
bool
dwf_process_reload(void)
{
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

/* Begin a transaction, with a snapshot */
void
dwf_process_begin(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* Commit what dwf_process_begin() has begun */
void
dwf_process_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
}

/* The shorter of two times to sleep, each -1 for ever */
long
dwf_process_shorter(long a, long b)
{
	return a < 0 ? b : b < 0 ? a : Min(a, b);
}
