/*-------------------------------------------------------------------------
 *
 * claim_rows.c
 *	  The tables as C functions: an executor claims a body.
 *
 * One statement writes that the body is being run and returns what the run
 * needs.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"

#include "store/direct.h"
#include "store/store_sql.h"

/*
 * Is f, whose id was found a while ago, still work of role $2 that is due?
 * Said so that no index of work fits it, since the row is found by its id.
 */
#define IS_DUE_WORK \
	"CASE WHEN f.body IS NULL OR f.finished_at IS NOT NULL" \
	" OR f.status" EQ "'WAITING' THEN false" \
	" WHEN f.owner::pg_catalog.oid" EQ "$2 THEN f.due_at" \
	"   OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()" \
	" ELSE false END"

/*
 * id, role, whether the body has crashed.  attempts is 1 and the number of
 * crashes in a row, not counting those before the body's last progress.  Of a
 * body that was not claimed since its start, its resumption or its retry, 0, a
 * crash says that its claim was lost with it.
 */
#define CLAIM_QUERY(more) \
	"UPDATE durable_wf.workflow w SET status = 'RUNNING'," \
	" attempts = CASE WHEN w.attempts" EQ "0 AND $3 THEN 2" \
	"   WHEN w.attempts" EQ "0 THEN 1" \
	"   WHEN " GOT_FURTHER " THEN 1" \
	"   WHEN $3 THEN w.attempts OPERATOR(pg_catalog.+) 1" \
	"   ELSE w.attempts END," \
	" due_at = " DUE_AGAIN "," \
	" updated_at = pg_catalog.now()" \
	" WHERE w.workflow_id" EQ "ANY (ARRAY(" \
	"   SELECT f.workflow_id FROM durable_wf.workflow f" \
	"   WHERE f.workflow_id" EQ "$1 AND " IS_DUE_WORK \
	"   FOR NO KEY UPDATE SKIP LOCKED))" \
	" RETURNING w.body, w.input, w.attempts," \
	" (SELECT s.step_no FROM durable_wf.step s" \
	"   WHERE s.workflow_id" EQ "w.workflow_id" \
	"   ORDER BY s.step_no DESC LIMIT 1)" more

static DwfStatement claim_query = {
	CLAIM_QUERY(", w.traceparent"),
	3, {TEXTOID, OIDOID, BOOLOID}, NULL
};

/* The same, for objects from before 1.0.0 */
static DwfStatement claim_old_query = {
	CLAIM_QUERY(""),
	3, {TEXTOID, OIDOID, BOOLOID}, NULL
};

/*
 * Note that this process begins to run a body of a role, whose last run has
 * crashed or not.  False if the body is not due any more, or if another
 * transaction has locked its row.  Does not block.  What *claimed gets is in
 * the current memory context.
 */
bool
dwf_store_claim(text *workflow_id, Oid role, bool has_crashed,
				DwfClaimed *claimed)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	ObjectIdGetDatum(role), BoolGetDatum(has_crashed)};
	bool		is_new = dwf_store_knows_families();
	DwfDirectResult result;
	DwfRun		r;
	bool		found;
	bool		isnull;

	result = dwf_direct_claim(workflow_id, role, false, has_crashed, claimed);
	if (result == DWF_DIRECT_DONE && claimed->last_step < 0)
		claimed->last_step = dwf_store_last_step(workflow_id);
	if (result != DWF_DIRECT_ASIDE)
		return result == DWF_DIRECT_DONE;

	r = dwf_statement_run(is_new ? &claim_query : &claim_old_query, values,
						  NULL);
	found = SPI_processed > 0;
	if (found)
	{
		claimed->body = dwf_statement_copy_text(r, 0, 1);
		claimed->input = dwf_statement_copy_column(r, 0, 2);
		claimed->attempts = DatumGetInt32(dwf_statement_column(0, 3, &isnull));
		claimed->last_step =
			DatumGetInt32(dwf_statement_column(0, 4, &isnull));
		if (isnull)
			claimed->last_step = 0;
		claimed->traceparent = is_new ? dwf_statement_copy_text(r, 0, 5) :
			NULL;
	}
	dwf_statement_done(r);
	return found;
}

/*
 * The same for a body of a role that is suspended: it goes on.  False also if
 * a statement would have to do it.
 */
bool
dwf_store_claim_waiting(text *workflow_id, Oid role, bool has_crashed,
						DwfClaimed *claimed)
{
	if (dwf_direct_claim(workflow_id, role, true, has_crashed,
						 claimed) != DWF_DIRECT_DONE)
		return false;
	if (dwf_direct_forget_wait(workflow_id) != DWF_DIRECT_DONE)
		dwf_store_forget_wait(workflow_id);
	claimed->last_step = dwf_store_last_step(workflow_id);
	return true;
}
