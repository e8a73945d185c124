/*-------------------------------------------------------------------------
 *
 * light_commit.c
 *	  Commits of an executor that need not wait for the disk.
 *
 * A commit is *light* if nobody is told of it but the database itself: it does
 * as with synchronous_commit = off.  If the server dies within about 0.6 s, it
 * may be lost; then it is as if the process had died just before it.
 *
 *	L1	What is lost is a suffix of the server's log.  So whatever was
 *		committed after a light commit and is on disk, by this session or by
 *		one that has seen the commit, has it on disk, too.
 *	L2	A transaction of a body is *quiet* if it has run no command of a step,
 *		and all calls in it only receive, look, wait, or ask for a time or a
 *		random value; the body cannot write outside of steps.  Nobody gets
 *		anything of it but by a later transaction, which is not quiet, and
 *		whose commit waits (L1).  If it is lost, the next run does the same
 *		again: what it has taken lies in its queue again.
 *	L3	A first claim may be lost with all that the run has done.  Then the
 *		next run is the first again.  The crash was noted (crash.c), and the
 *		next claim counts it.
 *
 * A claim is not light if the body has crashed before, nor within a minute
 * after the start of the server: a body that makes it crash again and again is
 * run later each time.
 *
 * A light commit does not wait for standbys either: L1 holds for what they
 * have got.  The owner decides: where it has set synchronous_commit to
 * remote_apply, which promises that a standby shows what was committed, or to
 * off, nothing is changed.
 *
 *-------------------------------------------------------------------------
 */
#include "session/light_commit.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/executors.h"

/* This transaction has done something that others may be told of */
static bool is_told = false;

/* This transaction has made a claim that may be lost */
static bool has_claimed = false;

/* Does a call of this function only receive, look, wait or ask? */
static bool
is_quiet(const char *function)
{
	static const char *const quiet[] = {
		"wf_recv", "wf_recv_any", "wf_recv_many", "wf_wait_any",
		"wf_wait_for_event", "wf_get_event", "wf_read_stream", "wf_result",
		"wf_status", "wf_await_hook", "wf_get_hook", "wf_event_waiters",
		"wf_sleep", "wf_now", "wf_random", "wf_uuid", "wf_patched"
	};

	for (int i = 0; i < (int) lengthof(quiet); i++)
		if (strcmp(function, quiet[i]) == 0)
			return true;
	return false;
}

/* A journalled function is about to be called, and not from the journal */
void
dwf_light_commit_note_call(const char *function)
{
	is_told |= !is_quiet(function);
}

/*
 * This transaction, of an executor, has claimed a body that has not crashed:
 * its commit need not wait, unless the server has begun not long ago
 */
void
dwf_light_commit_note_claim(void)
{
	has_claimed =
		TimestampDifferenceExceeds(dwf_executors_since(),
								   GetCurrentTimestamp(),
								   dwf_setting_careful_time);
}

/* Before a commit: let it not wait if it is light.  May raise. */
void
dwf_light_commit_before(void)
{
	bool		is_quiet_body = dwf_claim_is_body() && !is_told &&
	!dwf_wakeup_has_arrivals();

	if (!(is_quiet_body || has_claimed) ||
		synchronous_commit == SYNCHRONOUS_COMMIT_OFF ||
		synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY ||
		!TransactionIdIsValid(GetTopTransactionIdIfAny()))
		return;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* The transaction has ended.  Cannot fail. */
void
dwf_light_commit_end_xact(void)
{
	is_told = has_claimed = false;
}
