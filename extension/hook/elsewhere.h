/*-------------------------------------------------------------------------
 *
 * elsewhere.h
 *	  Requests to webhooks and streams of other nodes, for the gateway.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ELSEWHERE_H
#define DWF_ELSEWHERE_H

#include "base/durable_wf.h"

#include "hook/webhook.h"

extern PGDLLEXPORT bool dwf_elsewhere_is(text *token);
extern PGDLLEXPORT void dwf_elsewhere_take(DwfWebhookRequest *request);

#endif							/* DWF_ELSEWHERE_H */
