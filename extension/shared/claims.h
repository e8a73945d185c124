/*-------------------------------------------------------------------------
 *
 * claims.h
 *	  Which workflows all sessions execute.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLAIMS_H
#define DWF_CLAIMS_H

#include "base/durable_wf.h"

#include "nodes/pg_list.h"
#include "storage/lwlock.h"

/* A workflow that a session of this database executes */
typedef struct DwfExecution
{
	text	   *workflow_id;
	int			pid;
	bool		is_body;		/* the session is one of our executors, */
	Oid			role;			/* ... which runs as that role */
	TimestampTz since;
	int			slot;			/* the session's */
} DwfExecution;

extern Size dwf_claims_size(void);
extern void dwf_claims_init_shared(LWLockPadded *locks);
extern bool dwf_claims_append(text *workflow_id, uint64 queue_hash,
							  int *holder_pid);
extern void dwf_claims_forget_skips(void);
extern bool dwf_claims_remove(bool *elsewhere);
extern void dwf_claims_set_body(bool value);
extern void dwf_claims_interrupt(uint64 life_hash);
extern bool dwf_claims_is_interrupted(void);
extern int	dwf_claims_count(void);
extern bool dwf_claims_exists(text *workflow_id);
extern bool dwf_claims_skip(text *workflow_id, uint64 queue_hash);
extern List *dwf_claims_list(void);
extern void dwf_claims_evict(text *workflow_id);
extern int	dwf_claims_await_release(text *workflow_id, int timeout);

#endif							/* DWF_CLAIMS_H */
