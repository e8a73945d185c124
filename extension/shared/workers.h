/*-------------------------------------------------------------------------
 *
 * workers.h
 *	  Through what backends and our own processes speak to each other.
 *	  Floor 1.
 *
 * One lock, the lock, guards all of it but the atomics.  It comes
 * after the partition locks and nothing is locked under it; who holds it may
 * set the latches of our processes, which are found in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WORKERS_H
#define DWF_WORKERS_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"

#include "shared/waiter.h"

#define DWF_REQUESTS_MAX	32
#define DWF_RING_BYTES		65536
#define DWF_RECENT_SIZE		1024	/* a power of two */
#define DWF_LOST_BITS		65536
#define DWF_NO_PROC			(-1)

/*
 * Of what news were lost: of workflows whose hash (listener.c) falls on a bit
 * that is set, or of all
 */
typedef struct DwfLost
{
	bool		any;
	bool		all;
	uint64		bits[DWF_LOST_BITS / 64];
} DwfLost;

/* A worker, or a place for one; free when database is invalid */
typedef struct DwfWorker
{
	Oid			database;
	Oid			owner;			/* of the extension in it */
	bool		is_copy;		/* its workflows wait for wf_adopt() */
	int			proc;			/* its proc number once it serves */
	bool		must_leave;		/* the database is wanted without sessions */
	bool		must_check;		/* is the extension still there? */
	bool		must_run;		/* there is a body to run, and nobody runs it */
	bool		must_recheck;	/* bodies that run may have been ended */
	DwfLost		lost;			/* who waits for these has to look */
	TimestampTz next_clock;		/* it wakes up then at the latest; or
								 * DT_NOEND, also while it finds out */
	bool		was_idle;		/* while news are put: nothing was there, */
	uint32		share;			/* ... so many bytes are for this commit, */
	uint32		used;			/* ... which has put so many */
	uint32		head;			/* ring: bytes written so far ... */
	uint32		tail;			/* ... and bytes read, modulo 2^32 */
	char		ring[DWF_RING_BYTES];

	/*
	 * What is in the ring, for whoever has the same to tell: read without the
	 * lock.  A tag is made of the address's hash and the number of the batch;
	 * it says that the news are in the ring of that batch.
	 */
	pg_atomic_uint64 batch;		/* counts how often the ring was emptied */
	pg_atomic_uint64 recent[DWF_RECENT_SIZE];
} DwfWorker;

/* The HTTP gateway, when there is one; its database may be none */
typedef struct DwfGateway
{
	int			proc;			/* its proc number, or DWF_NO_PROC */
	Oid			database;
	bool		must_leave;
	bool		must_check;		/* is the extension still there? */
	bool		has_left;		/* the last one, on purpose */
} DwfGateway;

typedef struct DwfWorkers
{
	int			launcher;		/* its proc number, or DWF_NO_PROC */
	uint32		generation;		/* which one it is, counted from 1 */
	bool		check_all;		/* look at every database again */
	int			nrequests;		/* or at these */
	Oid			requests[DWF_REQUESTS_MAX];
	int			ngone;			/* workers that have left on purpose, */
	Oid		   *gone;			/* by database; one per place */
	ConditionVariable worker_left;	/* or the gateway */
	DwfGateway	gateway;
	int			nworkers;		/* places for workers */
	DwfWorker	workers[FLEXIBLE_ARRAY_MEMBER];
} DwfWorkers;

/* What a worker was told */
typedef struct DwfOrders
{
	bool		leave;
	bool		check;
	bool		run;
	bool		recheck;
	bool		has_news;		/* there is something in the ring, or lost */
} DwfOrders;

/* What has come to an address; the ring carries no more of it than it has */
typedef struct DwfNews
{
	char		door;
	uint16		workflow_length;
	uint16		key_length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	char		key[DWF_KEY_MAX];
} DwfNews;

extern Size dwf_workers_size(void);
extern void dwf_workers_init_shared(DwfWorkers *service);

/* for backends */
extern void dwf_workers_request(Oid database);
extern bool dwf_workers_has_news(uint64 hash);
extern DwfWorker *dwf_workers_open_ring(void);
extern bool dwf_workers_put_news(DwfWorker *worker, uint64 hash, char door,
								 const char *texts, uint16 workflow_length,
								 uint16 key_length);
extern void dwf_workers_lose_news(DwfWorker *worker, uint64 workflow_hash);
extern void dwf_workers_close_ring(DwfWorker *worker);
extern void dwf_workers_recheck(void);
extern void dwf_workers_ask_run(void);
extern void dwf_workers_ask_all(void);
extern bool dwf_workers_is_copy(void);
extern void dwf_workers_ask_clock(TimestampTz deadline);
extern void dwf_workers_plan_clock(DwfWorker *worker, TimestampTz next);
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
extern DwfWorker *dwf_workers_begin(uint32 generation, Oid owner);
extern void dwf_workers_end(void);
extern void dwf_workers_say_copy(DwfWorker *worker, bool is_copy);
extern void dwf_workers_gone(uint32 generation);
extern void dwf_workers_take_orders(DwfWorker *worker, DwfOrders *orders);
extern uint32 dwf_workers_take_ring(DwfWorker *worker, char *copy,
									DwfLost *lost);
extern bool dwf_workers_has_lost(const DwfLost *lost, uint64 workflow_hash);
extern void dwf_workers_add_lost(DwfLost *lost, const DwfLost *more);
extern uint32 dwf_workers_read_news(const char *copy, DwfNews *news);

/* for the gateway, which is another library */
extern PGDLLEXPORT bool dwf_workers_gateway_begin(uint32 generation);
extern PGDLLEXPORT void dwf_workers_gateway_end(bool on_purpose);
extern PGDLLEXPORT void dwf_workers_gateway_orders(bool *leave, bool *check);

#endif							/* DWF_WORKERS_H */
