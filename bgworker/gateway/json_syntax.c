/*-------------------------------------------------------------------------
 *
 * json_syntax.c
 *	  Is a text JSON that a jsonb can hold?
 *
 * The text is valid in the server's encoding.  It is JSON here if RFC 8259
 * says so and jsonb can hold its strings: no \u0000 and no lone surrogate are
 * in them.  Its depth and the digits of its numbers are limited.  A number
 * beyond numeric's range passes here: jsonb_in() raises an error for that.
 *
 * The check takes nothing of the server, raises nothing and does not recurse.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/json_syntax.h"

/* The value of a hexadecimal digit; -1 if it is none */
int
dwf_json_syntax_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* A text, and how far it was read */
typedef struct Reader
{
	const char *at;
	const char *end;
	int			digits;			/* the sum of all exponents */
} Reader;

/* Skip white space */
static inline void
skip_space(Reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
							  *r->at == '\n' || *r->at == '\r'))
		r->at++;
}

/* Skip one character; false if another one is next */
static inline bool
skip_char(Reader *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

/* Skip a word; false if it is not next */
static bool
skip_word(Reader *r, const char *word)
{
	size_t		length = strlen(word);

	if ((size_t) (r->end - r->at) < length ||
		memcmp(r->at, word, length) != 0)
		return false;
	r->at += length;
	return true;
}

/* Read four hexadecimal digits; -1 if they are not next */
static int
read_hex4(Reader *r)
{
	int			code = 0;

	if (r->end - r->at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			value = dwf_json_syntax_hex_value(*r->at++);

		if (value < 0)
			return -1;
		code = code * 16 + value;
	}
	return code;
}

/*
 * Skip what follows "\u"; false for a NUL and for a lone surrogate, of which
 * no jsonb holds one
 */
static bool
skip_unicode(Reader *r)
{
	int			code = read_hex4(r);

	if (code <= 0 || (code >= 0xdc00 && code <= 0xdfff))
		return false;
	if (code < 0xd800 || code > 0xdbff)
		return true;
	if (!skip_char(r, '\\') || !skip_char(r, 'u'))
		return false;
	code = read_hex4(r);
	return code >= 0xdc00 && code <= 0xdfff;
}

/* Skip a string; false if none is next */
static bool
skip_string(Reader *r)
{
	if (!skip_char(r, '"'))
		return false;
	while (r->at < r->end)
	{
		unsigned char c = (unsigned char) *r->at++;

		if (c == '"')
			return true;
		if (c < 0x20)
			return false;
		if (c != '\\')
			continue;
		if (r->at == r->end)
			return false;
		c = (unsigned char) *r->at++;
		if (c == 'u' ? !skip_unicode(r) : c == '\0' || !strchr("\"\\/bfnrt", c))
			return false;
	}
	return false;
}

/* Skip digits; false if none is next */
static bool
skip_digits(Reader *r)
{
	const char *start = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return r->at > start;
}

/*
 * Skip the exponent of a number, after the "e"; false if none is next.  An
 * exponent has a few bytes here and thousands of digits where jsonb writes the
 * number, so the sum of all exponents of a text is limited.
 */
static bool
skip_exponent(Reader *r)
{
	const char *start;
	int			exponent = 0;

	if (!skip_char(r, '+'))
		(void) skip_char(r, '-');
	for (start = r->at; r->at < r->end && *r->at >= '0' && *r->at <= '9';
		 r->at++)
		if (exponent <= DWF_JSON_DIGITS_MAX)
			exponent = exponent * 10 + (*r->at - '0');
	if (r->at == start || exponent > DWF_JSON_DIGITS_MAX - r->digits)
		return false;
	r->digits += exponent;
	return true;
}

/* Skip a number; false if none is next */
static bool
skip_number(Reader *r)
{
	(void) skip_char(r, '-');
	if (!skip_char(r, '0') && !skip_digits(r))
		return false;
	if (skip_char(r, '.') && !skip_digits(r))
		return false;
	return !(skip_char(r, 'e') || skip_char(r, 'E')) || skip_exponent(r);
}

/* Skip a string, a number or a word; false if none is next */
static bool
skip_scalar(Reader *r)
{
	if (r->at == r->end)
		return false;
	switch (*r->at)
	{
		case '"':
			return skip_string(r);
		case 't':
			return skip_word(r, "true");
		case 'f':
			return skip_word(r, "false");
		case 'n':
			return skip_word(r, "null");
		default:
			return skip_number(r);
	}
}

/* Skip the key of a member, and its colon; false if they are not next */
static bool
skip_key(Reader *r)
{
	skip_space(r);
	if (!skip_string(r))
		return false;
	skip_space(r);
	return skip_char(r, ':');
}

/*
 * Is a text, valid in the server's encoding, one JSON value and nothing else?
 * Open brackets are kept in a stack of their own, without recursion.
 */
bool
dwf_json_syntax_is_valid(const char *json, size_t length)
{
	Reader		r = {json, json + length, 0};
	char		open[DWF_JSON_DEPTH_MAX];
	int			depth = 0;

	for (;;)
	{
		/* a value begins */
		skip_space(&r);
		if (r.at < r.end && (*r.at == '[' || *r.at == '{'))
		{
			char		bracket = *r.at++;

			if (depth == DWF_JSON_DEPTH_MAX)
				return false;
			open[depth++] = bracket;
			skip_space(&r);
			if (!skip_char(&r, bracket == '[' ? ']' : '}'))
			{
				if (bracket == '{' && !skip_key(&r))
					return false;
				continue;
			}
			depth--;
		}
		else if (!skip_scalar(&r))
			return false;

		/* a value has ended: so do those around it, or there is a next one */
		for (;;)
		{
			skip_space(&r);
			if (depth == 0)
				return r.at == r.end;
			if (skip_char(&r, ','))
				break;
			if (!skip_char(&r, open[depth - 1] == '[' ? ']' : '}'))
				return false;
			depth--;
		}
		if (open[depth - 1] == '{' && !skip_key(&r))
			return false;
	}
}
