/*-------------------------------------------------------------------------
 *
 * request.c
 *	  Write an HTTP request as the JSON that a webhook is resumed with.
 *
 * The input is any bytes.  The output is always one JSON object in the
 * server's encoding, with exactly the fields that are written here: nothing
 * that a client sends can add a field or end the text.  The body is in it
 * twice: always in base64, and as JSON or as a string when it is text.
 *
 * The body is written as JSON only if json_syntax.c accepts it.  jsonb_in()
 * may still raise an error, for a number beyond numeric's range; the caller
 * catches that and has the body written as a string, with the reason.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/request.h"

#include "bgworker/gateway/json_syntax.h"

/* ----- the target ----- */

/*
 * A target without the scheme and the host with which it begins when a client
 * takes the gateway for a proxy
 */
const char *
dwf_request_path(const char *target)
{
	static const char *const schemes[] = {"http://", "https://"};

	for (int i = 0; i < (int) lengthof(schemes); i++)
	{
		size_t		length = strlen(schemes[i]);

		if (pg_strncasecmp(target, schemes[i], length) == 0)
			return target + length + strcspn(target + length, "/?#");
	}
	return target;
}

/* Does a target begin with a path? */
static bool
begins_with(const char *target, const char *path)
{
	return strncmp(target, path, strlen(path)) == 0;
}

/*
 * What a target is for.  The token is decoded into "token", of
 * DWF_TOKEN_MAX + 1 bytes.  Tokens are ASCII; a target whose token cannot be
 * one has no route.
 */
DwfRoute
dwf_request_route(const char *target, char *token)
{
	size_t		path = strcspn(target, "?#");
	size_t		length = 0;
	size_t		at;
	DwfRoute	route;

	/* by path */
	if (path == strlen("/healthz") && strncmp(target, "/healthz", path) == 0)
		return DWF_ROUTE_HEALTH;
	if (begins_with(target, DWF_WEBHOOK_PATH))
	{
		route = DWF_ROUTE_WEBHOOK;
		at = strlen(DWF_WEBHOOK_PATH);
	}
	else if (begins_with(target, DWF_STREAM_PATH))
	{
		route = DWF_ROUTE_STREAM;
		at = strlen(DWF_STREAM_PATH);
	}
	else
		return DWF_ROUTE_NONE;

	/* decode the token */
	for (; at < path; at++)
	{
		int			c = (unsigned char) target[at];

		if (c == '%' && at + 2 < path)
		{
			int			high = dwf_json_syntax_hex_value(target[at + 1]);
			int			low = dwf_json_syntax_hex_value(target[at + 2]);

			if (high >= 0 && low >= 0)
			{
				c = high * 16 + low;
				at += 2;
			}
		}
		if (c <= ' ' || c >= 0x7f || c == '/' || length == DWF_TOKEN_MAX)
			return DWF_ROUTE_NONE;
		token[length++] = (char) c;
	}
	token[length] = '\0';
	return length > 0 ? route : DWF_ROUTE_NONE;
}

/* ----- strings ----- */

/* The length of the UTF-8 character at the beginning; 0 if it is none */
static int
utf8_length(const unsigned char *s, size_t left)
{
	unsigned char c = s[0];

	/* the first byte says how many follow, and what the second may be */
#define IS_TAIL(n)	((s[n] & 0xc0) == 0x80)
	if (c < 0x80)
		return 1;
	if (c >= 0xc2 && c <= 0xdf)
		return left >= 2 && IS_TAIL(1) ? 2 : 0;
	if (c >= 0xe0 && c <= 0xef)
	{
		if (left < 3 || !IS_TAIL(1) || !IS_TAIL(2) ||
			(c == 0xe0 && s[1] < 0xa0) ||	/* overlong */
			(c == 0xed && s[1] > 0x9f)) /* a surrogate */
			return 0;
		return 3;
	}
	if (c >= 0xf0 && c <= 0xf4)
	{
		if (left < 4 || !IS_TAIL(1) || !IS_TAIL(2) || !IS_TAIL(3) ||
			(c == 0xf0 && s[1] < 0x90) || (c == 0xf4 && s[1] > 0x8f))
			return 0;
		return 4;
	}
	return 0;
}

