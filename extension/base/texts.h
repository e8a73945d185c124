/*-------------------------------------------------------------------------
 *
 * texts.h
 *	  Compare and copy texts, by their bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TEXTS_H
#define DWF_TEXTS_H

#include "base/durable_wf.h"

extern PGDLLEXPORT bool dwf_texts_equal(const text *a, const text *b);
extern int	dwf_texts_compare(const text *a, const text *b);
extern text *dwf_texts_copy(const text *value);
extern text *dwf_texts_copy_to_top(const text *value);

#endif							/* DWF_TEXTS_H */
