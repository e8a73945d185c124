/*-------------------------------------------------------------------------
 *
 * line.c
 *	  The lines of HTTP/1: what RFC 9110 and 9112 allow in them.
 *
 * A server that is lenient with a line may read it differently than the proxy
 * before it; then the end of a request is not where the proxy sees it.  So
 * whatever is malformed is refused, also what the parser would let through: a
 * line that does not end with CR LF, a CR or a NUL or another control
 * character in it, a header that is folded, or has no name, or has a space
 * before its colon, a second space in the request line, and so on.
 *
 * Lines come with their CR LF.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/line.h"

/* ----- characters ----- */

/* What a character may be in */
#define IN_TOKEN	1			/* RFC 9110, 5.6.2 */
#define IN_HOST		2			/* RFC 3986, 3.2.2, and the port */

/* The classes of ASCII */
static const unsigned char classes[128] = {
	['!'] = IN_TOKEN | IN_HOST,['#'] = IN_TOKEN,['$'] = IN_TOKEN | IN_HOST,
	['%'] = IN_TOKEN | IN_HOST,['&'] = IN_TOKEN | IN_HOST,
	['\''] = IN_TOKEN | IN_HOST,['('] = IN_HOST,[')'] = IN_HOST,
	['*'] = IN_TOKEN | IN_HOST,['+'] = IN_TOKEN | IN_HOST,[','] = IN_HOST,
	['-'] = IN_TOKEN | IN_HOST,['.'] = IN_TOKEN | IN_HOST,
	['0'...'9'] = IN_TOKEN | IN_HOST,[':'] = IN_HOST,[';'] = IN_HOST,
	['='] = IN_HOST,['A'...'Z'] = IN_TOKEN | IN_HOST,['['] = IN_HOST,
	[']'] = IN_HOST,['^'] = IN_TOKEN,['_'] = IN_TOKEN | IN_HOST,
	['`'] = IN_TOKEN,['a'...'z'] = IN_TOKEN | IN_HOST,['|'] = IN_TOKEN,
	['~'] = IN_TOKEN | IN_HOST
};

/* Is a character of a class? */
static inline bool
is_in(unsigned char c, unsigned char class)
{
	return c < 128 && (classes[c] & class) != 0;
}

/* How many characters of a class there are at the beginning */
static size_t
span(const char *text, size_t length, unsigned char class)
{
	size_t		n = 0;

	while (n < length && is_in(text[n], class))
		n++;
	return n;
}

/* How many blanks there are at the beginning */
static size_t
span_blanks(const char *text, size_t length)
{
	size_t		n = 0;

	while (n < length && (text[n] == ' ' || text[n] == '\t'))
		n++;
	return n;
}

/* Is a text a token? */
bool
dwf_line_is_token(const char *text, size_t length)
{
	return length > 0 && span(text, length, IN_TOKEN) == length;
}

/* May a request begin with this, or an empty line before it? */
bool
dwf_line_may_begin(char c)
{
	return is_in(c, IN_TOKEN) || c == '\r' || c == '\n';
}

/* ----- lines ----- */

/*
 * Does a line end with CR LF, and has no other control character but tabs?
 */
