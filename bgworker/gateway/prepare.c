/*-------------------------------------------------------------------------
 *
 * prepare.c
 *	  Make the jsonb that a webhook is resumed with from an HTTP request.
 *
 * A client's bytes may make jsonb_in() raise an error.  It is called before
 * there is a transaction, so that the error concerns that request only.  A
 * body whose content type is JSON and which no jsonb can hold becomes text,
 * with the reason in "body_error".
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/prepare.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/encoding.h"
#include "bgworker/gateway/json_syntax.h"
#include "bgworker/gateway/text.h"
#include "bgworker/gateway/transaction.h"
#include "hook/http_request.h"
#include "hook/http_response.h"

/* Some clients send this before JSON, though RFC 8259 forbids it */
#define BYTE_ORDER_MARK	"\xef\xbb\xbf"

/*
 * A jsonb of a text; NULL if no jsonb can hold it, and "reason" says why.  To
 * be called outside of a transaction.
 */
static Jsonb *
make_jsonb(char *json, const char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile result = NULL;

	PG_TRY();
	{
		result = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
													CStringGetDatum(json)));
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_take_error(context);

		*reason = error->detail ?
			psprintf("%s: %s", error->message, error->detail) :
			pstrdup(error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return result;
}

/*
 * Why a body is not JSON by json_syntax.c, in the server's words if it agrees
 */
static const char *
why_not_json(const DwfHttpRequest *request)
{
	const char *reason = "it is nested too deeply, or has too large numbers";
	char	   *text = pnstrdup(request->text, request->text_length);
	Jsonb	   *jsonb = make_jsonb(text, &reason);

	if (jsonb)
		pfree(jsonb);
	return reason;
}

/*
 * Convert the body to text of the server's encoding, by its content type;
 * returns whether it is JSON.  Sets body_error if it is not what its type
 * says.
 */
static bool
read_body(DwfHttpRequest *request)
{
	const char *type = dwf_request_content_type(request);
	bool		is_json = dwf_request_type_is_json(type);
	const char *bytes = request->body;
	int			length = (int) request->body_length;
	int			encoding = is_json ? PG_UTF8 : dwf_encoding_of_type(type);
	DwfConverted converted;

	/* convert it */
	if (is_json && length >= 3 && memcmp(bytes, BYTE_ORDER_MARK, 3) == 0)
	{
		bytes += 3;
		length -= 3;
	}
	converted = dwf_text_convert(bytes, length, encoding,
								 GetDatabaseEncoding(), &request->text,
								 &length);
	request->text_length = length;
	if (converted != DWF_CONVERTED)
	{
		request->text = NULL;
		if (is_json || converted == DWF_NOT_CONVERTIBLE)
			request->body_error = dwf_http_body_error(converted);
		return false;
	}

	/* check it */
	if (!is_json || length == 0)
		return false;
	if (dwf_json_syntax_is_valid(request->text, request->text_length))
		return true;
	request->body_error = why_not_json(request);
	return false;
}

/* Convert the headers to the server's encoding, unless that is UTF-8 */
static void
read_headers(DwfHttpRequest *request)
{
	request->is_utf8 = GetDatabaseEncoding() == PG_UTF8;
	if (request->is_utf8)
		return;
	for (int i = 0; i < request->nheaders; i++)
		request->headers[i].value =
			dwf_text_of_header(request->headers[i].value);
}

/*
 * Make the token, the jsonb, has_key and has_trace of a request; false if no
 * jsonb can hold it.  Raises when out of memory.
 */
bool
dwf_prepare_request(DwfWebhookRequest *task, const char *token,
					const DwfIncoming *incoming)
{
	DwfHttpRequest request = {0};
	StringInfoData json;
	const char *reason;
	bool		is_json;

	/* read the request */
	task->token = cstring_to_text(token);
	request.method = dwf_incoming_method(incoming);
	request.base_url = dwf_http_base_url();
	request.received_at =
		JsonEncodeDateTime(NULL, TimestampTzGetDatum(GetCurrentTimestamp()),
						   TIMESTAMPTZOID, NULL);
	request.target = dwf_request_path(dwf_incoming_target(incoming));
	request.nheaders = incoming->nheaders;
	request.headers = palloc((incoming->nheaders + 1) *
							 sizeof(DwfHttpHeader));
	dwf_incoming_headers(incoming, request.headers);
	request.body = incoming->body ? incoming->body : "";
	request.body_length = incoming->body_length;
	read_headers(&request);
	is_json = read_body(&request);
	task->has_key = dwf_request_has_header(&request, "idempotency-key");
	task->has_trace = dwf_request_has_header(&request, "traceparent");

	/* write it as JSON; with the body as text if no jsonb can hold that */
	initStringInfo(&json);
	dwf_request_write(&request, is_json, &json);
	task->request = make_jsonb(json.data, &reason);
	if (task->request == NULL && is_json)
	{
		resetStringInfo(&json);
		request.body_error = reason;
		dwf_request_write(&request, false, &json);
		task->request = make_jsonb(json.data, &reason);
	}
	pfree(json.data);
	return task->request != NULL;
}
