/*-------------------------------------------------------------------------
 *
 * xact.c
 *	  What the end of a transaction means to us.
 *
 * The only transaction callbacks, registered once per process, or in the
 * postmaster for all.  Nothing in them may allocate, raise, or block for
 * longer than a lock of ours, but what comes before a commit: there the parent
 * of what was started is looked at, and its row locked.
 *
 *-------------------------------------------------------------------------
 */
#include "xact.h"

#include "access/xact.h"

#include "base/client.h"
#include "session/journal.h"
#include "session/stash.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/listener.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "workflow/family.h"

/*
 * Refuse to prepare what has to go on in this session; remember what else has
 * to be told when it is committed or rolled back
 */
static void
before_prepare(void)
{
	Oid			database;
	bool		has_notes = dwf_wakeup_has_notes();

	if (dwf_claim_state() != DWF_EXECUTES_NOTHING)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction of a session that is attached to a workflow")));
	if (has_notes || dwf_presence_has_change(&database))
		dwf_prepared_remember(has_notes);
	if (has_notes)
		dwf_stash_reserve();
}

/* The transaction ends; the wakes first, for what has become visible */
static void
xact_callback(XactEvent event, void *arg)
{
	(void) arg;
	if (event == XACT_EVENT_PRE_PREPARE)
		before_prepare();
	else if (event == XACT_EVENT_PREPARE)
		dwf_stash_keep();
	else if (event == XACT_EVENT_ABORT)
		dwf_stash_abandon();
	else if (event == XACT_EVENT_PRE_COMMIT)
	{
		dwf_client_check_commit();
		dwf_family_check_commit();
	}
	dwf_wakeup_end_xact(event);
	if (event != XACT_EVENT_PREPARE && event != XACT_EVENT_COMMIT &&
		event != XACT_EVENT_ABORT)
		return;

	dwf_client_end_xact();
	dwf_family_end_xact();
	dwf_prepared_settle(event == XACT_EVENT_PREPARE);
	dwf_listener_end_xact(event != XACT_EVENT_ABORT);
	dwf_presence_end_xact();
	dwf_journal_end_xact(event != XACT_EVENT_ABORT);
	dwf_claim_end_xact(event != XACT_EVENT_ABORT);
}

/* A subtransaction aborts */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	(void) parent_subid;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dwf_wakeup_end_subxact(subid);
	dwf_listener_end_subxact(subid);
	dwf_journal_end_subxact(subid);
	dwf_claim_end_subxact(subid);
}

/* Register the callbacks */
void
dwf_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
