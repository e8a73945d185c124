/*-------------------------------------------------------------------------
 *
 * xact.c
 *	  What the end of a transaction means to us.
 *
 * The only transaction callbacks, registered in the postmaster for all its
 * processes, or once in a process that loads the library by itself.  The
 * callbacks of commit, abort and prepare neither allocate nor raise, and block
 * for no longer than a lock in shared memory is held (I4 in README.md).  Those
 * that come before commit and prepare can refuse them, and the one before a
 * commit locks the row of the parent of what was started.
 *
 *-------------------------------------------------------------------------
 */
#include "xact.h"

#include "access/xact.h"

#include "base/client.h"
#include "cluster/forward.h"
#include "session/journal_open.h"
#include "session/journal_taken.h"
#include "session/journal_undone.h"
#include "session/light_commit.h"
#include "session/stash.h"
#include "session/taken.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/prepared.h"
#include "shared/presence.h"
#include "store/direct.h"
#include "workflow/family.h"

#include "shared/interest.h"

/*
 * Before PREPARE TRANSACTION: refuse it in a session that executes a workflow,
 * and remember what has to be done when the transaction is committed or rolled
 * back
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

/* The transaction ends.  The wakes come first, for what has become visible. */
static void
xact_callback(XactEvent event, void *arg)
{
	(void) arg;
	/* notes of a transaction that is prepared go to stash.c */
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
		dwf_forward_before_commit();
		dwf_light_commit_before();
	}
	dwf_taken_end_xact(event);	/* before another receiver takes it */
	dwf_wakeup_end_xact(event);
	if (event != XACT_EVENT_PREPARE && event != XACT_EVENT_COMMIT &&
		event != XACT_EVENT_ABORT)
		return;

	/* then each part ends what it has for the transaction */
	dwf_client_end_xact();
	dwf_forward_end_xact(event != XACT_EVENT_ABORT);
	dwf_light_commit_end_xact();
	dwf_family_end_xact();
	dwf_prepared_settle(event == XACT_EVENT_PREPARE);
	dwf_interest_end_xact(event != XACT_EVENT_ABORT);
	dwf_presence_end_xact();
	dwf_journal_end_xact(event != XACT_EVENT_ABORT);
	dwf_journal_open_end_xact(event != XACT_EVENT_ABORT);
	dwf_journal_taken_end_xact();
	dwf_direct_end_xact(event == XACT_EVENT_COMMIT);
	dwf_claim_end_xact(event != XACT_EVENT_ABORT);
}

/* A subtransaction has aborted: undo what it has noted */
static void
subxact_callback(SubXactEvent event, SubTransactionId subid,
				 SubTransactionId parent_subid, void *arg)
{
	(void) parent_subid;
	(void) arg;
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	dwf_taken_end_subxact(subid);
	dwf_wakeup_end_subxact(subid);
	dwf_interest_end_subxact(subid);
	dwf_journal_end_subxact(subid);
	dwf_journal_open_end_subxact(subid);
	dwf_journal_taken_end_subxact(subid);
	dwf_direct_end_subxact(subid);
	dwf_claim_end_subxact(subid);
}

/* Register the callbacks */
void
dwf_xact_init(void)
{
	RegisterXactCallback(xact_callback, NULL);
	RegisterSubXactCallback(subxact_callback, NULL);
}
