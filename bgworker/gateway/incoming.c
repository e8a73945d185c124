/*-------------------------------------------------------------------------
 *
 * incoming.c
 *	  A request as it comes in, from bytes.
 *
 *	START ----request line--> HEADERS --empty line--> HEAD_IN
 *	HEAD_IN --no body---------------------> COMPLETE
 *	HEAD_IN --a length--------------------> DATA --all of it--> COMPLETE
 *	HEAD_IN --chunks--> CHUNK --its line--> DATA --all of it--> CHUNK_END
 *						  ^                                         |
 *						  +----------------empty line---------------+
 *	CHUNK --the last one--> TRAILERS --empty line--> COMPLETE
 *	any ----malformed, or too large--> REFUSED
 *
 * Outside of the data of the body there are lines.  Each is checked when it is
 * whole (line.c), and then given to the parser (parser.c), which says where
 * the headers end and how long the body is.  So a request is taken only if two
 * readers agree about it: one that checks each byte of a line and knows
 * nothing of what follows, and one that knows HTTP and has read the requests
 * of the world for years.
 *
 * The parser gets every method as POST, since the method has nothing to do
 * with the framing; so methods that it does not know are not malformed.  Nor
 * are minor versions that it does not know.
 *
 * In HEAD_IN the caller decides: it lets the body come, by
 * dwf_incoming_go_on(), or answers at once.  No byte beyond the end of the
 * request is taken.
 *
 * Memory is of malloc(), and grows with what comes, up to DWF_HEAD_MAX for the
 * lines of the head and as much for the trailers, and the body's maximum; 503
 * if there is none.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/incoming.h"

#include "bgworker/gateway/line.h"

/* How long the line of a chunk may be, and all its extensions together */
#define CHUNK_LINE_MAX	1024
#define EXTENSIONS_MAX	(16 * 1024)

/* ----- memory ----- */

/* The request is refused */
static void
refuse(DwfIncoming *in, int status)
{
	in->phase = DWF_PHASE_REFUSED;
	in->status = status;
}

/* Append bytes to a buffer that grows; false if there is no memory */
static bool
append(char **buffer, size_t *length, size_t *size, const char *bytes,
	   size_t more)
{
	if (*length + more > *size)
	{
		size_t		larger = Max(*size * 2, 256);
		char	   *grown;

		while (larger < *length + more)
			larger *= 2;
		grown = realloc(*buffer, larger);
		if (grown == NULL)
			return false;
		*buffer = grown;
		*size = larger;
	}
	memcpy(*buffer + *length, bytes, more);
	*length += more;
	return true;
}

/* Keep a part of the head, as a string; refuses the request if it cannot */
static void
keep(DwfIncoming *in, const char *bytes, size_t length)
{
	if (!append(&in->head, &in->head_length, &in->head_size, bytes, length) ||
		!append(&in->head, &in->head_length, &in->head_size, "", 1))
		refuse(in, 503);
}

/* Free what a request has, and be ready for the next one */
void
dwf_incoming_free(DwfIncoming *in)
{
	free(in->head);
	free(in->line);
	free(in->body);
	dwf_incoming_begin(in);
}

/*
 * Free what a request has that is complete, but its method: the rest is not
 * needed for the answer
 */
void
dwf_incoming_forget(DwfIncoming *in)
{
	char	   *method = strdup(dwf_incoming_method(in));

	free(in->body);
	in->body = NULL;
	in->body_length = in->body_size = 0;
	free(in->line);
	in->line = NULL;
	in->line_length = in->line_size = 0;
	if (method == NULL)
		return;
	free(in->head);
	in->head = method;
	in->head_length = in->head_size = strlen(method) + 1;
	in->nheaders = 0;
}

/* Begin with a request */
void
dwf_incoming_begin(DwfIncoming *in)
{
	memset(in, 0, sizeof(DwfIncoming));
	dwf_parser_begin(&in->parser);
}

/* ----- the head ----- */

/*
 * Give the parser a request line, of the method POST, and of the highest minor
 * version that it knows.  Bytes that are no ASCII are allowed in a target
 * here, not there.
 */
