/*-------------------------------------------------------------------------
 *
 * closed_portals.c
 *	  Keep the session's cursors from a validator.
 *
 * Whoever knows, or guesses, the name of a cursor can fetch from it, move in
 * it or close it and open another one of that name: SQL's FETCH and MOVE,
 * CLOSE and OPEN of PL/pgSQL and other languages, cursor_to_xml() and WHERE
 * CURRENT OF all go by the name alone.  So it is not these doors that are
 * shut but the cursors: while a validator runs, each portal of the session
 * looks
 *
 *	- active, so the server neither runs nor drops it (MarkPortalActive,
 *	  PortalDrop, CLOSE ALL);
 *	- to be of several statements, so it is nothing's current row;
 *	- invisible, so pg_cursors does not show it.
 *
 * These are all cursors, those of FOR loops and those that a driver opens by
 * the protocol.  The server's table of them is its own, but each has a memory
 * context that is a child of one and bears its name.
 *
 * The subtransaction of a validator does not touch portals of others that were
 * not run in it, whatever they look like (AtSubAbort_Portals goes by
 * createSubid and activeSubid), so they are shown again after its end.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_portals.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* A portal as it was */
typedef struct HiddenPortal
{
	Portal		portal;
	PortalStatus status;
	PortalStrategy strategy;
	bool		visible;
} HiddenPortal;

struct DwfHiddenPortals
{
	int			count;
	HiddenPortal portals[FLEXIBLE_ARRAY_MEMBER];
};

/* The memory context whose children are those of portals */
static MemoryContext
top_portal_context(void)
{
	static MemoryContext top = NULL;

	if (top == NULL)
		for (top = TopMemoryContext->firstchild; top; top = top->nextchild)
			if (strcmp(top->name, "TopPortalContext") == 0)
				break;
	if (top == NULL)
		elog(ERROR, "could not find the session's portals");
	return top;
}

/* All portals that there are */
static List *
all_portals(void)
{
	List	   *portals = NIL;
	Portal		portal = GetPortalByName("");
	MemoryContext context;

	if (PortalIsValid(portal))
		portals = lappend(portals, portal);
	for (context = top_portal_context()->firstchild; context;
		 context = context->nextchild)
	{
		/* that without a name has been seen, and bears that of another */
		portal = context->ident ? GetPortalByName(context->ident) : NULL;
		if (PortalIsValid(portal) && portal->portalContext == context)
			portals = lappend(portals, portal);
	}
	return portals;
}

/* Note the session's portals, before a validator begins */
DwfHiddenPortals *
dwf_closed_portals_find(void)
{
	List	   *portals = all_portals();
	DwfHiddenPortals *hidden;

	hidden = palloc(offsetof(DwfHiddenPortals, portals) +
					list_length(portals) * sizeof(HiddenPortal));
	hidden->count = 0;
	for (int i = 0; i < list_length(portals); i++)
	{
		HiddenPortal *entry = &hidden->portals[hidden->count++];

		entry->portal = list_nth(portals, i);
		entry->status = entry->portal->status;
		entry->strategy = entry->portal->strategy;
		entry->visible = entry->portal->visible;
	}
	list_free(portals);
	return hidden;
}

/* Hide them.  Cannot fail; nothing may have happened since. */
void
dwf_closed_portals_hide(DwfHiddenPortals *hidden)
{
	for (int i = 0; i < hidden->count; i++)
	{
		Portal		portal = hidden->portals[i].portal;

		portal->status = PORTAL_ACTIVE;
		portal->strategy = PORTAL_MULTI_QUERY;
		portal->visible = false;
	}
}

/* Show them again as they were, on every way out.  Cannot fail. */
void
dwf_closed_portals_show(DwfHiddenPortals *hidden)
{
	for (int i = 0; i < hidden->count; i++)
	{
		HiddenPortal *entry = &hidden->portals[i];
		Portal		portal = entry->portal;

		Assert(portal->status == PORTAL_ACTIVE && !portal->visible);
		portal->status = entry->status;
		portal->strategy = entry->strategy;
		portal->visible = entry->visible;
	}
}

/*
 * Close what the validator, whose subtransaction this is, has left open.  What
 * an error leaves goes with the subtransaction.
 */
void
dwf_closed_portals_drop(void)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	List	   *portals = all_portals();
	ListCell   *cell;

	foreach(cell, portals)
	{
		Portal		portal = lfirst(cell);

		if (portal->createSubid < subid)
			continue;
		if (portal->portalPinned)
			UnpinPortal(portal);
		PortalDrop(portal, false);
	}
	list_free(portals);
}
