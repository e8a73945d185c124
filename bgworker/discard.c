/*-------------------------------------------------------------------------
 *
 * discard.c
 *	  Discard what a body has left in its executor's session.
 *
 * That is what DISCARD ALL discards, and what random() goes on from, which
 * DISCARD ALL leaves.  Plans stay, with one exception: those that a body may
 * have made under settings of its own (kept_plans.c).  To make all plans anew
 * for each body was more than half of an executor's work.
 *
 * A plan that stays is as good as a new one.  The server itself tests, at each
 * use, whether tables, functions, search_path, role and row security are as
 * they were; what it does not test is which settings a literal was read with
 * ('1/2/2024'::date), and those of the planner.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/discard.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/async.h"
#include "commands/prepare.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/portal.h"

#include "base/compat.h"
#include "session/kept_plans.h"
#include "shared/interest.h"

/* Has the session set anything beyond its transactions? */
static bool
has_settings(void)
{
	int			count;
	struct config_generic **settings = dwf_compat_settings(&count);

	for (int i = 0; i < count; i++)
		if (settings[i]->source > PGC_S_OVERRIDE &&
			!(settings[i]->flags & GUC_NO_RESET_ALL))
			return true;
	return false;
}

/*
 * Reset the settings that the body has left (read only, a lock_timeout, ...),
 * so that the transactions that follow are not the body's.  Outside of a
 * transaction; without a snapshot, since the body may have set DEFERRABLE,
 * with which to take one could block.
 */
void
dwf_discard_settings(void)
{
	if (has_settings())
	{
		StartTransactionCommand();
		ResetAllOptions();
		CommitTransactionCommand();
		dwf_kept_plans_note_set();	/* a setting may be set by no statement */
	}
	dwf_kept_plans_end_run();
}

/* Have random() go on from where nobody knows */
static void
reseed(void)
{
	float8		seed = 2 * pg_prng_double(&pg_global_prng_state) - 1;

	(void) DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

/*
 * Discard all else that the body has left.  Inside a transaction, in which the
 * caller has done nothing yet.  Raises what closing a cursor raises.
 */
void
dwf_discard_session(void)
{
	/* a cursor first: to close it may run code of the body's */
	PortalHashTableDeleteAll();
	if (GetSessionUserId() != GetAuthenticatedUserId() ||
		OidIsValid(GetCurrentRoleId()))
		SetPGVariable("session_authorization", NIL, false);
	DropAllPreparedStatements();
	Async_UnlistenAll();
	dwf_interest_remove_channel(NULL);
	LockReleaseAll(USER_LOCKMETHOD, true);
	ResetTempTableNamespace();
	ResetSequenceCaches();
	reseed();
}
