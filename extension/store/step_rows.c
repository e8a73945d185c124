/*-------------------------------------------------------------------------
 *
 * step_rows.c
 *	  The tables as C functions: the records of the journal.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "store/catalog.h"
#include "store/direct.h"
#include "store/store_sql.h"

/* id */
static DwfStatement last_step_query = {
	"SELECT s.step_no FROM durable_wf.step s WHERE s.workflow_id" EQ "$1"
	" ORDER BY s.step_no DESC LIMIT 1",
	1, {TEXTOID}, NULL
};

#define RECORD(columns, values, changes) \
	"INSERT INTO durable_wf.step AS s (workflow_id, step_no, function, name," \
	" result, error, undone, deadline, started_at, completed_at" columns ")" \
	" SELECT w.workflow_id, $2, $3, $4, $5, $6, $7, $8, $9, $10" values \
	" FROM durable_wf.workflow w" \
	" WHERE w.workflow_id" EQ "$1 AND (w.finished_at IS NULL OR $11)" \
	" ON CONFLICT (workflow_id, step_no) DO UPDATE" \
	" SET result = EXCLUDED.result, error = EXCLUDED.error," \
	" undone = EXCLUDED.undone," \
	" deadline = COALESCE(EXCLUDED.deadline, s.deadline)," \
	" completed_at = EXCLUDED.completed_at" changes \
	" WHERE s.completed_at IS NULL"

/*
 * id, number, function, name, result, error, undone, deadline, started,
 * completed, whether to record even if the workflow has ended
 */
static DwfStatement record_query = {
	RECORD("", "", ""),
	11, {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
	BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID}, NULL
};

/* The same, then what the step has taken */
static DwfStatement record_taken_query = {
	RECORD(", taken", ", $12", ", taken = EXCLUDED.taken"),
	12, {TEXTOID, INT4OID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID,
		BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID,
	TEXTARRAYOID}, NULL
};

/* id, number */
static DwfStatement read_record_query = {
	"SELECT s.function, s.name, s.result, s.error, s.undone, s.deadline,"
	" s.started_at, s.completed_at"
	" FROM durable_wf.step s"
	" WHERE s.workflow_id" EQ "$1 AND s.step_no" EQ "$2",
	2, {TEXTOID, INT4OID}, NULL
};

/* id, number; not in objects before 1.0.0 */
static DwfStatement taken_query = {
	"SELECT s.taken FROM durable_wf.step s"
	" WHERE s.workflow_id" EQ "$1 AND s.step_no" EQ "$2",
	2, {TEXTOID, INT4OID}, NULL
};

/* Read the highest number in a journal, 0 if it is empty */
int
dwf_store_last_step(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	int			step_no = dwf_direct_last_step(workflow_id);
	DwfRun		r;
	bool		isnull;

	if (step_no >= 0)
		return step_no;
	step_no = 0;
	r = dwf_statement_run(&last_step_query, values, NULL);
	if (SPI_processed > 0)
		step_no = DatumGetInt32(dwf_statement_column(0, 1, &isnull));
	dwf_statement_done(r);
	return step_no;
}

/*
 * Write a record, or complete an incomplete one.  False if the record is
 * complete already or, unless "even_if_ended", if the workflow has ended.  The
 * transaction gets its xid before it reads whether it has (README, I5).  The
 * objects of before 1.0.0 have no column for what a step has taken.
 */
bool
dwf_store_record(text *workflow_id, const DwfRecord *record,
				 bool even_if_ended)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
		Int32GetDatum(record->step_no), CStringGetTextDatum(record->function),
		PointerGetDatum(record->name), record->result.value,
		record->error.value, BoolGetDatum(record->is_undone),
		TimestampTzGetDatum(record->deadline),
		TimestampTzGetDatum(record->started_at),
		TimestampTzGetDatum(record->completed_at),
		BoolGetDatum(even_if_ended),
	record->taken.value};
	char		nulls[] = {' ', ' ', ' ', record->name ? ' ' : 'n',
		record->result.isnull ? 'n' : ' ', record->error.isnull ? 'n' : ' ',
		' ', record->deadline ? ' ' : 'n', ' ',
	record->completed_at ? ' ' : 'n', ' ', ' '};
	bool		has_taken = !record->taken.isnull && !record->is_undone &&
	get_attnum(dwf_catalog_relation("step"), "taken") != InvalidAttrNumber;
	DwfDirectResult result;

	(void) GetTopTransactionId();
	result = dwf_direct_record(workflow_id, record, even_if_ended);
	if (result != DWF_DIRECT_ASIDE)
		return result == DWF_DIRECT_DONE;
	return dwf_statement_count(has_taken ? &record_taken_query : &record_query,
							   values, nulls) > 0;
}

/* A moment of the first row, 0 if it is null */
static TimestampTz
moment_column(int n)
{
	bool		isnull;
	Datum		value = dwf_statement_column(0, n, &isnull);

	return isnull ? 0 : DatumGetTimestampTz(value);
}

/* Read the record of a number; false if there is none */
bool
dwf_store_read_record(text *workflow_id, int step_no, DwfRecord *record)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(step_no)};
	DwfDirectResult result = dwf_direct_read_record(workflow_id, step_no,
													record);
	DwfRun		r;
	bool		found;
	bool		isnull;

	if (result != DWF_DIRECT_ASIDE)
		return result == DWF_DIRECT_DONE;

	/* copy the columns out of the statement's memory */
	r = dwf_statement_run(&read_record_query, values, NULL);
	found = SPI_processed > 0;
	if (found)
	{
		char	   *function;

		record->step_no = step_no;
		function = TextDatumGetCString(dwf_statement_column(0, 1, &isnull));
		record->function = MemoryContextStrdup(r.caller_context, function);
		record->name = dwf_statement_copy_text(r, 0, 2);
		record->result = dwf_statement_copy_column(r, 0, 3);
		record->error = dwf_statement_copy_column(r, 0, 4);
		record->is_undone = DatumGetBool(dwf_statement_column(0, 5, &isnull));
		record->deadline = moment_column(6);
		record->started_at = moment_column(7);
		record->completed_at = moment_column(8);
	}
	dwf_statement_done(r);
	return found;
}

/* What a step has taken, as journal_taken.c has it; null if nothing */
DwfValue
dwf_store_taken(text *workflow_id, int step_no)
{
	Datum		values[] = {PointerGetDatum(workflow_id),
	Int32GetDatum(step_no)};
	DwfValue	taken = {.isnull = true};
	DwfRun		r;

	if (!dwf_store_knows_families())
		return taken;
	r = dwf_statement_run(&taken_query, values, NULL);
	if (SPI_processed > 0)
		taken = dwf_statement_copy_column(r, 0, 1);
	dwf_statement_done(r);
	return taken;
}
