/*-------------------------------------------------------------------------
 *
 * waiter.h
 *	  The registry of waiting sessions.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAITER_H
#define DWF_WAITER_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* What can be waited for; NULL stands for '' */
typedef struct DwfAddress
{
	char		door;
	text	   *workflow_id;
	text	   *key;
} DwfAddress;

/* An address to wait for; aids are not shown to users as the wait's purpose */
typedef struct DwfWaitKey
{
	DwfAddress	address;
	bool		is_aid;
} DwfWaitKey;

/* One thing that one session waits for, copied out of the registry */
typedef struct DwfWaiterInfo
{
	int			slot;
	int			pid;
	Oid			role;
	int64		wait_id;
	TimestampTz since;
	TimestampTz deadline;
	char		door;
	text	   *workflow_id;
	text	   *key;
} DwfWaiterInfo;

extern uint64 dwf_waiter_hash(const DwfAddress *address);
extern PGDLLEXPORT void dwf_waiter_begin(const DwfWaitKey *keys, int nkeys,
										 TimestampTz deadline, Oid role,
										 bool wants_id);
extern bool dwf_waiter_is_waiting(void);
extern PGDLLEXPORT bool dwf_waiter_take_signal(void);
extern PGDLLEXPORT void dwf_waiter_settle_signal(bool took);
extern void dwf_waiter_end(void);
extern int	dwf_waiter_wake(uint64 hash, char door, uint64 arrivals);
extern void dwf_waiter_wake_database(void);
extern void dwf_waiter_dismiss(void);
extern void dwf_waiter_readmit(void);
extern void dwf_waiter_check_dismissed(void);
extern List *dwf_waiter_list(void);
extern List *dwf_waiter_list_broadcast(text *event_id);
extern bool dwf_waiter_still_waits(const DwfWaiterInfo *waiter);

#endif							/* DWF_WAITER_H */
