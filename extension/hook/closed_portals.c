/*-------------------------------------------------------------------------
 *
 * closed_portals.c
 *	  Keep the session's cursors from a validator.
 *
 * Code that knows, or guesses, the name of a cursor can fetch from the cursor,
 * move in it, or close it and open another one of that name: FETCH, MOVE and
 * CLOSE of SQL, those and OPEN of PL/pgSQL and other languages,
 * cursor_to_xml() and WHERE CURRENT OF use nothing but the name.  Instead of
 * refusing all of these, the cursors themselves are changed: while a validator
 * runs, each portal of the session is marked
 *
 *	- active, so the server neither runs nor drops it (MarkPortalActive,
 *	  PortalDrop, CLOSE ALL);
 *	- to have several statements, so it has no current row;
 *	- not visible, so pg_cursors does not show it.
 *
 * The portals are all cursors, those of FOR loops and those that a driver
 * opens by the protocol included.  The server's table of portals is private,
 * but each portal has a memory context, a child of TopPortalContext, whose
 * identifier is the portal's name.
 *
 * The end of a validator's subtransaction does not touch portals that were
 * neither created nor run in it, whatever their status (AtSubAbort_Portals
 * compares createSubid and activeSubid); so the portals are shown again after
 * that end.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_portals.h"

#include "access/xact.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/portal.h"

/* A portal, and its fields before it was hidden */
typedef struct HiddenPortal
{
	Portal		portal;
	PortalStatus status;
	PortalStrategy strategy;
	bool		visible;
} HiddenPortal;

/* All portals that were hidden */
struct DwfHiddenPortals
{
	int			count;
	HiddenPortal portals[FLEXIBLE_ARRAY_MEMBER];
};

/* The parent of all portals' memory contexts: TopPortalContext */
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

/* All portals of the session */
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
		/* Skip the context of the portal without a name, which is listed */
		portal = context->ident ? GetPortalByName(context->ident) : NULL;
		if (PortalIsValid(portal) && portal->portalContext == context)
			portals = lappend(portals, portal);
	}
	return portals;
}

/* Note the session's portals, before a validator begins; none is changed */
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

/*
 * Hide the portals that dwf_closed_portals_find() has noted; nothing may have
 * run since.  Cannot fail.
 */
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

/*
 * Give the portals their fields back, on every way out of a validator.  Cannot
 * fail.
 */
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
 * Close the portals that a validator has left open in its subtransaction,
 * which is the current one.  After an error, the subtransaction's abort does.
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
