/*-------------------------------------------------------------------------
 *
 * token.h
 *	  Claim a token, and deliver to it: what hooks and webhooks share.
 *	  Floor 5.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TOKEN_H
#define DWF_TOKEN_H

#include "base/durable_wf.h"

#include "store/store.h"

/* A payload on its way to a hook */
typedef struct DwfResume
{
	text	   *token;
	text	   *idempotency_key;	/* or NULL */
	bool		only_webhook;	/* a hook without a URL does not count */

	/* filled by dwf_token_open */
	DwfHook		hook;
	int64		message_id;

	/* filled by dwf_token_claim_key */
	bool		is_repeated;	/* its key was used: there is nothing to do */
} DwfResume;

DWF_NORETURN extern void dwf_token_report_no_hook(void);
extern text *dwf_token_generate(void);
extern void dwf_token_claim(DwfHook *hook);
extern void dwf_token_open(DwfResume *resume);
extern void dwf_token_claim_key(DwfResume *resume);
extern Datum dwf_token_validate(const DwfResume *resume, Datum payload);
extern void dwf_token_deliver(DwfResume *resume, Datum payload);

#endif							/* DWF_TOKEN_H */
