/*
 * Fuzz what the gateway does with the bytes of a connection, until they are the
 * JSON of a request (incoming.c, line.c, request.c and json_syntax.c in
 * bgworker/gateway/), with libFuzzer:
 *
 *   cd t/fuzz
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -D_GNU_SOURCE \
 *     -isystem $(pg_config --includedir-server) -I../.. \
 *     -I../../extension -o request request.c \
 *     ../../bgworker/gateway/{incoming,line,parser,request,json_syntax}.c \
 *     -lhttp_parser
 *   python3 -B ../http/generated.py corpus 2000
 *   ./request -max_total_time=60 corpus
 *
 * Whatever bytes come in, and however they are cut, what comes out must be one
 * JSON object by the rules of json_syntax.c, with its eight fields in their
 * order and no other, and the bytes of the body must come back from its base64.
 */
#include "postgres.h"

#include "bgworker/gateway/incoming.h"
#include "bgworker/gateway/json_syntax.h"
#include "bgworker/gateway/line.h"
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
pg_strcasecmp(const char *a, const char *b)
{
	return strcasecmp(a, b);
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

/* ----- what must be true of the output ----- */

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

/* The body must be as long as one of these limits says, at most */
#define BODY_MAX	4096

/* Feed a request with bytes, so many at a time; returns how many it has taken */
static size_t
feed(DwfIncoming *incoming, const uint8_t *data, size_t size, size_t step)
{
	size_t		taken = 0;

	while (taken < size && incoming->phase < DWF_PHASE_COMPLETE)
	{
		size_t		left = Min(step, size - taken);
		char	   *piece = malloc(left);
		size_t		n;

		/* exactly as long, so that the sanitizer sees who reads beyond it */
		memcpy(piece, data + taken, left);
		n = dwf_incoming_take(incoming, piece, left);
		free(piece);
		if (n > left || (n < left && incoming->phase != DWF_PHASE_HEAD_IN &&
						 incoming->phase < DWF_PHASE_COMPLETE))
			abort();
		taken += n;
		if (incoming->phase == DWF_PHASE_HEAD_IN)
			dwf_incoming_go_on(incoming, BODY_MAX);
	}
	if (incoming->head_length > 2 * DWF_HEAD_MAX ||
		incoming->line_length > DWF_HEAD_MAX ||
		incoming->body_length > BODY_MAX)
		abort();
	return taken;
}

/* Two requests from the same bytes must be the same, however these were cut */
static void
check_same(const DwfIncoming *a, const DwfIncoming *b)
{
	if (a->phase != b->phase || a->status != b->status ||
		a->nheaders != b->nheaders || a->head_length != b->head_length ||
		a->body_length != b->body_length ||
		(a->head_length > 0 && memcmp(a->head, b->head, a->head_length) != 0) ||
		(a->body_length > 0 && memcmp(a->body, b->body, a->body_length) != 0))
		abort();
}

/* Write a complete request as JSON, and check that */
static void
check_request(const DwfIncoming *incoming, bool is_utf8_server)
{
	DwfHttpRequest request = {0};
	char		token[DWF_TOKEN_MAX + 1];
	StringInfoData json;

	request.method = dwf_incoming_method(incoming);
	request.target = dwf_request_path(dwf_incoming_target(incoming));
	request.base_url = "http://x";
	request.received_at = "2026-01-01T00:00:00+00:00";
	request.nheaders = incoming->nheaders;
	request.headers = malloc((incoming->nheaders + 1) * sizeof(DwfHttpHeader));
	dwf_incoming_headers(incoming, request.headers);
	request.body = incoming->body ? incoming->body : "";
	request.body_length = incoming->body_length;
	request.is_utf8 = is_utf8_server;
	request.text = incoming->body ? incoming->body : (char *) "";
	request.text_length = request.body_length;
	for (size_t i = 0; i < request.body_length; i++)
		if (request.body[i] == '\0' || (request.body[i] & 0x80))
			request.text = NULL;

	/* what a header may be */
	for (int i = 0; i < request.nheaders; i++)
		if (!dwf_line_is_token(request.headers[i].name,
							   strlen(request.headers[i].name)) ||
			strpbrk(request.headers[i].value, "\r\n") != NULL)
			abort();

	(void) dwf_request_route(request.target, token);
	(void) dwf_request_has_header(&request, "Idempotency-Key");
	for (int as_json = request.text &&
		 dwf_request_type_is_json(dwf_request_content_type(&request)) &&
		 dwf_json_syntax_is_valid(request.text, request.text_length);
		 as_json >= 0; as_json--)
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
					 strlen(request.received_at) -
					 (request.body_length + 2) / 3 * 4,
					 request.body, request.body_length);
		free(json.data);
	}
	free(request.headers);
}

/*
 * The input: a byte with flags, and how many bytes come at a time; then the
 * bytes of a connection.  Each request that is complete is checked, and the
 * next one begins behind it.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t		flags;

	if (size < 1)
		return 0;
	flags = *data++;
	size--;
	while (size > 0)
	{
		DwfIncoming whole;
		DwfIncoming pieces;
		size_t		taken;
		bool		is_complete;

		dwf_incoming_begin(&whole);
		dwf_incoming_begin(&pieces);
		taken = feed(&whole, data, size, size);
		(void) feed(&pieces, data, size, 1 + (flags >> 1));
		check_same(&whole, &pieces);
		is_complete = whole.phase == DWF_PHASE_COMPLETE;
		if (is_complete)
			check_request(&whole, flags & 1);
		(void) dwf_json_syntax_is_valid((const char *) data, size);
		dwf_incoming_free(&whole);
		dwf_incoming_free(&pieces);
		if (!is_complete)
			break;
		data += taken;
		size -= taken;
	}
	return 0;
}
