/*-------------------------------------------------------------------------
 *
 * http_response.c
 *	  HTTP responses as JSON: check those that callers give, make those that
 *	  are returned; and the URLs of webhooks.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/http_response.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#include "base/json.h"
#include "base/settings.h"

#define WEBHOOK_PATH		"/.well-known/workflow/v1/webhook/"
#define STREAM_PATH			"/.well-known/workflow/v1/stream/"
#define HEADERS_MAX			8192
#define STATUS_MIN			200
#define STATUS_MAX			599
#define STATUS_ACCEPTED		202
#define STATUS_FIXED		200
#define STATUS_UNSUPPORTED	415

/*
 * The beginning of the URLs of webhooks: durable_wf.http_base_url or, if that
 * is empty, the first address to listen on and the port.
 */
char *
dwf_http_base_url(void)
{
	StringInfoData url;
	const char *address = dwf_setting_http_listen_addresses;
	int			length;

	/* Use the setting, without slashes at its end */
	initStringInfo(&url);
	if (dwf_setting_http_base_url[0] != '\0')
	{
		appendStringInfoString(&url, dwf_setting_http_base_url);
		while (url.len > 0 && url.data[url.len - 1] == '/')
			url.data[--url.len] = '\0';
		return url.data;
	}

	/* Use the first address, or localhost for all addresses */
	address += strspn(address, " ,");
	length = strcspn(address, " ,");
	if (length == 0 || (length == 1 && *address == '*'))
	{
		address = "localhost";
		length = strlen(address);
	}

	/* An address of IPv6 has brackets */
	appendStringInfo(&url, memchr(address, ':', length) ?
					 "http://[%.*s]:%d" : "http://%.*s:%d",
					 length, address, dwf_setting_http_port);
	return url.data;
}

/* The URL of a token below this path */
static text *
make_url(const char *path, text *token)
{
	StringInfoData url;

	initStringInfo(&url);
	appendStringInfoString(&url, dwf_http_base_url());
	appendStringInfoString(&url, path);
	appendBinaryStringInfo(&url, VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token));
	return cstring_to_text_with_len(url.data, url.len);
}

/* The URL of a webhook */
text *
dwf_http_url(text *token)
{
	return make_url(WEBHOOK_PATH, token);
}

/* The URL of a stream */
text *
dwf_http_stream_url(text *token)
{
	return make_url(STREAM_PATH, token);
}

/* Raise 22023 unless a response can have this status */
void
dwf_http_check_status(int status)
{
	if (status < STATUS_MIN || status > STATUS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("status must be between %d and %d",
						STATUS_MIN, STATUS_MAX)));
}

/* The status that a JSON number says; raises 22023 unless it is one */
static int
status_of(const JsonbValue *value)
{
	char	   *digits = NULL;

	if (value->type == jbvNumeric)
	{
		Datum		number = NumericGetDatum(value->val.numeric);

		digits = DatumGetCString(DirectFunctionCall1(numeric_out, number));
	}
	if (digits == NULL || strlen(digits) != 3 ||
		strspn(digits, "0123456789") != 3)
		dwf_http_check_status(-1);
	dwf_http_check_status(atoi(digits));
	return atoi(digits);
}

