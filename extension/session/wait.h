/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  The wait loop.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAIT_H
#define DWF_WAIT_H

#include "base/durable_wf.h"

#include "shared/waiter.h"

typedef struct DwfWait DwfWait;

/*
 * Look whether the wait is over; true if so.  A look may take what it finds
 * and may raise.  Each call sees what has committed by then.
 */
typedef bool (*DwfLook) (DwfWait *wait);

/* What to do when the time is up, while the waiter is still registered */
typedef void (*DwfAtTimeout) (DwfWait *wait);

struct DwfWait
{
	/* filled by dwf_wait_init or dwf_wait_init_for_process */
	const char *function;		/* SQL name, static */
	FunctionCallInfo call;		/* NULL for a process of ours */
	bool		is_call;		/* by CALL */
	bool		may_commit;		/* by CALL, outside a transaction block */
	text	   *current;		/* the session's current workflow, or NULL */
	Oid			role;			/* whose rights count */

	/* filled by dwf_wait_at, or by the caller */
	DwfWaitKey *keys;			/* what to wait for, the purpose first */
	int			nkeys;			/* less than DWF_LINKS_MAX */
	int			keys_size;		/* room for so many; of dwf_wait_at */
	bool		wants_id;		/* a broadcast may answer this wait */

	/* filled by the caller */
	TimestampTz deadline;		/* stays as the caller has set it */
	text	   *acts_as;		/* the workflow that it acts as, or NULL */
	DwfLook		look;
	void	   *arg;			/* for the look */
	bool		(*gives_up) (void); /* unless NULL: is it to end before its
									 * time?  When that changes, the latch of
									 * this process is set. */

	/*
	 * Set by the look: look again then (DWF_WAIT_FOREVER before each look);
	 * whether it has left work behind whose row is locked (false before each
	 * look); and the number of the key at which it has taken something, if it
	 * says so (-1 before each wait).
	 */
	TimestampTz look_at;
	bool		has_left;
	int			taken_at;

	/*
	 * Set by dwf_wait: when the wait ends in vain.  It is the deadline, or
	 * the one that an earlier run has recorded for this call.
	 */
	TimestampTz ends_at;

	/*
	 * Set by dwf_wait before its look, for the registration that follows it:
	 * what had arrived at its keys by then.
	 */
	bool		has_looked;
	uint32		arrivals;

	bool		is_suspended;	/* set by suspend.c: it is written down */

	/*
	 * Of a wait for what comes on another node, else NULL: have that node
	 * tell this one.  No news of it reach a process that waits here.
	 */
	void		(*subscribe) (DwfWait *wait);
};

/* For the SQL functions */
extern void dwf_wait_init(DwfWait *wait, FunctionCallInfo fcinfo,
						  const char *function);
extern void dwf_wait_init_for_process(DwfWait *wait, const char *name,
									  Oid role);
extern void dwf_wait_at(DwfWait *wait, char door, text *workflow_id,
						text *key);
extern bool dwf_wait(DwfWait *wait);

/* For the cluster: waits without the loop, and for workflows of other nodes */
extern text *dwf_wait_subscriber;
extern bool dwf_wait_has_expired;
extern void dwf_wait_check(const DwfWait *wait);
extern void dwf_wait_enter(DwfWait *wait);
extern void dwf_wait_leave(const DwfWait *wait, MemoryContext context);

/* For suspend.c */
extern bool dwf_wait_until(DwfWait *wait, TimestampTz until,
						   DwfAtTimeout at_timeout);
extern bool dwf_wait_look(DwfWait *wait, text *watched);
extern void dwf_wait_commit(void);

#endif							/* DWF_WAIT_H */
