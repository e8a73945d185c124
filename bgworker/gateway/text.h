/*-------------------------------------------------------------------------
 *
 * text.h
 *	  Convert text from clients and for them, in a server that is not UTF8.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_TEXT_H
#define DWF_TEXT_H

#include "postgres.h"

#include "base/encoding.h"

extern DwfConverted dwf_text_convert(const char *bytes, int length, int from,
									 int to, char **text, int *text_length);
extern const char *dwf_text_of_header(const char *value);

#endif							/* DWF_TEXT_H */
