/*-------------------------------------------------------------------------
 *
 * request.h
 *	  Write an HTTP request as the JSON that a webhook is resumed with.
 *	  Pure: uses nothing of the server but StringInfo.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_REQUEST_H
#define DWF_REQUEST_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* The path of a webhook, before its token */
#define DWF_WEBHOOK_PATH	"/.well-known/workflow/v1/webhook/"
#define DWF_TOKEN_MAX		512

/* ... and that of a stream */
#define DWF_STREAM_PATH		"/.well-known/workflow/v1/stream/"

/* A header of a request */
typedef struct DwfHttpHeader
{
	const char *name;
	const char *value;
	int			order;			/* its number, as the headers came */
} DwfHttpHeader;

/* A complete request */
typedef struct DwfHttpRequest
{
	const char *method;
	const char *base_url;		/* what precedes the target in "url" */
	const char *target;			/* path and query, as the client sent them */
	DwfHttpHeader *headers;		/* dwf_request_write() sorts them */
	int			nheaders;
	const char *body;			/* its bytes */
	size_t		body_length;
	char	   *text;			/* it in the server's encoding, or NULL */
	size_t		text_length;
	const char *body_error;		/* why it is not what its type says */
	const char *received_at;	/* ISO 8601 */
	bool		is_utf8;		/* is the server's encoding UTF8? */
} DwfHttpRequest;

/* What a target is for */
typedef enum DwfRoute
{
	DWF_ROUTE_NONE,
	DWF_ROUTE_WEBHOOK,
	DWF_ROUTE_STREAM,
	DWF_ROUTE_HEALTH
} DwfRoute;

extern const char *dwf_request_path(const char *target);
extern DwfRoute dwf_request_route(const char *target, char *token);
extern bool dwf_request_has_header(const DwfHttpRequest *request,
								   const char *name);
extern const char *dwf_request_content_type(const DwfHttpRequest *request);
extern bool dwf_request_type_is_json(const char *type);
extern void dwf_request_write(DwfHttpRequest *request, bool body_as_json,
							  StringInfo json);

#endif							/* DWF_REQUEST_H */
