/*-------------------------------------------------------------------------
 *
 * webhook.h
 *	  Requests to webhooks, for the gateway.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_WEBHOOK_H
#define DWF_WEBHOOK_H

#include "base/durable_wf.h"

#include "utils/jsonb.h"

#include "hook/token.h"

/* How far a request has come, for the caller that reports an error */
typedef struct DwfWebhookTrace
{
	bool		is_validating;	/* an error is the validator's */
	text	   *workflow_id;	/* ... of a hook of this workflow */
	text	   *validator;
} DwfWebhookTrace;

/* What becomes of a request that came with others */
typedef enum DwfFate
{
	DWF_FATE_UNKNOWN,			/* there is no such webhook */
	DWF_FATE_LOCKED,			/* another transaction disposes of it */
	DWF_FATE_ASIDE,				/* it has a validator: nothing was done */
	DWF_FATE_ELSEWHERE,			/* it is for another node: nothing was done */
	DWF_FATE_PLACE,				/* ... whose base URL is in "response" */
	DWF_FATE_ACCEPTED,			/* the response is 202, empty */
	DWF_FATE_RESPONSE			/* the response is "response" */
} DwfFate;

/* A request to a webhook, one of many */
typedef struct DwfWebhookRequest
{
	text	   *token;
	Jsonb	   *request;
	bool		has_key;		/* it may bring an idempotency key */
	bool		has_trace;		/* it may bring a trace context */
	DwfFate		fate;
	Oid			owner;			/* of the hook, if the fate is ASIDE */
	Datum		response;		/* jsonb, if the fate is RESPONSE; text, if it
								 * is PLACE */
} DwfWebhookRequest;

extern PGDLLEXPORT void dwf_webhook_resume_many(DwfWebhookRequest *requests,
												int count);
extern PGDLLEXPORT Datum dwf_webhook_resume(text *token, Datum request,
											bool by_gateway,
											DwfWebhookTrace *trace);
extern PGDLLEXPORT bool dwf_webhook_find(text *token, Oid *owner);
extern Datum dwf_webhook_respond(const DwfResume *resume, bool by_gateway);

#endif							/* DWF_WEBHOOK_H */
