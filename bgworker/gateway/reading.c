/*-------------------------------------------------------------------------
 *
 * reading.c
 *	  What a request for a stream asks, and the bytes of its answer.
 *
 * Items are Server-Sent Events, or lines of JSON for a client whose header
 * Accept says so:
 *
 *	id: 7							{"item_no":7,"value":{"done": 7}}
 *	data: {"done": 7}
 *
 *	event: end						{"ended":true}
 *	data: {}
 *
 * JSON as jsonb prints it has no end of line, so it is one line of data.
 *
 * A browser shows an answer to a page of another origin only if headers allow
 * that; refusals have them as well, so that the page learns the status.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/reading.h"

#include "base/settings.h"

/* ----- the request ----- */

/* Read a number that an int64 holds; false if it is none */
static bool
read_number(const char *text, size_t length, int64 *number)
{
	*number = 0;
	if (length == 0 || length > 18)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		*number = *number * 10 + (text[i] - '0');
	}
	return true;
}

/* The value of a parameter of the query, not decoded; NULL if it has none */
static const char *
find_parameter(const char *target, const char *name, size_t *length)
{
	const char *at = strchr(target, '?');

	while (at)
	{
		size_t		name_length = strcspn(++at, "=&");

		*length = 0;
		if (at[name_length] == '=')
			*length = strcspn(at + name_length + 1, "&");
		if (name_length == strlen(name) &&
			strncmp(at, name, name_length) == 0)
			return at + name_length + (at[name_length] == '=' ? 1 : 0);
		at = strchr(at, '&');
	}
	return NULL;
}

/* Does a header Accept name a type of lines of JSON, before that of events? */
static bool
accepts_lines(const char *accept)
{
	static const char *const types[] = {
		"application/x-ndjson", "application/ndjson", "application/jsonl",
		"application/x-jsonlines"
	};

	while (accept && *accept)
	{
		size_t		length;

		accept += strspn(accept, " \t,");
		length = strcspn(accept, " \t,;");
		if (length == strlen("text/event-stream") &&
			pg_strncasecmp(accept, "text/event-stream", length) == 0)
			return false;
		for (int i = 0; i < (int) lengthof(types); i++)
			if (length == strlen(types[i]) &&
				pg_strncasecmp(accept, types[i], length) == 0)
				return true;
		accept += strcspn(accept, ",");
	}
	return false;
}

/*
 * What a request asks; false if it is no number after which to go on, or no
 * truth value.  The header Last-Event-ID goes before the parameter "after",
 * since a browser that connects again sends both.
 */
bool
dwf_reading_parse(const DwfIncoming *incoming, DwfReading *reading)
{
	const char *target = dwf_incoming_target(incoming);
	const char *last = dwf_incoming_header(incoming, "last-event-id");
	size_t		length;
	const char *value;

	reading->is_lines =
		accepts_lines(dwf_incoming_header(incoming, "accept"));

	/* from where on? */
	reading->after = 0;
	value = find_parameter(target, "after", &length);
	if (value && !read_number(value, length, &reading->after))
		return false;
	if (last && *last && !read_number(last, strlen(last), &reading->after))
		return false;

	/* until when? */
	value = find_parameter(target, "follow", &length);
	reading->follows = !value ||
		!((length == 5 && strncmp(value, "false", 5) == 0) ||
		  (length == 1 && *value == '0'));
	return !value || !reading->follows ||
		(length == 4 && strncmp(value, "true", 4) == 0) ||
		(length == 1 && *value == '1');
}

/* ----- the head of the answer ----- */

/* How many headers an answer has at most */
#define HEADERS_MAX		8

static DwfReply reply;
static const char *names[HEADERS_MAX];
static const char *values[HEADERS_MAX];

/* Add a header to the answer */
static void
add(const char *name, const char *value)
{
	Assert(reply.nheaders < HEADERS_MAX);
	names[reply.nheaders] = name;
	values[reply.nheaders++] = value;
}

/*
 * What durable_wf.http_allowed_origins says to an origin: "*", the origin
 * itself, or NULL
 */
