/*-------------------------------------------------------------------------
 *
 * custody.c
 *	  On a cluster: the rows of a shard's workflows, and their move.
 *
 *	M1	A transaction that acts on a workflow here holds a lock of its shard,
 *		shared, until it ends.  A move takes that lock alone.  Who gets the
 *		lock after a move reads the map anew, since its invalidation came
 *		first, and finds the workflow on another node.
 *	M2	A session that waits would keep a move waiting.  So the move first
 *		takes a second lock of the shard, which no transaction keeps, and then
 *		wakes all waiters: each tries the second lock when it looks, after it
 *		has registered, and leaves with an error if a move has it.
 *	M3	What changes rows without the first lock (the worker, executors, the
 *		gateway) locks a row of the workflow or the hook: the move deletes
 *		these first, so it waits for them, and then sees what they have
 *		written.
 *	M4	Custody, rows and the place of the shard change in one transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "store/custody.h"

#include "access/xact.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"

#include "base/arrays.h"
#include "base/portable.h"
#include "shared/waiter.h"
#include "store/anchor.h"
#include "store/catalog.h"
#include "store/store_sql.h"

/* ----- locks ----- */

/* A lock of a shard: the first one, or the one that moves take first */
static LOCKTAG
lock_of(int32 hash, bool is_first)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId,
					   is_first ? RelationRelationId : AttributeRelationId,
					   dwf_catalog_relation("custody"),
					   dwf_anchor_shard_number(hash) + 1);
	return tag;
}

/*
 * Keep the shard of a hash from being moved until the transaction ends.
 * Blocks while it is being moved: then it may be elsewhere.
 */
void
dwf_custody_share(int32 hash)
{
	LOCKTAG		tag = lock_of(hash, true);

	if (LockAcquire(&tag, AccessShareLock, false, false) !=
		LOCKACQUIRE_ALREADY_HELD)
		AcceptInvalidationMessages();
}

/*
 * Keep the shard of a hash here until the transaction ends; false if it is
 * elsewhere.  Blocks while a move of it commits.  The caller has to look at
 * custody, which the node has unless Citus has moved the shard alone.
 */
bool
dwf_custody_hold(int32 hash)
{
	for (int i = 0; i < 2; i++)
	{
		if (i > 0)
			dwf_anchor_settle();
		if (!dwf_anchor_is_here(hash))
			return false;
		dwf_custody_share(hash);
		if (!dwf_anchor_is_here(hash))	/* with the lock (M1) */
			return false;
		if (dwf_anchor_in_custody(hash))
			break;
	}
	return true;
}

/* Keep all shards that are here from being moved until the transaction ends */
void
dwf_custody_share_all(void)
{
	int32		start = PG_INT32_MIN;

	do
	{
		if (dwf_anchor_is_here(start))
			dwf_custody_share(start);
	} while (dwf_anchor_next_shard(&start));
}

/* Raise 40001 if a workflow's shard is about to be moved (M2) */
void
dwf_custody_check_waiting(text *workflow_id)
{
	LOCKTAG		tag;

	if (workflow_id == NULL || !dwf_anchor_exists() ||
		!dwf_anchor_is_here(dwf_anchor_hash(workflow_id)))
		return;
	tag = lock_of(dwf_anchor_hash(workflow_id), false);
	if (LockAcquire(&tag, AccessShareLock, false, true) ==
		LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("workflow \"%s\" is being moved to another node",
						text_to_cstring(workflow_id)),
				 errhint("Try again.")));
	LockRelease(&tag, AccessShareLock, false);
}

/*
 * Lock a shard alone, until the transaction ends.  Blocks while transactions
 * act on its workflows; those that wait leave.
 */
void
dwf_custody_seize(int32 start)
{
	LOCKTAG		first = lock_of(start, true);
	LOCKTAG		second = lock_of(start, false);

	(void) LockAcquire(&second, AccessExclusiveLock, false, false);
	dwf_waiter_wake_database(false);
	(void) LockAcquire(&first, AccessExclusiveLock, false, false);
}

/* ----- rows ----- */

/* $1 and $2: the first and the last hash of the shard */
#define IN_SHARD(column) \
	"pg_catalog.hashtext(" column ") OPERATOR(pg_catalog.>=) $1" \
	" AND pg_catalog.hashtext(" column ") OPERATOR(pg_catalog.<=) $2"

/* A table whose rows move: how they are taken away, and put */
typedef struct Moved
{
	const char *table;
	DwfStatement give;
	DwfStatement take;
}			Moved;

