/*-------------------------------------------------------------------------
 *
 * home.c
 *	  Whether the workflows of this database were started in it.
 *
 * A copy of a database must not repeat the work of the original unasked.  The
 * table durable_wf.home names the databases that the workflows come from.  It
 * is dumped, so a restored database has the row of another database; a copied
 * or upgraded database has no row of its own.  When a workflow is written by
 * other means than wf_start() (COPY, the apply worker of a subscription), a
 * row of an unknown database is entered in the same transaction.  While there
 * is a row of another or an unknown database nothing runs.  wf_adopt() removes
 * it, and so does the first wf_start() if there is no workflow yet.
 *
 *-------------------------------------------------------------------------
 */
#include "store/home.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "base/args.h"
#include "shared/presence.h"
#include "store/catalog.h"
#include "store/statement.h"

PG_FUNCTION_INFO_V1(dwf_here);
PG_FUNCTION_INFO_V1(dwf_is_copy);
PG_FUNCTION_INFO_V1(dwf_note_home);

/* Columns of durable_wf.home */
#define HOME_SYSTEM_IDENTIFIER	1
#define HOME_DATABASE			2

/* Keeps a row of an unknown database until the transaction ends */
static DwfStatement lock_home_query = {
	"SELECT FROM durable_wf.home h"
	" WHERE h.system_identifier OPERATOR(pg_catalog.=) 0 FOR KEY SHARE",
	0, {0}, NULL
};

static DwfStatement mark_home_query = {
	"INSERT INTO durable_wf.home (system_identifier, database) VALUES (0, 0)",
	0, {0}, NULL
};

static DwfStatement has_workflows_query = {
	"SELECT FROM durable_wf.workflow w LIMIT 1",
	0, {0}, NULL
};

static DwfStatement leave_home_query = {
	"DELETE FROM durable_wf.home",
	0, {0}, NULL
};

static DwfStatement enter_home_query = {
	"INSERT INTO durable_wf.home (system_identifier, database)"
	" SELECT h.system_identifier, h.database FROM durable_wf.here() h",
	0, {0}, NULL
};

/* The (sub)transaction that has last called mark_home() */
static TransactionId marked_by = InvalidTransactionId;

/* Committed rows have shown that this database is its workflows' home */
static bool is_home = false;

/* The transaction of this session that has last changed durable_wf.home */
static TransactionId changed_by = InvalidTransactionId;

/* Is there a durable_wf.home?  The objects of 0.1.0 have none. */
static bool
has_home(void)
{
	return dwf_catalog_is_installed() &&
		OidIsValid(dwf_catalog_find_relation("home"));
}

/* Enter a row of an unknown database, or keep the one that is there */
static void
mark_home(void)
{
	if (dwf_statement_count(&lock_home_query, NULL, NULL) == 0)
		(void) dwf_statement_count(&mark_home_query, NULL, NULL);
}

/* Does a row of the table name this database? */
static bool
is_here(TupleTableSlot *row)
{
	bool		isnull;
	Datum		system = slot_getattr(row, HOME_SYSTEM_IDENTIFIER, &isnull);
	Datum		database = slot_getattr(row, HOME_DATABASE, &isnull);

	return DatumGetInt64(system) == (int64) GetSystemIdentifier() &&
		DatumGetObjectId(database) == MyDatabaseId;
}

/*
 * Does the table, which is there, say that this database is a copy, as the
 * snapshot shows it?
 */
bool
dwf_home_is_copy_in(Snapshot snapshot)
{
	Relation	home = table_open(dwf_catalog_relation("home"),
								  AccessShareLock);
	TupleTableSlot *row = table_slot_create(home, NULL);
	TableScanDesc scan = DWF_TABLE_BEGINSCAN(home, snapshot);
	int			here = 0;
	int			elsewhere = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, row))
	{
		if (is_here(row))
			here++;
		else
			elsewhere++;
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(row);
	table_close(home, NoLock);
	return here == 0 || elsewhere > 0;
}

/* Is this database a copy, as the transaction sees it now? */
static bool
is_copy(void)
{
	Snapshot	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	bool		result = dwf_home_is_copy_in(snapshot);

	UnregisterSnapshot(snapshot);
	return result;
}

/* durable_wf.is_copy() → boolean, as the statement that calls it sees it */
Datum
dwf_is_copy(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	PG_RETURN_BOOL(dwf_home_is_copy_in(GetActiveSnapshot()));
}

/* Does this database have any workflow that has been committed? */
static bool
has_workflows(void)
{
	return dwf_statement_count_latest(&has_workflows_query, NULL) > 0;
}

/* Make this database the home of its workflows, as wf_adopt() does */
static void
adopt(void)
{
	(void) dwf_statement_count(&leave_home_query, NULL, NULL);
	(void) dwf_statement_count(&enter_home_query, NULL, NULL);
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

/*
 * Trigger function of durable_wf.home: have our processes look at the database
 * when the transaction commits
 */
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
	marked_by = InvalidTransactionId;	/* the row may be deleted just now */
	changed_by = GetTopTransactionIdIfAny();
	is_home = false;
	return PointerGetDatum(NULL);
}

/*
 * Have durable_wf.home say, when this transaction commits, that it has written
 * a workflow that was not started here.  Blocks while another transaction
 * calls wf_adopt(), which in turn waits for this transaction.
 */
void
dwf_home_note_foreign_row(void)
{
	TransactionId xid = GetCurrentTransactionId();

	if (xid == marked_by || !has_home())
		return;
	mark_home();
	marked_by = xid;
}

/* Do workflows come from another database, and were not adopted? */
bool
dwf_home_is_copy(void)
{
	return has_home() && is_copy();
}

/* Is this database a copy with workflows, none of which may run? */
bool
dwf_home_runs_nothing(void)
{
	return dwf_home_is_copy() && has_workflows();
}

/*
 * Prepare the start of a workflow.  A database that was made from a template
 * with the extension, and has had no workflow since, has nothing to repeat: it
 * is adopted.  Returns false if the workflows of this database wait for
 * wf_adopt(), as far as this session knows.
 *
 * Blocks while another transaction adopts the database, or restores into it.
 */
bool
dwf_home_prepare_start(void)
{
	if (is_home)
		return true;
	if (!has_home() || !is_copy())
	{
		is_home = !TransactionIdIsValid(changed_by) ||
			changed_by != GetTopTransactionIdIfAny();
		return true;
	}
	if (has_workflows())
		return false;
	LockRelationOid(dwf_catalog_relation("home"), ExclusiveLock);
	if (has_workflows())
		return false;
	adopt();
	return true;
}