/* Can a header have this name: is it a token of RFC 9110? */
static bool
is_header_name(const JsonbValue *name)
{
	if (name->val.string.len == 0)
		return false;
	for (int i = 0; i < name->val.string.len; i++)
	{
		unsigned char c = name->val.string.val[i];

		if (c <= ' ' || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
			return false;
	}
	return true;
}

/* Can a header have this value: one line without control characters? */
static bool
is_header_value(const JsonbValue *value)
{
	if (value->type != jbvString)
		return false;
	for (int i = 0; i < value->val.string.len; i++)
	{
		unsigned char c = value->val.string.val[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Raise 22023 unless an object has names of headers with their values */
static void
check_headers(JsonbContainer *headers)
{
	JsonbIterator *it = JsonbIteratorInit(headers);
	JsonbValue	value;
	JsonbIteratorToken token;
	int			length = 0;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if ((token == WJB_KEY && !is_header_name(&value)) ||
			(token == WJB_VALUE && !is_header_value(&value)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("headers must be names of headers with strings of one line")));
		if (token == WJB_KEY || token == WJB_VALUE)
			length += value.val.string.len;
	}
	if (length > HEADERS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers must not be longer than %d bytes together",
						HEADERS_MAX)));
}

/* Raise 22023 unless a response can have these headers */
void
dwf_http_check_headers(Jsonb *headers)
{
	if (!JB_ROOT_IS_OBJECT(headers))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers must be a JSON object")));
	check_headers(&headers->root);
}

/* Is this the JSON string "manual"? */
static bool
is_manual(Jsonb *respond_with)
{
	JsonbValue	value;

	return JB_ROOT_IS_SCALAR(respond_with) &&
		JsonbExtractScalar(&respond_with->root, &value) &&
		value.type == jbvString && value.val.string.len == 6 &&
		memcmp(value.val.string.val, "manual", 6) == 0;
}

/* How a webhook with this respond_with, which has been checked, responds */
DwfRespond
dwf_http_respond_mode(const NullableDatum *respond_with)
{
	if (respond_with->isnull)
		return DWF_RESPOND_ACCEPTED;
	return is_manual(DatumGetJsonbP(respond_with->value)) ?
		DWF_RESPOND_MANUAL : DWF_RESPOND_FIXED;
}

/* Raise 22023 unless a webhook can have this respond_with */
void
dwf_http_check_respond_with(Jsonb *respond_with)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	JsonbValue *field;

	if (is_manual(respond_with))
		return;
	if (!JB_ROOT_IS_OBJECT(respond_with))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("respond_with must be null, \"manual\" or a JSON object")));

	/* Refuse unknown fields */
	it = JsonbIteratorInit(&respond_with->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *key;

		if (token != WJB_KEY)
			continue;
		key = pnstrdup(value.val.string.val, value.val.string.len);
		if (strcmp(key, "status") != 0 && strcmp(key, "headers") != 0 &&
			strcmp(key, "body") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("respond_with has an unknown key \"%s\"", key),
					 errdetail("It can have \"status\", \"headers\" and \"body\".")));
	}

	/* Check the known ones; "body" may be anything */
	field = getKeyJsonValueFromContainer(&respond_with->root, "status", 6,
										 NULL);
	if (field)
		(void) status_of(field);
	field = getKeyJsonValueFromContainer(&respond_with->root, "headers", 7,
										 NULL);
	if (field && !dwf_json_is_object(field))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("headers must be a JSON object")));
	if (field)
		check_headers(field->val.binary.data);
}

/* Make a response; its parts have been checked, headers may be NULL */
Datum
dwf_http_response(int status, Jsonb *headers, text *body)
{
	DwfJsonState state = {0};
	JsonbValue	object;

	if (headers)
		object = dwf_json_container(headers);
	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push_number(&state, "status", status);
	dwf_json_push_object(&state, "headers", headers ? &object : NULL);
	dwf_json_push_text(&state, "body", body);
	return dwf_json_finish(&state);
}

/* The response that a webhook whose mode is not "manual" gives at once */
Datum
dwf_http_immediate_response(const NullableDatum *respond_with)
{
	Jsonb	   *fixed;
	DwfJsonState state = {0};
	JsonbValue *field;
	JsonbValue	empty = dwf_json_string("", 0);

	/* Accepted: 202 and nothing else */
	if (respond_with->isnull)
		return dwf_http_response(STATUS_ACCEPTED, NULL, cstring_to_text(""));

	/* Fixed: the parts that respond_with has */
	fixed = DatumGetJsonbP(respond_with->value);
	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	field = dwf_json_find(fixed, "status");
	dwf_json_push_number(&state, "status",
						 field ? status_of(field) : STATUS_FIXED);
	dwf_json_push_object(&state, "headers", dwf_json_find(fixed, "headers"));
	field = getKeyJsonValueFromContainer(&fixed->root, "body", 4, NULL);
	dwf_json_push(&state, "body", field ? field : &empty);
	return dwf_json_finish(&state);
}

/* The response to give at once to a request that is held: it has the id */
Datum
dwf_http_held_response(int64 request_id)
{
	DwfJsonState state = {0};

	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push_number(&state, "status", STATUS_ACCEPTED);
	dwf_json_push_number(&state, "request_id", request_id);
	return dwf_json_finish(&state);
}

/* The response to a request whose content is encoded, by gzip say */
Datum
dwf_http_unsupported_response(void)
{
	DwfJsonState state = {0};
	JsonbValue	identity = dwf_json_string("identity", strlen("identity"));
	JsonbValue	empty = dwf_json_string("", 0);
	JsonbValue	headers = dwf_json_string("headers", strlen("headers"));

	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push_number(&state, "status", STATUS_UNSUPPORTED);
	dwf_json_add(&state, WJB_KEY, &headers);
	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push(&state, "Accept-Encoding", &identity);
	dwf_json_add(&state, WJB_END_OBJECT, NULL);
	dwf_json_push(&state, "body", &empty);
	return dwf_json_finish(&state);
}
