/*-------------------------------------------------------------------------
 *
 * message_rows.c
 *	  The tables as C functions: items of mailboxes, and the idempotency keys
 *	  that they were sent with.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/settings.h"
#include "shared/address.h"
#include "store/catalog.h"
#include "store/store_sql.h"

/* message id, workflow id, door, key, payload */
static DwfStatement deliver_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload)"
	" VALUES ($1, $2, $3, $4, $5)",
	5, {INT8OID, TEXTOID, CHAROID, TEXTOID, JSONBOID}, NULL
};

/*
 * message id, workflow id, door, key, payload, role, wait id.  The test for an
 * earlier answer keeps waiters from being woken for nothing: a row trigger
 * fires before ON CONFLICT is considered.
 */
static DwfStatement answer_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload, wait_id)"
	" SELECT $1, w.workflow_id, $3, $4, $5, $7"
	" FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$2 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$6")
	" AND NOT EXISTS ("
	"   SELECT FROM durable_wf.message m"
	"   WHERE m.workflow_id" EQ "$2 AND m.wait_id" EQ "$7)"
	" ON CONFLICT (workflow_id, wait_id) WHERE wait_id IS NOT NULL"
	" DO NOTHING",
	7, {INT8OID, TEXTOID, CHAROID, TEXTOID, JSONBOID, OIDOID, INT8OID}, NULL
};

/* message id, workflow id, door, key */
static DwfStatement withdraw_query = {
	"DELETE FROM durable_wf.message m"
	" WHERE m.workflow_id" EQ "$2 AND m.door" EQ "$3 AND m.key" EQ "$4"
	" AND m.message_id" EQ "$1",
	4, {INT8OID, TEXTOID, CHAROID, TEXTOID}, NULL
};

/* message ids, workflow ids, payloads, door, key, role */
static DwfStatement deliver_many_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload)"
	" SELECT u.message_id, w.workflow_id, $4, $5, u.payload"
	" FROM unnest($1, $2, $3)"
	"   AS u (message_id, workflow_id, payload)"
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "u.workflow_id"
	" WHERE w.finished_at IS NULL AND " ROLE_MAY_ACT("$6"),
	6, {INT8ARRAYOID, TEXTARRAYOID, JSONBARRAYOID, CHAROID, TEXTOID, OIDOID},
	NULL
};

/* workflow ids, role, whether to refuse finished ones too */
static DwfStatement first_refused_query = {
	"SELECT u.workflow_id"
	" FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (workflow_id, n)"
	" LEFT JOIN durable_wf.workflow w ON w.workflow_id" EQ "u.workflow_id"
	" WHERE w.workflow_id IS NULL OR NOT " ROLE_MAY_ACT("$2")
	" OR ($3 AND w.finished_at IS NOT NULL)"
	" ORDER BY u.n LIMIT 1",
	3, {TEXTARRAYOID, OIDOID, BOOLOID}, NULL
};

/* workflow ids, scopes, idempotency keys, message ids */
static DwfStatement claim_keys_query = {
	"INSERT INTO durable_wf.idempotency"
	" (workflow_id, scope, idempotency_key, message_id)"
	" SELECT u.workflow_id, u.scope, u.idempotency_key, u.message_id"
	" FROM unnest($1, $2, $3, $4)"
	"   AS u (workflow_id, scope, idempotency_key, message_id)"
	" ORDER BY u.workflow_id COLLATE pg_catalog.\"C\","
	"   u.scope COLLATE pg_catalog.\"C\","
	"   u.idempotency_key COLLATE pg_catalog.\"C\", u.message_id"
	" ON CONFLICT (workflow_id, scope, idempotency_key) DO NOTHING",
	4, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID}, NULL
};

/* workflow ids, scopes, idempotency keys */
static DwfStatement claimed_ids_query = {
	"SELECT i.message_id"
	" FROM unnest($1, $2, $3) WITH ORDINALITY"
	"   AS u (workflow_id, scope, idempotency_key, n)"
	" JOIN durable_wf.idempotency i"
	"   ON i.workflow_id" EQ "u.workflow_id AND i.scope" EQ "u.scope"
	"  AND i.idempotency_key" EQ "u.idempotency_key"
	" ORDER BY u.n",
	3, {TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}, NULL
};

#define TAKE_QUERY(condition, more) \
	"DELETE FROM durable_wf.message m" \
	" WHERE m.ctid" EQ "ANY (ARRAY(" \
	"   SELECT q.ctid FROM durable_wf.message q" \
	"   WHERE q.workflow_id" EQ "$1 AND q.door" EQ "$2 AND q.key" EQ "$3" \
	"   AND q.message_id OPERATOR(pg_catalog.>=) $4" \
	"   AND q.message_id OPERATOR(pg_catalog.<=) $5" \
	condition \
	"   ORDER BY q.message_id LIMIT $6 FOR UPDATE SKIP LOCKED))" \
	" RETURNING m.message_id, m.payload, m.created_at" more