#define MOVED(name) \
	{ \
		name, \
		{ \
			"DELETE FROM durable_wf." name " t WHERE " \
			IN_SHARD("t.workflow_id") " RETURNING t::pg_catalog.text", \
			2, {INT4OID, INT4OID}, NULL \
		}, \
		{ \
			"INSERT INTO durable_wf." name \
			" SELECT (r.row::durable_wf." name ").*" \
			" FROM pg_catalog.unnest($1) r (row)", \
			1, {TEXTARRAYOID}, NULL \
		} \
	}

/* In this order they are deleted (M3) */
static Moved moved[] =
{
	MOVED("workflow"), MOVED("hook"), MOVED("released_hook"),
		MOVED("message"), MOVED("idempotency"), MOVED("event"), MOVED("step"),
		MOVED("wait"), MOVED("attributes"), MOVED("stream"),
		MOVED("stream_item"), MOVED("stream_url"), MOVED("request"),
		MOVED("delivery"), MOVED("dead_letter")
};

/* The workflows that wait for one of the shard and are not of it */
static DwfStatement waits_for_shard_query = {
	"SELECT pg_catalog.array_agg(DISTINCT a.workflow_id)"
	" FROM durable_wf.wait a WHERE " IN_SHARD("a.target_id")
	" AND NOT (" IN_SHARD("a.workflow_id") ")",
	2, {INT4OID, INT4OID}, NULL
};

/* what those of other nodes wait for: told by another node from now on */
static DwfStatement forget_far_query = {
	"DELETE FROM durable_wf.wait a WHERE " IN_SHARD("a.target_id")
	" AND NOT EXISTS (SELECT FROM durable_wf.workflow w"
	"   WHERE w.workflow_id" EQ "a.workflow_id)",
	2, {INT4OID, INT4OID}, NULL
};

static DwfStatement last_id_query = {
	"SELECT s.last_value FROM durable_wf.message_id_seq s",
	0, {0}, NULL
};

/* the last id of the node that the rows come from */
static DwfStatement set_last_id_query = {
	"SELECT pg_catalog.setval('durable_wf.message_id_seq', $1)"
	" FROM durable_wf.message_id_seq s"
	" WHERE s.last_value OPERATOR(pg_catalog.<=) $1",
	1, {INT8OID}, NULL
};

static DwfStatement lose_custody_query = {
	"DELETE FROM durable_wf.custody c WHERE c.shard_start" EQ "$1",
	1, {INT4OID}, NULL
};

static DwfStatement seen_custody_query = {
	"SELECT FROM durable_wf.custody c WHERE c.shard_start" EQ "$1",
	1, {INT4OID}, NULL
};

static DwfStatement get_custody_query = {
	"INSERT INTO durable_wf.custody (shard_start) VALUES ($1)",
	1, {INT4OID}, NULL
};

static DwfStatement waiting_query = {
	"SELECT pg_catalog.array_agg(w.workflow_id) FROM durable_wf.workflow w"
	" WHERE w.status" EQ "'WAITING' AND " IN_SHARD("w.workflow_id"),
	2, {INT4OID, INT4OID}, NULL
};

/*
 * The clients of requests that a gateway holds are at the node that the rows
 * come from; another request may have such an id at the gateway of this one
 */
static DwfStatement leave_requests_query = {
	"UPDATE durable_wf.request r SET held_by_gateway = false,"
	" expires_at = CASE WHEN r.responded_at IS NULL"
	"   THEN pg_catalog.clock_timestamp() ELSE r.expires_at END"
	" WHERE r.held_by_gateway AND " IN_SHARD("r.workflow_id"),
	2, {INT4OID, INT4OID}, NULL
};

/*
 * Raise 40001 if the transaction has a snapshot of before the move that has
 * brought the shard of a hash here: it does not show the rows
 */
void
dwf_custody_check_snapshot(int32 hash)
{
	Datum		value = Int32GetDatum(dwf_anchor_shard_start(hash));

	if (!IsolationUsesXactSnapshot() ||
		dwf_statement_count(&seen_custody_query, &value, NULL) > 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the workflow was moved to this node since the transaction began"),
			 errhint("Try again.")));
}

