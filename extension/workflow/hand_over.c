/*-------------------------------------------------------------------------
 *
 * hand_over.c
 *	  Workflows get another owner: wf_set_owner, wf_reassign_owned.
 *
 * The current user must have the rights of both, the old owner and the new
 * one, so nobody gets more by it than it had; and the new owner must be able
 * to run the bodies of those that have not ended.  Whoever executes a workflow
 * when it changes hands is interrupted: the next run is its new owner's.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#include "base/args.h"
#include "base/owner.h"
#include "session/identity.h"
#include "session/journal.h"
#include "store/store.h"
#include "workflow/body.h"

/* Raise 42501 unless the current user has the rights of a role */
static void
check_recipient(Oid owner)
{
	if (!dwf_owner_allows(owner, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to give a workflow to role \"%s\"",
						GetUserNameFromId(owner, false)),
				 errdetail("Role \"%s\" does not have its privileges.",
						   GetUserNameFromId(GetUserId(), false))));
}

/* Raise 42501 if a workflow has a body that this role cannot run */
static void
check_body(text *workflow_id, Oid owner)
{
	text	   *body;
	DwfValue	input;
	int			attempts;

	if (dwf_store_body(workflow_id, &body, &input, &attempts))
		dwf_body_check_owner(body, owner);
}

/* wf_set_owner(workflow_id, owner) → void */
DWF_JOURNALLED(wf_set_owner, 0, DWF_AT_WORKFLOW(0));
static Datum
do_wf_set_owner(PG_FUNCTION_ARGS)
{
	text	   *workflow_id;
	Oid			owner;
	DwfLife		life;

	workflow_id = dwf_args_name(fcinfo, 0, "workflow_id", DWF_WORKFLOW_ID_MAX);
	dwf_args_require(fcinfo, 1, "owner");
	dwf_store_require_writable("wf_set_owner");

	dwf_identity_check_exists(workflow_id, &life, GetUserId());
	owner = dwf_owner_role(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	check_recipient(owner);
	check_body(workflow_id, owner);

	while (!dwf_store_set_owner(workflow_id, GetUserId(), owner))
		dwf_identity_check_exists(workflow_id, &life, GetUserId());
	PG_RETURN_VOID();
}

/*
 * The role whose workflows are to be handed over, argument 0; InvalidOid: all
 * that were dropped.  Raises 42704, and 42501 unless the current user has the
 * rights of the role; of dropped ones a superuser has.
 */
static Oid
old_owner(FunctionCallInfo fcinfo)
{
	Oid			owner;

	if (PG_ARGISNULL(0))
	{
		if (!superuser())
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("permission denied to reassign workflows of dropped roles"),
					 errdetail("Only superusers may act on them.")));
		return InvalidOid;
	}
	owner = dwf_owner_role(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	if (!dwf_owner_allows(owner, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to reassign workflows of role \"%s\"",
						GetUserNameFromId(owner, false)),
				 errdetail("Role \"%s\" does not have its privileges.",
						   GetUserNameFromId(GetUserId(), false))));
	return owner;
}

/* wf_reassign_owned(old_owner, new_owner) → bigint, how many */
DWF_JOURNALLED(wf_reassign_owned, 0, DWF_AT_HERE);
static Datum
do_wf_reassign_owned(PG_FUNCTION_ARGS)
{
	Oid			from;
	Oid			owner;
	ListCell   *cell;

	dwf_args_require(fcinfo, 1, "new_owner");
	dwf_store_require_writable("wf_reassign_owned");
	from = old_owner(fcinfo);
	owner = dwf_owner_role(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	check_recipient(owner);
	foreach(cell, dwf_store_bodies_of(from))
		dwf_body_check_owner(lfirst(cell), owner);
	PG_RETURN_INT64((int64) dwf_store_reassign(from, owner));
}
