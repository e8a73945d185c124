/*-------------------------------------------------------------------------
 *
 * home.c
 *	  Whether the workflows of this database were started in it.
 *
 * A copy of a database must not repeat the work of the original unasked.  The
 * table durable_wf.home names the databases that the workflows come from: it
 * is dumped, so that a restored database has a row of another one; a copied
 * or upgraded database has no row of its own.  Workflows that were written by
 * other means than wf_start (COPY, a subscription's apply worker, whichever
 * tables it has) enter a row of an unknown database with them, in the same
 * transaction.  While there is such a row nothing runs; wf_adopt() removes it,
 * and so does the first wf_start() if there is no workflow yet.
 *
 *-------------------------------------------------------------------------
 */
#include "store/home.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "shared/presence.h"
#include "store/catalog.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_here);
PG_FUNCTION_INFO_V1(dwf_note_home);

/* The (sub)transaction that has last made sure of the row */
static TransactionId marked_by = InvalidTransactionId;

/* This database was seen to be the home of its workflows, by what is committed */
static bool is_home = false;

/* The transaction of this session that has last changed that */
static TransactionId changed_by = InvalidTransactionId;

/* Is the table there?  Not before ALTER EXTENSION UPDATE from 0.1.0. */
static bool
has_home(void)
{
	return dwf_catalog_is_installed() &&
		OidIsValid(dwf_catalog_find_relation("home"));
}

/* durable_wf.here() → this database */
Datum
dwf_here(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	bool		nulls[2] = {false};

	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* Trigger function of durable_wf.home: have the worker look at commit */
Datum
dwf_note_home(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!dwf_catalog_is_ours(trigger->tg_relation))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("durable_wf.note_home() serves the trigger of durable_wf.home only")));
	dwf_presence_changed(MyDatabaseId);
	marked_by = InvalidTransactionId;	/* perhaps it has just gone */
	changed_by = GetTopTransactionIdIfAny();
	is_home = false;
	return PointerGetDatum(NULL);
}

/*
 * The present transaction writes a workflow that was not started here: see to
 * it that durable_wf.home says so when it commits.  Waits for a wf_adopt() that
 * is on its way, as that waits for us.
 */
void
dwf_home_note_foreign_row(void)
{
	TransactionId xid = GetCurrentTransactionId();

	if (xid == marked_by || !has_home())
		return;
	dwf_store_mark_home();
	marked_by = xid;
}

/* Have workflows come from another database, and were not adopted? */
bool
dwf_home_is_copy(void)
{
	return has_home() && dwf_store_is_copy();
}

/* The same, and there are some: is there anything that does not run? */
bool
dwf_home_runs_nothing(void)
{
	return dwf_home_is_copy() && dwf_store_has_workflows();
}

/*
 * A workflow is about to be started here.  A database that was made from a
 * template with the extension, and has not had a workflow since, has nothing
 * to repeat: it is adopted.  Returns false if the workflows of this database
 * wait for wf_adopt(), as far as this session knows.
 *
 * Waits for others who are adopting, or restoring.
 */
bool
dwf_home_prepare_start(void)
{
	if (is_home)
		return true;
	if (!has_home() || !dwf_store_is_copy())
	{
		is_home = !TransactionIdIsValid(changed_by) ||
			changed_by != GetTopTransactionIdIfAny();
		return true;
	}
	if (dwf_store_has_workflows())
		return false;
	LockRelationOid(dwf_catalog_relation("home"), ExclusiveLock);
	if (dwf_store_has_workflows())
		return false;
	dwf_store_adopt();
	return true;
}
