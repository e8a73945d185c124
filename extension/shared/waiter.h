/*-------------------------------------------------------------------------
 *
 * waiter.h
 *	  The registry of waiting sessions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAITER_H
#define DWF_WAITER_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"

#include "shared/address.h"

/*
 * What one call can wait for: topics, or sources of at most three addresses
 * each; and room for the doors beside them
 */
#define DWF_TOPICS_MAX		128
#define DWF_SOURCES_MAX		128
#define DWF_LINKS_MAX		(DWF_SOURCES_MAX * 3 + 4)
#define DWF_TOPIC_BYTES_MAX	4096

/* How many locks the registry has */
#define DWF_WAITER_LOCKS	64

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

extern Size dwf_waiter_size(void);
extern void dwf_waiter_init_shared(LWLockPadded *locks);
extern int64 dwf_waiter_new_id(void);
extern PGDLLEXPORT void dwf_waiter_begin(const DwfWaitKey *keys, int nkeys,
										 TimestampTz deadline, Oid role,
										 bool wants_id);
extern uint32 dwf_waiter_arrivals(const DwfWaitKey *keys, int nkeys);
extern bool dwf_waiter_is_waiting(void);
extern PGDLLEXPORT bool dwf_waiter_take_signal(void);
extern PGDLLEXPORT void dwf_waiter_settle_signal(bool found, bool was_due,
												 int key, bool left);
extern void dwf_waiter_end(void);
extern int	dwf_waiter_wake(uint64 hash, char door, uint64 arrivals);
extern void dwf_waiter_wake_database(bool dismiss);
extern bool dwf_waiter_is_dismissed(void);
extern List *dwf_waiter_list(void);
extern List *dwf_waiter_list_at(const DwfAddress *address);
extern bool dwf_waiter_still_waits(const DwfWaiterInfo *info);

#endif							/* DWF_WAITER_H */