static bool
feed_request_line(DwfIncoming *in, const DwfPart *method,
				  const DwfPart *target, int minor)
{
	const char *at = target->at;
	const char *end = target->at + target->length;

	if (!dwf_parser_feed(&in->parser, "POST ", 5))
		return false;
	if (dwf_line_is(method, "CONNECT"))
		return dwf_parser_feed(&in->parser, "/ HTTP/1.1\r\n", 12);
	while (at < end)
	{
		size_t		n = 0;

		while (at + n < end && !IS_HIGHBIT_SET(at[n]))
			n++;
		if (n > 0 && !dwf_parser_feed(&in->parser, at, n))
			return false;
		at += n;
		if (at < end && !dwf_parser_feed(&in->parser, "x", 1))
			return false;
		if (at < end)
			at++;
	}
	return dwf_parser_feed(&in->parser, minor == 0 ? " HTTP/1.0\r\n" :
						   " HTTP/1.1\r\n", 11);
}

/* Take the request line */
static void
take_request_line(DwfIncoming *in, const char *line, size_t length)
{
	DwfPart		method;
	DwfPart		target;
	int			minor;
	int			status = dwf_line_request(line, length, &method, &target,
										  &minor);

	if (status == 0 && !feed_request_line(in, &method, &target, minor))
		status = 400;
	if (status != 0)
	{
		refuse(in, status);
		return;
	}
	in->is_http_1_0 = minor == 0;
	in->phase = DWF_PHASE_HEADERS;
	keep(in, method.at, method.length);
	keep(in, target.at, target.length);
}

/*
 * Note what a header says of the framing; false if that is malformed.  Two
 * lengths, two hosts and the like are a way to smuggle requests past a proxy.
 */
static bool
note_header(DwfIncoming *in, const DwfPart *name, const DwfPart *value)
{
	if (dwf_line_is(name, "Content-Length"))
	{
		if (in->has_length || in->is_chunked || !dwf_line_is_number(value))
			return false;
		in->has_length = true;
	}
	else if (dwf_line_is(name, "Transfer-Encoding"))
	{
		if (in->has_length || in->is_chunked || in->is_http_1_0 ||
			!dwf_line_is(value, "chunked"))
			return false;
		in->is_chunked = true;
	}
	else if (dwf_line_is(name, "Host"))
		return in->hosts++ == 0 && dwf_line_is_host(value);
	else if (dwf_line_is(name, "Content-Encoding"))
		in->is_encoded |= value->length > 0 && !dwf_line_is(value, "identity");
	else if (dwf_line_is(name, "Expect"))
		in->expects_continue = !in->is_http_1_0 &&
			dwf_line_is(value, "100-continue");
	return true;
}

/* Take the empty line after the headers */
static void
end_head(DwfIncoming *in)
{
	if (!dwf_parser_feed(&in->parser, "\r\n", 2) || !in->parser.has_head ||
		(in->hosts == 0 && !in->is_http_1_0) ||
		(in->is_chunked && in->parser.is_complete))
	{
		refuse(in, 400);
		return;
	}
	in->phase = DWF_PHASE_HEAD_IN;
	in->left = in->has_length ? dwf_parser_length(&in->parser) : 0;
	in->lines_bytes = 0;
}

/* Give the parser a header, without blanks at its end */
static bool
feed_header(DwfIncoming *in, const char *line, const DwfPart *value)
{
	return dwf_parser_feed(&in->parser, line,
						   value->at + value->length - line) &&
		dwf_parser_feed(&in->parser, "\r\n", 2);
}

/* Take a header, or the end of the headers */
static void
take_header_line(DwfIncoming *in, const char *line, size_t length)
{
	DwfPart		name;
	DwfPart		value;

	if (length == 2)
		end_head(in);
	else if (!dwf_line_header(line, length, &name, &value) ||
			 !note_header(in, &name, &value) ||
			 !feed_header(in, line, &value))
		refuse(in, 400);
	else
	{
		in->nheaders++;
		keep(in, name.at, name.length);
		keep(in, value.at, value.length);
	}
}

