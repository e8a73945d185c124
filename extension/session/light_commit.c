/*-------------------------------------------------------------------------
 *
 * light_commit.c
 *	  Claims of executors that need not wait for the disk.
 *
 * The commit of a claim is *light*: it does as with synchronous_commit = off.
 * If the server dies within about 0.6 s, it may be lost; then it is as if the
 * process had died just before it.
 *
 *	L1	What is lost is a suffix of the server's log.  So whatever was
 *		committed after a light commit and is on disk, by this session or by
 *		one that has seen the commit, has it on disk, too.
 *	L2	A first claim is lost only with all that the run has committed.  Then
 *		the next run is the first again.  The crash was noted (crash.c), and
 *		the next claim counts it.
 *
 * A claim is not light if the body has crashed before, nor within a minute
 * after the start of the server: a body that makes it crash again and again is
 * run later each time.
 *
 * Nothing else that a body commits is light.  A message that it has taken, a
 * deadline, wf_now() or wf_uuid() may have left the server, by the command of
 * a step or by a view, before the step itself is recorded; the next run has to
 * have the same.
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
#include "shared/executors.h"

/* This transaction has made a claim that may be lost */
static bool has_claimed = false;

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
	if (!has_claimed ||
		synchronous_commit == SYNCHRONOUS_COMMIT_OFF ||
		synchronous_commit == SYNCHRONOUS_COMMIT_REMOTE_APPLY)
		return;
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* The transaction has ended.  Cannot fail. */
void
dwf_light_commit_end_xact(void)
{
	has_claimed = false;
}
