/*-------------------------------------------------------------------------
 *
 * wait_rows.c
 *	  The tables as C functions: find suspended workflows whose wait may be
 *	  over, and resume them.
 *
 * Only the worker calls these functions.  It first lists workflows, in one of
 * several ways, and then resumes those that it has listed.  What has happened
 * in between does no harm: a workflow that was resumed for nothing finds
 * nothing and is suspended again.
 *
 * The worker never waits for a row that another transaction has locked.  It
 * skips the row, and comes back to it when the clock says so.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "shared/address.h"
#include "shared/expected.h"
#include "shared/news.h"
#include "store/catalog.h"
#include "store/direct.h"
#include "store/store_sql.h"

/* So many waits are read for each workflow that a page may list */
#define PAGE_FACTOR		8

/*
 * Is this database no copy?  The worker may not know yet that it is one; but a
 * snapshot that shows restored rows shows that, too.  A subquery, so that it
 * is evaluated once in each statement.
 */
#define RUNS_HERE	"(SELECT NOT durable_wf.is_copy())"

/*
 * Keep the planner from pulling a subquery up: then its only way is one
 * descent of an index for each outer row.  While the tables are small, another
 * way may look cheaper to it.
 */
#define BY_INDEX	" OFFSET 0"

/*
 * doors, targets, keys, ids to leave out, limit for each of the addresses.
 * The first workflow of each address comes first, then the second ones.
 */
static DwfStatement waiters_query = {
	"SELECT pg_catalog.array_agg(w.workflow_id ORDER BY w.turn),"
	" pg_catalog.max(w.last)"
	" FROM (SELECT a.workflow_id, pg_catalog.min(a.turn) AS turn,"
	"     pg_catalog.max(a.turn) AS last"
	"   FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2),"
	"     pg_catalog.unnest($3)) AS n (door, target_id, key)"
	"   CROSS JOIN LATERAL (SELECT a.workflow_id,"
	"       pg_catalog.row_number() OVER () AS turn"
	"     FROM durable_wf.wait a"
	"     WHERE a.target_id" EQ "n.target_id AND a.door" EQ "n.door"
	"     AND a.key" EQ "n.key LIMIT $5) a"
	"   WHERE NOT a.workflow_id" EQ "ANY ($4)"
	"   GROUP BY a.workflow_id) w",
	5, {CHARARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT4OID}, NULL
};

/* now, limit, ids to leave out */
static DwfStatement due_query = {
	"SELECT pg_catalog.array_agg(DISTINCT d.workflow_id) FROM ("
	" SELECT a.workflow_id FROM durable_wf.wait a"
	" WHERE " RUNS_HERE " AND a.deadline OPERATOR(pg_catalog.<=) $1"
	" AND NOT a.workflow_id" EQ "ANY ($3)"
	" ORDER BY a.deadline LIMIT $2) d",
	3, {TIMESTAMPTZOID, INT4OID, TEXTARRAYOID}, NULL
};

/* ids to leave out */
static DwfStatement next_deadline_query = {
	"SELECT a.deadline FROM durable_wf.wait a"
	" WHERE a.deadline IS NOT NULL AND NOT a.workflow_id" EQ "ANY ($1)"
	" ORDER BY a.deadline LIMIT 1",
	1, {TEXTARRAYOID}, NULL
};

/* id and position to go on after, limit */
static DwfStatement page_query = {
	"SELECT a.workflow_id, a.position, a.door, a.target_id, a.key"
	" FROM durable_wf.wait a"
	" WHERE ROW(a.workflow_id, a.position) OPERATOR(pg_catalog.>) ROW($1, $2)"
	" ORDER BY a.workflow_id, a.position LIMIT $3",
	3, {TEXTOID, INT4OID, INT4OID}, NULL
};

