/*-------------------------------------------------------------------------
 *
 * leftover.c
 *	  What the command of a step leaves in the session that could run again.
 *
 * The server decides whether a function may be called when it makes an
 * expression ready, not at each call (guard.c).  What was made ready in a step
 * may be used after it: a cursor, until it is closed; what PL/pgSQL evaluates
 * by itself (simple expressions, casts of an assignment and the checks of
 * domains therein), until the transaction ends.  So a cursor of a step is
 * closed with the step, and if PL/pgSQL can have kept a function that a body
 * may not call, its expressions are declared out of date: it makes them ready
 * again, and the hook looks at them as at any.
 *
 *-------------------------------------------------------------------------
 */
#include "session/leftover.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/portal.h"

/* In this step, such a function was made ready beside a query */
static bool is_kept = false;

/* Note that */
void
dwf_leftover_note(void)
{
	is_kept = true;
}

/*
 * The step has ended, one way or the other.  There is no finer way to reach
 * what PL/pgSQL keeps than to have all plans of this process made anew, ours,
 * too (a step took 0.2 ms instead of 0.07).  Cannot fail.
 */
void
dwf_leftover_drop(void)
{
	if (is_kept)
		ResetPlanCache();
	is_kept = false;
}

/*
 * Close the cursors that the current subtransaction has opened.  A portal's
 * memory context is a child of that of all portals, and is identified by its
 * name.
 */
void
dwf_leftover_close_cursors(void)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	MemoryContext context = PortalContext->parent->firstchild;

	while (context)
	{
		Portal		portal = context->ident ? GetPortalByName(context->ident) :
		NULL;

		context = context->nextchild;
		if (PortalIsValid(portal) && portal->createSubid >= subid &&
			!portal->portalPinned && portal->status != PORTAL_ACTIVE)
			PortalDrop(portal, false);
	}
}
