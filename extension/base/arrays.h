/*-------------------------------------------------------------------------
 *
 * arrays.h
 *	  Build arrays for statements, and take arrays of texts apart.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ARRAYS_H
#define DWF_ARRAYS_H

#include "base/durable_wf.h"

extern Datum dwf_arrays_of_text(Datum *values, int count);
extern Datum dwf_arrays_of_one_text(text *value);
extern Datum dwf_arrays_of_int8(const int64 *values, int count);
extern Datum dwf_arrays_of_char(Datum *values, int count);
extern Datum dwf_arrays_of_jsonb(Datum *values, int count);
extern int	dwf_arrays_read_texts(Datum array, Datum **values, bool **nulls);

#endif							/* DWF_ARRAYS_H */
