/*-------------------------------------------------------------------------
 *
 * waiter_registry.h
 *	  What the files waiter*.c know of the registry; for these only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAITER_REGISTRY_H
#define DWF_WAITER_REGISTRY_H

#include "shared/waiter.h"

#include "lib/ilist.h"
#include "port/atomics.h"

/* One thing that a session waits for, a member of its bucket's list */
typedef struct DwfLink
{
	dlist_node	node;			/* the bucket's partition lock */
	uint64		hash;			/* this and the following as DwfWaiter's
								 * fields */
	int32		slot;
	uint16		key_offset;		/* into the waiter's keys */
	uint16		key_length;
	char		door;
	bool		shown;			/* users see it; an aid never is */
} DwfLink;

/* A process that waits, or has waited */
typedef struct DwfWaiter
{
	pg_atomic_uint32 signalled; /* a wake was given and is not yet taken: the
								 * number of the link from 1 on, or
								 * PG_UINT32_MAX; 0: none */
	pg_atomic_uint32 dismissed; /* it must not wait any longer */
	pg_atomic_uint64 wait_id;	/* names this wait for a broadcast; zero if
								 * none can answer it, or when it is over */
	int			pid;			/* this and the following: see "Locks" */
	Oid			database;
	Oid			role;
	TimestampTz since;
	TimestampTz deadline;
	int			nlinks;
	int			npurposes;		/* how many links are no aids */
	int			workflow_length;
	char		workflow_id[DWF_WORKFLOW_ID_MAX];
	DwfLink		links[DWF_LINKS_MAX];
	char		keys[DWF_TOPIC_BYTES_MAX];
} DwfWaiter;

/* To visit a link and its waiter, under the link's partition lock */
typedef void (*DwfVisitLink) (DwfLink *link, DwfWaiter *waiter, void *arg);

extern DwfWaiter *dwf_waiter_of_slot(int slot);
extern void dwf_waiter_visit_database(DwfVisitLink visit, void *arg);
extern void dwf_waiter_visit_address(uint64 hash, DwfVisitLink visit,
									 void *arg);

#endif							/* DWF_WAITER_REGISTRY_H */
