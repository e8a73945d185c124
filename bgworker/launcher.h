/*-------------------------------------------------------------------------
 *
 * launcher.h
 *	  One launcher per cluster starts a worker in each database that has the
 *	  extension.
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
