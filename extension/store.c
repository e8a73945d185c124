/*-------------------------------------------------------------------------
 *
 * store.c
 *	  The only SQL text in C: the tables of durable_wf behind C functions.
 *
 * How they are run is plan.c's; as it says, each name in them is qualified,
 * the operators too, so that nothing of the caller's search_path can be picked
 * up.  (unnest of several arrays is syntax; it means pg_catalog's, and must be
 * unqualified.)
 *
 *-------------------------------------------------------------------------
 */
#include "store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "attachment.h"

/* May $n, a role, act on w?  The rule of owner.c, where SQL needs it. */
#define ROLE_MAY_ACT(n) \
	"pg_catalog.pg_has_role(" n "::pg_catalog.oid, w.owner::pg_catalog.oid, 'USAGE')"
#define EQ	" OPERATOR(pg_catalog.=) "

/*
 * The test for the workflow spares those who wait for it a wake: a row trigger
 * fires before ON CONFLICT is considered.
 */
#define START_QUERY(columns, values) \
	"INSERT INTO durable_wf.workflow (workflow_id, owner, input" columns ")" \
	" SELECT $1, $2::pg_catalog.oid, $3" values \
	" WHERE NOT EXISTS (" \
	"   SELECT FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1)" \
	" ON CONFLICT (workflow_id) DO NOTHING"

/* id, owner, input */
static DwfStatement start_query = {
	START_QUERY("", ""),
	3, {TEXTOID, OIDOID, JSONBOID}, NULL
};

/* id, owner, input, queue, delay, timeout, body; not in objects before 0.3.0 */
static DwfStatement start_timed_query = {
	START_QUERY(", queue, due_at, timeout_at, body",
				", $4, pg_catalog.now() OPERATOR(pg_catalog.+) $5,"
				" pg_catalog.now() OPERATOR(pg_catalog.+) $6, $7"),
	7, {TEXTOID, OIDOID, JSONBOID, TEXTOID, INTERVALOID, INTERVALOID, TEXTOID},
	NULL
};

/* id, input, queue, body: NULL is as it is */
static DwfStatement same_start_query = {
	"SELECT FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND ($2 IS NULL OR w.input" EQ "$2)"
	" AND ($3 IS NULL OR w.queue" EQ "$3)"
	" AND ($4 IS NULL OR w.body" EQ "$4)",
	4, {TEXTOID, JSONBOID, TEXTOID, TEXTOID}, NULL
};

/* id */
static DwfStatement life_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement outcome_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL,"
	" w.output, w.error"
	" FROM durable_wf.workflow w WHERE w.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id, role, status, output, error */
static DwfStatement finish_query = {
	"UPDATE durable_wf.workflow w SET status = $3, output = $4, error = $5,"
	" finished_at = pg_catalog.now(), updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$2"),
	5, {TEXTOID, OIDOID, TEXTOID, JSONBOID, TEXTOID}, NULL
};

/* id, role, new owner */
static DwfStatement set_owner_query = {
	"UPDATE durable_wf.workflow w SET owner = $3::pg_catalog.oid,"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1 AND " ROLE_MAY_ACT("$2"),
	3, {TEXTOID, OIDOID, OIDOID}, NULL
};

/* A row that says that something is from elsewhere, kept until we commit */
static DwfStatement lock_home_query = {
	"SELECT FROM durable_wf.home h"
	" WHERE h.system_identifier OPERATOR(pg_catalog.=) 0 FOR KEY SHARE",
	0, {0}, NULL
};

static DwfStatement mark_home_query = {
	"INSERT INTO durable_wf.home (system_identifier, database) VALUES (0, 0)",
	0, {0}, NULL
};

static DwfStatement is_copy_query = {
	"SELECT WHERE durable_wf.is_copy()",
	0, {0}, NULL
};

/* name */
static DwfStatement prepared_xid_query = {
	"SELECT p.transaction FROM pg_catalog.pg_prepared_xacts p"
	" WHERE p.gid" EQ "$1",
	1, {TEXTOID}, NULL
};

/*
 * One statement and one snapshot, so that nothing is left behind: the deleting
 * parts see what the choice saw.
 */
