/*-------------------------------------------------------------------------
 *
 * step_plans.h
 *	  Plans of the commands of steps, in an executor.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STEP_PLANS_H
#define DWF_STEP_PLANS_H

#include "base/durable_wf.h"

#include "executor/spi.h"

extern SPIPlanPtr dwf_step_plans_find(const char *command);

#endif							/* DWF_STEP_PLANS_H */
