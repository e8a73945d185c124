/*-------------------------------------------------------------------------
 *
 * closed_portals.c
 *	  Keep the session's cursors from a validator.
 *
 * Whoever knows, or guesses, the name of a cursor can fetch from it, move in it
 * or close it and open another one of that name: SQL's FETCH and MOVE, CLOSE
 * and OPEN of PL/pgSQL and other languages, cursor_to_xml() and WHERE CURRENT
 * OF all go by the name alone.  So it is not these doors that are shut but the
 * cursors: while a validator runs, each portal of the session looks
 *
 *	- active, so the server neither runs nor drops it (MarkPortalActive,
 *	  PortalDrop, CLOSE ALL);
 *	- to be of several statements, so it is nothing's current row;
 *	- invisible, so pg_cursors does not show it.
 *
 * These are all cursors, those of FOR loops and those that a driver opens by
 * the protocol.  The server has one list of portals, that of pg_cursors.  What
 * it leaves out is active in truth: a portal of EXECUTE or of a query string.
 *
 * The subtransaction of a validator does not touch portals of others that were
 * not run in it, whatever they look like (AtSubAbort_Portals goes by
 * createSubid and activeSubid), so they are shown again after its end.
 *
 *-------------------------------------------------------------------------
 */
#include "closed_portals.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/tuplestore.h"

/* A portal as it was */
typedef struct HiddenPortal
{
	Portal		portal;
	PortalStatus status;
	PortalStrategy strategy;
} HiddenPortal;

struct DwfHiddenPortals
{
	int			count;
	HiddenPortal portals[FLEXIBLE_ARRAY_MEMBER];
};

/* Call pg_cursor(), in the current memory context, for its rows */
static ReturnSetInfo *
call_pg_cursor(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	FmgrInfo	function;
	ReturnSetInfo *result = makeNode(ReturnSetInfo);

	fmgr_info(F_PG_CURSOR, &function);
	result->econtext = CreateStandaloneExprContext();
	result->allowedModes = SFRM_Materialize;
	result->returnMode = SFRM_Materialize;
	InitFunctionCallInfoData(*fcinfo, &function, 0, InvalidOid, NULL,
							 (Node *) result);
	(void) FunctionCallInvoke(fcinfo);
	return result;
}

/* The portals that pg_cursors shows, in the current memory context */
static List *
visible_portals(void)
{
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "durable_wf portals",
												  ALLOCSET_SMALL_SIZES);
	ReturnSetInfo *rows;
	TupleTableSlot *slot;
	List	   *portals = NIL;

	MemoryContextSwitchTo(context);
	rows = call_pg_cursor();
	slot = MakeSingleTupleTableSlot(rows->setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(rows->setResult, true, false, slot))
	{
		bool		isnull;
		Datum		name = slot_getattr(slot, 1, &isnull);
		Portal		portal = GetPortalByName(TextDatumGetCString(name));

		MemoryContextSwitchTo(old);
		if (PortalIsValid(portal))
			portals = lappend(portals, portal);
		MemoryContextSwitchTo(context);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(rows->setResult);
	FreeExprContext(rows->econtext, true);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return portals;
}

/* Note the session's portals, before a validator begins */
DwfHiddenPortals *
dwf_closed_portals_find(void)
{
	List	   *portals = visible_portals();
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

		Assert(portal->visible);
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
		portal->visible = true;
	}
}

/*
 * Close what the validator has left open: all that is visible while the others
 * are hidden.  What an error leaves goes with the subtransaction.
 */
void
dwf_closed_portals_drop(void)
{
	List	   *portals = visible_portals();
	ListCell   *cell;

	foreach(cell, portals)
	{
		Portal		portal = lfirst(cell);

		Assert(portal->createSubid >= GetCurrentSubTransactionId());
		if (portal->portalPinned)
			UnpinPortal(portal);
		PortalDrop(portal, false);
	}
	list_free(portals);
}