#define PRUNE_QUERY(journal) \
	"WITH victim AS MATERIALIZED (" \
	"   SELECT w.workflow_id FROM durable_wf.workflow w" \
	"   WHERE w.finished_at OPERATOR(pg_catalog.<=)" \
	"     (pg_catalog.now() OPERATOR(pg_catalog.-) $1)" \
	"   AND pg_catalog.age(w.xmin) OPERATOR(pg_catalog.>) pg_catalog.age($3)" \
	"   AND " ROLE_MAY_ACT("$4") \
	"   ORDER BY w.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)," \
	journal \
	" message AS (" \
	"   DELETE FROM durable_wf.message m USING victim v" \
	"   WHERE m.workflow_id" EQ "v.workflow_id)," \
	" event AS (" \
	"   DELETE FROM durable_wf.event e USING victim v" \
	"   WHERE e.workflow_id" EQ "v.workflow_id)," \
	" idempotency AS (" \
	"   DELETE FROM durable_wf.idempotency i USING victim v" \
	"   WHERE i.workflow_id" EQ "v.workflow_id)" \
	" DELETE FROM durable_wf.workflow w USING victim v" \
	" WHERE w.workflow_id" EQ "v.workflow_id"

/*
 * ended longer ago than, at most so many, by a transaction older than, role;
 * before 0.3.0 there was no journal
 */
static DwfStatement prune_query = {
	PRUNE_QUERY(" step AS ("
				"   DELETE FROM durable_wf.step s USING victim v"
				"   WHERE s.workflow_id" EQ "v.workflow_id),"
				" wait AS ("
				"   DELETE FROM durable_wf.wait a USING victim v"
				"   WHERE a.workflow_id" EQ "v.workflow_id),"
				" hook AS ("
				"   DELETE FROM durable_wf.hook h USING victim v"
				"   WHERE h.workflow_id" EQ "v.workflow_id),"
				" request AS ("
				"   DELETE FROM durable_wf.request r USING victim v"
				"   WHERE r.workflow_id" EQ "v.workflow_id),"),
	4, {INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

static DwfStatement prune_old_query = {
	PRUNE_QUERY(""),
	4, {INTERVALOID, INT4OID, XIDOID, OIDOID}, NULL
};

/* message id, workflow id, door, key, payload */
static DwfStatement deliver_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload)"
	" VALUES ($1, $2, $3, $4, $5)",
	5, {INT8OID, TEXTOID, CHAROID, TEXTOID, JSONBOID}, NULL
};

/*
 * message id, workflow id, door, key, payload, role, wait id; the test for
 * the tag is there for the same reason as in start_query
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

/* workflow ids, role, refuse finished ones too */
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