bool
dwf_line_is_clean(const char *line, size_t length)
{
	if (length < 2 || line[length - 2] != '\r' || line[length - 1] != '\n')
		return false;
	for (size_t i = 0; i < length - 2; i++)
	{
		unsigned char c = line[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* May a request of this method have this target? */
static bool
is_target(const DwfPart *method, const DwfPart *target)
{
	const char *t = target->at;

	/* no blank and no fragment in it */
	for (size_t i = 0; i < target->length; i++)
		if (t[i] == ' ' || t[i] == '\t' || t[i] == '#')
			return false;

	/* a path, or "*", or a URL; a host and a port to connect to */
	if (target->length == 0)
		return false;
	if (dwf_line_is(method, "CONNECT"))
		return span(t, target->length, IN_HOST) == target->length;
	if (t[0] == '/')
		return true;
	if (target->length == 1 && t[0] == '*')
		return dwf_line_is(method, "OPTIONS");
	for (size_t i = 0; i + 3 < target->length; i++)
		if (t[i] == ':')
			return i > 0 && t[i + 1] == '/' && t[i + 2] == '/';
	return false;
}

/*
 * Take a request line apart, which is clean.  Returns 0, or the status with
 * which it is refused: 505 for another HTTP than 1.
 */
int
dwf_line_request(const char *line, size_t length, DwfPart *method,
				 DwfPart *target, int *minor)
{
	static const char http[] = " HTTP/";
	const char *version;

	/* the method is a token */
	method->at = line;
	method->length = span(line, length, IN_TOKEN);
	if (method->length == 0 || line[method->length] != ' ')
		return 400;

	/* the version is the last word */
	target->at = line + method->length + 1;
	if (length < method->length + 1 + strlen(" HTTP/1.1\r\n"))
		return 400;
	version = line + length - strlen(" HTTP/1.1\r\n");
	if (memcmp(version, http, strlen(http)) != 0)
		return 400;
	version += strlen(http);
	if (version[0] < '0' || version[0] > '9' || version[1] != '.' ||
		version[2] < '0' || version[2] > '9')
		return 400;

	/* the target is between them */
	target->length = version - strlen(http) - target->at;
	if (!is_target(method, target))
		return 400;
	*minor = version[2] - '0';
	return version[0] == '1' ? 0 : 505;
}

/*
 * Take a header apart, which is clean; returns false if it is none.  A line
 * that continues the one before begins with a blank, so it is none either.
 */
bool
dwf_line_header(const char *line, size_t length, DwfPart *name,
				DwfPart *value)
{
	const char *end = line + length - 2;

	name->at = line;
	name->length = span(line, length, IN_TOKEN);
	if (name->length == 0 || line[name->length] != ':')
		return false;

	/* blanks around the value do not belong to it */
	value->at = line + name->length + 1;
	value->at += span_blanks(value->at, end - value->at);
	while (end > value->at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	value->length = end - value->at;
	return true;
}

/* ----- chunks ----- */

/* The length of a string in quotes; 0 if it is none.  The text is clean. */
static size_t
span_quoted(const char *text, size_t length)
{
	if (length == 0 || text[0] != '"')
		return 0;
	for (size_t at = 1; at < length; at++)
	{
		if (text[at] == '"')
			return at + 1;
		if (text[at] == '\\')
			at++;
	}
	return 0;
}

/* Skip extensions of a chunk: ; name = value */
static bool
are_extensions(const char *text, size_t length)
{
	size_t		at = 0;

	while (at < length)
	{
		size_t		n;

		/* the name */
		at += span_blanks(text +at, length - at);
		if (at == length || text[at] != ';')
			return false;
		at++;
		at += span_blanks(text +at, length - at);
		n = span(text +at, length - at, IN_TOKEN);
		if (n == 0)
			return false;
		at += n;

		/* a value is not needed */
		n = span_blanks(text +at, length - at);
		if (at + n == length || text[at + n] != '=')
			continue;
		at += n + 1;
		at += span_blanks(text +at, length - at);
		n = span(text +at, length - at, IN_TOKEN);
		if (n == 0)
			n = span_quoted(text +at, length - at);
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

/*
 * Is a line, which is clean, that of a chunk: the size, then extensions?
 * "extension" takes how long these are.
 */
bool
dwf_line_chunk(const char *line, size_t length, size_t *extension)
{
	size_t		digits = 0;

	while (digits < length && ((line[digits] >= '0' && line[digits] <= '9') ||
							   (line[digits] >= 'a' && line[digits] <= 'f') ||
							   (line[digits] >= 'A' && line[digits] <= 'F')))
		digits++;
	*extension = length - 2 - digits;
	return digits > 0 && digits <= 16 &&
		are_extensions(line + digits, *extension);
}

/* ----- values ----- */

/* Is a part this word, upper and lower case alike? */
bool
dwf_line_is(const DwfPart *part, const char *word)
{
	return part->length == strlen(word) &&
		pg_strncasecmp(part->at, word, part->length) == 0;
}

/* Is a value a number that an int64 holds? */
bool
dwf_line_is_number(const DwfPart *value)
{
	for (size_t i = 0; i < value->length; i++)
		if (value->at[i] < '0' || value->at[i] > '9')
			return false;
	return value->length > 0 && value->length <= 18;
}

/* Is a value, which may be empty, a host and a port? */
bool
dwf_line_is_host(const DwfPart *value)
{
	return span(value->at, value->length, IN_HOST) == value->length;
}
