/*-------------------------------------------------------------------------
 *
 * prepare.h
 *	  Make the jsonb that a webhook is resumed with from an HTTP request.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PREPARE_H
#define DWF_PREPARE_H

#include "postgres.h"

#include "bgworker/gateway/incoming.h"
#include "hook/webhook.h"

extern bool dwf_prepare_request(DwfWebhookRequest *task, const char *token,
								const DwfIncoming *incoming);

#endif							/* DWF_PREPARE_H */
