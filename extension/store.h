/*-------------------------------------------------------------------------
 *
 * store.h
 *	  The tables, as C functions.  Floor 1.
 *
 * These functions do not check privileges by themselves unless they take a
 * role, and do not wait for anything but row locks of concurrent writers.
 * Results are copied to the memory context that was current at the call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STORE_H
#define DWF_STORE_H

#include "durable_wf.h"

#include "plan.h"
#include "waiter.h"

/* Columns that C reads by number; the tables only ever grow to the right */
#define DWF_MESSAGE_MESSAGE_ID		1
#define DWF_MESSAGE_WORKFLOW_ID		2
#define DWF_MESSAGE_DOOR			3
#define DWF_MESSAGE_KEY				4
#define DWF_EVENT_WORKFLOW_ID		1
#define DWF_EVENT_KEY				2
#define DWF_WORKFLOW_WORKFLOW_ID	1
#define DWF_WORKFLOW_FINISHED_AT	12
#define DWF_WORKFLOW_OWNER			2
#define DWF_WORKFLOW_FINISHED_AT	12

/* Statuses of a workflow that C names; all of them are in workflow.sql */
#define DWF_STATUS_SUCCESS		"SUCCESS"
#define DWF_STATUS_ERROR		"ERROR"
#define DWF_STATUS_CANCELLED	"CANCELLED"

/* What decides whether one may act in a workflow */
typedef struct DwfLife
{
	Oid			owner;
	bool		finished;
	char		status[16];
} DwfLife;

/* A workflow's outcome, or what it was started with */
typedef struct DwfOutcome
{
	DwfLife		life;
	DwfValue	output;
	DwfValue	error;
} DwfOutcome;

/* A mailbox item that was taken */
typedef struct DwfItem
{
	int64		message_id;
	Datum		payload;
} DwfItem;

extern void dwf_store_require_writable(const char *function);

/* workflows */
extern bool dwf_store_start(text *workflow_id, Oid owner, DwfValue input);
extern bool dwf_store_same_input(text *workflow_id, Datum input);
extern bool dwf_store_life(text *workflow_id, DwfLife *life);
extern bool dwf_store_outcome(text *workflow_id, DwfOutcome *outcome);
extern bool dwf_store_finish(text *workflow_id, Oid role, const char *status,
							 DwfValue output, DwfValue error);
extern bool dwf_store_set_owner(text *workflow_id, Oid role, Oid owner);

extern void dwf_store_mark_home(void);
extern bool dwf_store_is_copy(void);
extern TransactionId dwf_store_prepared_xid(const char *gid);
extern uint64 dwf_store_prune(Interval *older_than, int batch,
							  TransactionId horizon, Oid role);

/* mailbox */
extern int64 dwf_store_next_message_id(void);
extern void dwf_store_deliver(int64 message_id, const DwfAddress *address,
							  Datum payload);
extern bool dwf_store_answer(int64 message_id, const DwfAddress *address,
							 Datum payload, Oid role, int64 wait_id);
extern void dwf_store_withdraw(int64 message_id, const DwfAddress *address);
extern uint64 dwf_store_deliver_many(Datum message_ids, Datum workflow_ids,
									 Datum payloads, const DwfAddress *queue,
									 Oid role);
extern text *dwf_store_first_refused(Datum workflow_ids, Oid role,
									 bool finished_too);
extern void dwf_store_claim_keys(Datum workflow_ids, Datum scopes, Datum keys,
								 Datum message_ids);
extern int	dwf_store_claimed_ids(Datum workflow_ids, Datum scopes, Datum keys,
								  int64 *message_ids);
extern int	dwf_store_take(const DwfAddress *queue, int64 from, int64 to,
						   int limit, DwfItem **items);
extern int64 dwf_store_lowest(const DwfAddress *queue, int64 from);
extern int	dwf_store_oldest(text *workflow_id, Datum doors, Datum keys,
							 Datum start, int64 *message_id);

/* events */
extern bool dwf_store_set_event(text *workflow_id, text *key, Datum value,
								Oid role);
extern bool dwf_store_event(text *workflow_id, text *key, DwfValue *value,
							DwfLife *life);

#endif							/* DWF_STORE_H */
