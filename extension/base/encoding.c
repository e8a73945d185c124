/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Convert text between the encodings of HTTP messages and of the server.
 *
 * A request is in the encoding that its content type names, or in UTF-8 if
 * that names none; JSON is always UTF-8.  Responses are UTF-8.  A server of
 * another encoding converts both, which fails for characters that it does not
 * have.
 *
 *-------------------------------------------------------------------------
 */
#include "base/encoding.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

/* The longest name of an encoding */
#define NAME_MAX_LENGTH	40

/*
 * The encoding that a content type names by its parameter "charset", or UTF-8
 * if it has none; also for ASCII, which is a part of UTF-8
 */
int
dwf_encoding_of_type(const char *content_type)
{
	char		name[NAME_MAX_LENGTH + 1];
	const char *at = content_type;
	int			length;

	/* go from parameter to parameter */
	while ((at = strchr(at, ';')) != NULL)
	{
		at += 1 + strspn(at + 1, " \t");
		if (pg_strncasecmp(at, "charset=", 8) != 0)
			continue;

		/* copy the name, which may be quoted */
		at += 8;
		at += *at == '"';
		length = strcspn(at, "\"; \t");
		if (length > NAME_MAX_LENGTH)
			return DWF_ENCODING_UNKNOWN;
		memcpy(name, at, length);
		name[length] = '\0';

		/* look it up among those that the server can convert */
		if (length == 0 || pg_strcasecmp(name, "us-ascii") == 0 ||
			pg_strcasecmp(name, "ascii") == 0)
			return PG_UTF8;
		length = pg_char_to_encoding(name);
		return length < 0 || length == PG_SQL_ASCII ||
			length == DWF_MULE_INTERNAL ? DWF_ENCODING_UNKNOWN : length;
	}
	return PG_UTF8;
}

/* Are all bytes ASCII, and none NUL?  Such text is valid in each encoding. */
bool
dwf_encoding_is_ascii(const char *bytes, int length)
{
	for (int i = 0; i < length; i++)
		if (bytes[i] == '\0' || IS_HIGHBIT_SET(bytes[i]))
			return false;
	return true;
}

/* Convert valid text by one conversion procedure; false if it cannot be */
static bool
convert_once(char **text, int *length, int from, int to)
{
	Oid			conversion = FindDefaultConversionProc(from, to);
	Size		room = (Size) *length * MAX_CONVERSION_GROWTH + 1;
	char	   *result;

	if (!OidIsValid(conversion) || room > (Size) INT_MAX)
		return false;
	result = palloc_extended(room, MCXT_ALLOC_HUGE);
	if (pg_do_encoding_conversion_buf(conversion, from, to,
									  (unsigned char *) *text, *length,
									  (unsigned char *) result, (int) room,
									  true) != *length)
	{
		pfree(result);
		return false;
	}
	*text = result;
	*length = strlen(result);
	return true;
}

/*
 * Convert text from one encoding to another, or return it as it is if both are
 * the same.  To convert text that is not ASCII needs a transaction, since
 * conversions are in the catalogs.  A server of SQL_ASCII takes text as it is.
 */
DwfConverted
dwf_encoding_convert(const char *bytes, int length, int from, int to,
					 char **text, int *text_length)
{
	*text = unconstify(char *, bytes);
	*text_length = length;
	if (dwf_encoding_is_ascii(bytes, length))
		return DWF_CONVERTED;
	if (from == DWF_ENCODING_UNKNOWN ||
		!pg_verify_mbstr(from, bytes, length, true))
		return DWF_NOT_VALID;
	if (from == to || from == PG_SQL_ASCII || to == PG_SQL_ASCII)
		return DWF_CONVERTED;
	if (from != PG_UTF8 && to != PG_UTF8)
		return convert_once(text, text_length, from, PG_UTF8) &&
			convert_once(text, text_length, PG_UTF8, to) ?
			DWF_CONVERTED : DWF_NOT_CONVERTIBLE;
	return convert_once(text, text_length, from, to) ?
		DWF_CONVERTED : DWF_NOT_CONVERTIBLE;
}
