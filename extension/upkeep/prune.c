/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  Remove ended workflows, and all that belongs to them: wf_prune.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "shared/horizon.h"
#include "store/catalog.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(wf_prune);

/* wf_prune(older_than, batch) → bigint */
Datum
wf_prune(PG_FUNCTION_ARGS)
{
	Interval   *older_than;
	Relation	table;
	TransactionId horizon;
	int			batch;

	/* Read the arguments */
	dwf_args_require(fcinfo, 0, "older_than");
	older_than = PG_GETARG_INTERVAL_P(0);
	(void) dwf_args_is_positive(older_than, "older_than");
	dwf_args_require(fcinfo, 1, "batch");
	batch = PG_GETARG_INT32(1);
	if (batch < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch must be at least 1")));

	/* Refuse where the snapshot would not do */
	dwf_store_require_writable("wf_prune");
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot prune in a REPEATABLE READ or SERIALIZABLE transaction"),
				 errdetail("Its snapshot may not show all that belongs to a workflow."),
				 errhint("Call it after BEGIN ISOLATION LEVEL READ COMMITTED.")));

	/* Prune the workflows whose end all transactions have seen (horizon.c) */
	table = table_open(dwf_catalog_relation("workflow"), AccessShareLock);
	horizon = dwf_horizon_read(table);
	table_close(table, NoLock);
	if (!TransactionIdIsValid(horizon))
		PG_RETURN_INT64(0);

	PG_RETURN_INT64((int64) dwf_store_prune(older_than, batch, horizon,
											GetUserId()));
}
