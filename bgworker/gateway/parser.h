/*-------------------------------------------------------------------------
 *
 * parser.h
 *	  Node's parser of HTTP/1, of either generation.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PARSER_H
#define DWF_PARSER_H

#include "postgres.h"

#ifdef DWF_LLHTTP
#include <llhttp.h>
typedef llhttp_t DwfParserState;
#else
#include <http_parser.h>
typedef http_parser DwfParserState;
#endif

/* A parser of one request, and how far it has come */
typedef struct DwfParser
{
	DwfParserState state;		/* the first field: callbacks find the rest */
	bool		has_head;		/* all headers are in */
	bool		has_chunk;		/* the line of a chunk is in */
	bool		is_complete;
	bool		keeps_alive;	/* another request may follow */
} DwfParser;

extern void dwf_parser_begin(DwfParser *parser);
extern bool dwf_parser_feed(DwfParser *parser, const char *bytes,
							size_t length);
extern bool dwf_parser_has_body(const DwfParser *parser);
extern uint64 dwf_parser_length(const DwfParser *parser);

#endif							/* DWF_PARSER_H */
