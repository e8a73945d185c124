/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  The main functions of the launcher, of workers and of executors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LAUNCHER_H
#define DWF_LAUNCHER_H

#include "base/durable_wf.h"

extern PGDLLEXPORT void dwf_launcher_main(Datum arg);
extern PGDLLEXPORT void dwf_worker_main(Datum arg);
extern PGDLLEXPORT void dwf_executor_main(Datum arg);

#endif							/* DWF_LAUNCHER_H */
