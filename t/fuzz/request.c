/*
 * Fuzz the part of the gateway that turns an HTTP request into JSON
 * (request.c and json_syntax.c in bgworker/gateway/), with libFuzzer:
 *
 *   cd t/fuzz
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE \
 *     -isystem $(pg_config --includedir-server) -I../.. \
 *     -I../../extension -o request request.c \
 *     ../../bgworker/gateway/request.c ../../bgworker/gateway/json_syntax.c
 *   ./request -max_total_time=60
 *
 * Whatever bytes come in, what comes out must be one JSON object by the rules
 * of json_syntax.c, with its eight fields in their order and no other, and
 * the bytes of the body must come back from its base64.
 */
#include "postgres.h"

#include "bgworker/gateway/json_syntax.h"
#include "bgworker/gateway/request.h"

#include <stdarg.h>
#include <stdlib.h>

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ----- what these files take from the server ----- */

#undef vsnprintf
#undef qsort

void
pg_qsort(void *base, size_t n, size_t width,
		 int (*compare) (const void *, const void *))
{
	qsort(base, n, width, compare);
}

int
pg_strncasecmp(const char *a, const char *b, size_t n)
{
	return strncasecmp(a, b, n);
}

void
initStringInfo(StringInfo s)
{
	s->maxlen = 16;
	s->data = malloc(s->maxlen);
	s->data[0] = '\0';
	s->len = s->cursor = 0;
}

void
enlargeStringInfo(StringInfo s, int needed)
{
	while (s->maxlen <= s->len + needed)
		s->maxlen *= 2;
	s->data = realloc(s->data, s->maxlen);
}

void
appendBinaryStringInfo(StringInfo s,
#if PG_VERSION_NUM >= 160000
					   const void *data,
#else
					   const char *data,
#endif
					   int length)
{
	if (length < 0)
		abort();
	enlargeStringInfo(s, length);
	memcpy(s->data + s->len, data, length);
	s->len += length;
	s->data[s->len] = '\0';
}

void
appendStringInfoString(StringInfo s, const char *text)
{
	appendBinaryStringInfo(s, text, (int) strlen(text));
}

void
appendStringInfoChar(StringInfo s, char c)
{
	appendBinaryStringInfo(s, &c, 1);
}

void
appendStringInfo(StringInfo s, const char *format,...)
{
	char		text[1024];
	va_list		args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	appendStringInfoString(s, text);
}

/* ----- taking the input apart ----- */

/* The next line of the input as a string of its own; NULL when there is none */
static char *
next_line(const uint8_t **data, size_t *size)
{
	const uint8_t *end = *size ? memchr(*data, '\n', *size) : NULL;
	size_t		length;
	char	   *line;

	if (end == NULL)
		return NULL;
	length = end - *data;
	line = malloc(length + 1);
	memcpy(line, *data, length);
	line[length] = '\0';		/* a C string ends at the first of these */
	*data += length + 1;
	*size -= length + 1;
	return line;
}

/* Where a field's value begins; stops the run if the field is not there */
static const char *
expect(const char *json, const char *field)
{
	const char *found = strstr(json, field);

	if (found == NULL)
		abort();
	return found + strlen(field);
}

/* The values of the characters of base64 */
static int
digit(char c)
{
	const char *digits =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *found = strchr(digits, c);

	if (c == '\0' || found == NULL)
		abort();
	return (int) (found - digits);
}

static void
check_base64(const char *encoded, const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		const char *group = encoded + i / 3 * 4;
		int			left = digit(group[i % 3]);
		int			right = digit(group[i % 3 + 1]);
		int			byte = i % 3 == 0 ? left << 2 | right >> 4 :
			i % 3 == 1 ? (left & 15) << 4 | right >> 2 :
			(left & 3) << 6 | right;

		if ((unsigned char) byte != (unsigned char) bytes[i])
			abort();
	}
	if (encoded[(length + 2) / 3 * 4] != '"')
		abort();
}

