/*-------------------------------------------------------------------------
 *
 * texts.c
 *	  Compare and copy texts, by their bytes.
 *
 * Ids, keys and tokens are equal when their bytes are: the tables compare them
 * with COLLATE "C", and what C code compares must agree with an index.
 *
 *-------------------------------------------------------------------------
 */
#include "base/texts.h"

#include "utils/memutils.h"

/* Do two texts have the same bytes?  NULL equals nothing, not even NULL. */
bool
dwf_texts_equal(const text *a, const text *b)
{
	return a && b && VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* Order two texts by their bytes, as COLLATE "C" does; as memcmp() returns */
int
dwf_texts_compare(const text *a, const text *b)
{
	int			length_a = VARSIZE_ANY_EXHDR(a);
	int			length_b = VARSIZE_ANY_EXHDR(b);
	int			order = memcmp(VARDATA_ANY(a), VARDATA_ANY(b),
							   Min(length_a, length_b));

	return order != 0 ? order : length_a - length_b;
}

/* Copy a text to the current memory context; NULL stays NULL */
text *
dwf_texts_copy(const text *value)
{
	text	   *copy;

	if (value == NULL)
		return NULL;
	copy = palloc(VARSIZE_ANY(value));
	memcpy(copy, value, VARSIZE_ANY(value));
	return copy;
}

/* Copy a text to TopMemoryContext, where it outlives the transaction */
text *
dwf_texts_copy_to_top(const text *value)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	text	   *copy = dwf_texts_copy(value);

	MemoryContextSwitchTo(old);
	return copy;
}