/* Are these bytes valid UTF-8? */
static bool
is_utf8(const char *s, size_t length)
{
	for (size_t at = 0; at < length;)
	{
		int			n = utf8_length((const unsigned char *) s + at,
									length - at);

		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

/* Write one ASCII character of a JSON string; NUL as '?', as jsonb has none */
static inline void
write_ascii(StringInfo json, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c == '"' || c == '\\')
	{
		appendStringInfoCharMacro(json, '\\');
		appendStringInfoCharMacro(json, (char) c);
	}
	else if (c == '\0')
		appendStringInfoCharMacro(json, '?');
	else if (c < 0x20)
	{
		char		escaped[] = {'\\', 'u', '0', '0',
		hex[c >> 4], hex[c & 15]};

		appendBinaryStringInfo(json, escaped, sizeof(escaped));
	}
	else
		appendStringInfoCharMacro(json, (char) c);
}

/* Write text that is valid in the server's encoding as a JSON string */
static void
write_text(StringInfo json, const char *s, size_t length)
{
	size_t		plain = 0;

	appendStringInfoCharMacro(json, '"');
	for (size_t at = 0; at < length; at++)
	{
		unsigned char c = (unsigned char) s[at];

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		appendBinaryStringInfo(json, s + plain, (int) (at - plain));
		write_ascii(json, c);
		plain = at + 1;
	}
	appendBinaryStringInfo(json, s + plain, (int) (length - plain));
	appendStringInfoCharMacro(json, '"');
}

/*
 * Write a header's text into a JSON string: if it is valid UTF-8 as that, else
 * as Latin-1.  In a server that is not UTF8 the caller has converted it.
 */
static void
write_octets(StringInfo json, const char *s, bool lower, bool server_is_utf8)
{
	size_t		length = strlen(s);
	bool		as_is = !server_is_utf8 || is_utf8(s, length);

	for (size_t at = 0; at < length; at++)
	{
		unsigned char c = (unsigned char) s[at];

		if (c < 0x80)
			write_ascii(json, lower && c >= 'A' && c <= 'Z' ? c + 32 : c);
		else if (as_is)
			appendStringInfoCharMacro(json, (char) c);
		else
		{
			appendStringInfoCharMacro(json, (char) (0xc0 | (c >> 6)));
			appendStringInfoCharMacro(json, (char) (0x80 | (c & 0x3f)));
		}
	}
}

/* Write a part of the target; bytes that no URL may have become %XX */
static void
write_target(StringInfo json, const char *s, size_t length)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t at = 0; at < length; at++)
	{
		unsigned char c = (unsigned char) s[at];

		if (c <= 0x20 || c >= 0x7f)
		{
			char		encoded[] = {'%', hex[c >> 4], hex[c & 15]};

			appendBinaryStringInfo(json, encoded, sizeof(encoded));
		}
		else
			write_ascii(json, c);
	}
}

/* Write bytes in base64, without line ends */
static void
write_base64(StringInfo json, const char *bytes, size_t length)
{
	static const char digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = (const unsigned char *) bytes;
	char	   *out;

	/* three bytes are four digits */
	enlargeStringInfo(json, (int) ((length + 2) / 3 * 4));
	out = json->data + json->len;
	for (; length >= 3; s += 3, length -= 3)
	{
		*out++ = digits[s[0] >> 2];
		*out++ = digits[(s[0] & 3) << 4 | s[1] >> 4];
		*out++ = digits[(s[1] & 15) << 2 | s[2] >> 6];
		*out++ = digits[s[2] & 63];
	}

	/* one or two bytes are left */
	if (length > 0)
	{
		unsigned char second = length > 1 ? s[1] : 0;

		*out++ = digits[s[0] >> 2];
		*out++ = digits[(s[0] & 3) << 4 | second >> 4];
		*out++ = length > 1 ? digits[(second & 15) << 2] : '=';
		*out++ = '=';
	}
	json->len = (int) (out - json->data);
	*out = '\0';
}

/* ----- the request ----- */

/* Compare ASCII, upper and lower case alike */
static int
compare_names(const char *a, const char *b)
{
	for (;; a++, b++)
	{
		int			left = (unsigned char) *a;
		int			right = (unsigned char) *b;

		if (left >= 'A' && left <= 'Z')
			left += 32;
		if (right >= 'A' && right <= 'Z')
			right += 32;
		if (left != right || left == 0)
			return left - right;
	}
}