/* ids, but not these; of what else a wait may be over by: see below */
#define OVER_QUERY(more) \
	"SELECT pg_catalog.array_agg(DISTINCT a.workflow_id)" \
	" FROM pg_catalog.unnest($1) AS i (workflow_id)" \
	" CROSS JOIN LATERAL (SELECT a.* FROM durable_wf.wait a" \
	"   WHERE a.workflow_id" EQ "i.workflow_id" BY_INDEX ") a" \
	" WHERE " RUNS_HERE " AND NOT i.workflow_id" EQ "ANY ($2)" \
	" AND (EXISTS (SELECT FROM durable_wf.message m" \
	"   WHERE m.workflow_id" EQ "a.target_id AND m.door" EQ "a.door" \
	"   AND m.key" EQ "a.key" BY_INDEX ")" \
	" OR a.door" EQ "'e' AND EXISTS (SELECT FROM durable_wf.event e" \
	"   WHERE e.workflow_id" EQ "a.target_id AND e.key" EQ "a.key" BY_INDEX ")" \
	more \
	" OR a.door" EQ "'h' AND NOT EXISTS (SELECT FROM durable_wf.hook h" \
	"   WHERE h.token" EQ "a.key AND h.workflow_id" EQ "a.target_id" BY_INDEX ")" \
	" OR a.door" EQ "'r' AND NOT EXISTS (" \
	"   SELECT FROM durable_wf.request r" \
	"   WHERE r.workflow_id" EQ "a.target_id AND r.request_id" EQ \
	"     CASE WHEN a.door" EQ "'r' THEN a.key::pg_catalog.int8 END" \
	"   AND r.responded_at IS NULL" BY_INDEX ")" \
	" OR EXISTS (SELECT FROM durable_wf.workflow t" \
	"   WHERE t.workflow_id" EQ "a.target_id" \
	"   AND t.finished_at IS NOT NULL" BY_INDEX ")" \
	" OR NOT EXISTS (SELECT FROM durable_wf.workflow t" \
	"   WHERE t.workflow_id" EQ "a.workflow_id" \
	"   AND t.status" EQ "'WAITING'" BY_INDEX "))"

/*
 * It is not known which items the workflow has read already: it looks, and is
 * suspended again if there are no others.
 */
