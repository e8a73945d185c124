/*-------------------------------------------------------------------------
 *
 * retry_rows.c
 *	  The tables as C functions: a workflow goes back to a step.
 *
 * The workflow's row is locked first.  From then on no session begins to
 * execute it, so that its journal stays as it is.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "base/arrays.h"
#include "store/store_sql.h"

/* id, role; one that has not ended keeps its timeout */
static DwfStatement go_back_query = {
	"UPDATE durable_wf.workflow w SET status = 'PENDING', output = NULL,"
	" error = NULL, error_state = NULL, error_context = NULL,"
	" timeout_at = CASE WHEN w.finished_at IS NULL THEN w.timeout_at END,"
	" finished_at = NULL, attempts = 0, due_at = pg_catalog.now(),"
	" updated_at = pg_catalog.now()"
	" WHERE w.workflow_id" EQ "$1"
	" AND w.status" EQ "ANY ('{SUCCESS,ERROR,CANCELLED,WAITING}'"
	"   ::pg_catalog.text[])"
	" AND " ROLE_MAY_ACT("$2"),
	2, {TEXTOID, OIDOID}, NULL
};

/* id */
static DwfStatement forget_wait_query = {
	"DELETE FROM durable_wf.wait a WHERE a.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/*
 * id, first step; of steps from before there was a record of what they took,
 * those that may have taken something
 */
static DwfStatement next_taken_query = {
	"SELECT s.step_no, s.function, s.name, s.result, s.taken"
	" FROM durable_wf.step s"
	" WHERE s.workflow_id" EQ "$1"
	" AND s.step_no OPERATOR(pg_catalog.>=) $2"
	" AND s.completed_at IS NOT NULL AND NOT s.undone"
	" AND s.result IS NOT NULL"
	" AND (s.taken IS NOT NULL OR s.function" EQ "ANY ("
	"   '{wf_recv,wf_recv_any,wf_recv_many,wf_wait_for_event,wf_await_hook}'"
	"   ::pg_catalog.text[]))"
	" ORDER BY s.step_no LIMIT 1",
	2, {TEXTOID, INT4OID}, NULL
};

/*
 * role; workflow ids, doors, keys, message ids, moments in microseconds,
 * payloads, trace contexts (empty: none, as in redrive_query), all as text.
 * A mailbox that is gone with its workflow gets nothing.
 */
static DwfStatement put_back_query = {
	"INSERT INTO durable_wf.message"
	" (message_id, workflow_id, door, key, payload, created_at, traceparent)"
	" SELECT u.message_id::pg_catalog.int8, w.workflow_id,"
	" u.door::pg_catalog.\"char\", u.key, u.payload::pg_catalog.jsonb,"
	" '2000-01-01 00:00:00+00'::pg_catalog.timestamptz"
	"   OPERATOR(pg_catalog.+) ('1 microsecond'::pg_catalog.interval"
	"   OPERATOR(pg_catalog.*) u.sent_at::pg_catalog.float8), u.traceparent"
	" FROM unnest($2, $3, $4, $5, $6, $7, $8)"
	"   AS u (workflow_id, door, key, message_id, sent_at, payload,"
	"     traceparent)"
	" JOIN durable_wf.workflow w ON w.workflow_id" EQ "u.workflow_id"
	" WHERE " ROLE_MAY_ACT("$1"),
	8, {OIDOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
	TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID}, NULL
};

/* id, first step; the attempts at a step that has failed go, too */
static DwfStatement drop_steps_query = {
	"DELETE FROM durable_wf.step s WHERE s.workflow_id" EQ "$1"
	" AND (s.step_no OPERATOR(pg_catalog.>=) $2"
	"   OR s.completed_at IS NULL AND s.error IS NOT NULL)",
	2, {TEXTOID, INT4OID}, NULL
};

/* Delete the wait in which a workflow was suspended; its row is locked */
void
dwf_store_forget_wait(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	(void) dwf_statement_count(&forget_wait_query, values, NULL);
}

/*
 * Have a workflow that has ended, or is suspended, go on from its journal, and
 * lock its row; false if it did neither, or is not the role's.  Blocks while
 * another transaction has its row locked.
 */
bool
dwf_store_go_back(text *workflow_id, Oid role)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role)};

	if (dwf_statement_count(&go_back_query, values, NULL) == 0)
		return false;
	dwf_store_forget_wait(workflow_id);
	return true;
}

/*
 * Read the first record from "step_no" on of a step that has taken something,
 * or may have; false if there is none
 */
bool
dwf_store_next_taken(text *workflow_id, int step_no, DwfRecord *record)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(step_no)};
	DwfRun		r = dwf_statement_run(&next_taken_query, values, NULL);
	bool		found = SPI_processed > 0;
	bool		isnull;

	if (found)
	{
		char	   *function;

		record->step_no = DatumGetInt32(dwf_statement_column(0, 1, &isnull));
		function = TextDatumGetCString(dwf_statement_column(0, 2, &isnull));
		record->function = MemoryContextStrdup(r.caller_context, function);
		record->name = dwf_statement_copy_text(r, 0, 3);
		record->result = dwf_statement_copy_column(r, 0, 4);
		record->taken = dwf_statement_copy_column(r, 0, 5);
	}
	dwf_statement_done(r);
	return found;
}

/*
 * Put items that steps have taken back into their queues.  The caller has
 * checked that the role may act on the mailboxes.
 */
void
dwf_store_put_back(const DwfTaken *taken, int count, Oid role)
{
	Datum		values[] = {ObjectIdGetDatum(role),
		dwf_arrays_of_text(taken->workflow_ids, count),
		dwf_arrays_of_text(taken->doors, count),
		dwf_arrays_of_text(taken->keys, count),
		dwf_arrays_of_text(taken->message_ids, count),
		dwf_arrays_of_text(taken->sent_at, count),
		dwf_arrays_of_text(taken->payloads, count),
	dwf_arrays_of_text(taken->traceparents, count)};

	(void) dwf_statement_count(&put_back_query, values, NULL);
}

/* Delete the records from "step_no" on, and the attempts at a failed step */
void
dwf_store_drop_steps(text *workflow_id, int step_no)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(step_no)};

	(void) dwf_statement_count(&drop_steps_query, values, NULL);
}
