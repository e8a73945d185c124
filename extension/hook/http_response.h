/*-------------------------------------------------------------------------
 *
 * http_response.h
 *	  HTTP responses as JSON, and the URLs of webhooks.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HTTP_RESPONSE_H
#define DWF_HTTP_RESPONSE_H

#include "base/durable_wf.h"

#include "utils/jsonb.h"

/* How a webhook responds */
typedef enum DwfRespond
{
	DWF_RESPOND_ACCEPTED,		/* 202, empty */
	DWF_RESPOND_FIXED,			/* one response for every request */
	DWF_RESPOND_MANUAL			/* by wf_respond() */
} DwfRespond;

extern PGDLLEXPORT char *dwf_http_base_url(void);
extern text *dwf_http_url(text *token);
extern text *dwf_http_stream_url(text *token);
extern DwfRespond dwf_http_respond_mode(const NullableDatum *respond_with);
extern void dwf_http_check_respond_with(Jsonb *respond_with);
extern void dwf_http_check_headers(Jsonb *headers);
extern void dwf_http_check_status(int status);
extern Datum dwf_http_response(int status, Jsonb *headers, text *body);
extern Datum dwf_http_immediate_response(const NullableDatum *respond_with);
extern Datum dwf_http_held_response(int64 request_id);
extern Datum dwf_http_unsupported_response(void);

#endif							/* DWF_HTTP_RESPONSE_H */
