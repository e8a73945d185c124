/*-------------------------------------------------------------------------
 *
 * plan.c
 *	  Run a statement on our tables, with a kept plan, as their owner.
 *
 * Every statement runs as the owner of the tables, whoever calls, with a plan
 * that is kept for the life of the session.  The caller's search_path is in
 * force while a statement is parsed, so each name in it must be qualified,
 * the operators too.
 *
 * The plans are generic and made without sequential scans.  A queue is often
 * empty when it is planned or analysed, and a scan that was chosen for an
 * empty table would stay in the session while the table fills.
 *
 *-------------------------------------------------------------------------
 */
#include "store/plan.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "shared/claim.h"

#define DWF_SCHEMA	"durable_wf"

/* A statement of ours is being executed */
static bool is_running = false;

/* Is it?  Else a row of our tables is written by other means. */
bool
dwf_plan_is_running(void)
{
	return is_running;
}

/* Has this database our tables? */
bool
dwf_plan_is_installed(void)
{
	return OidIsValid(get_namespace_oid(DWF_SCHEMA, true));
}

/* ----- our tables in the catalogs ----- */

/*
 * What the catalogs say of our tables is asked several times in every call.
 * So answers are kept until they may be wrong: the messages that tell us so
 * are those that end the life of an entry in a syscache.
 */
#define RELATIONS_MAX	8

typedef struct OurRelation
{
	const char *name;
	Oid			relation;
	Oid			owner;
} OurRelation;

static OurRelation our_relations[RELATIONS_MAX];
static int	nour_relations = 0;
static Oid	our_schema = InvalidOid;
static uint64 forgotten = 0;	/* how often anything was forgotten */

static void
forget_relations(void)
{
	nour_relations = 0;
	our_schema = InvalidOid;
	forgotten++;
}

/* Relcache callback: one relation has changed, or any if it is InvalidOid */
static void
relation_changed(Datum arg, Oid relation)
{
	(void) arg;
	for (int i = 0; i < nour_relations; i++)
		if (!OidIsValid(relation) || our_relations[i].relation == relation)
		{
			forget_relations();
			return;
		}
	forgotten++;
}

/* Syscache callback: some schema has changed */
static void
schema_changed(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	forget_relations();
}

/* Be told of changes, from before the first answer is kept */
static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	watching = true;
}

/* Our schema; raises 3F000 when there is none */
static Oid
schema_oid(void)
{
	uint64		before = forgotten;
	Oid			schema = our_schema;

	if (OidIsValid(schema))
		return schema;
	watch_catalogs();
	schema = get_namespace_oid(DWF_SCHEMA, false);
	if (forgotten == before)
		our_schema = schema;
	return schema;
}

/* Look up one of our tables, indexes or sequences; raises 42P01 */
static OurRelation
look_up_relation(const char *name)
{
	OurRelation found = {name, InvalidOid, InvalidOid};
	HeapTuple	tuple = NULL;

	found.relation = get_relname_relid(name, schema_oid());
	if (OidIsValid(found.relation))
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(found.relation));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist",
						DWF_SCHEMA, name)));
	found.owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return found;
}

/*
 * The same from what is kept.  An answer that may have changed while it was
 * looked up is not kept; when there is no room for one more, all go.
 */
static OurRelation
our_relation(const char *name)
{
	uint64		before;
	OurRelation found;

	for (int i = 0; i < nour_relations; i++)
		if (strcmp(our_relations[i].name, name) == 0)
			return our_relations[i];

	watch_catalogs();
	before = forgotten;
	found = look_up_relation(name);
	if (forgotten == before)
	{
		nour_relations %= RELATIONS_MAX;
		our_relations[nour_relations++] = found;
	}
	return found;
}

/* The OID of one of our tables or sequences, invalid if it is not there */
Oid
dwf_plan_find_relation(const char *name)
{
	return get_relname_relid(name, schema_oid());
}

/* The OID of one of our tables, indexes or sequences; name is a constant */
Oid
dwf_plan_relation(const char *name)
{
	return our_relation(name).relation;
}

/* Is this one of our tables?  Nobody else can create one in our schema. */
bool
dwf_plan_is_ours(Relation table)
{
	return RelationGetNamespace(table) == schema_oid();
}

/* The role that owns our tables, as which every statement runs */
static Oid
tables_owner(void)
{
	return our_relation("workflow").owner;
}

/* The same for our processes; raises when the tables are not there */
Oid
dwf_plan_extension_owner(void)
{
	return tables_owner();
}

/* ----- statements ----- */