/* ----- the body ----- */

/*
 * The head is in, and the caller takes the request: go on with the body.  One
 * that is longer than "body_max" is refused.
 */
void
dwf_incoming_go_on(DwfIncoming *in, size_t body_max)
{
	Assert(in->phase == DWF_PHASE_HEAD_IN);
	in->body_max = body_max;
	if (in->parser.is_complete)
		in->phase = DWF_PHASE_COMPLETE;
	else if (in->is_chunked)
		in->phase = DWF_PHASE_CHUNK;
	else if (in->left > body_max)
		refuse(in, 413);
	else
		in->phase = DWF_PHASE_DATA;
}

/* Take data of the body; returns how many bytes */
static size_t
take_data(DwfIncoming *in, const char *bytes, size_t length)
{
	size_t		n = (size_t) Min(in->left, (uint64) length);

	if (!dwf_parser_feed(&in->parser, bytes, n))
		refuse(in, 400);
	else if (!append(&in->body, &in->body_length, &in->body_size, bytes, n))
		refuse(in, 503);
	else if ((in->left -= n) > 0)
		return n;
	else if (in->is_chunked)
		in->phase = DWF_PHASE_CHUNK_END;
	else if (in->parser.is_complete)
		in->phase = DWF_PHASE_COMPLETE;
	else
		refuse(in, 400);
	return n;
}

/*
 * Take the line of a chunk; that of size 0 is the last one.  Extensions are
 * not for the parser, which does not know all that may be in them.
 */
static void
take_chunk_line(DwfIncoming *in, const char *line, size_t length)
{
	size_t		extension;

	in->parser.has_chunk = false;
	if (!dwf_line_chunk(line, length, &extension) ||
		(in->lines_bytes += extension) > EXTENSIONS_MAX ||
		!dwf_parser_feed(&in->parser, line, length - 2 - extension) ||
		!dwf_parser_feed(&in->parser, "\r\n", 2) ||
		!in->parser.has_chunk)
	{
		refuse(in, 400);
		return;
	}
	in->left = dwf_parser_length(&in->parser);
	if (in->left == 0)
	{
		in->phase = DWF_PHASE_TRAILERS;
		in->lines_bytes = 0;
	}
	else if (in->left > in->body_max - in->body_length)
		refuse(in, 413);
	else
		in->phase = DWF_PHASE_DATA;
}

/* Take the end of line after the data of a chunk */
static void
take_chunk_end(DwfIncoming *in, const char *line, size_t length)
{
	if (length != 2 || !dwf_parser_feed(&in->parser, line, length))
		refuse(in, 400);
	else
		in->phase = DWF_PHASE_CHUNK;
}

/*
 * Take a trailer, which is checked as a header and then forgotten, or the end
 * of the request
 */
static void
take_trailer(DwfIncoming *in, const char *line, size_t length)
{
	DwfPart		name;
	DwfPart		value;

	if (length > 2)
	{
		if (!dwf_line_header(line, length, &name, &value) ||
			!feed_header(in, line, &value))
			refuse(in, 400);
	}
	else if (dwf_parser_feed(&in->parser, line, length) &&
			 in->parser.is_complete)
		in->phase = DWF_PHASE_COMPLETE;
	else
		refuse(in, 400);
}

/* ----- lines ----- */

/* Take a line that is whole */
static void
take_line(DwfIncoming *in, const char *line, size_t length)
{
	if (!dwf_line_is_clean(line, length))
	{
		refuse(in, 400);
		return;
	}
	switch (in->phase)
	{
		case DWF_PHASE_START:
			if (length > 2)		/* RFC 9112, 2.2: empty ones are ignored */
				take_request_line(in, line, length);
			break;
		case DWF_PHASE_HEADERS:
			take_header_line(in, line, length);
			break;
		case DWF_PHASE_CHUNK:
			take_chunk_line(in, line, length);
			break;
		case DWF_PHASE_CHUNK_END:
			take_chunk_end(in, line, length);
			break;
		default:
			Assert(in->phase == DWF_PHASE_TRAILERS);
			take_trailer(in, line, length);
	}
}

