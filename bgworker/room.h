/*-------------------------------------------------------------------------
 *
 * room.h
 *	  Room for executors, and which of them give way to other work.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ROOM_H
#define DWF_ROOM_H

#include "base/durable_wf.h"

#include "nodes/pg_list.h"
#include "postmaster/bgworker.h"

/* An executor that the worker has started */
typedef struct DwfExecutor
{
	Oid			role;
	uint64		cell;			/* of executors.c */
	BackgroundWorkerHandle *handle;

	/* for room.c */
	uint16		claims;			/* as they were before the present look */
	uint64		state;			/* of its cell, as read last */
	uint32		asked;			/* what the present look asks of it */
}			DwfExecutor;

/* What keeps a role from getting another executor */
typedef enum DwfLack
{
	DWF_LACKS_TIME,				/* its trouble delays the start */
	DWF_LACKS_ROOM,				/* durable_wf.max_executors */
	DWF_LACKS_SLOT				/* max_worker_processes */
}			DwfLack;

extern bool dwf_room_exists(List *executors, Oid role);
extern void dwf_room_begin(List *executors);
extern bool dwf_room_make(List *executors, Oid role, DwfLack lack);
extern bool dwf_room_end(List *executors);

#endif							/* DWF_ROOM_H */
