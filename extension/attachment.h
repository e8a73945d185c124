/*-------------------------------------------------------------------------
 *
 * attachment.h
 *	  Which workflow this session executes.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ATTACHMENT_H
#define DWF_ATTACHMENT_H

#include "durable_wf.h"

#include "access/xact.h"
#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

/* A workflow that a session of this database executes */
typedef struct DwfExecution
{
	text	   *workflow_id;
	int			pid;
	bool		is_body;		/* by one of our executors */
	TimestampTz since;
} DwfExecution;

extern text *dwf_attachment_current(void);
extern bool dwf_attachment_is_body(void);
extern void dwf_attachment_set_body(bool is_body);
extern bool dwf_attachment_is_suspending(void);
extern void dwf_attachment_set_suspending(bool is_suspending);
extern void dwf_attachment_interrupt(uint64 life_hash);
extern bool dwf_attachment_is_interrupted(void);
extern text *dwf_attachment_id(void);
extern int	dwf_attachment_count(void);
extern bool dwf_attachment_is_claimed(text *workflow_id);
extern List *dwf_attachment_list(void);
extern bool dwf_attachment_claim(text *workflow_id, text *queue,
								 int *holder_pid);
extern void dwf_attachment_evict(text *workflow_id);
extern void dwf_attachment_end_at_commit(void);
extern void dwf_attachment_release(void);
extern void dwf_attachment_end_xact(bool commit);
extern void dwf_attachment_end_subxact(SubTransactionId subid);

#endif							/* DWF_ATTACHMENT_H */
