/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Text that comes from elsewhere, and goes there, in its encoding.
 *
 * What comes over HTTP is in the encoding that its content type says, UTF-8 if
 * it says none, and JSON is always UTF-8; what goes out is UTF-8.  A server of
 * another encoding has to convert, which not every text lets happen.
 *
 *-------------------------------------------------------------------------
 */
#include "base/encoding.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

/* No name of an encoding is longer */
#define NAME_MAX_LENGTH	40

/*
 * The encoding that a content type says: that of its parameter "charset", or
 * UTF-8.  ASCII is a part of that.
 */
int
dwf_encoding_of_type(const char *content_type)
{
	char		name[NAME_MAX_LENGTH + 1];
	const char *at = content_type;
	int			length;

	while ((at = strchr(at, ';')) != NULL)
	{
		at += 1 + strspn(at + 1, " \t");
		if (pg_strncasecmp(at, "charset=", 8) != 0)
			continue;
		at += 8;
		at += *at == '"';
		length = strcspn(at, "\"; \t");
		if (length > NAME_MAX_LENGTH)
			return DWF_ENCODING_UNKNOWN;
		memcpy(name, at, length);
		name[length] = '\0';
		if (length == 0 || pg_strcasecmp(name, "us-ascii") == 0 ||
			pg_strcasecmp(name, "ascii") == 0)
			return PG_UTF8;
		length = pg_char_to_encoding(name);
		return length < 0 || length == PG_SQL_ASCII ||
			length == PG_MULE_INTERNAL ? DWF_ENCODING_UNKNOWN : length;
	}
	return PG_UTF8;
}

/* Are all bytes ASCII, and none NUL?  Then they are text everywhere. */
bool
dwf_encoding_is_ascii(const char *bytes, int length)
{
	for (int i = 0; i < length; i++)
		if (bytes[i] == '\0' || IS_HIGHBIT_SET(bytes[i]))
			return false;
	return true;
}

/* Convert valid text by one conversion of the server's */
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
 * Text of one encoding in another, or as it is if that is the same.  What is
 * not ASCII needs a transaction, unless both are the same, as conversions are
 * in the catalogs.  A server of SQL_ASCII takes text as it comes.
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