/* workflow id, door, key, from id, to id, limit */
static DwfStatement take_query = {
	TAKE_QUERY("", ", m.traceparent"),
	6, {TEXTOID, CHAROID, TEXTOID, INT8OID, INT8OID, INT8OID}, NULL
};

/* The same, for objects from before 1.0.0 */
static DwfStatement take_old_query = {
	TAKE_QUERY("", ""),
	6, {TEXTOID, CHAROID, TEXTOID, INT8OID, INT8OID, INT8OID}, NULL
};

/*
 * The same, and the limit of deliveries.  Items that have reached it are left
 * to the worker, which moves them to the dead letters.
 */
static DwfStatement take_counted_query = {
	TAKE_QUERY(" AND COALESCE((SELECT d.deliveries FROM durable_wf.delivery d"
			   "   WHERE d.workflow_id" EQ "q.workflow_id"
			   "   AND d.door" EQ "q.door AND d.key" EQ "q.key"
			   "   AND d.message_id" EQ "q.message_id), 0)"
			   "  OPERATOR(pg_catalog.<) $7", ", m.traceparent"),
	7, {TEXTOID, CHAROID, TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID}, NULL
};

/* workflow id, door, key, from id */
static DwfStatement lowest_query = {
	"SELECT q.message_id FROM durable_wf.message q"
	" WHERE q.workflow_id" EQ "$1 AND q.door" EQ "$2 AND q.key" EQ "$3"
	" AND q.message_id OPERATOR(pg_catalog.>=) $4"
	" ORDER BY q.message_id LIMIT 1",
	4, {TEXTOID, CHAROID, TEXTOID, INT8OID}, NULL
};

/*
 * workflow id, doors, keys, ids to start at; returns the number of the queue,
 * counted from 1, that has the oldest item of all, and that item's id
 */
static DwfStatement oldest_query = {
	"SELECT u.n, h.message_id"
	" FROM unnest($2, $3, $4) WITH ORDINALITY"
	"   AS u (door, key, start, n)"
	" CROSS JOIN LATERAL ("
	"   SELECT q.message_id FROM durable_wf.message q"
	"   WHERE q.workflow_id" EQ "$1 AND q.door" EQ "u.door"
	"   AND q.key" EQ "u.key"
	"   AND q.message_id OPERATOR(pg_catalog.>=) u.start"
	"   ORDER BY q.message_id LIMIT 1) h"
	" ORDER BY h.message_id LIMIT 1",
	4, {TEXTOID, CHARARRAYOID, TEXTARRAYOID, INT8ARRAYOID}, NULL
};

/*
 * Get the next message id.  The transaction gets its xid first, so that the id
 * is not older than what any snapshot knows of the transaction (README, I5).
 */
int64
dwf_store_next_message_id(void)
{
	(void) GetTopTransactionId();
	return nextval_internal(dwf_catalog_relation("message_id_seq"), false);
}

/*
 * Put an item into a mailbox.  The caller has taken its id, hence has an xid,
 * and has looked after that whether the workflow accepts items.
 */
void
dwf_store_deliver(int64 message_id, const DwfAddress *address, Datum payload)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
	PointerGetDatum(address->key), payload};

	(void) dwf_statement_count(&deliver_query, values, NULL);
}

/*
 * Put an item into a mailbox as the answer to a wait; false if the workflow
 * does not accept it or the wait has an answer.  Blocks while another
 * transaction answers the same wait.
 */
bool
dwf_store_answer(int64 message_id, const DwfAddress *address, Datum payload,
				 Oid role, int64 wait_id)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
		PointerGetDatum(address->key), payload, ObjectIdGetDatum(role),
	Int64GetDatum(wait_id)};

	return dwf_statement_count(&answer_query, values, NULL) > 0;
}

/* Delete an item that this transaction has just delivered */
void
dwf_store_withdraw(int64 message_id, const DwfAddress *address)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
	PointerGetDatum(address->key)};

	(void) dwf_statement_count(&withdraw_query, values, NULL);
}

/*
 * Put items into the mailboxes of many workflows, by the door and key of
 * "queue"; the three arrays have one length.  Returns how many were accepted.
 */
uint64
dwf_store_deliver_many(Datum message_ids, Datum workflow_ids, Datum payloads,
					   const DwfAddress *queue, Oid role)
{
	Datum		values[] = {message_ids, workflow_ids, payloads,
		CharGetDatum(queue->door), PointerGetDatum(queue->key),
	ObjectIdGetDatum(role)};

	return dwf_statement_count(&deliver_many_query, values, NULL);
}

/*
 * Find the first of these workflows that does not exist or is not the role's
 * or, if "finished_too", has ended; NULL if there is none
 */
