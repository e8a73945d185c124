/*-------------------------------------------------------------------------
 *
 * http_request.h
 *	  HTTP requests as JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HTTP_REQUEST_H
#define DWF_HTTP_REQUEST_H

#include "base/durable_wf.h"

#include "utils/jsonb.h"

#include "base/encoding.h"

extern void dwf_http_check_request(Jsonb *request);
extern text *dwf_http_idempotency_key(Jsonb *request);
extern text *dwf_http_traceparent(Jsonb *request);
extern text *dwf_http_named_key(Jsonb *payload);
extern bool dwf_http_is_encoded(Jsonb *request);
extern PGDLLEXPORT char *dwf_http_body_error(DwfConverted converted);
extern Datum dwf_http_request(Jsonb *request, int64 request_id);

#endif							/* DWF_HTTP_REQUEST_H */
