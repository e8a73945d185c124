/*-------------------------------------------------------------------------
 *
 * http_request.c
 *	  HTTP requests as JSON: check those that callers give, and make those
 *	  that workflows get.
 *
 * These functions read no table.  A request that is not valid raises 22023.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/http_request.h"

#include <ctype.h>

#include "access/xact.h"
#include "common/base64.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/resowner.h"

#include "base/compat.h"
#include "base/encoding.h"
#include "base/json.h"
#include "base/traceparent.h"

/* What some clients put before JSON, to say that it is UTF-8 */
#define BYTE_ORDER_MARK	"\xef\xbb\xbf"

/* Raise 22023 about a field of a request */
static void
report_field(const char *name, const char *type)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("\"%s\" of a request must be %s", name, type)));
}

/* Raise unless this can be a request: an object, its fields of their types */
void
dwf_http_check_request(Jsonb *request)
{
	static const char *const strings[] = {"method", "url", "path",
	"body_base64", "body_error", "received_at"};
	JsonbValue *field;

	/* The request is an object */
	if (!JB_ROOT_IS_OBJECT(request))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("request must be a JSON object")));

	/* Its fields, where it has them, are strings or an object of headers */
	for (size_t i = 0; i < lengthof(strings); i++)
	{
		field = dwf_json_find(request, strings[i]);
		if (field && field->type != jbvString)
			report_field(strings[i], "a string");
	}
	field = dwf_json_find(request, "headers");
	if (field && !dwf_json_is_object(field))
		report_field("headers", "an object");
}

/* The name of a header in lower case, which is how it is compared */
static char *
lower_name(const JsonbValue *name)
{
	char	   *lower = pnstrdup(name->val.string.val, name->val.string.len);

	for (char *c = lower; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return lower;
}

/* A header of a request */
typedef struct Header
{
	char	   *name;			/* in lower case */
	int			position;		/* in the request, from 0 */
	JsonbValue	value;
} Header;

/* Order headers by name, those of one name by position; for qsort() */
static int
compare_headers(const void *a, const void *b)
{
	const Header *left = a;
	const Header *right = b;
	int			order = strcmp(left->name, right->name);

	return order != 0 ? order : left->position - right->position;
}

/* Read the headers of a request, sorted; returns how many there are */
static int
read_headers(Jsonb *request, Header **headers)
{
	JsonbValue *field = dwf_json_find(request, "headers");
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	Size		size;
	int			count = 0;

	*headers = NULL;
	if (field == NULL)
		return 0;

	/* Make room for all */
	size = Max(JsonContainerSize(field->val.binary.data), 1);
	*headers = palloc_extended(size * sizeof(Header), MCXT_ALLOC_HUGE);

	/* Read their names and values */
	it = JsonbIteratorInit(field->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			(*headers)[count].name = lower_name(&value);
		else if (token == WJB_VALUE)
		{
			(*headers)[count].value = value;
			(*headers)[count].position = count;
			count++;
		}
	}
	qsort(*headers, count, sizeof(Header), compare_headers);
	return count;
}

/* The value of a header, or NULL */
static const JsonbValue *
find_header(const Header *headers, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(headers[i].name, name) == 0)
			return &headers[i].value;
	return NULL;
}

/* The idempotency key that a request brings, or NULL */
text *
dwf_http_idempotency_key(Jsonb *request)
{
	Header	   *headers;
	int			count = read_headers(request, &headers);
	const JsonbValue *value = find_header(headers, count, "idempotency-key");

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		report_field("idempotency-key", "a string");
	return cstring_to_text_with_len(value->val.string.val,
									value->val.string.len);
}

/* The trace context that a request brings; NULL if that is none */
text *
dwf_http_traceparent(Jsonb *request)
{
	Header	   *headers;
	int			count = read_headers(request, &headers);
	const JsonbValue *value = find_header(headers, count, "traceparent");

	if (value == NULL || value->type != jbvString ||
		!dwf_traceparent_is_valid(value->val.string.val,
								  value->val.string.len))
		return NULL;
	return cstring_to_text_with_len(value->val.string.val,
									value->val.string.len);
}

