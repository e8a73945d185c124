/*-------------------------------------------------------------------------
 *
 * process.h
 *	  What all processes of ours do alike: how one is started, its signals,
 *	  its transactions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PROCESS_H
#define DWF_PROCESS_H

#include "base/durable_wf.h"

#include "postmaster/bgworker.h"

extern PGDLLEXPORT void dwf_process_describe(BackgroundWorker *worker,
											 const char *library,
											 const char *function,
											 const char *name);
extern PGDLLEXPORT bool dwf_process_start(BackgroundWorker *worker,
										  BackgroundWorkerHandle **handle);
extern PGDLLEXPORT void dwf_process_handle_signals(void);
extern PGDLLEXPORT bool dwf_process_reload(void);
extern PGDLLEXPORT void dwf_process_begin(void);
extern PGDLLEXPORT void dwf_process_commit(void);
extern PGDLLEXPORT long dwf_process_shorter(long a, long b);

#endif							/* DWF_PROCESS_H */
