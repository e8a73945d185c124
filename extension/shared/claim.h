/*-------------------------------------------------------------------------
 *
 * claim.h
 *	  Which workflow this session executes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLAIM_H
#define DWF_CLAIM_H

#include "base/durable_wf.h"

#include "access/xact.h"
#include "datatype/timestamp.h"
/* What this session executes, as far as this transaction knows */
typedef enum DwfAttachmentState
{
	DWF_EXECUTES_NOTHING,		/* nothing, and it holds nothing */
	DWF_EXECUTES,				/* a workflow */
	DWF_HAS_ENDED_RUN			/* nothing, but it holds the workflow until
								 * the transaction has committed */
} DwfAttachmentState;

extern DwfAttachmentState dwf_claim_state(void);
extern bool dwf_claim_executes(text **workflow_id)
			__attribute__((warn_unused_result));
extern bool dwf_claim_executes_that(const text *workflow_id);
extern text *dwf_claim_require(const char *function);
extern text *dwf_claim_held(void);
extern bool dwf_claim_is_body(void);
extern void dwf_claim_set_body(bool is_body);
extern bool dwf_claim_is_suspending(void);
extern void dwf_claim_set_suspending(bool is_suspending);
extern bool dwf_claim_is_interrupted(void);
extern bool dwf_claim_take(text *workflow_id, text *queue, int *holder_pid);
extern void dwf_claim_set_from_queue(void);
extern bool dwf_claim_is_from_queue(void);
extern void dwf_claim_end_at_commit(void);
extern void dwf_claim_set_unsure(bool value);
extern void dwf_claim_finish_at_commit(void);
extern bool dwf_claim_has_news(const text *workflow_id, const text *queue);
extern void dwf_claim_lose_at_commit(void);
extern void dwf_claim_release(void);
extern void dwf_claim_pass_by(void);
extern void dwf_claim_suspend(void);
extern void dwf_claim_end_xact(bool commit);
extern void dwf_claim_end_subxact(SubTransactionId subid);

#endif							/* DWF_CLAIM_H */