static DwfStatement over_query = {
	OVER_QUERY(
			   " OR a.door" EQ "'s' AND (EXISTS ("
			   "     SELECT FROM durable_wf.stream_item i"
			   "     WHERE i.workflow_id" EQ "a.target_id"
			   "     AND i.stream" EQ "a.key" BY_INDEX ")"
			   "   OR EXISTS (SELECT FROM durable_wf.stream s"
			   "     WHERE s.workflow_id" EQ "a.target_id"
			   "     AND s.name" EQ "a.key"
			   "     AND s.closed_at IS NOT NULL" BY_INDEX "))"),
	2, {TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/* The same before 1.0.0, without streams */
static DwfStatement over_old_query = {
	OVER_QUERY(""),
	2, {TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/*
 * ids.  Workflows whose row is locked get a deadline in 500 ms, at which the
 * worker finds them again.  Returns how many workflows were resumed; the ids
 * of those that got no deadline, since their waits are locked, too; the queues
 * of those that were resumed, and the owners of the bodies among them.
 */
static DwfStatement resume_query = {
	"WITH chosen AS MATERIALIZED ("
	"   SELECT w.workflow_id FROM durable_wf.workflow w"
	"   WHERE w.workflow_id" EQ "ANY ($1)"
	"   ORDER BY w.workflow_id FOR NO KEY UPDATE SKIP LOCKED),"
	" resumed AS ("
	"   UPDATE durable_wf.workflow w SET status = 'PENDING',"
	"   due_at = pg_catalog.clock_timestamp(), updated_at = pg_catalog.now()"
	"   FROM chosen c"
	"   WHERE w.workflow_id" EQ "c.workflow_id AND w.status" EQ "'WAITING'"
	"   RETURNING w.workflow_id, w.queue, w.body, w.owner),"
	" gone AS ("
	"   DELETE FROM durable_wf.wait a USING chosen c"
	"   WHERE a.workflow_id" EQ "c.workflow_id),"
	" passed AS MATERIALIZED ("
	"   SELECT i.workflow_id FROM pg_catalog.unnest($1) AS i (workflow_id)"
	"   WHERE NOT EXISTS (SELECT FROM chosen c"
	"     WHERE c.workflow_id" EQ "i.workflow_id)),"
	" free AS MATERIALIZED ("
	"   SELECT a.workflow_id, a.position FROM durable_wf.wait a"
	"   WHERE a.workflow_id" EQ "ANY (ARRAY("
	"     SELECT p.workflow_id FROM passed p))"
	"   FOR NO KEY UPDATE SKIP LOCKED),"
	" held AS ("
	"   UPDATE durable_wf.wait a SET deadline = pg_catalog.clock_timestamp()"
	"   OPERATOR(pg_catalog.+) '500 ms'::pg_catalog.interval"
	"   FROM free f"
	"   WHERE a.workflow_id" EQ "f.workflow_id AND a.position" EQ "f.position"
	"   RETURNING a.workflow_id)"
	" SELECT (SELECT pg_catalog.count(*) FROM resumed),"
	" (SELECT pg_catalog.array_agg(p.workflow_id) FROM passed p"
	"   WHERE NOT EXISTS (SELECT FROM held h"
	"     WHERE h.workflow_id" EQ "p.workflow_id)"
	"   AND EXISTS (SELECT FROM durable_wf.wait a"
	"     WHERE a.workflow_id" EQ "p.workflow_id" BY_INDEX ")),"
	" (SELECT pg_catalog.array_agg(r.queue) FROM resumed r"
	"   WHERE r.queue IS NOT NULL AND r.body IS NULL),"
	" (SELECT pg_catalog.array_agg(r.owner::pg_catalog.oid) FROM resumed r"
	"   WHERE r.body IS NOT NULL)",
	1, {TEXTARRAYOID}, NULL
};

/* ids; deletes the waits of those that have ended or do not exist */
static DwfStatement forget_waits_query = {
	"WITH free AS MATERIALIZED ("
	"   SELECT a.workflow_id, a.position FROM durable_wf.wait a"
	"   WHERE a.workflow_id" EQ "ANY ($1)"
	"   AND NOT EXISTS (SELECT FROM durable_wf.workflow w"
	"     WHERE w.workflow_id" EQ "a.workflow_id"
	"     AND w.finished_at IS NULL" BY_INDEX ")"
	"   FOR UPDATE SKIP LOCKED)"
	" DELETE FROM durable_wf.wait a USING free f"
	" WHERE a.workflow_id" EQ "f.workflow_id AND a.position" EQ "f.position",
	1, {TEXTARRAYOID}, NULL
};

/* id, door, target, key */
static DwfStatement subscribed_query = {
	"UPDATE durable_wf.wait a SET since = pg_catalog.clock_timestamp()"
	" WHERE a.workflow_id" EQ "$1 AND a.door" EQ "$2 AND a.target_id" EQ "$3"
	" AND a.key" EQ "$4",
	4, {TEXTOID, CHAROID, TEXTOID, TEXTOID}, NULL
};

/* the same */
static DwfStatement subscribe_query = {
	"INSERT INTO durable_wf.wait (workflow_id, position, step_no, door,"
	" target_id, key)"
	" SELECT $1, (pg_catalog.random() OPERATOR(pg_catalog.*) 2147483647)"
	"::pg_catalog.int4, 0, $2, $3, $4",
	4, {TEXTOID, CHAROID, TEXTOID, TEXTOID}, NULL
};

/* id */
static DwfStatement unsubscribe_query = {
	"DELETE FROM durable_wf.wait a WHERE a.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* A column of the first row, a text[] of ids, copied for the caller */
static DwfIds
column_ids(DwfRun r, int n)
{
	DwfValue	value = dwf_statement_copy_column(r, 0, n);
	DwfIds		ids = {0, (Datum) 0};

	if (value.isnull)
		return ids;
	ids.array = value.value;
	ids.count = ArrayGetNItems(ARR_NDIM(DatumGetArrayTypeP(ids.array)),
							   ARR_DIMS(DatumGetArrayTypeP(ids.array)));
	return ids;
}

/* Run a statement for ids, which it returns as one text[] */
DwfIds
dwf_store_list_ids(DwfStatement *statement, Datum *values)
{
	DwfRun		r = dwf_statement_run(statement, values, NULL);
	DwfIds		ids = column_ids(r, 1);

	dwf_statement_done(r);
	return ids;
}

/* The parameters of waiters_query that name these addresses */
static void
set_addresses(Datum *values, const DwfAddress *addresses, int count)
{
	Datum	   *parts = palloc((count + 1) * sizeof(Datum));

	for (int i = 0; i < count; i++)
		parts[i] = CharGetDatum(addresses[i].door);
	values[0] = dwf_arrays_of_char(parts, count);
	for (int i = 0; i < count; i++)
		parts[i] = PointerGetDatum(addresses[i].workflow_id);
	values[1] = dwf_arrays_of_text(parts, count);
	for (int i = 0; i < count; i++)
		parts[i] = PointerGetDatum(addresses[i].key);
	values[2] = dwf_arrays_of_text(parts, count);
}

/*
 * List workflows that wait at one of these addresses, except those in "aside".
 * "is_all" is false if there may be more, since an address has reached its
 * limit.  Where they are not more than a "piece", their order does not matter.
 */
DwfIds
dwf_store_waiters(const DwfAddress *addresses, int count, Datum aside,
				  int piece, int limit, bool *is_all)
{
	Datum		values[5];
	DwfRun		r;
	DwfIds		ids = {-1, (Datum) 0};
	Datum	   *found;
	bool		isnull;

	if (ARR_NDIM(DatumGetArrayTypeP(aside)) == 0)
		ids.count = dwf_direct_waiters(addresses, count, piece, &found);
	*is_all = true;
	if (ids.count >= 0)
	{
		ids.array = dwf_arrays_of_text(found, ids.count);
		return ids;
	}
	set_addresses(values, addresses, count);
	values[3] = aside;
	values[4] = Int32GetDatum(limit);
	r = dwf_statement_run(&waiters_query, values, NULL);
	ids = column_ids(r, 1);
	*is_all = DatumGetInt64(dwf_statement_column(0, 2, &isnull)) < limit;
	*is_all |= isnull;
	dwf_statement_done(r);
	return ids;
}

/* List workflows whose deadline has come, except those in "aside" */
DwfIds
dwf_store_due_waiters(int limit, Datum aside)
{
	Datum		values[] = {TimestampTzGetDatum(GetCurrentTimestamp()),
	Int32GetDatum(limit), aside};

	return dwf_store_list_ids(&due_query, values);
}

/* The first deadline of a wait, except of those in "aside"; or DT_NOEND */
TimestampTz
dwf_store_next_deadline(Datum aside)
{
	Datum		values[] = {aside};

	return dwf_statement_moment(&next_deadline_query, values);
}

/*
 * List those of these workflows whose wait is over, except those in "aside".
 * The tables alone say whether it is; no news is needed.
 */
DwfIds
dwf_store_over_waiters(Datum ids, Datum aside)
{
	Datum		values[] = {ids, aside};

	return dwf_store_list_ids(OidIsValid(dwf_catalog_find_relation("stream")) ?
							  &over_query : &over_old_query, values);
}

/*
 * May news of this address have been lost?  If all news was lost, have the
 * worker be told of news there from now on.
 */
static bool
was_lost(const DwfLost *lost, const DwfAddress *address)
{
	uint64		hash = dwf_address_hash(address);

	if (lost->all)
		dwf_expected_add(hash);
	return dwf_news_was_lost(lost, hash);
}

/*
 * Read the next page of all waits: "limit" of them if all news was lost, else
 * more.  List at most "limit" workflows that wait
 * for something about which news may have been lost.  If all news was lost,
 * have the worker be told about these waits from now on.  False at the end of
 * the table; then the cursor is at the beginning again.
 */
bool
dwf_store_wait_page(DwfWaitCursor *cursor, const DwfLost *lost, int limit,
					DwfIds *ids)
{
	text	   *after = cstring_to_text_with_len(cursor->workflow_id,
												 cursor->length);
	int			page = lost->all ? limit : limit * PAGE_FACTOR;
	Datum		values[] = {PointerGetDatum(after),
		Int32GetDatum(cursor->length > 0 ? cursor->position : -1),
	Int32GetDatum(page)};
	Datum	   *found = palloc(limit * sizeof(Datum));
	DwfRun		r = dwf_statement_run(&page_query, values, NULL);
	MemoryContext old = MemoryContextSwitchTo(r.caller_context);
	int			count = 0;
	uint64		i;

	/* move the cursor from row to row; stop it where "found" is full */
	for (i = 0; i < SPI_processed && count < limit; i++)
	{
		bool		isnull;
		Datum		column = dwf_statement_column(i, 1, &isnull);
		text	   *id = DatumGetTextPP(column);
		DwfAddress	life = {DWF_DOOR_LIFE, id, NULL};
		DwfAddress	address;
		bool		concerned;

		address.door = DatumGetChar(dwf_statement_column(i, 3, &isnull));
		column = dwf_statement_column(i, 4, &isnull);
		address.workflow_id = DatumGetTextPP(column);
		column = dwf_statement_column(i, 5, &isnull);
		address.key = DatumGetTextPP(column);
		cursor->position = DatumGetInt32(dwf_statement_column(i, 2, &isnull));
		cursor->length = VARSIZE_ANY_EXHDR(id);
		memcpy(cursor->workflow_id, VARDATA_ANY(id), cursor->length);

		/* expect before the caller looks whether the wait is over */
		concerned = was_lost(lost, &life);
		concerned |= was_lost(lost, &address);
		if (concerned)
			found[count++] =
				PointerGetDatum(cstring_to_text_with_len(cursor->workflow_id,
														 cursor->length));
	}
	ids->count = count;
	ids->array = dwf_arrays_of_text(found, count);

	/* a page that was read to its end and is not full is the last one */
	if (i == SPI_processed && SPI_processed < (uint64) page)
		cursor->length = 0;
	MemoryContextSwitchTo(old);
	dwf_statement_done(r);
	return cursor->length > 0;
}

/*
 * Resume these workflows, as far as that can be done without a statement, and
 * leave the others in *ids.  The workflow's row comes first; what remains of
 * its wait then is the statement's.
 */
static void
resume_directly(Datum *ids, DwfResumed * resumed)
{
	Datum	   *all;
	int			count = dwf_arrays_read_texts(*ids, &all, NULL);
	int			nothers = 0;

	for (int i = 0; i < count; i++)
	{
		text	   *id = DatumGetTextPP(all[i]);
		Oid			owner;

		if (dwf_direct_resume(id, &owner) != DWF_DIRECT_DONE)
		{
			all[nothers++] = all[i];
			continue;
		}
		resumed->count++;
		resumed->owners = lappend_oid(resumed->owners, owner);
		if (dwf_direct_forget_wait(id) != DWF_DIRECT_DONE)
			dwf_store_forget_wait(id);
	}
	*ids = dwf_arrays_of_text(all, nothers);
}

/* The last column of resume_query: the owners of the bodies */
static List *
column_owners(DwfRun r)
{
	DwfValue	value = dwf_statement_copy_column(r, 0, 4);
	List	   *owners = NIL;
	Datum	   *found;
	int			count = 0;

	if (!value.isnull)
		deconstruct_array(DatumGetArrayTypeP(value.value), OIDOID, sizeof(Oid),
						  true, TYPALIGN_INT, &found, NULL, &count);
	for (int i = 0; i < count; i++)
		owners = lappend_oid(owners, DatumGetObjectId(found[i]));
	return owners;
}

/* Resume these workflows, where they are suspended */
DwfResumed
dwf_store_resume(Datum ids)
{
	DwfResumed	resumed = {0};
	MemoryContext old;
	DwfRun		r;
	bool		isnull;

	resume_directly(&ids, &resumed);
	if (ARR_NDIM(DatumGetArrayTypeP(ids)) == 0)
		return resumed;
	r = dwf_statement_run(&resume_query, &ids, NULL);
	resumed.count += DatumGetInt64(dwf_statement_column(0, 1, &isnull));
	resumed.left = column_ids(r, 2);
	resumed.queues = column_ids(r, 3);
	old = MemoryContextSwitchTo(r.caller_context);
	resumed.owners = list_concat(resumed.owners, column_owners(r));
	MemoryContextSwitchTo(old);
	dwf_statement_done(r);
	return resumed;
}

/* Delete the waits of those of these workflows that have ended */
void
dwf_store_forget_waits(Datum ids)
{
	(void) dwf_statement_count(&forget_waits_query, &ids, NULL);
}

/*
 * Note that a workflow of another node waits at an address.  If it is noted
 * already, and the worker is about to remove that, this blocks, and notes it
 * anew.
 */
void
dwf_store_subscribe(text *workflow_id, const DwfAddress *address)
{
	Datum		values[4];

	values[0] = PointerGetDatum(workflow_id);
	values[1] = CharGetDatum(address->door);
	values[2] = PointerGetDatum(address->workflow_id);
	values[3] = PointerGetDatum(address->key ? address->key :
								cstring_to_text(""));
	if (dwf_statement_count(&subscribed_query, values, NULL) == 0)
		(void) dwf_statement_count(&subscribe_query, values, NULL);
}

/* Remove what is noted of a workflow of another node */
void
dwf_store_unsubscribe(text *workflow_id)
{
	Datum		values[1];

	values[0] = PointerGetDatum(workflow_id);
	(void) dwf_statement_count(&unsubscribe_query, values, NULL);
}
