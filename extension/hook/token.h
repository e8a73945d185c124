/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Claim a token for a hook, and resume hooks by their tokens: what hooks
 *	  and webhooks share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TOKEN_H
#define DWF_TOKEN_H

#include "base/durable_wf.h"

#include "base/compat.h"
#include "store/store.h"

/* What dwf_token_open_many has found at a token */
typedef enum DwfOpened
{
	DWF_OPENED_NONE,			/* no hook that the resume is for */
	DWF_OPENED_LOCKED,			/* a hook that is being disposed of */
	DWF_OPENED_ASIDE,			/* a hook with a validator: skips_validator */
	DWF_OPENED					/* a hook; its row is locked */
} DwfOpened;

/* A payload on its way to a hook */
typedef struct DwfResume
{
	text	   *token;
	bool		only_webhook;	/* a hook without a URL does not count */
	bool		skips_validator;	/* a hook with a validator is left alone */

	/* filled by dwf_token_open_many */
	DwfOpened	opened;
	DwfHook		hook;			/* valid if it is open or aside */
	int64		message_id;		/* the payload's, if the hook is open */

	/* filled by the caller, once the hook is open */
	text	   *idempotency_key;	/* or NULL */
	Datum		payload;		/* jsonb */
	text	   *traceparent;	/* of the request, or NULL: the session's */

	/* filled by dwf_token_claim_keys, which may also change message_id */
	bool		is_repeated;	/* the key was used: nothing is delivered */
} DwfResume;

extern text *dwf_token_generate(text *workflow_id);
extern void dwf_token_claim(DwfHook *hook);
extern void dwf_token_open(DwfResume *resume);
extern void dwf_token_open_many(DwfResume *resumes, int count, bool may_wait);
extern void dwf_token_claim_keys(DwfResume *resumes, int count);
extern Datum dwf_token_validate(const DwfResume *resume, Datum payload);
extern void dwf_token_deliver(const DwfResume *resumes, int count);

#endif							/* DWF_TOKEN_H */