/* Append the texts of a statement's first column, each after a mark */
static void
append_rows(ArrayBuildState *array, const char *mark, DwfStatement *statement,
			Datum *values)
{
	DwfRun		run = dwf_statement_run(statement, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(run.caller_context);

	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		char	   *row = TextDatumGetCString(dwf_statement_column(i, 1,
																   &isnull));
		Datum text = CStringGetTextDatum(psprintf("%s:%s", mark, row));

		(void) accumArrayResult(array, text, false, TEXTOID,
								run.caller_context);
		pfree(row);
	}
	MemoryContextSwitchTo(old);
	dwf_statement_done(run);
}

/*
 * Take the rows of a shard that was seized away from this node, and its
 * custody.  Returns texts: "id:" and the last message id; for each row its
 * table and a colon before it; "wake:" and the id for each workflow that waits
 * for one of them.
 */
Datum
dwf_custody_give(int32 start, int32 end)
{
	ArrayBuildState *array = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);
	Datum		values[2];
	Datum	   *wakes;
	DwfIds		ids;
	DwfRun		run;
	bool		isnull;
	int64		last;
	int			nest_level;

	values[0] = Int32GetDatum(start);
	values[1] = Int32GetDatum(end);
	ids = dwf_store_list_ids(&waits_for_shard_query, values);
	run = dwf_statement_run(&last_id_query, values, NULL);
	last = DatumGetInt64(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(run);
	(void) accumArrayResult(array,
							CStringGetTextDatum(psprintf("id:" INT64_FORMAT,
														 last)),
							false, TEXTOID, CurrentMemoryContext);

	nest_level = dwf_portable_begin(DWF_DEPENDS_ON_STYLE);
	for (int i = 0; i < (int) lengthof(moved); i++)
		append_rows(array, moved[i].table, &moved[i].give, values);
	dwf_portable_end(nest_level);
	(void) dwf_statement_count(&forget_far_query, values, NULL);

	if (ids.count > 0)
		(void) dwf_arrays_read_texts(ids.array, &wakes, NULL);
	for (int i = 0; i < ids.count; i++)
	{
		char	   *id = psprintf("wake:%s", TextDatumGetCString(wakes[i]));

		(void) accumArrayResult(array, CStringGetTextDatum(id), false,
								TEXTOID, CurrentMemoryContext);
	}

	(void) dwf_statement_count(&lose_custody_query, values, NULL);
	CacheInvalidateRelcacheByRelid(dwf_catalog_relation("custody"));
	return makeArrayResult(array, CurrentMemoryContext);
}

/* The rows of one table among the texts, without their marks; as an array */
static Datum
rows_of(const char *table, Datum *texts, int count, int *nrows)
{
	Datum	   *rows = palloc((count + 1) * sizeof(Datum));
	size_t		length = strlen(table);

	*nrows = 0;
	for (int i = 0; i < count; i++)
	{
		char	   *row = TextDatumGetCString(texts[i]);

		if (strncmp(row, table, length) == 0 && row[length] == ':')
			rows[(*nrows)++] = CStringGetTextDatum(row + length + 1);
		pfree(row);
	}
	return dwf_arrays_of_text(rows, *nrows);
}

/*
 * Put the rows of a shard, as dwf_custody_give() has returned them, into the
 * tables of this node, which gets custody.  Returns the workflows that are
 * suspended.
 */
DwfIds
dwf_custody_take(int32 start, int32 end, Datum rows)
{
	Datum	   *texts;
	Datum	   *ids;
	int			count = dwf_arrays_read_texts(rows, &texts, NULL);
	int			nrows;
	Datum		value = rows_of("id", texts, count, &nrows);
	Datum		hashes[2];

	if (!dwf_anchor_exists() || nrows != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("these are not the rows of a shard")));

	/* ids that are given here come after all that were given there */
	(void) dwf_arrays_read_texts(value, &ids, NULL);
	value = Int64GetDatum(pg_strtoint64(TextDatumGetCString(ids[0])));
	(void) dwf_statement_count(&set_last_id_query, &value, NULL);

	for (int i = 0; i < (int) lengthof(moved); i++)
	{
		value = rows_of(moved[i].table, texts, count, &nrows);
		if (nrows > 0)
			(void) dwf_statement_count(&moved[i].take, &value, NULL);
	}
	value = Int32GetDatum(start);
	(void) dwf_statement_count(&get_custody_query, &value, NULL);
	CacheInvalidateRelcacheByRelid(dwf_catalog_relation("custody"));
	hashes[0] = Int32GetDatum(start);
	hashes[1] = Int32GetDatum(end);
	(void) dwf_statement_count(&leave_requests_query, hashes, NULL);
	return dwf_store_list_ids(&waiting_query, hashes);
}