text *
dwf_store_first_refused(Datum workflow_ids, Oid role, bool finished_too)
{
	Datum		values[] = {workflow_ids, ObjectIdGetDatum(role),
	BoolGetDatum(finished_too)};

	return dwf_statement_text(&first_refused_query, values);
}

/*
 * Claim idempotency keys for message ids, in the same order in each session.
 * A key that is taken keeps its message id.  Blocks while another transaction
 * claims one of the keys.
 */
void
dwf_store_claim_keys(Datum workflow_ids, Datum scopes, Datum keys,
					 Datum message_ids)
{
	Datum		values[] = {workflow_ids, scopes, keys, message_ids};

	(void) dwf_statement_count(&claim_keys_query, values, NULL);
}

/*
 * Read the message ids that hold these keys, in the order of the keys; returns
 * how many there are.  "message_ids" has room for all.
 */
int
dwf_store_claimed_ids(Datum workflow_ids, Datum scopes, Datum keys,
					  int64 *message_ids)
{
	Datum		values[] = {workflow_ids, scopes, keys};
	DwfRun		r = dwf_statement_run(&claimed_ids_query, values, NULL);
	int			count = SPI_processed;
	bool		isnull;

	for (int i = 0; i < count; i++)
		message_ids[i] = DatumGetInt64(dwf_statement_column(i, 1, &isnull));
	dwf_statement_done(r);
	return count;
}

/* Order items by their ids */
static int
compare_items(const void *a, const void *b)
{
	int64		left = ((const DwfItem *) a)->message_id;
	int64		right = ((const DwfItem *) b)->message_id;

	return (left > right) - (left < right);
}

/*
 * Take up to "limit" of a queue's oldest items with ids between "from" and
 * "to"; items that other transactions hold are skipped (SKIP LOCKED).  Returns
 * how many; they are in order of their ids.
 */
int
dwf_store_take(const DwfAddress *queue, int64 from, int64 to, int limit,
			   DwfItem **items)
{
	Datum		values[] = {PointerGetDatum(queue->workflow_id),
		CharGetDatum(queue->door), PointerGetDatum(queue->key),
		Int64GetDatum(from), Int64GetDatum(to), Int64GetDatum(limit),
	Int64GetDatum(dwf_setting_max_deliveries)};
	DwfStatement *query = &take_query;
	DwfRun		r;
	int			count;
	bool		isnull;

	/* objects from before 1.0.0 count no deliveries, and have no traces */
	if (!dwf_store_knows_families())
		query = &take_old_query;
	else if (dwf_setting_max_deliveries > 0)
		query = &take_counted_query;
	r = dwf_statement_run(query, values, NULL);
	count = SPI_processed;
	*items = count == 0 ? NULL :
		MemoryContextAllocHuge(r.caller_context, count * sizeof(DwfItem));
	for (int i = 0; i < count; i++)
	{
		(*items)[i].message_id =
			DatumGetInt64(dwf_statement_column(i, 1, &isnull));
		(*items)[i].payload = dwf_statement_copy_column(r, i, 2).value;
		(*items)[i].sent_at =
			DatumGetTimestampTz(dwf_statement_column(i, 3, &isnull));
		(*items)[i].traceparent = query == &take_old_query ? NULL :
			dwf_statement_copy_text(r, i, 4);
	}
	dwf_statement_done(r);

	if (count > 1)
		qsort(*items, count, sizeof(DwfItem), compare_items);
	return count;
}

/*
 * Read the lowest id from "from" on that a queue holds, even of items that
 * other transactions hold; PG_INT64_MAX if there is none
 */
int64
dwf_store_lowest(const DwfAddress *queue, int64 from)
{
	Datum		values[] = {PointerGetDatum(queue->workflow_id),
		CharGetDatum(queue->door), PointerGetDatum(queue->key),
	Int64GetDatum(from)};
	DwfRun		r = dwf_statement_run(&lowest_query, values, NULL);
	int64		lowest = PG_INT64_MAX;
	bool		isnull;

	if (SPI_processed > 0)
		lowest = DatumGetInt64(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(r);
	return lowest;
}

/*
 * Find which of several queues of one workflow, given as arrays of doors, keys
 * and ids to start at, has the oldest item, even one that another transaction
 * holds.  Returns the queue's number, counted from 0, or -1 if all are empty.
 */
int
dwf_store_oldest(text *workflow_id, Datum doors, Datum keys, Datum start,
				 int64 *message_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id), doors, keys, start};
	DwfRun		r = dwf_statement_run(&oldest_query, values, NULL);
	int			queue = -1;
	bool		isnull;

	if (SPI_processed > 0)
	{
		queue = DatumGetInt64(dwf_statement_column(0, 1, &isnull)) - 1;
		*message_id = DatumGetInt64(dwf_statement_column(0, 2, &isnull));
	}
	dwf_statement_done(r);
	return queue;
}
