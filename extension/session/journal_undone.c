/*-------------------------------------------------------------------------
 *
 * journal_undone.c
 *	  Write records to the journal, and keep those that were rolled back.
 *
 * A complete record stays in this process until the transaction that has
 * written it commits.  If that, or its subtransaction, rolls back, the record
 * is undone: its effect is gone, but the caller has seen the result.  Undone
 * records are written before the next record, so that the journal has no gap
 * below a record (J3 in journal.c).
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal_undone.h"

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "session/identity.h"
#include "session/journal_place.h"
#include "shared/claim.h"

/* A complete record of this process whose transaction has not committed */
typedef struct Record
{
	DwfRecord	row;			/* all of it in journal_context */
	SubTransactionId subid;		/* that has written it, if it is written */
} Record;

/*
 * A stack in the order of the numbers: at the bottom the "nwritten" records
 * that the present transaction has written, above them those that are undone
 * and not yet written again.  What an aborting subtransaction and its children
 * have written is the top of the former, down to the first smaller subid.
 */
static List *records = NIL;
static int	nwritten = 0;
static MemoryContext journal_context = NULL;

/* This session begins to execute a workflow: it has no records yet */
void
dwf_journal_undone_begin(void)
{
	if (journal_context == NULL)
		journal_context = AllocSetContextCreate(TopMemoryContext,
												"durable_wf journal",
												ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(journal_context);
	records = NIL;
	nwritten = 0;
}

/* A copy of a value that is not passed by value, in the present context */
static Datum
copy(Datum value)
{
	return datumCopy(value, false, -1);
}

/* Push a copy of a row, which outlives the transaction */
static void
push_record(const DwfRecord *row)
{
	MemoryContext old = MemoryContextSwitchTo(journal_context);
	Record	   *record = palloc0(sizeof(Record));

	record->row = *row;
	record->row.function = pstrdup(row->function);
	if (row->name)
		record->row.name =
			(text *) DatumGetPointer(copy(PointerGetDatum(row->name)));
	if (!row->result.isnull)
		record->row.result.value = copy(row->result.value);
	if (!row->error.isnull)
		record->row.error.value = copy(row->error.value);
	record->row.taken.isnull = true;	/* it is not written a second time */
	records = lappend(records, record);
	MemoryContextSwitchTo(old);
}

/* The lowest undone record is written by the present subtransaction */
static void
mark_written(void)
{
	Record	   *record = list_nth(records, nwritten++);

	record->subid = GetCurrentSubTransactionId();
}

/*
 * Write a row.  Raises WF001, 42501, WF002 or WF003 when the workflow is gone,
 * another role's or ended, and WF007 when another session has recorded the
 * step.  Blocks while another transaction has the workflow's row locked.
 */
static void
write_row(const DwfRecord *row)
{
	text	   *workflow_id = dwf_claim_held();
	bool		ends_here = dwf_claim_state() == DWF_HAS_ENDED_RUN;

	if (dwf_store_record(workflow_id, row, ends_here))
		return;
	if (!ends_here)
		dwf_identity_check_live(workflow_id, GetUserId());
	ereport(ERROR,
			(errcode(DWF_ERRCODE_ELSEWHERE),
			 errmsg("step %d of workflow \"%s\" was recorded by another session",
					row->step_no, text_to_cstring(workflow_id)),
			 errhint("Call wf_detach(), and attach again.")));
}

/* Write the undone records */
static void
write_undone(void)
{
	while (nwritten < list_length(records))
	{
		Record	   *record = list_nth(records, nwritten);

		write_row(&record->row);
		mark_written();
	}
}

/*
 * Write a row of a call that goes on: if its transaction rolls back, nothing
 * is kept of it.  Raises and blocks as write_row() does.
 */
void
dwf_journal_write(const DwfRecord *row)
{
	write_undone();
	write_row(row);
}

/*
 * Write a row with the result of a call, and keep it until its transaction has
 * committed.  Raises and blocks as write_row() does.
 */
void
dwf_journal_write_result(const DwfRecord *row)
{
	Assert(!dwf_journal_has_diverged());
	dwf_journal_write(row);
	push_record(row);
	mark_written();
}

/*
 * Keep a row that is undone as it is made.  A replay that has diverged keeps
 * nothing, since its numbers are those of other calls.
 */
void
dwf_journal_keep_undone(const DwfRecord *row)
{
	Assert(row->is_undone);
	if (!dwf_journal_has_diverged())
		push_record(row);
}

/*
 * The transaction has ended: what it has written is committed, or undone.
 * Cannot fail.
 */
void
dwf_journal_end_xact(bool commit)
{
	if (!commit)
		dwf_journal_end_subxact(TopSubTransactionId);
	else if (nwritten == list_length(records))
	{
		if (records != NIL)
			MemoryContextReset(journal_context);
		records = NIL;
	}
	else
		records = list_delete_first_n(records, nwritten);
	nwritten = 0;
}

/*
 * A subtransaction has aborted: what it and its children have written is
 * undone.  Cannot fail.
 */
void
dwf_journal_end_subxact(SubTransactionId subid)
{
	while (nwritten > 0)
	{
		Record	   *record = list_nth(records, nwritten - 1);

		if (record->subid < subid)
			break;
		record->row.is_undone = true;
		nwritten--;
	}
}
