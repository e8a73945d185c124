/*-------------------------------------------------------------------------
 *
 * json_syntax.h
 *	  Is a text JSON that a jsonb can hold?  Nothing of the server is used.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JSON_SYNTAX_H
#define DWF_JSON_SYNTAX_H

#include "postgres.h"

/* A text nested deeper is refused, well before the server's stack ends */
#define DWF_JSON_DEPTH_MAX	2048

/* So is one whose exponents add up to more digits than this */
#define DWF_JSON_DIGITS_MAX	1000000

extern bool dwf_json_syntax_is_valid(const char *text, size_t length);
extern int	dwf_json_syntax_hex_value(char c);

#endif							/* DWF_JSON_SYNTAX_H */