/* workflow id, door, key, from id, to id, limit */
static DwfStatement take_query = {
	"DELETE FROM durable_wf.message m"
	" WHERE m.ctid" EQ "ANY (ARRAY("
	"   SELECT q.ctid FROM durable_wf.message q"
	"   WHERE q.workflow_id" EQ "$1 AND q.door" EQ "$2 AND q.key" EQ "$3"
	"   AND q.message_id OPERATOR(pg_catalog.>=) $4"
	"   AND q.message_id OPERATOR(pg_catalog.<=) $5"
	"   ORDER BY q.message_id LIMIT $6 FOR UPDATE SKIP LOCKED))"
	" RETURNING m.message_id, m.payload",
	6, {TEXTOID, CHAROID, TEXTOID, INT8OID, INT8OID, INT8OID}, NULL
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
 * workflow id, doors, keys, ids to start at: the queue, counted from 1, with
 * the oldest item of all, and that item's id
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

/* workflow id, key, value, role */
static DwfStatement set_event_query = {
	"INSERT INTO durable_wf.event (workflow_id, key, value)"
	" SELECT w.workflow_id, $2, $3 FROM durable_wf.workflow w"
	" WHERE w.workflow_id" EQ "$1 AND w.finished_at IS NULL"
	" AND " ROLE_MAY_ACT("$4")
	" ON CONFLICT (workflow_id, key) DO UPDATE"
	" SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at",
	4, {TEXTOID, TEXTOID, JSONBOID, OIDOID}, NULL
};

/* workflow id, key; the workflow and its event in one snapshot */
static DwfStatement event_query = {
	"SELECT w.owner::pg_catalog.oid, w.status, w.finished_at IS NOT NULL,"
	" e.value FROM durable_wf.workflow w"
	" LEFT JOIN durable_wf.event e"
	"   ON e.workflow_id" EQ "w.workflow_id AND e.key" EQ "$2"
	" WHERE w.workflow_id" EQ "$1",
	2, {TEXTOID, TEXTOID}, NULL
};

/* The first three columns of a row, as every query for a life returns them */
static void
read_life(uint64 row, DwfLife *life)
{
	bool		isnull;

	life->owner = DatumGetObjectId(dwf_plan_column(row, 1, &isnull));
	text_to_cstring_buffer(DatumGetTextPP(dwf_plan_column(row, 2, &isnull)),
						   life->status, sizeof(life->status));
	life->finished = DatumGetBool(dwf_plan_column(row, 3, &isnull));
}

/*
 * Raise 25006 on a standby and in a READ ONLY transaction; "function" is an SQL
 * name
 */
void
dwf_store_require_writable(const char *function)
{
	const char *command;

	if (!XactReadOnly)
		return;					/* the usual case; in recovery it is set */
	command = psprintf("%s()", function);
	PreventCommandDuringRecovery(command);
	if (!dwf_attachment_is_body())
		PreventCommandIfReadOnly(command);
}

/* ----- workflows ----- */

/* Insert a workflow; false if the id is taken */
bool
dwf_store_start(const DwfStart *start, Oid owner)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		ObjectIdGetDatum(owner), start->input.value,
		PointerGetDatum(start->queue), start->start_after.value,
	start->timeout.value, PointerGetDatum(start->body)};
	char		nulls[] = {' ', ' ', start->input.isnull ? 'n' : ' ',
		start->queue ? ' ' : 'n', start->start_after.isnull ? 'n' : ' ',
	start->timeout.isnull ? 'n' : ' ', start->body ? ' ' : 'n'};
	bool		is_plain = start->body == NULL && start->queue == NULL &&
		!start->is_delayed && start->timeout.isnull;

	return dwf_plan_count(is_plain ? &start_query : &start_timed_query,
						  values, nulls) > 0;
}

/* Was the workflow started with this input and queue, as far as given? */
bool
dwf_store_same_start(const DwfStart *start)
{
	Datum		values[] = {PointerGetDatum(start->workflow_id),
		start->input.value, PointerGetDatum(start->queue),
	PointerGetDatum(start->body)};
	char		nulls[] = {' ', start->input.isnull ? 'n' : ' ',
	start->queue ? ' ' : 'n', start->body ? ' ' : 'n'};

	return dwf_plan_count(&same_start_query, values, nulls) > 0;
}

/* Look at a workflow; false if there is none */
bool
dwf_store_life(text *workflow_id, DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&life_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
		read_life(0, life);
	dwf_plan_done(r);
	return found;
}

/* Look at a workflow and at what came out of it; false if there is none */
bool
dwf_store_outcome(text *workflow_id, DwfOutcome *outcome)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	DwfRun		r = dwf_plan_run(&outcome_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, &outcome->life);
		outcome->output = dwf_plan_copy_column(r, 0, 4);
		outcome->error = dwf_plan_copy_column(r, 0, 5);
	}
	dwf_plan_done(r);
	return found;
}

/* End a workflow; false if it has ended, is not there or not the role's */
bool
dwf_store_finish(text *workflow_id, Oid role, const char *status,
				 DwfValue output, DwfValue error)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), CStringGetTextDatum(status), output.value,
	error.value};
	char		nulls[] = {' ', ' ', ' ', output.isnull ? 'n' : ' ',
	error.isnull ? 'n' : ' '};

	return dwf_plan_count(&finish_query, values, nulls) > 0;
}

/* Give a workflow to another role; false if it is not there or not the role's */
bool
dwf_store_set_owner(text *workflow_id, Oid role, Oid owner)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), ObjectIdGetDatum(owner)};

	return dwf_plan_count(&set_owner_query, values, NULL) > 0;
}

/* See to it that durable_wf.home has a row of an unknown database */
void
dwf_store_mark_home(void)
{
	if (dwf_plan_count(&lock_home_query, NULL, NULL) == 0)
		(void) dwf_plan_count(&mark_home_query, NULL, NULL);
}

