/*-------------------------------------------------------------------------
 *
 * reply.c
 *	  The bytes of responses.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/reply.h"

#include <time.h>

#include "bgworker/gateway/line.h"

/* ----- plain responses ----- */

/* A plain response has no header but one, and a text */
typedef struct Plain
{
	int			status;
	const char *text;
	const char *header;			/* one more header, or NULL */
	const char *value;
} Plain;

static const Plain plains[] = {
	{200, "ok\n", NULL, NULL},
	{202, "", NULL, NULL},
	{204, "", NULL, NULL},
	{400, "bad request\n", NULL, NULL},
	{401, "refused\n", "WWW-Authenticate", "Signature"},
	{403, "refused\n", NULL, NULL},
	{404, "no such webhook\n", NULL, NULL},
	{405, "method not allowed\n",
	"Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
	{408, "", NULL, NULL},
	{413, "the body is too large\n", NULL, NULL},
	{414, "the target is too long\n", NULL, NULL},
	{415, "content codings are not taken\n", "Accept-Encoding", "identity"},
	{431, "the headers are too large\n", NULL, NULL},
	{500, "the answer cannot be sent\n", NULL, NULL},
	{503, "try again later\n", "Retry-After", "1"},
	{504, "no answer in time\n", NULL, NULL},
	{505, "this is HTTP/1.1\n", NULL, NULL}
};

/*
 * The plain response of a status; of a 4xx that has none that of the 403, of
 * any other that of the 500.  It lives until the next call.
 */
const DwfReply *
dwf_reply_plain(int status)
{
	static DwfReply reply;
	static const char *names[2];
	static const char *values[2];
	const Plain *plain = NULL;

	for (int i = 0; i < (int) lengthof(plains); i++)
		if (plains[i].status == status)
			plain = &plains[i];
	if (plain == NULL)
	{
		bool		is_refusal = status >= 400 && status <= 499;

		(void) dwf_reply_plain(is_refusal ? 403 : 500);
		if (is_refusal)
			reply.status = status;
		return &reply;
	}

	/* its headers and its text */
	reply.status = status;
	reply.nheaders = 0;
	reply.names = names;
	reply.values = values;
	reply.body = plain->text;
	reply.body_length = strlen(plain->text);
	if (reply.body_length > 0)
	{
		names[reply.nheaders] = "Content-Type";
		values[reply.nheaders++] = "text/plain; charset=utf-8";
	}
	if (plain->header)
	{
		names[reply.nheaders] = plain->header;
		values[reply.nheaders++] = plain->value;
	}
	return &reply;
}

/* ----- the head ----- */

/* The phrase of a status; '' for one that has none here */
static const char *
phrase_of(int status)
{
	static const struct
	{
		int			status;
		const char *phrase;
	}			phrases[] = {
		{200, "OK"}, {201, "Created"}, {202, "Accepted"},
		{203, "Non-Authoritative Information"}, {204, "No Content"},
		{205, "Reset Content"}, {206, "Partial Content"},
		{207, "Multi-Status"}, {300, "Multiple Choices"},
		{301, "Moved Permanently"}, {302, "Found"}, {303, "See Other"},
		{304, "Not Modified"}, {307, "Temporary Redirect"},
		{308, "Permanent Redirect"}, {400, "Bad Request"},
		{401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"},
		{404, "Not Found"}, {405, "Method Not Allowed"},
		{406, "Not Acceptable"}, {408, "Request Timeout"}, {409, "Conflict"},
		{410, "Gone"}, {411, "Length Required"},
		{412, "Precondition Failed"}, {413, "Content Too Large"},
		{414, "URI Too Long"}, {415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"}, {417, "Expectation Failed"},
		{418, "I'm a teapot"}, {421, "Misdirected Request"},
		{422, "Unprocessable Content"}, {423, "Locked"},
		{424, "Failed Dependency"}, {425, "Too Early"},
		{426, "Upgrade Required"}, {428, "Precondition Required"},
		{429, "Too Many Requests"}, {431, "Request Header Fields Too Large"},
		{451, "Unavailable For Legal Reasons"},
		{500, "Internal Server Error"}, {501, "Not Implemented"},
		{502, "Bad Gateway"}, {503, "Service Unavailable"},
		{504, "Gateway Timeout"}, {505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"}
	};

	for (int i = 0; i < (int) lengthof(phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].phrase;
	return "";
}

/* The header Date, made anew each second */
static const char *
date_line(void)
{
	static const char *const days[] = {
		"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"
	};
	static const char *const months[] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun",
		"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"
	};
	static char line[96];
	static time_t made_at = 0;
	time_t		now = time(NULL);
	struct tm	utc;

	if (now == made_at || gmtime_r(&now, &utc) == NULL)
		return line;
	made_at = now;
	snprintf(line, sizeof(line),
			 "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n",
			 days[utc.tm_wday % 7], utc.tm_mday, months[utc.tm_mon % 12],
			 utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
	return line;
}

/* Is this a header of the connection, which is written here? */
static bool
is_ours(const char *name)
{
	static const char *const ours[] = {
		"connection", "content-length", "date", "keep-alive", "te", "trailer",
		"transfer-encoding", "upgrade"
	};

	for (int i = 0; i < (int) lengthof(ours); i++)
		if (pg_strcasecmp(name, ours[i]) == 0)
			return true;
	return false;
}

/* Is a value one line, without control characters? */
static bool
is_value(const char *value)
{
	for (; *value; value++)
		if (((unsigned char) *value < ' ' && *value != '\t') ||
			*value == 0x7f)
			return false;
	return true;
}

/* May a response of this status have a body? */
static bool
allows_body(int status)
{
	return status != 204 && status != 205 && status != 304;
}

/* Is the body of a response to be sent? */
bool
dwf_reply_has_body(const DwfReply *reply, const DwfReplyTo *to)
{
	return !to->is_head && reply->body_length > 0 &&
		allows_body(reply->status);
}

/* A text that is written into a room of DWF_REPLY_HEAD_MAX bytes */
typedef struct Writer
{
	char	   *text;
	size_t		length;
	bool		is_full;
} Writer;

/* Write a string, if there is room for it */
static void
write_string(Writer *w, const char *string)
{
	size_t		length = strlen(string);

	if (length > DWF_REPLY_HEAD_MAX - w->length)
	{
		w->is_full = true;
		return;
	}
	memcpy(w->text +w->length, string, length);
	w->length += length;
}

/* Write the headers of a response; returns false if HTTP has no such header */
static bool
write_headers(Writer *w, const DwfReply *reply)
{
	for (int i = 0; i < reply->nheaders; i++)
	{
		if (is_ours(reply->names[i]))
			continue;
		if (!dwf_line_is_token(reply->names[i], strlen(reply->names[i])) ||
			!is_value(reply->values[i]))
			return false;
		write_string(w, reply->names[i]);
		write_string(w, ": ");
		write_string(w, reply->values[i]);
		write_string(w, "\r\n");
	}
	return true;
}

/*
 * Write the head of a response into a room of DWF_REPLY_HEAD_MAX bytes;
 * returns its length, 0 if the response cannot be sent
 */
size_t
dwf_reply_head(const DwfReply *reply, const DwfReplyTo *to, char *head)
{
	Writer		w = {head, 0, false};
	char		line[64];

	if (reply->status < 200 || reply->status > 599)
		return 0;
	snprintf(line, sizeof(line), "HTTP/1.1 %d ", reply->status);
	write_string(&w, line);
	write_string(&w, phrase_of(reply->status));
	write_string(&w, "\r\n");
	write_string(&w, date_line());
	if (!write_headers(&w, reply))
		return 0;

	/* the body's length, and whether the connection goes on */
	if (to->is_stream)
	{
		if (!to->is_http_1_0)
			write_string(&w, "Transfer-Encoding: chunked\r\n");
	}
	else if (reply->status != 204 && reply->status != 304 &&
			 !(to->is_head && reply->body_length == 0))
	{
		snprintf(line, sizeof(line), "Content-Length: %zu\r\n",
				 allows_body(reply->status) ? reply->body_length : 0);
		write_string(&w, line);
	}
	if (!to->keeps_alive)
		write_string(&w, "Connection: close\r\n");
	else if (to->is_http_1_0)
		write_string(&w, "Connection: keep-alive\r\n");
	write_string(&w, "\r\n");
	return w.is_full ? 0 : w.length;
}
