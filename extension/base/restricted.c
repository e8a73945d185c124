/*-------------------------------------------------------------------------
 *
 * restricted.c
 *	  Code that this session runs for another role than its own.
 *
 * The server calls it a security-restricted operation: code of a table's owner
 * that ANALYZE, REINDEX, REFRESH MATERIALIZED VIEW or autovacuum run,
 * whichever role gave the command, and our validators.  Such code must not
 * change the session, so each of our functions is of one of these kinds there:
 *
 *	- it changes what the session executes or listens to, or is a step of the
 *	  session's workflow: it is refused (dwf_restricted_refuse);
 *	- it acts as a workflow: only as one that is named in the call, since the
 *	  session has no current workflow there (identity.c, claim.c).  A
 *	  validator has a setting durable_wf.workflow_id of its own;
 *	- all others act as the current role, as anywhere.
 *
 * None of their calls is a step of the session's workflow (journal.c), and
 * what they end is not what the session executes (claim.c).
 * sql/restricted.sql goes through all functions.
 *
 *-------------------------------------------------------------------------
 */
#include "base/restricted.h"

#include "miscadmin.h"

/* How many validators run, nested in each other */
static int	validators = 0;

/* Does this session run code for another role now? */
bool
dwf_restricted(void)
{
	return InSecurityRestrictedOperation();
}

/* Is a validator running? */
bool
dwf_restricted_is_validator(void)
{
	return validators > 0;
}

/* Note that a validator begins; returns how many run now.  Cannot fail. */
int
dwf_restricted_enter_validator(void)
{
	return ++validators;
}

/* Note that a validator has ended.  Cannot fail. */
void
dwf_restricted_leave_validator(void)
{
	Assert(validators > 0);
	validators--;
}

/*
 * Raise 42501 in a security-restricted operation, as core does for LISTEN:
 * this function would change the session, or act for it
 */
void
dwf_restricted_refuse(const char *function)
{
	if (!dwf_restricted())
		return;
	if (dwf_restricted_is_validator())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot execute %s() in a hook's validator", function),
				 errhint("Let the workflow do it, with the payload.")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("cannot execute %s() within security-restricted operation",
					function)));
}