/* Have workflows come from another database, and were not adopted? */
bool
dwf_store_is_copy(void)
{
	return dwf_plan_count(&is_copy_query, NULL, NULL) > 0;
}

/* The prepared transaction of this name, or an invalid id */
TransactionId
dwf_store_prepared_xid(const char *gid)
{
	TransactionId xid = InvalidTransactionId;
	Datum		values[] = {CStringGetTextDatum(gid)};
	DwfRun		r = dwf_plan_run(&prepared_xid_query, values, NULL);
	bool		isnull;

	if (SPI_processed > 0)
		xid = DatumGetTransactionId(dwf_plan_column(0, 1, &isnull));
	dwf_plan_done(r);
	return xid;
}

/*
 * Remove up to "batch" workflows that ended longer ago than "older_than", by a
 * transaction older than "horizon", with all that belongs to them.  Returns
 * how many.  Blocks only for a receiver that still holds a message of one.
 */
uint64
dwf_store_prune(Interval *older_than, int batch, TransactionId horizon,
				Oid role)
{
	Datum		values[] = {IntervalPGetDatum(older_than), Int32GetDatum(batch),
	TransactionIdGetDatum(horizon), ObjectIdGetDatum(role)};

	return dwf_plan_count(OidIsValid(dwf_plan_find_relation("step")) ?
						  &prune_query : &prune_old_query, values, NULL);
}

/* ----- mailbox ----- */

/*
 * The next message id.  The transaction gets its xid first: an id is never
 * older than what every snapshot knows of its transaction (README, I5).
 */
int64
dwf_store_next_message_id(void)
{
	(void) GetTopTransactionId();
	return nextval_internal(dwf_plan_relation("message_id_seq"), false);
}

/*
 * Put an item into a mailbox.  The caller has its id, hence an xid, and after
 * that has found that the workflow accepts it.
 */
void
dwf_store_deliver(int64 message_id, const DwfAddress *address, Datum payload)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
	PointerGetDatum(address->key), payload};

	(void) dwf_plan_count(&deliver_query, values, NULL);
}

/*
 * Put an item into a mailbox as the answer to a wait; false if the workflow
 * refuses it or the wait has an answer.
 * Blocks while another transaction is answering the same wait.
 */
bool
dwf_store_answer(int64 message_id, const DwfAddress *address, Datum payload,
				 Oid role, int64 wait_id)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
		PointerGetDatum(address->key), payload, ObjectIdGetDatum(role),
	Int64GetDatum(wait_id)};

	return dwf_plan_count(&answer_query, values, NULL) > 0;
}

/* Take back an item that this transaction has just delivered */
void
dwf_store_withdraw(int64 message_id, const DwfAddress *address)
{
	Datum		values[] = {Int64GetDatum(message_id),
		PointerGetDatum(address->workflow_id), CharGetDatum(address->door),
	PointerGetDatum(address->key)};

	(void) dwf_plan_count(&withdraw_query, values, NULL);
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

	return dwf_plan_count(&deliver_many_query, values, NULL);
}

/*
 * The first of these workflows that is not there or not the role's or, if
 * "finished_too", has ended; NULL if there is none.
 */
text *
dwf_store_first_refused(Datum workflow_ids, Oid role, bool finished_too)
{
	Datum		values[] = {workflow_ids, ObjectIdGetDatum(role),
	BoolGetDatum(finished_too)};
	DwfRun		r = dwf_plan_run(&first_refused_query, values, NULL);
	text	   *refused = NULL;

	if (SPI_processed > 0)
		refused = DatumGetTextP(dwf_plan_copy_column(r, 0, 1).value);
	dwf_plan_done(r);
	return refused;
}

/*
 * Claim idempotency keys for message ids, in one order for all sessions.
 * A key that is taken is left as it is.  Blocks while another transaction is
 * claiming one of them.
 */
void
dwf_store_claim_keys(Datum workflow_ids, Datum scopes, Datum keys,
					 Datum message_ids)
{
	Datum		values[] = {workflow_ids, scopes, keys, message_ids};

	(void) dwf_plan_count(&claim_keys_query, values, NULL);
}

/*
 * The message ids that hold these keys, in the order given; returns how many
 * there are.  "message_ids" has room for all.
 */
