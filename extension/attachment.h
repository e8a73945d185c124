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
#include "nodes/pg_list.h"

extern text *dwf_attachment_current(void);
extern bool dwf_attachment_is_body(void);
extern void dwf_attachment_set_body(bool is_body);
extern bool dwf_attachment_is_suspending(void);
extern void dwf_attachment_set_suspending(bool is_suspending);
extern void dwf_attachment_interrupt(uint64 life_hash);
extern bool dwf_attachment_is_interrupted(void);
extern text *dwf_attachment_id(void);
extern List *dwf_attachment_list_bodies(List **roles);
extern int	dwf_attachment_count(void);
extern bool dwf_attachment_is_claimed(text *workflow_id);
extern bool dwf_attachment_claim(text *workflow_id, text *queue,
								 int *holder_pid);
extern void dwf_attachment_evict(text *workflow_id);
extern void dwf_attachment_end_at_commit(void);
extern void dwf_attachment_release(void);
extern void dwf_attachment_end_xact(bool commit);
extern void dwf_attachment_end_subxact(SubTransactionId subid);

#endif							/* DWF_ATTACHMENT_H */