/*
 * The idempotency key that a validator names: the header idempotency-key of
 * what it returns, if that is an object with headers; else NULL.  The key may
 * be a number, as the event ids of some senders are.
 */
text *
dwf_http_named_key(Jsonb *payload)
{
	JsonbValue *headers = JB_ROOT_IS_OBJECT(payload) ?
	dwf_json_find(payload, "headers") : NULL;
	JsonbValue *key;

	/* Find the header */
	if (headers == NULL || !dwf_json_is_object(headers))
		return NULL;
	key = getKeyJsonValueFromContainer(headers->val.binary.data,
									   "idempotency-key",
									   strlen("idempotency-key"), NULL);

	/* Take a number or a string */
	if (key && key->type == jbvNumeric)
	{
		Datum		number = NumericGetDatum(key->val.numeric);

		return cstring_to_text(DatumGetCString(DirectFunctionCall1(numeric_out,
																   number)));
	}
	if (key == NULL || key->type != jbvString)
		return NULL;
	return cstring_to_text_with_len(key->val.string.val, key->val.string.len);
}

/*
 * Add the field "headers", with names in lower case.  Headers whose names
 * differ in case only are one header that was given more than once: their
 * strings are joined by commas.
 */
static void
push_headers(DwfJsonState *state, const Header *headers, int count)
{
	JsonbValue	key = dwf_json_string("headers", 7);

	dwf_json_add(state, WJB_KEY, &key);
	dwf_json_add(state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
	{
		JsonbValue	value = headers[i].value;

		/* Join the values of one name */
		while (i + 1 < count &&
			   strcmp(headers[i].name, headers[i + 1].name) == 0)
		{
			const JsonbValue *next = &headers[++i].value;
			StringInfoData both;

			if (value.type != jbvString || next->type != jbvString)
				continue;
			initStringInfo(&both);
			appendBinaryStringInfo(&both, value.val.string.val,
								   value.val.string.len);
			appendStringInfoString(&both, ", ");
			appendBinaryStringInfo(&both, next->val.string.val,
								   next->val.string.len);
			value = dwf_json_string(both.data, both.len);
		}
		dwf_json_push(state, headers[i].name, &value);
	}
	dwf_json_add(state, WJB_END_OBJECT, NULL);
}

/* How to read the bytes of a body */
typedef struct BodyType
{
	bool		is_json;
	int			encoding;
} BodyType;

/* What the content type says about the body; JSON is always UTF-8 */
static BodyType
read_type(const Header *headers, int count)
{
	const JsonbValue *value = find_header(headers, count, "content-type");
	BodyType	result = {false, PG_UTF8};
	char	   *type;
	int			length;

	/* Without a content type, the body is text in UTF-8 */
	if (value == NULL || value->type != jbvString)
		return result;

	/* Compare the media type, without its parameters */
	type = lower_name(value);
	type += strspn(type, " \t");
	length = strcspn(type, "; \t");
	result.is_json =
		(length == 16 && strncmp(type, "application/json", 16) == 0) ||
		(length == 9 && strncmp(type, "text/json", 9) == 0) ||
		(length > 5 && strncmp(type + length - 5, "+json", 5) == 0);

	/* Other types may name an encoding */
	if (!result.is_json)
		result.encoding = dwf_encoding_of_type(type);
	return result;
}

/* Is the content of a request encoded, by gzip say?  Nothing decodes it. */
bool
dwf_http_is_encoded(Jsonb *request)
{
	Header	   *headers;
	int			count = read_headers(request, &headers);
	const JsonbValue *value = find_header(headers, count, "content-encoding");
	char	   *coding;

	if (value == NULL || value->type != jbvString)
		return false;
	coding = lower_name(value);
	return coding[0] != '\0' && strcmp(coding, "identity") != 0;
}

/*
 * Make a jsonb of a text; NULL if it is not JSON or cannot be a jsonb, and set
 * the reason.  The parser raises, so it runs in a subtransaction; its error is
 * caught, so exit_on_error must not end the session.  Raises what is not about
 * the text, a cancellation say.
 */
static Jsonb *
parse_json(char *text, char **reason)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Jsonb	   *volatile jsonb = NULL;
	ErrorData  *volatile error = NULL;
	bool		exits = ExitOnAnyError;

	/* Parse the text in a subtransaction */
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	ExitOnAnyError = false;
	PG_TRY();
	{
		jsonb = DatumGetJsonbP(DirectFunctionCall1(jsonb_in,
												   CStringGetDatum(text)));
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	ExitOnAnyError = exits;
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;

	/* Return the reason for a refusal; raise other errors */
	if (error)
	{
		int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

		if (category != ERRCODE_DATA_EXCEPTION &&
			category != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			ReThrowError(error);
		*reason = error->detail ?
			psprintf("%s: %s", error->message, error->detail) : error->message;
	}
	return jsonb;
}

/*
 * Decode base64, perhaps of several lines; a zero byte follows the bytes.
 * Raises 22023.
 */
static char *
decode_base64(const JsonbValue *encoded, int *length)
{
	char	   *digits = palloc(encoded->val.string.len + 1);
	int			ndigits = 0;
	int			room = pg_b64_dec_len(encoded->val.string.len);
	char	   *bytes = palloc(room + 1);

	for (int i = 0; i < encoded->val.string.len; i++)
		if (!isspace((unsigned char) encoded->val.string.val[i]))
			digits[ndigits++] = encoded->val.string.val[i];
	*length = pg_b64_decode(digits, ndigits, DWF_BASE64_BYTES(bytes), room);
	if (*length < 0)
		report_field("body_base64", "base64");
	bytes[*length] = '\0';
	return bytes;
}

/* The reason why a body is not what its content type says */
char *
dwf_http_body_error(DwfConverted converted)
{
	if (converted == DWF_NOT_VALID)
		return "it is not valid UTF-8";
	return psprintf("it has characters that encoding \"%s\" lacks",
					GetDatabaseEncodingName());
}

/*
 * Add the field "body" that the bytes mean by their type, and the field
 * "body_error" if they are not what the type says.  The caller must not change
 * the bytes before the jsonb is finished.
 */
static void
push_decoded_body(DwfJsonState *state, char *bytes, int length,
				  BodyType type)
{
	JsonbValue	value;
	Jsonb	   *jsonb = NULL;
	char	   *reason = NULL;
	DwfConverted converted;

	/* Read the bytes by their type */
	if (type.is_json && strncmp(bytes, BYTE_ORDER_MARK, 3) == 0)
	{
		bytes += 3;
		length -= 3;
	}
	converted = dwf_encoding_convert(bytes, length, type.encoding,
									 GetDatabaseEncoding(), &bytes, &length);
	if (converted == DWF_CONVERTED && type.is_json && length > 0)
		jsonb = parse_json(bytes, &reason);
	else if (converted == DWF_NOT_CONVERTIBLE ||
			 (converted == DWF_NOT_VALID && type.is_json))
		reason = dwf_http_body_error(converted);

	/* Add the body: null, text or JSON */
	if (converted != DWF_CONVERTED)
		dwf_json_push(state, "body", NULL);
	else
	{
		if (jsonb == NULL)
			value = dwf_json_string(bytes, length);
		else if (!JB_ROOT_IS_SCALAR(jsonb))
			value = dwf_json_container(jsonb);
		else
			(void) JsonbExtractScalar(&jsonb->root, &value);
		dwf_json_push(state, "body", &value);
	}

	/* Say why it is not JSON, or no text */
	if (reason)
	{
		value = dwf_json_string(reason, strlen(reason));
		dwf_json_push(state, "body_error", &value);
	}
}

/* The text of a body given as JSON: a string's own, or the JSON's text */
static char *
text_of_body(const JsonbValue *body, int *length)
{
	char	   *text;

	if (body->type == jbvString)
	{
		*length = body->val.string.len;
		return body->val.string.val;
	}
	if (body->type == jbvBinary)
		text = JsonbToCString(NULL, body->val.binary.data,
							  body->val.binary.len);

	else
	{
		JsonbValue	copy = *body;
		Jsonb	   *jsonb = JsonbValueToJsonb(&copy);

		text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
	}
	*length = strlen(text);
	return text;
}

/*
 * The bytes that a body given as JSON stands for, in the encoding that its
 * type names, or else in UTF-8.  Raises 22P05 if neither has all characters.
 */
static char *
bytes_of_body(const JsonbValue *body, BodyType type, int *length)
{
	char	   *text = text_of_body(body, length);
	char	   *bytes;
	int			text_length = *length;

	if (type.encoding != DWF_ENCODING_UNKNOWN &&
		dwf_encoding_convert(text, text_length, GetDatabaseEncoding(),
							 type.encoding, &bytes, length) == DWF_CONVERTED)
		return bytes;
	if (dwf_encoding_convert(text, text_length, GetDatabaseEncoding(), PG_UTF8,
							 &bytes, length) != DWF_CONVERTED)
		ereport(ERROR,
				(errcode(ERRCODE_UNTRANSLATABLE_CHARACTER),
				 errmsg("\"body\" of a request cannot be converted to UTF-8")));
	return bytes;
}

/*
 * Add the fields "body" and "body_base64" of a request; make one from the
 * other if only one was given.  A "body_error" that came with a body stays.
 */
static void
push_body(DwfJsonState *state, Jsonb *request, BodyType type)
{
	JsonbValue *body = dwf_json_find(request, "body");
	JsonbValue *encoded = dwf_json_find(request, "body_base64");
	char	   *bytes = "";
	int			length = 0;
	JsonbValue	value;
	int			room;

	/* Find the bytes */
	if (encoded)
		bytes = decode_base64(encoded, &length);
	else if (body)
		bytes = bytes_of_body(body, type, &length);

	/* Add the body as it was given, or as the bytes say */
	if (body || encoded == NULL)
	{
		dwf_json_push(state, "body", body);
		if (body && dwf_json_find(request, "body_error"))
			dwf_json_push(state, "body_error",
						  dwf_json_find(request, "body_error"));
	}
	else
		push_decoded_body(state, bytes, length, type);

	/* Add the bytes */
	room = pg_b64_enc_len(length);
	value = dwf_json_string(palloc(room + 1), 0);
	value.val.string.len = pg_b64_encode(DWF_BASE64_BYTES(bytes), length,
										 value.val.string.val, room);
	dwf_json_push(state, "body_base64", &value);
}

/*
 * The payload that a workflow gets of a request, which has been checked.
 * Raises 22023 and 22P05 about its body.
 */
Datum
dwf_http_request(Jsonb *request, int64 request_id)
{
	static const char *const fields[] = {"method", "url", "path", "query"};
	DwfJsonState state = {0};
	Header	   *headers;
	int			nheaders = read_headers(request, &headers);

	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push_number(&state, "request_id", request_id);
	for (size_t i = 0; i < lengthof(fields); i++)
		dwf_json_push(&state, fields[i], dwf_json_find(request, fields[i]));
	if (dwf_json_find(request, "headers"))
		push_headers(&state, headers, nheaders);
	else
		dwf_json_push(&state, "headers", NULL);
	push_body(&state, request, read_type(headers, nheaders));
	dwf_json_push(&state, "received_at", dwf_json_find(request, "received_at"));
	return dwf_json_finish(&state);
}
