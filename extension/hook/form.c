/*-------------------------------------------------------------------------
 *
 * form.c
 *	  wf_form: the body of an HTML form, as browsers and many senders of
 *	  webhooks write it (application/x-www-form-urlencoded), as JSON.
 *
 * wf_form raises no error about its argument: unknown clients send it, and
 * must not be able to end a workflow with it.  It decodes as browsers do: '+'
 * is a space, %XX a byte of UTF-8, and a '%' that begins no escape stands for
 * itself.  A value that does not decode to text is null; a name that does not
 * stays as it was sent.  The values of a name that comes more than once are an
 * array.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/encoding.h"
#include "base/json.h"

PG_FUNCTION_INFO_V1(wf_form);

/* A name and its value */
typedef struct Pair
{
	JsonbValue	name;
	JsonbValue	value;
	int			position;		/* in the form, from 0 */
} Pair;

/* The value of a hexadecimal digit, or -1 */
static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decode a name or a value, and convert it from UTF-8 to the database's
 * encoding; false if it is not valid, or cannot be converted.
 */
static bool
decode(const char *part, int length, JsonbValue *value)
{
	char	   *bytes = palloc(length + 1);
	int			n = 0;

	/* Replace the escapes */
	for (int i = 0; i < length; i++)
	{
		if (part[i] == '+')
			bytes[n++] = ' ';
		else if (part[i] == '%' && i + 2 < length &&
				 hex_value(part[i + 1]) >= 0 && hex_value(part[i + 2]) >= 0)
		{
			bytes[n++] = (char) (hex_value(part[i + 1]) * 16 +
								 hex_value(part[i + 2]));
			i += 2;
		}
		else
			bytes[n++] = part[i];
	}
	bytes[n] = '\0';

	/* Convert the result */
	if (dwf_encoding_convert(bytes, n, PG_UTF8, GetDatabaseEncoding(), &bytes,
							 &n) != DWF_CONVERTED)
		return false;
	*value = dwf_json_string(bytes, n);
	return true;
}

/*
 * A name that cannot be decoded, as it was sent.  The form is in UTF-8 here;
 * what would not be text of ours is escaped.
 */
static JsonbValue
raw_name(const char *part, int length)
{
	StringInfoData name;
	char	   *text;
	int			text_length;

	if (dwf_encoding_convert(part, length, PG_UTF8, GetDatabaseEncoding(),
							 &text, &text_length) == DWF_CONVERTED)
		return dwf_json_string(text, text_length);

	initStringInfo(&name);
	for (int i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(part[i]))
			appendStringInfo(&name, "%%%02X", (unsigned char) part[i]);
		else
			appendStringInfoChar(&name, part[i]);
	}
	return dwf_json_string(name.data, name.len);
}

/* Read the pair that stands between "start" and "end" */
static void
read_pair(const char *start, const char *end, Pair *pair)
{
	const char *equals = memchr(start, '=', end - start);
	const char *name_end = equals ? equals : end;

	if (!decode(start, name_end - start, &pair->name))
		pair->name = raw_name(start, name_end - start);
	if (equals == NULL)
		pair->value = dwf_json_string("", 0);
	else if (!decode(equals + 1, end - equals - 1, &pair->value))
		pair->value.type = jbvNull;
}

/* Read all pairs of a form; returns how many there are */
static int
read_pairs(const char *form, int length, Pair **pairs)
{
	const char *end = form + length;
	int			room = 1;
	int			count = 0;

	/* Make room for as many as there can be */
	for (const char *c = form; c < end; c++)
		room += *c == '&';
	*pairs = palloc_extended((Size) room * sizeof(Pair), MCXT_ALLOC_HUGE);

	/* Read what stands between the ampersands, unless it is empty */
	for (const char *start = form; start < end;)
	{
		const char *ampersand = memchr(start, '&', end - start);
		const char *pair_end = ampersand ? ampersand : end;

		if (pair_end > start)
		{
			read_pair(start, pair_end, &(*pairs)[count]);
			(*pairs)[count].position = count;
			count++;
		}
		start = pair_end + 1;
	}
	return count;
}

/* Do two pairs have the same name? */
static bool
same_name(const Pair *a, const Pair *b)
{
	return a->name.val.string.len == b->name.val.string.len &&
		memcmp(a->name.val.string.val, b->name.val.string.val,
			   a->name.val.string.len) == 0;
}

/* Order pairs by name, those of one name by position; for qsort() */
static int
compare_pairs(const void *a, const void *b)
{
	const Pair *left = a;
	const Pair *right = b;
	int			order = memcmp(left->name.val.string.val,
							   right->name.val.string.val,
							   Min(left->name.val.string.len,
								   right->name.val.string.len));

	if (order == 0)
		order = left->name.val.string.len - right->name.val.string.len;
	return order != 0 ? order : left->position - right->position;
}

/* wf_form(body) → jsonb */
Datum
wf_form(PG_FUNCTION_ARGS)
{
	text	   *body = PG_GETARG_TEXT_PP(0);
	DwfJsonState state = {0};
	char	   *form;
	int			length;
	Pair	   *pairs;
	int			count;

	/*
	 * Read the form as UTF-8.  If this database's encoding cannot be
	 * converted to UTF-8, decode() cannot convert from UTF-8 either, and
	 * reports that.
	 */
	(void) dwf_encoding_convert(VARDATA_ANY(body), VARSIZE_ANY_EXHDR(body),
								GetDatabaseEncoding(), PG_UTF8, &form,
								&length);
	count = read_pairs(form, length, &pairs);
	qsort(pairs, count, sizeof(Pair), compare_pairs);

	/* Write each name with its value, or with an array of its values */
	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count;)
	{
		int			next = i + 1;

		while (next < count && same_name(&pairs[i], &pairs[next]))
			next++;
		dwf_json_add(&state, WJB_KEY, &pairs[i].name);
		if (next - i > 1)
			dwf_json_add(&state, WJB_BEGIN_ARRAY, NULL);
		for (int n = i; n < next; n++)
			dwf_json_add(&state, next - i > 1 ? WJB_ELEM : WJB_VALUE,
						 &pairs[n].value);
		if (next - i > 1)
			dwf_json_add(&state, WJB_END_ARRAY, NULL);
		i = next;
	}
	PG_RETURN_DATUM(dwf_json_finish(&state));
}
