/*-------------------------------------------------------------------------
 *
 * dead_letter.c
 *	  Send dead letters back to their places: wf_redrive.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/xact.h"
#include "miscadmin.h"

#include "base/args.h"
#include "session/identity.h"
#include "session/journal.h"
#include "store/store.h"

/* wf_redrive(workflow_id, topic) → bigint */
DWF_JOURNALLED(wf_redrive, 0, DWF_AT_WORKFLOW(0));
static Datum
do_wf_redrive(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	text	   *topic;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	topic = dwf_args_topic(fcinfo, 1);
	dwf_store_require_writable("wf_redrive");

	/* The xid comes before the look at the workflow (README, I5) */
	(void) GetTopTransactionId();
	dwf_identity_check_live(workflow_id, GetUserId());
	PG_RETURN_INT64(dwf_store_redrive(workflow_id, topic));
}
