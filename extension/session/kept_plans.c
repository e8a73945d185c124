/*-------------------------------------------------------------------------
 *
 * kept_plans.c
 *	  Plans that stay in an executor's session from one body to the next.
 *
 * A literal is read when its statement is analysed, with the settings of that
 * moment: DateStyle, TimeZone and others.  So a body that sets something must
 * not meet plans of the bodies before it, and must leave none to those after
 * it.  All plans are made anew from the moment of its first SET on, and again
 * after its run.  SET LOCAL counts, and set_config(), and what the command of
 * a step sets.
 *
 * The SET clause of a function does not count: its own statements are always
 * analysed under it.
 *
 *-------------------------------------------------------------------------
 */
#include "session/kept_plans.h"

#include "nodes/parsenodes.h"
#include "utils/fmgroids.h"
#include "utils/plancache.h"

#include "shared/claim.h"

/* The body that runs has set something */
static bool has_set = false;

/* The body that runs is about to set something, or has */
void
dwf_kept_plans_note_set(void)
{
	if (!has_set)
		ResetPlanCache();
	has_set = true;
}

/* A utility statement is about to be run */
void
dwf_kept_plans_note_command(Node *command)
{
	if (IsA(command, VariableSetStmt) && dwf_claim_is_body())
		dwf_kept_plans_note_set();
}

/* The server's hook says that this function is about to be called */
void
dwf_kept_plans_note_function(Oid function)
{
	if (function == F_SET_CONFIG && dwf_claim_is_body())
		dwf_kept_plans_note_set();
}

/* The run of a body has ended */
void
dwf_kept_plans_end_run(void)
{
	if (has_set)
		ResetPlanCache();
	has_set = false;
}

/* The configuration was read again: make all plans anew */
void
dwf_kept_plans_reset(void)
{
	ResetPlanCache();
}
