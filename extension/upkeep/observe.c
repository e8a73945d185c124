/*-------------------------------------------------------------------------
 *
 * observe.c
 *	  What the views wf_waiters, wf_executions and wf_stat read.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/owner.h"
#include "shared/claims.h"
#include "shared/counters.h"
#include "shared/listener.h"
#include "shared/preloaded.h"
#include "shared/progress.h"
#include "shared/waiter.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_waiters);
PG_FUNCTION_INFO_V1(dwf_executions);
PG_FUNCTION_INFO_V1(dwf_stat);
PG_FUNCTION_INFO_V1(dwf_listens);

/*
 * May the current user see a waiter: does it wait with a role, or belong to a
 * workflow, that the user may act for?
 */
static bool
may_see(const DwfWaiterInfo *waiter)
{
	DwfLife		life;

	if (dwf_owner_allows(waiter->role, GetUserId()))
		return true;
	return dwf_store_life(waiter->workflow_id, &life) &&
		dwf_owner_allows(life.owner, GetUserId());
}

/* durable_wf.waiters() → rows of wf_waiters */
Datum
dwf_waiters(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	dwf_preloaded_require("wf_waiters");
	InitMaterializedSRF(fcinfo, 0);

	/* Return a row for each waiter that the user may see */
	foreach(cell, dwf_waiter_list())
	{
		DwfWaiterInfo *waiter = lfirst(cell);
		DwfSubject	subject = dwf_counters_subject(waiter->door);
		Datum		values[7];
		bool		nulls[7] = {false};

		if (!may_see(waiter))
			continue;
		values[0] = PointerGetDatum(waiter->workflow_id);
		nulls[0] = waiter->door == DWF_DOOR_QUEUE;
		values[1] = CStringGetTextDatum(dwf_counters_subject_name(subject));
		values[2] = PointerGetDatum(waiter->key);
		nulls[2] = waiter->door == DWF_DOOR_NO_TOPIC ||
			waiter->door == DWF_DOOR_LIFE || waiter->door == DWF_DOOR_TIMER;
		values[3] = Int32GetDatum(waiter->pid);
		values[4] = BoolGetDatum(false);
		values[5] = TimestampTzGetDatum(waiter->since);
		values[6] = TimestampTzGetDatum(waiter->deadline);
		nulls[6] = waiter->deadline == DWF_WAIT_FOREVER;
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/*
 * How a call is shown, as in wf_list_steps: the name of a step, else the
 * function with what names the call
 */
static text *
describe_call(const DwfProgress *call)
{
	if (!call->has_name)
		return cstring_to_text(call->function);
	if (strcmp(call->function, "wf_step") == 0 ||
		strcmp(call->function, "wf_save_step") == 0)
		return cstring_to_text(call->name);
	return cstring_to_text(psprintf("%s(%s)", call->function, call->name));
}

/* durable_wf.executions() → what wf_executions shows of shared memory */
Datum
dwf_executions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *cell;

	dwf_preloaded_require("wf_executions");
	InitMaterializedSRF(fcinfo, 0);

	/* Return a row for each execution of a workflow of the user */
	foreach(cell, dwf_claims_list())
	{
		DwfExecution *execution = lfirst(cell);
		Datum		values[6];
		bool		nulls[6] = {false};
		DwfProgress call;
		DwfLife		life;

		if (!dwf_store_life(execution->workflow_id, &life) ||
			!dwf_owner_allows(life.owner, GetUserId()))
			continue;
		values[0] = PointerGetDatum(execution->workflow_id);
		values[1] = Int32GetDatum(execution->pid);
		values[2] = CStringGetTextDatum(execution->is_body ? "executor" :
										"client");
		values[3] = TimestampTzGetDatum(execution->since);
		dwf_progress_read(execution->slot, execution->workflow_id, &call);
		values[4] = Int32GetDatum(call.step_no);
		nulls[4] = nulls[5] = call.step_no == 0;
		values[5] = PointerGetDatum(describe_call(&call));
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/*
 * durable_wf.counters() → rows of wf_stat.  Until ALTER EXTENSION UPDATE the
 * database has the function of 0.1.0, with fewer columns and no row for all
 * doors.
 */
Datum
dwf_stat(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	int			ncounters;

	dwf_preloaded_require("wf_stat");
	InitMaterializedSRF(fcinfo, 0);
	ncounters = Min(DWF_COUNT_COUNT, result->setDesc->natts - 1);

	/* Return a row for each subject */
	for (int subject = 0; subject < DWF_SUBJECT_COUNT; subject++)
	{
		Datum		values[DWF_COUNT_COUNT + 1];
		bool		nulls[DWF_COUNT_COUNT + 1] = {false};

		if (subject == DWF_SUBJECT_ALL && ncounters <= DWF_COUNT_NOTIFICATIONS)
			continue;
		nulls[0] = subject == DWF_SUBJECT_ALL;
		if (!nulls[0])
			values[0] =
				CStringGetTextDatum(dwf_counters_subject_name(subject));
		for (int counter = 0; counter < ncounters; counter++)
			values[counter + 1] =
				Int64GetDatum((int64) dwf_counters_sum(subject, counter));
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}

/* durable_wf.listens() → the number of interests of wf_listen() */
Datum
dwf_listens(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	dwf_preloaded_require("wf_stat");
	PG_RETURN_INT64(dwf_listener_count());
}
