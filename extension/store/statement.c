/*-------------------------------------------------------------------------
 *
 * statement.c
 *	  Run a statement on our tables, with a kept plan, as their owner.
 *
 * Every statement runs as the owner of the tables, whichever role calls, with
 * a plan that the session keeps for its life.  The caller's search_path is in
 * force while a statement is parsed, so each name in it must be qualified, the
 * operators too.
 *
 * The plans are generic and made without sequential scans.  A queue is often
 * empty when a statement on it is planned or the table is analysed, and a scan
 * that was chosen for an empty table would stay in the session while the table
 * fills.
 *
 *-------------------------------------------------------------------------
 */
#include "store/statement.h"

#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "storage/proc.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "shared/claim.h"
#include "store/catalog.h"

/* A statement of ours is being executed */
static bool is_running = false;

/*
 * Is a statement of ours being executed?  A row of our tables that is written
 * while none is comes from other means: COPY, or a subscription.
 */
bool
dwf_statement_is_running(void)
{
	return is_running;
}

/*
 * True in an executor, except within the command of a step: no client waits
 * with it, so our statements wait for locks without limit, whatever
 * lock_timeout its role has.
 */
bool		dwf_statement_is_patient = false;

/* The settings of the session that our statements do not run with */
typedef struct Settings
{
	bool		seqscan;
	bool		bitmapscan;
	bool		indexscan;
	bool		tidscan;
	bool		nestloop;
	bool		sort;
	bool		jit;
	int			plan_cache_mode;
	int			replication_role;
	int			lock_timeout;
	bool		read_only;
} Settings;

/* The values that these settings have now */
static Settings
present_settings(void)
{
	Settings	present = {
		enable_seqscan, enable_bitmapscan, enable_indexscan, enable_tidscan,
		enable_nestloop, enable_sort, jit_enabled, plan_cache_mode,
		SessionReplicationRole, LockTimeout, XactReadOnly
	};

	return present;
}

/* The values that these settings have for our statements */
static Settings
our_settings(void)
{
	Settings	ours = present_settings();

	ours.seqscan = ours.bitmapscan = ours.jit = false;
	ours.indexscan = ours.tidscan = ours.nestloop = ours.sort = true;
	ours.plan_cache_mode = PLAN_CACHE_MODE_AUTO;
	/* our tables' triggers fire in each session */
	ours.replication_role = SESSION_REPLICATION_ROLE_ORIGIN;
	if (dwf_statement_is_patient)
		ours.lock_timeout = 0;
	if (dwf_claim_is_body())
		ours.read_only = false; /* a body is read-only, our calls are not */
	return ours;
}

/*
 * Set the variables behind these settings.  No assign hook is called and no
 * client is told, so the caller must put them back at the statement's end.
 */
static void
set(const Settings *settings)
{
	enable_seqscan = settings->seqscan;
	enable_bitmapscan = settings->bitmapscan;
	enable_indexscan = settings->indexscan;
	enable_tidscan = settings->tidscan;
	enable_nestloop = settings->nestloop;
	enable_sort = settings->sort;
	jit_enabled = settings->jit;
	plan_cache_mode = settings->plan_cache_mode;
	SessionReplicationRole = settings->replication_role;
	LockTimeout = settings->lock_timeout;
	XactReadOnly = settings->read_only;
}

/* Prepare a statement, and keep its plan */
static void
prepare(DwfStatement *statement)
{
	SPIPlanPtr	plan;

	plan = SPI_prepare_cursor(statement->sql, statement->nargs,
							  statement->argtypes, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
			 SPI_result_code_string(SPI_result));
	statement->plan = plan;
}

/*
 * Execute a statement's plan.  It may have to be made anew here, so it is made
 * under our settings: without sequential scans, by the methods that our
 * statements are written for, and without JIT, which would compile anew at
 * each call a plan that looks expensive.
 */
static void
execute_plan(DwfStatement *statement, Datum *values, const char *nulls,
			 bool sees_latest)
{
	Settings	saved = present_settings();
	Settings	ours = our_settings();
	bool		was_running = is_running;
	int			result = 0;

	/* what raises here must not leave our settings to the session */
	PG_TRY();
	{
		is_running = true;
		set(&ours);
		if (statement->plan == NULL)
			prepare(statement);

		/* SPI_execute_plan() would use the transaction's snapshot */
		if (sees_latest && IsolationUsesXactSnapshot())
			result = SPI_execute_snapshot(statement->plan, values, nulls,
										  GetLatestSnapshot(), InvalidSnapshot,
										  false, true, 0);
		else
			result = SPI_execute_plan(statement->plan, values, nulls, false,
									  0);
	}
	PG_FINALLY();
	{
		set(&saved);
		is_running = was_running;
	}
	PG_END_TRY();

	if (result < 0)
		elog(ERROR, "could not execute \"%s\": %s", statement->sql,
			 SPI_result_code_string(result));
}

