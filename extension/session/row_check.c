/*-------------------------------------------------------------------------
 *
 * row_check.c
 *	  Check rows of durable_wf.workflow, as constraints would.
 *
 * The server parses the text of a CHECK anew for each statement that writes to
 * the table, which was a sixth of a claim or an end.  So the row trigger that
 * note_arrival() is checks the row; it is ENABLE ALWAYS and fires for INSERT,
 * COPY and each UPDATE of a column that is checked.  Errors are those of the
 * constraints of old, with their names.
 *
 *-------------------------------------------------------------------------
 */
#include "session/row_check.h"

#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "store/store.h"

/* All statuses; those from FIRST_END on are of workflows that have ended */
static const char *const statuses[] = {
	"PENDING", "RUNNING", DWF_STATUS_WAITING,
	DWF_STATUS_SUCCESS, DWF_STATUS_ERROR, DWF_STATUS_CANCELLED
};

#define FIRST_END	3

/* Raise 23514, as the constraint of this name would */
static void
refuse(Relation table, const char *constraint, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("new row for relation \"%s\" violates check constraint \"%s\"",
					RelationGetRelationName(table), constraint),
			 errdetail_internal("%s", detail),
			 errtableconstraint(table, constraint)));
}

/* Which of the statuses is it?  -1: none */
static int
number_of(const text *status)
{
	int			length = VARSIZE_ANY_EXHDR(status);

	for (int i = 0; i < (int) lengthof(statuses); i++)
		if (length == (int) strlen(statuses[i]) &&
			memcmp(VARDATA_ANY(status), statuses[i], length) == 0)
			return i;
	return -1;
}

/*
 * Raise 23514 for a row of durable_wf.workflow, which is about to be written,
 * that no workflow can have.  Nulls are left to NOT NULL.
 */
void
dwf_row_check_workflow(HeapTuple row, Relation table)
{
	TupleDesc	desc = RelationGetDescr(table);
	bool		is_open;
	bool		isnull;
	Datum		column = heap_getattr(row, DWF_WORKFLOW_WORKFLOW_ID, desc,
									  &isnull);
	int			length = 1;
	text	   *status;
	int			number;

	if (!isnull)
		length = VARSIZE_ANY_EXHDR(DatumGetTextPP(column));
	if (length < 1 || length > DWF_WORKFLOW_ID_MAX)
		refuse(table, "workflow_workflow_id_check",
			   psprintf("The id has %d bytes; it must have 1 to %d.", length,
						DWF_WORKFLOW_ID_MAX));

	column = heap_getattr(row, DWF_WORKFLOW_STATUS, desc, &isnull);
	if (isnull)
		return;
	status = DatumGetTextPP(column);
	number = number_of(status);
	if (number < 0)
		refuse(table, "workflow_status_check",
			   psprintf("There is no status \"%s\".",
						text_to_cstring(status)));

	is_open = heap_attisnull(row, DWF_WORKFLOW_FINISHED_AT, desc);
	if (is_open != (number < FIRST_END))
		refuse(table, "workflow_finished_at_check",
			   psprintf(is_open ? "The status is %s, but finished_at is null." :
						"The status is %s, but finished_at is not null.",
						statuses[number]));
}
