/*-------------------------------------------------------------------------
 *
 * text.c
 *	  Convert text from clients and for them, in a server that is not UTF8.
 *
 * Conversions are in the catalogs, so a text that has to be converted needs a
 * transaction.  Text that is ASCII, or in the server's encoding, needs none,
 * and nearly all text is that.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/text.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "bgworker/gateway/transaction.h"

/* Convert a text in a transaction; if that raises, it is not convertible */
static DwfConverted
convert_in_transaction(const char *bytes, int length, int from, int to,
					   char **text, int *text_length)
{
	MemoryContext context = CurrentMemoryContext;
	DwfConverted volatile result = DWF_NOT_CONVERTIBLE;

	PG_TRY();
	{
		dwf_transaction_begin(0);
		MemoryContextSwitchTo(context);
		result = dwf_encoding_convert(bytes, length, from, to, text,
									  text_length);
		dwf_transaction_commit(false);
	}
	PG_CATCH();
	{
		result = DWF_NOT_CONVERTIBLE;
		FreeErrorData(dwf_transaction_abort(context));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return result;
}

/* Call dwf_encoding_convert() outside of a transaction */
DwfConverted
dwf_text_convert(const char *bytes, int length, int from, int to, char **text,
				 int *text_length)
{
	Assert(!IsTransactionState());
	if (from == to || from == DWF_ENCODING_UNKNOWN ||
		dwf_encoding_is_ascii(bytes, length))
		return dwf_encoding_convert(bytes, length, from, to, text,
									text_length);
	return convert_in_transaction(bytes, length, from, to, text, text_length);
}

/*
 * Convert a header's value to the server's encoding, which is not UTF8.  A
 * value that is valid UTF-8 is taken as that, any other one as Latin-1.  If it
 * cannot be converted, each byte that is not ASCII becomes '?'.
 */
const char *
dwf_text_of_header(const char *value)
{
	int			length = strlen(value);
	char	   *text;
	DwfConverted converted = dwf_text_convert(value, length, PG_UTF8,
											  GetDatabaseEncoding(), &text,
											  &length);

	/* not UTF-8: then Latin-1, in which all bytes are valid */
	if (converted == DWF_NOT_VALID)
		converted = dwf_text_convert(value, length, PG_LATIN1,
									 GetDatabaseEncoding(), &text, &length);
	if (converted == DWF_CONVERTED)
		return text;
	text = pstrdup(value);

	for (char *c = text; *c; c++)
		if (IS_HIGHBIT_SET(*c))
			*c = '?';
	return text;
}
