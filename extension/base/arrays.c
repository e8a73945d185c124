/*-------------------------------------------------------------------------
 *
 * arrays.c
 *	  Build arrays for statements, and take arrays of texts apart.
 *
 * All have one dimension.  Those that are built have no null element, and
 * none at all when "count" is 0.
 *
 *-------------------------------------------------------------------------
 */
#include "base/arrays.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

/* Build a text[] */
Datum
dwf_arrays_of_text(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/* Build a text[] of one element */
Datum
dwf_arrays_of_one_text(text *value)
{
	Datum		element = PointerGetDatum(value);

	return dwf_arrays_of_text(&element, 1);
}

/* Build a bigint[] */
Datum
dwf_arrays_of_int8(const int64 *values, int count)
{
	Datum	   *elements = palloc(count * sizeof(Datum));
	ArrayType  *array;

	for (int i = 0; i < count; i++)
		elements[i] = Int64GetDatum(values[i]);
	array = construct_array(elements, count, INT8OID, 8, FLOAT8PASSBYVAL,
							TYPALIGN_DOUBLE);
	pfree(elements);
	return PointerGetDatum(array);
}

/* Build a "char"[] */
Datum
dwf_arrays_of_char(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, CHAROID, 1, true,
										   TYPALIGN_CHAR));
}

/* Build a jsonb[] */
Datum
dwf_arrays_of_jsonb(Datum *values, int count)
{
	return PointerGetDatum(construct_array(values, count, JSONBOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * Take a text[] apart.  Returns the number of its elements; raises if one of
 * them is null and the caller does not ask for "nulls".
 */
int
dwf_arrays_read_texts(Datum array, Datum **values, bool **nulls)
{
	int			count;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false,
					  TYPALIGN_INT, values, nulls, &count);
	return count;
}
