/*-------------------------------------------------------------------------
 *
 * wait.h
 *	  The wait loop.  Floor 4.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WAIT_H
#define DWF_WAIT_H

#include "base/durable_wf.h"

#include "shared/waiter.h"

typedef struct DwfWait DwfWait;

/*
 * Look whether the wait is over; true if so.  It may take what it finds and
 * may raise.  Each call sees what has committed by then.
 */
typedef bool (*DwfLook) (DwfWait *wait);

struct DwfWait
{
	/* filled by dwf_wait_init */
	const char *function;		/* SQL name, static */
	FunctionCallInfo call;
	bool		is_call;		/* by CALL */
	bool		may_commit;		/* by CALL, outside a transaction block */
	text	   *current;		/* the session's current workflow, or NULL */
	Oid			role;			/* whose rights count */

	/* filled by the caller */
	const DwfWaitKey *keys;		/* what to wait for, the purpose first */
	int			nkeys;			/* leave room for one more in what you count */
	TimestampTz deadline;
	text	   *acts_as;		/* the workflow that it acts as, or NULL */
	bool		wants_id;		/* a broadcast may answer this wait */
	bool		suspends;		/* at its deadline it is written down, to */
	TimestampTz full_deadline;	/* wait until this without a process */
	DwfLook		look;
	TimestampTz look_at;		/* set by the look: look again then */
	void	   *arg;			/* the look's own */
};

extern void dwf_wait_init(DwfWait *wait, FunctionCallInfo fcinfo,
						  const char *function);
extern bool dwf_wait(DwfWait *wait);

#endif							/* DWF_WAIT_H */
