/*-------------------------------------------------------------------------
 *
 * life.c
 *	  Write that a workflow starts, and that it ends: directly, doing what the
 *	  row's triggers would do, or by the statement.
 *
 * The note comes after the effect: an error in between undoes both, and until
 * the row is written it is not known whether anything has happened.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/life.h"

#include "session/arrival.h"
#include "session/trace.h"
#include "store/direct.h"
#include "store/store.h"

/*
 * Insert a workflow; false if the id is taken.  Blocks while another
 * transaction inserts a workflow of this id.
 */
bool
dwf_life_start(const DwfStart *start, Oid owner)
{
	DwfDirect	direct;
	DwfDirectResult result = dwf_direct_open_start(&direct, start);

	if (result == DWF_DIRECT_DONE)
	{
		DwfStart	traced = *start;

		traced.traceparent = dwf_trace_current();
		result = dwf_direct_start(&direct, &traced, owner);
		dwf_direct_close(&direct);
		if (result == DWF_DIRECT_DONE)
			dwf_arrival_note_start(start, owner);
	}
	if (result == DWF_DIRECT_ASIDE)
		return dwf_store_start(start, owner);
	return result == DWF_DIRECT_DONE;
}

/* Try to end a workflow without a statement */
static DwfDirectResult
write_directly(text *workflow_id, Oid role, const char *status,
			   DwfValue output, DwfValue error)
{
	DwfDirectResult result = dwf_direct_finish(workflow_id, role, status,
											   output, error);

	if (result == DWF_DIRECT_DONE)
	{
		dwf_arrival_note_end(workflow_id);
		dwf_store_release_hooks(workflow_id);
	}
	return result;
}

/*
 * End a workflow; false if it has ended, does not exist or is not the role's.
 * Blocks while another transaction has locked its row.
 */
bool
dwf_life_end(text *workflow_id, Oid role, const char *status,
			 DwfValue output, DwfValue error)
{
	DwfDirectResult result = write_directly(workflow_id, role, status, output,
											error);

	if (result == DWF_DIRECT_ASIDE)
		return dwf_store_finish(workflow_id, role, status, output, error);
	return result == DWF_DIRECT_DONE;
}

/*
 * End a workflow without an outcome, unless it has ended, does not exist or is
 * not the role's, or another transaction has locked its row.  Does not block.
 */
void
dwf_life_end_free(text *workflow_id, Oid role, const char *status)
{
	DwfValue	none = {.isnull = true};

	if (write_directly(workflow_id, role, status, none,
					   none) == DWF_DIRECT_ASIDE &&
		dwf_store_lock_free(workflow_id))
		(void) dwf_store_finish(workflow_id, role, status, none, none);
}