int
dwf_store_claimed_ids(Datum workflow_ids, Datum scopes, Datum keys,
					  int64 *message_ids)
{
	Datum		values[] = {workflow_ids, scopes, keys};
	DwfRun		r = dwf_plan_run(&claimed_ids_query, values, NULL);
	int			count = SPI_processed;
	bool		isnull;

	for (int i = 0; i < count; i++)
		message_ids[i] = DatumGetInt64(dwf_plan_column(i, 1, &isnull));
	dwf_plan_done(r);
	return count;
}

static int
compare_items(const void *a, const void *b)
{
	int64		left = ((const DwfItem *) a)->message_id;
	int64		right = ((const DwfItem *) b)->message_id;

	return (left > right) - (left < right);
}

/*
 * Take up to "limit" of a queue's oldest items with ids between "from" and
 * "to", passing by those that other transactions hold.  Returns how many, in
 * order of their ids.
 */
int
dwf_store_take(const DwfAddress *queue, int64 from, int64 to, int limit,
			   DwfItem **items)
{
	Datum		values[] = {PointerGetDatum(queue->workflow_id),
		CharGetDatum(queue->door), PointerGetDatum(queue->key),
	Int64GetDatum(from), Int64GetDatum(to), Int64GetDatum(limit)};
	DwfRun		r = dwf_plan_run(&take_query, values, NULL);
	int			count = SPI_processed;
	bool		isnull;

	*items = count == 0 ? NULL :
		MemoryContextAllocHuge(r.caller_context, count * sizeof(DwfItem));
	for (int i = 0; i < count; i++)
	{
		(*items)[i].message_id = DatumGetInt64(dwf_plan_column(i, 1, &isnull));
		(*items)[i].payload = dwf_plan_copy_column(r, i, 2).value;
	}
	dwf_plan_done(r);

	if (count > 1)
		qsort(*items, count, sizeof(DwfItem), compare_items);
	return count;
}

/*
 * The lowest id from "from" on that a queue holds, counting items that other
 * transactions hold; PG_INT64_MAX if there is none.
 */
int64
dwf_store_lowest(const DwfAddress *queue, int64 from)
{
	Datum		values[] = {PointerGetDatum(queue->workflow_id),
		CharGetDatum(queue->door), PointerGetDatum(queue->key),
	Int64GetDatum(from)};
	DwfRun		r = dwf_plan_run(&lowest_query, values, NULL);
	int64		lowest = PG_INT64_MAX;
	bool		isnull;

	if (SPI_processed > 0)
		lowest = DatumGetInt64(dwf_plan_column(0, 1, &isnull));
	dwf_plan_done(r);
	return lowest;
}

/*
 * Of several queues of one workflow, given as arrays of doors, keys and ids
 * to start at: which, counted from 0, has the oldest item?  -1: all empty.
 * Items that other transactions hold are seen, too.
 */
int
dwf_store_oldest(text *workflow_id, Datum doors, Datum keys, Datum start,
				 int64 *message_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id), doors, keys, start};
	DwfRun		r = dwf_plan_run(&oldest_query, values, NULL);
	int			queue = -1;
	bool		isnull;

	if (SPI_processed > 0)
	{
		queue = DatumGetInt64(dwf_plan_column(0, 1, &isnull)) - 1;
		*message_id = DatumGetInt64(dwf_plan_column(0, 2, &isnull));
	}
	dwf_plan_done(r);
	return queue;
}

/* ----- events ----- */

/*
 * Publish a value; false if the workflow refuses it.  The transaction gets its
 * xid before it looks whether the workflow has ended (README, I5).
 */
bool
dwf_store_set_event(text *workflow_id, text *key, Datum value, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	PointerGetDatum(key), value, ObjectIdGetDatum(role)};

	(void) GetTopTransactionId();
	return dwf_plan_count(&set_event_query, values, NULL) > 0;
}

/* Look at a workflow and one of its events; false if there is no workflow */
bool
dwf_store_event(text *workflow_id, text *key, DwfValue *value, DwfLife *life)
{
	Datum		values[] = {PointerGetDatum(workflow_id), PointerGetDatum(key)};
	DwfRun		r = dwf_plan_run(&event_query, values, NULL);
	bool		found = SPI_processed > 0;

	if (found)
	{
		read_life(0, life);
		*value = dwf_plan_copy_column(r, 0, 4);
	}
	dwf_plan_done(r);
	return found;
}
