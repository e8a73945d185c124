/*-------------------------------------------------------------------------
 *
 * closed_world.h
 *	  What a validator may do in the session that runs it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOSED_WORLD_H
#define DWF_CLOSED_WORLD_H

#include "base/durable_wf.h"

#include "executor/execdesc.h"
#include "nodes/nodes.h"

#include "hook/closed_portals.h"
#include "hook/closed_settings.h"

/* What is hidden from a validator while it runs, to be shown again */
typedef struct DwfClosedWorld
{
	DwfHiddenPortals *portals;
	DwfHiddenSettings settings;
	const char *query_string;
	bool		is_outermost;	/* no other validator is running */
	ErrorContextCallback *callers;
} DwfClosedWorld;

extern void dwf_closed_world_prepare(DwfClosedWorld *world);
extern void dwf_closed_world_enter(DwfClosedWorld *world);
extern void dwf_closed_world_leave(DwfClosedWorld *world);
extern void dwf_closed_world_check_command(Node *command);
extern void dwf_closed_world_check_query(QueryDesc *query);
extern void dwf_closed_world_init(void);

#endif							/* DWF_CLOSED_WORLD_H */
