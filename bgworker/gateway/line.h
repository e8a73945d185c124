/*-------------------------------------------------------------------------
 *
 * line.h
 *	  The lines of HTTP/1: what RFC 9110 and 9112 allow in them.
 *	  Pure: uses nothing of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LINE_H
#define DWF_LINE_H

#include "postgres.h"

/* A part of a line */
typedef struct DwfPart
{
	const char *at;
	size_t		length;
} DwfPart;

extern bool dwf_line_is_clean(const char *line, size_t length);
extern int	dwf_line_request(const char *line, size_t length, DwfPart *method,
							 DwfPart *target, int *minor);
extern bool dwf_line_header(const char *line, size_t length, DwfPart *name,
							DwfPart *value);
extern bool dwf_line_chunk(const char *line, size_t length, size_t *extension);
extern bool dwf_line_is(const DwfPart *part, const char *word);
extern bool dwf_line_may_begin(char c);
extern bool dwf_line_is_token(const char *text, size_t length);
extern bool dwf_line_is_number(const DwfPart *value);
extern bool dwf_line_is_host(const DwfPart *value);

#endif							/* DWF_LINE_H */