/* Are a line's bytes too many, so far?  Then refuse the request. */
static bool
is_too_long(DwfIncoming *in, size_t length)
{
	if (in->phase == DWF_PHASE_CHUNK || in->phase == DWF_PHASE_CHUNK_END)
	{
		if (length <= CHUNK_LINE_MAX)
			return false;
		refuse(in, 400);
		return true;
	}
	if (in->lines_bytes + length <= DWF_HEAD_MAX)
		return false;
	refuse(in, in->phase == DWF_PHASE_START ? 414 : 431);
	return true;
}

/* Take bytes of a line, up to its end; returns how many */
static size_t
take_of_line(DwfIncoming *in, const char *bytes, size_t length)
{
	const char *end = memchr(bytes, '\n', length);
	size_t		n = end ? (size_t) (end - bytes) + 1 : length;
	bool		is_framing = in->phase == DWF_PHASE_CHUNK ||
	in->phase == DWF_PHASE_CHUNK_END;

	if (in->phase == DWF_PHASE_START && in->line_length == 0 &&
		!dwf_line_may_begin(bytes[0]))
	{
		refuse(in, 400);		/* TLS, say: without an end of line */
		return n;
	}
	if (is_too_long(in, in->line_length + n))
		return n;

	/* a part, or the rest of one */
	if (end == NULL || in->line_length > 0)
	{
		if (!append(&in->line, &in->line_length, &in->line_size, bytes, n))
			refuse(in, 503);
		else if (end)
		{
			length = in->line_length;
			in->line_length = 0;
			if (!is_framing)
				in->lines_bytes += length;
			take_line(in, in->line, length);
		}
		return n;
	}

	/* a whole one */
	if (!is_framing)
		in->lines_bytes += n;
	take_line(in, bytes, n);
	return n;
}

/*
 * Take bytes, until the head is in, the request is complete or is refused;
 * returns how many
 */
size_t
dwf_incoming_take(DwfIncoming *in, const char *bytes, size_t length)
{
	size_t		taken = 0;

	while (taken < length && in->phase != DWF_PHASE_HEAD_IN &&
		   in->phase < DWF_PHASE_COMPLETE)
	{
		if (in->phase == DWF_PHASE_DATA)
			taken += take_data(in, bytes + taken, length - taken);
		else
			taken += take_of_line(in, bytes + taken, length - taken);
	}
	return taken;
}

/* Has a request begun? */
bool
dwf_incoming_is_begun(const DwfIncoming *in)
{
	return in->phase != DWF_PHASE_START || in->line_length > 0;
}

/* ----- what is in ----- */

/* The head is in: is there a body to come? */
bool
dwf_incoming_has_body(const DwfIncoming *in)
{
	return !in->parser.is_complete;
}

/* The method of a request whose head is in */
const char *
dwf_incoming_method(const DwfIncoming *in)
{
	return in->head;
}

/* The target of a request whose head is in, as the client has sent it */
const char *
dwf_incoming_target(const DwfIncoming *in)
{
	return in->head + strlen(in->head) + 1;
}

/* The first header: the first string after the target */
static const char *
first_header(const DwfIncoming *in)
{
	const char *target = dwf_incoming_target(in);

	return target + strlen(target) + 1;
}

/* List the headers, of which there are "nheaders", as they came */
void
dwf_incoming_headers(const DwfIncoming *in, DwfHttpHeader *headers)
{
	const char *at = first_header(in);

	for (int i = 0; i < in->nheaders; i++)
	{
		headers[i].name = at;
		at += strlen(at) + 1;
		headers[i].value = at;
		at += strlen(at) + 1;
		headers[i].order = i;
	}
}

/* The value of the first header of a name; NULL if there is none */
const char *
dwf_incoming_header(const DwfIncoming *in, const char *name)
{
	const char *at = first_header(in);

	for (int i = 0; i < in->nheaders; i++)
	{
		const char *value = at + strlen(at) + 1;

		if (pg_strcasecmp(at, name) == 0)
			return value;
		at = value + strlen(value) + 1;
	}
	return NULL;
}
