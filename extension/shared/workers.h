/*-------------------------------------------------------------------------
 *
 * workers.h
 *	  Which processes of ours there are, and what they are asked to do.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WORKERS_H
#define DWF_WORKERS_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"
#include "storage/lwlock.h"

/* What a worker was told */
typedef struct DwfOrders
{
	bool		leave;			/* the database is wanted without sessions */
	bool		check;			/* is the extension still there? */
	bool		run;			/* a body may have to run */
	bool		clock;			/* something may be due before the time that
								 * it has planned */
	bool		recheck;		/* bodies that run may have been ended */
	bool		has_news;		/* there is something in its ring, or lost */
	bool		is_urgent;		/* ... for suspended workflows */
} DwfOrders;

/* What the gateway's main function is given beside its database */
typedef struct DwfGatewayStart
{
	uint32		generation;		/* of the launcher */
	Oid			owner;			/* of the extension */
} DwfGatewayStart;

extern Size dwf_workers_size(void);
extern void dwf_workers_init_shared(LWLockPadded *locks);

/* for backends */
extern void dwf_workers_request(Oid database);
extern void dwf_workers_recheck(void);
extern void dwf_workers_ask_run(void);
extern void dwf_workers_ask_all(void);
extern void dwf_workers_ask_clock(TimestampTz deadline);
extern bool dwf_workers_is_copy(void);
extern bool dwf_workers_tell_to_leave(Oid database);
extern void dwf_workers_wait_until_left(Oid database, long timeout);

/* for the launcher */
extern uint32 dwf_workers_launcher_begin(void);
extern void dwf_workers_launcher_end(void);
extern bool dwf_workers_take_requests(List **databases);
extern bool dwf_workers_take_gone(Oid database);
extern bool dwf_workers_is_serving(Oid database);
extern Oid	dwf_workers_owner(Oid database);
extern void dwf_workers_send_gateway_away(void);
extern bool dwf_workers_take_gateway_left(void);

/* for a worker */
extern bool dwf_workers_begin(uint32 generation, Oid owner);
extern void dwf_workers_end(void);
extern void dwf_workers_gone(uint32 generation);
extern void dwf_workers_say_copy(bool is_copy);
extern void dwf_workers_plan_clock(TimestampTz next);
extern void dwf_workers_take_orders(DwfOrders *orders);

/* for the gateway, which is another library */
extern PGDLLEXPORT bool dwf_workers_gateway_begin(uint32 generation);
extern PGDLLEXPORT void dwf_workers_gateway_end(bool on_purpose);
extern PGDLLEXPORT void dwf_workers_gateway_orders(bool *leave, bool *check);

#endif							/* DWF_WORKERS_H */