/*
 * Our process, and nobody waits with it: its statements wait for locks as long
 * as it takes, whatever lock_timeout its role has.
 */
bool		dwf_plan_is_patient = false;

/* The settings that we do not leave to the session */
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

/* What they are now */
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

/* What they are for our statements */
static Settings
our_settings(void)
{
	Settings	ours = present_settings();

	ours.seqscan = ours.bitmapscan = ours.jit = false;
	ours.indexscan = ours.tidscan = ours.nestloop = ours.sort = true;
	ours.plan_cache_mode = PLAN_CACHE_MODE_AUTO;
	/* our tables' triggers fire in each session */
	ours.replication_role = SESSION_REPLICATION_ROLE_ORIGIN;
	if (dwf_plan_is_patient)
		ours.lock_timeout = 0;
	if (dwf_claim_is_body())
		ours.read_only = false; /* a body is read-only, our calls are not */
	return ours;
}

/* Let them be so.  Nothing is told of it, so this is for a statement only. */
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

/* Give a statement its plan */
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
 * Execute a plan that may have to be made anew: without sequential scans, and
 * whatever the session has set, by the methods that our statements are made
 * for.  What is dear by its settings would be compiled at each call, too.
 */
static void
execute_plan(DwfStatement *statement, Datum *values, const char *nulls,
			 bool sees_latest)
{
	Settings	saved = present_settings();
	Settings	ours = our_settings();
	bool		was_running = is_running;
	int			result = 0;

	PG_TRY();
	{
		is_running = true;
		set(&ours);
		if (statement->plan == NULL)
			prepare(statement);
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

/* Run a statement; see below */
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
	SetUserIdAndSecContext(tables_owner(),
						   context | SECURITY_LOCAL_USERID_CHANGE);
	execute_plan(statement, values, nulls, sees_latest);
	SetUserIdAndSecContext(user, context);
	return run;
}

/*
 * Run a statement.  "nulls" is as in SPI.  Its result is in SPI_tuptable and
 * SPI_processed until dwf_plan_done() is called, which must follow.
 *
 * The statement sees what has committed by now (in READ COMMITTED).  Between
 * the commits of a CALL there may be no active snapshot, and then nothing
 * would hold the toasted part of a result until it is copied; so there is one.
 */
DwfRun
dwf_plan_run(DwfStatement *statement, Datum *values, const char *nulls)
{
	return run_plan(statement, values, nulls, false);
}

/*
 * The same for a statement that is to see the latest that has committed,
 * whatever snapshot the transaction has
 */
DwfRun
dwf_plan_run_latest(DwfStatement *statement, Datum *values)
{
	return run_plan(statement, values, NULL, true);
}

/* End the use of a statement's result */
void
dwf_plan_done(DwfRun run)
{
	SPI_finish();
	if (run.pushed_snapshot)
		PopActiveSnapshot();
}

/* Run a statement for the number of rows that it changed or found */
uint64
dwf_plan_count(DwfStatement *statement, Datum *values, const char *nulls)
{
	DwfRun		run = dwf_plan_run(statement, values, nulls);
	uint64		count = SPI_processed;

	dwf_plan_done(run);
	return count;
}

/*
 * The same for a statement that is to find all there is: it sees the latest,
 * whatever snapshot the transaction has
 */
uint64
dwf_plan_count_latest(DwfStatement *statement, Datum *values)
{
	DwfRun		run = run_plan(statement, values, NULL, true);
	uint64		count = SPI_processed;

	dwf_plan_done(run);
	return count;
}

/* A column of a row of the result, if it is not null, by value */
Datum
dwf_plan_column(uint64 row, int n, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, n,
						 isnull);
}

/* A varlena column, copied and detoasted for the caller */
DwfValue
dwf_plan_copy_column(DwfRun run, uint64 row, int n)
{
	DwfValue	value;

	value.value = dwf_plan_column(row, n, &value.isnull);
	if (!value.isnull)
	{
		MemoryContext old = MemoryContextSwitchTo(run.caller_context);

		value.value = PointerGetDatum(PG_DETOAST_DATUM_COPY(value.value));
		MemoryContextSwitchTo(old);
	}
	return value;
}

/* A moment from the first row of a result; DT_NOEND if there is none */
TimestampTz
dwf_plan_moment(DwfStatement *statement, Datum *values)
{
	DwfRun		r = dwf_plan_run(statement, values, NULL);
	TimestampTz moment = DT_NOEND;
	bool		isnull;

	if (SPI_processed > 0)
		moment = DatumGetTimestampTz(dwf_plan_column(0, 1, &isnull));
	dwf_plan_done(r);
	return moment;
}