/*
 * Run a statement as the owner of our tables; see dwf_statement_run().  If it
 * "sees_latest", it takes a new snapshot even in REPEATABLE READ.
 */
static DwfRun
run_plan(DwfStatement *statement, Datum *values, const char *nulls,
		 bool sees_latest)
{
	DwfRun		run;
	Oid			user;
	int			context;

	run.caller_context = CurrentMemoryContext;
	run.pushed_snapshot = !ActiveSnapshotSet();
	if (run.pushed_snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	SPI_connect();

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(dwf_catalog_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	execute_plan(statement, values, nulls, sees_latest);
	SetUserIdAndSecContext(user, context);
	return run;
}

/*
 * Run a statement.  "nulls" is as in SPI.  Its result is in SPI_tuptable and
 * SPI_processed until dwf_statement_done() is called, which must follow.
 *
 * The statement sees what has committed by now (in READ COMMITTED).  Between
 * the commits of a CALL there may be no active snapshot, and then nothing
 * would hold the toasted part of a result until it is copied; so run_plan()
 * pushes one.
 */
DwfRun
dwf_statement_run(DwfStatement *statement, Datum *values, const char *nulls)
{
	return run_plan(statement, values, nulls, false);
}

/*
 * Run a statement that has to see the latest that has committed, whatever
 * snapshot the transaction has; otherwise as dwf_statement_run()
 */
DwfRun
dwf_statement_run_latest(DwfStatement *statement, Datum *values)
{
	return run_plan(statement, values, NULL, true);
}

/* End the use of a statement's result */
void
dwf_statement_done(DwfRun run)
{
	SPI_finish();
	if (run.pushed_snapshot)
		PopActiveSnapshot();
}

/* Run a statement for the number of rows that it changed or found */
uint64
dwf_statement_count(DwfStatement *statement, Datum *values, const char *nulls)
{
	DwfRun		run = dwf_statement_run(statement, values, nulls);
	uint64		count = SPI_processed;

	dwf_statement_done(run);
	return count;
}

/*
 * Run a statement for the number of rows that it found among all that have
 * committed by now, whatever snapshot the transaction has
 */
uint64
dwf_statement_count_latest(DwfStatement *statement, Datum *values)
{
	DwfRun		run = run_plan(statement, values, NULL, true);
	uint64		count = SPI_processed;

	dwf_statement_done(run);
	return count;
}

/* A column of a row of the result, not copied; columns count from 1 */
Datum
dwf_statement_column(uint64 row, int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n,
						 isnull);
}

/* A varlena column, detoasted and copied to the caller's memory context */
DwfValue
dwf_statement_copy_column(DwfRun run, uint64 row, int n)
{
	DwfValue	value;

	value.value = dwf_statement_column(row, n, &value.isnull);
	if (!value.isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(run.caller_context);

		value.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value.value));
		MemoryContextSwitchTo(old);
	}
	return value;
}

/* Copy a text column for the caller; NULL if it is null */
text *
dwf_statement_copy_text(DwfRun run, uint64 row, int n)
{
	DwfValue	value = dwf_statement_copy_column(run, row, n);

	return value.isnull ? NULL : DatumGetTextP(value.value);
}

/* Run a statement for one text; NULL if it finds no row, or a null */
text *
dwf_statement_text(DwfStatement *statement, Datum *values)
{
	DwfRun		r = dwf_statement_run(statement, values, NULL);
	text	   *value = NULL;

	if (SPI_processed > 0)
		value = dwf_statement_copy_text(r, 0, 1);
	dwf_statement_done(r);
	return value;
}

/* Run a statement for one moment; DT_NOEND if it finds no row */
TimestampTz
dwf_statement_moment(DwfStatement *statement, Datum *values)
{
	DwfRun		r = dwf_statement_run(statement, values, NULL);
	TimestampTz moment = DT_NOEND;
	bool		isnull;

	if (SPI_processed > 0)
		moment = DatumGetTimestampTz(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(r);
	return moment;
}
