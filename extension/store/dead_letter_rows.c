/*-------------------------------------------------------------------------
 *
 * dead_letter_rows.c
 *	  The tables as C functions: how often mailbox items were given back, and
 *	  dead letters.
 *
 * Only the worker counts, and moves items to the dead letters.  It does the
 * latter for workflows that live, and has its xid before it reads which do
 * (README, I5).  A count may outlive its item, and even its workflow if that
 * is pruned meanwhile; the worker removes such counts.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "base/arrays.h"
#include "store/store_sql.h"

/* Are a and b, rows of the three tables, of one item? */
#define SAME_ITEM(a, b) \
	a ".workflow_id" EQ b ".workflow_id AND " a ".door" EQ b ".door" \
	" AND " a ".key" EQ b ".key AND " a ".message_id" EQ b ".message_id"

/* The items that four arrays describe, of workflows with a condition */
#define FROM_ITEMS(condition) \
	" FROM unnest($1, $2, $3, $4)" \
	"   AS u (workflow_id, door, key, message_id)" \
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "u.workflow_id" \
	condition \
	" JOIN durable_wf.message q ON " SAME_ITEM("q", "u")

/* workflow ids, doors, keys, message ids */
static DwfStatement count_query = {
	"INSERT INTO durable_wf.delivery AS d"
	" (workflow_id, door, key, message_id, deliveries)"
	" SELECT q.workflow_id, q.door, q.key, q.message_id, pg_catalog.count(*)"
	FROM_ITEMS("")
	" GROUP BY q.workflow_id, q.door, q.key, q.message_id"
	" ON CONFLICT (workflow_id, door, key, message_id) DO UPDATE"
	" SET deliveries ="
	"   d.deliveries OPERATOR(pg_catalog.+) EXCLUDED.deliveries"
	" RETURNING d.deliveries",
	4, {TEXTARRAYOID, CHARARRAYOID, TEXTARRAYOID, INT8ARRAYOID}, NULL
};

/*
 * Counts of items that were received since.  The subquery is a scalar one, so
 * that it is an index lookup for each row and no join.
 */
#define WAS_RECEIVED \
	"(SELECT m.message_id FROM durable_wf.message m" \
	"  WHERE " SAME_ITEM("m", "d") ") IS NULL"

/* workflow ids */
static DwfStatement forget_query = {
	"DELETE FROM durable_wf.delivery d"
	" WHERE d.workflow_id" EQ "ANY ($1) AND " WAS_RECEIVED,
	1, {TEXTARRAYOID}, NULL
};

/* limit of deliveries */
static DwfStatement forget_due_query = {
	"DELETE FROM durable_wf.delivery d"
	" WHERE d.deliveries OPERATOR(pg_catalog.>=) $1 AND " WAS_RECEIVED,
	1, {INT8OID}, NULL
};

/* limit of deliveries, how many */
static DwfStatement due_query = {
	"SELECT d.workflow_id, d.door, d.key, d.message_id"
	" FROM durable_wf.delivery d"
	" WHERE d.deliveries OPERATOR(pg_catalog.>=) $1"
	" AND (SELECT w.workflow_id FROM durable_wf.workflow w"
	"   WHERE w.workflow_id" EQ "d.workflow_id"
	"   AND w.finished_at IS NULL) IS NOT NULL"
	" ORDER BY d.deliveries DESC LIMIT $2",
	2, {INT8OID, INT8OID}, NULL
};

/* limit of deliveries */
static DwfStatement any_due_query = {
	"SELECT FROM durable_wf.delivery d"
	" WHERE d.deliveries OPERATOR(pg_catalog.>=) $1 LIMIT 1",
	1, {INT8OID}, NULL
};

/* workflow ids, doors, keys, message ids */
static DwfStatement bury_query = {
	"WITH gone AS ("
	"   DELETE FROM durable_wf.message m"
	"   WHERE m.ctid" EQ "ANY (ARRAY("
	"     SELECT q.ctid" FROM_ITEMS(" AND w.finished_at IS NULL")
	"     WHERE (SELECT l.message_id FROM durable_wf.dead_letter l"
	"       WHERE " SAME_ITEM("l", "q") ") IS NULL"
	"     FOR UPDATE OF q SKIP LOCKED))"
	"   RETURNING m.workflow_id, m.door, m.key, m.message_id, m.payload,"
	"     m.created_at, m.traceparent),"
	" forgotten AS ("
	"   DELETE FROM durable_wf.delivery d USING gone g"
	"   WHERE " SAME_ITEM("d", "g")
	"   RETURNING d.workflow_id, d.door, d.key, d.message_id, d.deliveries)"
	" INSERT INTO durable_wf.dead_letter"
	" (workflow_id, door, key, message_id, payload, deliveries, created_at,"
	"   traceparent)"
	" SELECT g.workflow_id, g.door, g.key, g.message_id, g.payload,"
	"   f.deliveries, g.created_at, g.traceparent"
	" FROM gone g JOIN forgotten f ON " SAME_ITEM("f", "g"),
	4, {TEXTARRAYOID, CHARARRAYOID, TEXTARRAYOID, INT8ARRAYOID}, NULL
};

/* workflow id */
static DwfStatement lock_hooks_query = {
	"SELECT FROM durable_wf.dead_letter l"
	" JOIN durable_wf.hook h"
	"   ON h.token" EQ "l.key AND h.workflow_id" EQ "l.workflow_id"
	" WHERE l.workflow_id" EQ "$1 AND l.door" EQ "'h'"
	" ORDER BY h.token FOR KEY SHARE OF h",
	1, {TEXTOID}, NULL
};

