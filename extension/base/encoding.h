/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Convert text between the encodings of HTTP messages and of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ENCODING_H
#define DWF_ENCODING_H

#include "base/durable_wf.h"

/* A name of an encoding that this server does not know */
#define DWF_ENCODING_UNKNOWN	(-1)

/* What became of text that was converted */
typedef enum DwfConverted
{
	DWF_CONVERTED,
	DWF_NOT_VALID,				/* it is not valid in its encoding */
	DWF_NOT_CONVERTIBLE			/* the other encoding lacks a character */
} DwfConverted;

extern PGDLLEXPORT int dwf_encoding_of_type(const char *content_type);
extern PGDLLEXPORT bool dwf_encoding_is_ascii(const char *bytes, int length);
extern PGDLLEXPORT DwfConverted dwf_encoding_convert(const char *bytes,
													 int length, int from,
													 int to, char **text,
													 int *text_length);

#endif							/* DWF_ENCODING_H */