/*
 * The fields at the top of an object, in order, by a scanner of its own that
 * knows strings and brackets; stops the run if they are others.
 */
static void
check_fields(const char *json, int length)
{
	static const char *const fields[] = {
		"method", "url", "path", "query", "headers", "body", "body_base64",
		"received_at"
	};
	int			depth = 0;
	int			n = 0;

	for (int at = 0; at < length; at++)
	{
		if (json[at] == '{' || json[at] == '[')
			depth++;
		else if (json[at] == '}' || json[at] == ']')
			depth--;
		else if (json[at] == '"')
		{
			int			start = at + 1;

			for (at++; json[at] != '"'; at++)
				if (json[at] == '\\')
					at++;
			if (depth == 1 && json[at + 1] == ':')
			{
				if (n == lengthof(fields) ||
					strlen(fields[n]) != (size_t) (at - start) ||
					memcmp(fields[n], json + start, at - start) != 0)
					abort();
				n++;
			}
		}
	}
	if (n != lengthof(fields) || depth != 0)
		abort();
}

/*
 * The input: flags; a line each for the method, the target and the headers
 * ("name:value"), an empty one; the rest is the body.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static DwfHttpHeader headers[512];
	char		token[DWF_TOKEN_MAX + 1];
	DwfHttpRequest request = {0};
	StringInfoData json;
	char	   *lines[512 + 2] = {NULL};
	int			nlines = 0;
	char	   *body;
	uint8_t		flags;

	if (size < 1)
		return 0;
	flags = *data++;
	size--;
	while (nlines < (int) lengthof(lines) &&
		   (lines[nlines] = next_line(&data, &size)) != NULL)
		if (lines[nlines++][0] == '\0' && nlines > 2)
			break;

	request.method = lines[0] ? lines[0] : "GET";
	request.target = lines[0] && lines[1] ? lines[1] : "/";
	request.base_url = "http://x";
	request.received_at = "2026-01-01T00:00:00+00:00";
	request.headers = headers;
	for (int i = 2; i < nlines && request.nheaders < (int) lengthof(headers); i++)
	{
		char	   *colon = strchr(lines[i], ':');

		if (colon == NULL)
			continue;
		*colon = '\0';
		headers[request.nheaders].name = lines[i];
		headers[request.nheaders].value = colon + 1;
		headers[request.nheaders].order = request.nheaders;
		request.nheaders++;
	}

	/* exactly as long, so that the sanitizer sees who reads beyond it */
	body = malloc(size > 0 ? size : 1);
	memcpy(body, data, size);
	request.body = body;
	request.body_length = size;
	request.is_utf8 = flags & 1;
	request.text = body;
	request.text_length = size;
	for (size_t i = 0; i < size; i++)
		if (body[i] == '\0' || (body[i] & 0x80))
			request.text = NULL;

	(void) dwf_request_route(dwf_request_path(request.target), token);
	(void) dwf_request_has_header(&request, "Idempotency-Key");
	for (int as_json = request.text &&
		 dwf_request_type_is_json(dwf_request_content_type(&request)) &&
		 dwf_json_syntax_is_valid(body, size); as_json >= 0; as_json--)
	{
		initStringInfo(&json);
		dwf_request_write(&request, as_json, &json);
		if (json.len != (int) strlen(json.data))
			abort();
		/* a body as deep as allowed is one deeper in there */
		if (!as_json && !dwf_json_syntax_is_valid(json.data, json.len))
			abort();
		check_fields(json.data, json.len);
		if (!as_json && !request.text)
			(void) expect(json.data, "\"body\":null");
		check_base64(json.data + json.len - strlen("\",\"received_at\":\"\"}") -
					 strlen(request.received_at) - (size + 2) / 3 * 4,
					 request.body, size);
		free(json.data);
	}

	/* what is JSON by our rules is so with anything around it cut off only */
	(void) dwf_json_syntax_is_valid(body, size);
	free(body);
	for (int i = 0; i < nlines; i++)
		free(lines[i]);
	return 0;
}
