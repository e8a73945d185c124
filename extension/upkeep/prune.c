/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  Remove ended workflows, and all that belongs to them: wf_prune,
 *	  wf_delete.
 *
 * On a cluster, names of hooks are known beyond their node: they are freed in
 * the same transaction.
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
#include "base/arrays.h"
#include "cluster/token_home.h"
#include "session/identity.h"
#include "session/journal.h"
#include "shared/horizon.h"
#include "store/anchor.h"
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

/* Prune on a node of a cluster, which frees the names of hooks */
static uint64
prune_on_node(Interval *older_than, int batch, TransactionId horizon)
{
	Datum		array;
	Datum		workflow_ids;
	Datum	   *tokens;
	uint64		count = dwf_store_prune_named(older_than, batch, horizon,
											  GetUserId(), &array,
											  &workflow_ids);
	int			ntokens = dwf_arrays_read_texts(array, &tokens, NULL);

	dwf_token_home_free_all(tokens, ntokens, workflow_ids);
	return count;
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

	if (dwf_anchor_exists())
		PG_RETURN_INT64((int64) prune_on_node(older_than, batch, horizon));
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

/* What the hooks of the workflow have that is to be deleted, on a cluster */
static Datum *tokens_to_free = NULL;
static int	ntokens_to_free = 0;

/* What wf_delete does on a cluster where it is called, before: reads them */
static void
read_names(FunctionCallInfo fcinfo)
{
	ntokens_to_free = PG_ARGISNULL(0) ? 0 :
		dwf_token_home_read(PG_GETARG_TEXT_PP(0), &tokens_to_free);
}

/* ... and after: frees them, if the workflow was deleted */
static void
free_names(FunctionCallInfo fcinfo, Datum result)
{
	if (DatumGetBool(result))
		dwf_token_home_free_all(tokens_to_free, ntokens_to_free,
								dwf_arrays_of_one_text(PG_GETARG_TEXT_PP(0)));
}

/* wf_delete(workflow_id) → boolean, false if there is no such workflow */
DWF_JOURNALLED_ALSO(wf_delete, 0, DWF_AT_WORKFLOW(0), read_names, free_names);
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
