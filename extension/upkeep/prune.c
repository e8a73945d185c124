/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  Remove ended workflows, and all that belongs to them: wf_prune,
 *	  wf_delete.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "session/identity.h"
#include "session/journal.h"
#include "shared/horizon.h"
#include "store/catalog.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(wf_prune);

/* Raise 25001 where the snapshot would not do for what is to be done */
static void
check_isolation(const char *what)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot %s in a REPEATABLE READ or SERIALIZABLE transaction",
						what),
				 errdetail("Its snapshot may not show all that belongs to a workflow."),
				 errhint("Call it after BEGIN ISOLATION LEVEL READ COMMITTED.")));
}

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

	dwf_store_require_writable("wf_prune");
	check_isolation("prune");

	/* Prune the workflows whose end all transactions have seen (horizon.c) */
	table = table_open(dwf_catalog_relation("workflow"), AccessShareLock);
	horizon = dwf_horizon_read(table);
	table_close(table, NoLock);
	if (!TransactionIdIsValid(horizon))
		PG_RETURN_INT64(0);

	PG_RETURN_INT64((int64) dwf_store_prune(older_than, batch, horizon,
											GetUserId()));
}

/*
 * Raise 42501 for a workflow that is not the current user's, 55000 for one
 * that has not ended, 55006 for one whose end is of this transaction.  Returns
 * the transaction that has ended it; an invalid xid if there is no workflow.
 */
static TransactionId
check_deletable(text *workflow_id)
{
	DwfLife		life;
	TransactionId ended;

	if (!dwf_store_life(workflow_id, &life))
		return InvalidTransactionId;
	dwf_identity_check_owner(workflow_id, &life, GetUserId());
	if (!life.finished)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("workflow \"%s\" has not ended",
						text_to_cstring(workflow_id)),
				 errdetail("Its status is %s.", life.status),
				 errhint("End it with wf_cancel() before.")));
	ended = dwf_store_changed_by(workflow_id);
	if (TransactionIdIsValid(ended) &&
		TransactionIdIsCurrentTransactionId(ended))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("workflow \"%s\" has ended in this transaction",
						text_to_cstring(workflow_id)),
				 errdetail("Others do not see its end yet, and may send to it."),
				 errhint("COMMIT first.")));
	return ended;
}

/* wf_delete(workflow_id) → boolean, false if there is no such workflow */
DWF_JOURNALLED(wf_delete, 0, DWF_AT_WORKFLOW(0));
static Datum
do_wf_delete(PG_FUNCTION_ARGS)
{
	text	   *workflow_id = dwf_args_name(fcinfo, 0, "workflow_id",
											DWF_WORKFLOW_ID_MAX);

	TransactionId ended;

	dwf_store_require_writable("wf_delete");
	check_isolation("delete a workflow");

	/* it may have been retried, and have ended again, during the wait */
	while (TransactionIdIsValid(ended = check_deletable(workflow_id)))
	{
		TransactionId next =
		dwf_horizon_await(dwf_catalog_relation("workflow"), ended);

		if (dwf_store_delete(workflow_id, next, GetUserId()))
			PG_RETURN_BOOL(true);
		CHECK_FOR_INTERRUPTS();
	}
	PG_RETURN_BOOL(false);
}