/*
 * workflow id, topic or null for all.  An empty trace context is none (the
 * trigger would put a null to that of this session).
 */
static DwfStatement redrive_query = {
	"WITH letter AS ("
	"   DELETE FROM durable_wf.dead_letter l"
	"   WHERE l.ctid" EQ "ANY (ARRAY("
	"     SELECT q.ctid FROM durable_wf.dead_letter q"
	"     WHERE q.workflow_id" EQ "$1"
	"     AND ($2 IS NULL OR (q.door" EQ "'m' AND q.key" EQ "$2))"
	"     AND (q.door OPERATOR(pg_catalog.<>) 'h'"
	"       OR (SELECT h.token FROM durable_wf.hook h"
	"           WHERE h.token" EQ "q.key"
	"           AND h.workflow_id" EQ "q.workflow_id) IS NOT NULL)"
	"     ORDER BY q.message_id FOR UPDATE))"
	"   RETURNING l.workflow_id, l.door, l.key, l.message_id, l.payload,"
	"     l.created_at, l.traceparent)"
	" INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload, created_at, traceparent)"
	" SELECT l.message_id, l.workflow_id, l.door, l.key, l.payload,"
	"   l.created_at, COALESCE(l.traceparent, '')"
	" FROM letter l ORDER BY l.message_id",
	2, {TEXTOID, TEXTOID}, NULL
};

/* Describe items to a statement */
static void
set_arrays(Datum *values, const DwfLetters *letters)
{
	values[0] = dwf_arrays_of_text(letters->workflow_ids, letters->count);
	values[1] = dwf_arrays_of_char(letters->doors, letters->count);
	values[2] = dwf_arrays_of_text(letters->keys, letters->count);
	values[3] = dwf_arrays_of_int8(letters->message_ids, letters->count);
}

/* Make room for so many items in the current memory context */
void
dwf_store_make_letters(DwfLetters *letters, int count)
{
	letters->count = 0;
	letters->workflow_ids = palloc(count * sizeof(Datum));
	letters->doors = palloc(count * sizeof(Datum));
	letters->keys = palloc(count * sizeof(Datum));
	letters->message_ids = palloc(count * sizeof(int64));
}

/*
 * Count that these items were given back, an item as often as it is there, and
 * forget the counts of their workflows' items that were received since.
 * Returns whether one has reached the limit.  Blocks while wf_prune() removes
 * such a count.
 */
bool
dwf_store_count_deliveries(const DwfLetters *letters, int64 limit)
{
	Datum		values[4];
	DwfRun		r;
	bool		reached = false;
	bool		isnull;

	(void) GetTopTransactionId();
	set_arrays(values, letters);
	r = dwf_statement_run(&count_query, values, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
		if (DatumGetInt64(dwf_statement_column(i, 1, &isnull)) >= limit)
			reached = true;
	dwf_statement_done(r);
	(void) dwf_statement_count(&forget_query, values, NULL);
	return reached;
}

/*
 * Forget the counts from "limit" on whose items were received since, or were
 * removed.  Blocks as dwf_store_count_deliveries() does.
 */
void
dwf_store_forget_deliveries(int64 limit)
{
	Datum		values[] = {Int64GetDatum(limit)};

	(void) dwf_statement_count(&forget_due_query, values, NULL);
}

/* Has a count reached the limit? */
bool
dwf_store_any_due_letter(int64 limit)
{
	Datum		values[] = {Int64GetDatum(limit)};

	return dwf_statement_count(&any_due_query, values, NULL) > 0;
}

/*
 * Find items of workflows that live which were given back as often as the
 * limit or more, at most "max" of them; some may be locked.
 */
void
dwf_store_find_due_letters(int64 limit, int max, DwfLetters *letters)
{
	Datum		values[] = {Int64GetDatum(limit), Int64GetDatum(max)};
	DwfRun		r;
	int			count;

	(void) GetTopTransactionId();
	dwf_store_make_letters(letters, max);
	r = dwf_statement_run(&due_query, values, NULL);
	count = SPI_processed;
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		letters->workflow_ids[i] =
			PointerGetDatum(dwf_statement_copy_text(r, i, 1));
		letters->doors[i] = dwf_statement_column(i, 2, &isnull);
		letters->keys[i] = PointerGetDatum(dwf_statement_copy_text(r, i, 3));
		letters->message_ids[i] =
			DatumGetInt64(dwf_statement_column(i, 4, &isnull));
	}
	letters->count = count;
	dwf_statement_done(r);
}

/*
 * Move these items to the dead letters, but those that a receiver has locked;
 * returns how many were moved.  The caller has noted the removal.
 */
int
dwf_store_bury(const DwfLetters *letters)
{
	Datum		values[4];

	set_arrays(values, letters);
	return dwf_statement_count(&bury_query, values, NULL);
}

/*
 * Send dead letters of a workflow back to their places: the messages of a
 * topic, or all if that is NULL; those of hooks only if they have their hook.
 * Returns how many.  The caller has its xid and has looked after that whether
 * the workflow lives.  Blocks while others redrive them or dispose of a hook.
 */
int64
dwf_store_redrive(text *workflow_id, text *topic)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(topic)};

	if (topic == NULL)
		(void) dwf_statement_count(&lock_hooks_query, values, NULL);
	return dwf_statement_count(&redrive_query, values, topic ? NULL : " n");
}
