/*-------------------------------------------------------------------------
 *
 * attributes.c
 *	  What workflows are searched by: wf_set_attributes, and the argument of
 *	  wf_start.
 *
 * Attributes are one JSON object per workflow.  Those who change it wait for
 * one another, key by key it is the last commit that counts.
 *
 *-------------------------------------------------------------------------
 */
#include "workflow/attributes.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "session/identity.h"
#include "session/journal.h"
#include "store/store.h"

/* How many bytes the attributes of a workflow have at most, as text */
#define ATTRIBUTES_MAX	8192

/* Raise 22023 unless this jsonb is an object, and not too long as text */
void
dwf_attributes_check(Datum attributes)
{
	Jsonb	   *jsonb = DatumGetJsonbP(attributes);
	int			length;

	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("attributes must be a JSON object")));
	length = strlen(JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb)));
	if (length > ATTRIBUTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("attributes are too long"),
				 errdetail("They have %d bytes, the limit is %d.",
						   length, ATTRIBUTES_MAX)));
}

/* Merge checked attributes into those of a live workflow; returns all */
static Datum
merge(text *workflow_id, Datum attributes)
{
	DwfValue	merged = {.isnull = true};

	for (;;)
	{
		merged = dwf_store_merge_attributes(workflow_id, attributes,
											GetUserId());
		if (!merged.isnull)
			break;
		dwf_identity_check_live(workflow_id, GetUserId());
	}
	dwf_attributes_check(merged.value);
	return merged.value;
}

/* The workflow that this transaction has just started gets its attributes */
void
dwf_attributes_start(text *workflow_id, Datum attributes)
{
	(void) merge(workflow_id, attributes);
}

/* wf_set_attributes(attributes, workflow_id) → jsonb */
DWF_JOURNALLED(wf_set_attributes, 1, DWF_AT_WORKFLOW(1));
static Datum
do_wf_set_attributes(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;

	dwf_args_require(fcinfo, 0, "attributes");
	workflow_id = dwf_identity_argument(fcinfo, 1);
	dwf_attributes_check(PG_GETARG_DATUM(0));
	dwf_store_require_writable("wf_set_attributes");
	return merge(workflow_id, PG_GETARG_DATUM(0));
}