/* Order headers by name, and those of one name as they came; for qsort() */
static int
compare_headers(const void *a, const void *b)
{
	const DwfHttpHeader *left = a;
	const DwfHttpHeader *right = b;
	int			order = compare_names(left->name, right->name);

	return order != 0 ? order : left->order - right->order;
}

/* Is a content type JSON: application/json, text/json or something+json? */
bool
dwf_request_type_is_json(const char *type)
{
	size_t		length;

	type += strspn(type, " \t");
	length = strcspn(type, "; \t");
	if (length == strlen("text/json") &&
		pg_strncasecmp(type, "text/json", length) == 0)
		return true;
	if (length == strlen("application/json") &&
		pg_strncasecmp(type, "application/json", length) == 0)
		return true;
	return length > strlen("+json") && memchr(type, '/', length) != NULL &&
		pg_strncasecmp(type + length - 5, "+json", 5) == 0;
}

/* Is there a header of this name? */
bool
dwf_request_has_header(const DwfHttpRequest *request, const char *name)
{
	for (int i = 0; i < request->nheaders; i++)
		if (compare_names(request->headers[i].name, name) == 0)
			return true;
	return false;
}

/* The value of the header Content-Type; '' if there is none */
const char *
dwf_request_content_type(const DwfHttpRequest *request)
{
	for (int i = 0; i < request->nheaders; i++)
		if (compare_names(request->headers[i].name, "content-type") == 0)
			return request->headers[i].value;
	return "";
}

/*
 * Write the headers, names in lower case.  Those of one name are joined in the
 * order in which they came, by ", " as RFC 9110 has it, cookies by "; " as RFC
 * 9113 has it.
 */
static void
write_headers(StringInfo json, DwfHttpRequest *request)
{
	DwfHttpHeader *h = request->headers;

	if (request->nheaders > 1)
		qsort(h, request->nheaders, sizeof(DwfHttpHeader), compare_headers);
	for (int i = 0; i < request->nheaders; i++)
	{
		if (i > 0 && compare_names(h[i].name, h[i - 1].name) == 0)
			appendStringInfoString(json,
								   compare_names(h[i].name, "cookie") == 0 ?
								   "; " : ", ");
		else
		{
			appendStringInfoString(json, i > 0 ? "\",\"" : "\"");
			write_octets(json, h[i].name, true, request->is_utf8);
			appendStringInfoString(json, "\":\"");
		}
		write_octets(json, h[i].value, false, request->is_utf8);
	}
	if (request->nheaders > 0)
		appendStringInfoCharMacro(json, '"');
}

/*
 * Write a request as a JSON object.  "body_as_json": its text is JSON, as
 * dwf_json_syntax_is_valid() has said; else the body becomes a string, or
 * null.
 */
void
dwf_request_write(DwfHttpRequest *request, bool body_as_json, StringInfo json)
{
	const char *target = request->target;
	size_t		target_length = strcspn(target, "#");
	size_t		path_length = strcspn(target, "?#");

	/* the request line and the headers */
	appendStringInfoString(json, "{\"method\":\"");
	write_octets(json, request->method, false, request->is_utf8);
	appendStringInfoString(json, "\",\"url\":\"");
	write_target(json, request->base_url, strlen(request->base_url));
	write_target(json, target, target_length);
	appendStringInfoString(json, "\",\"path\":\"");
	write_target(json, target, path_length);
	appendStringInfoString(json, "\",\"query\":");
	if (target[path_length] == '?')
	{
		appendStringInfoCharMacro(json, '"');
		write_target(json, target + path_length + 1,
					 target_length - path_length - 1);
		appendStringInfoCharMacro(json, '"');
	}
	else
		appendStringInfoString(json, "null");
	appendStringInfoString(json, ",\"headers\":{");
	write_headers(json, request);

	/* the body, why it is not what its type says, its bytes */
	appendStringInfoString(json, "},\"body\":");
	if (body_as_json)
		appendBinaryStringInfo(json, request->text,
							   (int) request->text_length);
	else if (request->text)
		write_text(json, request->text, request->text_length);
	else
		appendStringInfoString(json, "null");
	if (request->body_error)
	{
		appendStringInfoString(json, ",\"body_error\":");
		write_text(json, request->body_error, strlen(request->body_error));
	}
	appendStringInfoString(json, ",\"body_base64\":\"");
	write_base64(json, request->body, request->body_length);
	appendStringInfo(json, "\",\"received_at\":\"%s\"}",
					 request->received_at);
}