static const char *
allowed(const char *origin)
{
	const char *at = dwf_setting_http_allowed_origins;

	while (*at)
	{
		size_t		length;

		at += strspn(at, " \t,");
		length = strcspn(at, " \t,");
		if (length == 1 && *at == '*')
			return "*";
		if (origin && length > 0 && length == strlen(origin) &&
			pg_strncasecmp(at, origin, length) == 0)
			return origin;
		at += length;
	}
	return NULL;
}

/* Begin with an answer, whose headers allow other origins to see it */
static void
begin(const DwfIncoming *incoming, const DwfReply *like)
{
	const char *origin = allowed(dwf_incoming_header(incoming, "origin"));

	reply = *like;
	reply.names = names;
	reply.values = values;
	reply.nheaders = 0;
	for (int i = 0; i < like->nheaders; i++)
		if (strcmp(like->names[i], "Allow") != 0)
			add(like->names[i], like->values[i]);
	if (origin)
		add("Access-Control-Allow-Origin", origin);
	if (dwf_setting_http_allowed_origins[0] != '\0')
		add("Vary", "Origin");
}

/* The head of a stream; lives until the next call, as the other two */
const DwfReply *
dwf_reading_begin(const DwfIncoming *incoming, bool is_lines)
{
	const DwfReply like = {.status = 200,.body = ""};

	begin(incoming, &like);
	add("Content-Type", is_lines ? "application/x-ndjson" :
		"text/event-stream; charset=utf-8");
	add("Cache-Control", "no-store");
	add("X-Accel-Buffering", "no"); /* nginx passes items on at once */
	return &reply;
}

/* Is the client an EventSource of a browser? */
static bool
is_event_source(const DwfIncoming *incoming)
{
	const char *accept = dwf_incoming_header(incoming, "accept");

	return strcmp(dwf_incoming_method(incoming), "GET") == 0 &&
		accept && pg_strcasecmp(accept, "text/event-stream") == 0;
}

/*
 * A plain answer to a request for a stream.  An EventSource never comes again
 * after a status that is not 200, so it gets an empty stream for "not now".
 */
const DwfReply *
dwf_reading_refuse(const DwfIncoming *incoming, int status)
{
	static const char retry[] = "retry: 1000\n\n";
	const DwfReply later = {
		.status = 200,.body = retry,.body_length = sizeof(retry) - 1
	};

	if (status == 503 && is_event_source(incoming))
	{
		begin(incoming, &later);
		add("Content-Type", "text/event-stream; charset=utf-8");
		add("Cache-Control", "no-store");
		return &reply;
	}
	begin(incoming, dwf_reply_plain(status));
	if (status == 405)
		add("Allow", "GET, HEAD, OPTIONS");
	return &reply;
}

/* An answer that sends the client elsewhere, so that a page may follow it */
const DwfReply *
dwf_reading_send_on(const DwfIncoming *incoming, const DwfReply *like)
{
	begin(incoming, like);
	return &reply;
}

/* The answer to OPTIONS, by which a browser asks what a page may send */
const DwfReply *
dwf_reading_preflight(const DwfIncoming *incoming)
{
	const DwfReply like = {.status = 204,.body = ""};

	begin(incoming, &like);
	add("Allow", "GET, HEAD, OPTIONS");
	if (allowed(dwf_incoming_header(incoming, "origin")))
	{
		add("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS");
		add("Access-Control-Allow-Headers",
			"Accept, Cache-Control, Last-Event-ID");
		add("Access-Control-Max-Age", "86400");
	}
	return &reply;
}

/* ----- its body ----- */

/* Write an item, whose value is JSON in UTF-8 */
void
dwf_reading_write_item(StringInfo text, bool is_lines, int64 item_no,
					   const char *json, int length)
{
	if (is_lines)
		appendStringInfo(text, "{\"item_no\":" INT64_FORMAT ",\"value\":",
						 item_no);
	else
		appendStringInfo(text, "id: " INT64_FORMAT "\ndata: ", item_no);
	appendBinaryStringInfo(text, json, length);
	appendStringInfoString(text, is_lines ? "}\n" : "\n\n");
}

/* What tells that nothing more can come */
const char *
dwf_reading_end(bool is_lines)
{
	return is_lines ? "{\"ended\":true}\n" : "event: end\ndata: {}\n\n";
}

/* What tells that the server is there */
const char *
dwf_reading_heartbeat(bool is_lines)
{
	return is_lines ? "\n" : ":\n\n";
}
