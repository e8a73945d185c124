/*-------------------------------------------------------------------------
 *
 * parser.c
 *	  Node's parser of HTTP/1, of either generation: llhttp, or http-parser,
 *	  which came before it.  The Makefile chooses the one that is there.
 *
 * Nothing else knows which one it is.  Only the framing is asked of it: where
 * the headers end, how long the body is, whether another request may follow.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/parser.h"

/* Callback: the headers are in; what an upgrade offers is not taken */
static int
has_head(DwfParserState *state)
{
	DwfParser  *parser = (DwfParser *) state;

	parser->has_head = true;
	state->upgrade = 0;
	return 0;
}

/* Callback: a chunk's line is in */
static int
has_chunk(DwfParserState *state)
{
	((DwfParser *) state)->has_chunk = true;
	return 0;
}

/*
 * Callback: the request is complete.  (Whether to keep the connection has to
 * be asked before the parser begins anew.)
 */
static int
is_complete(DwfParserState *state)
{
	DwfParser  *parser = (DwfParser *) state;

	parser->is_complete = true;
#ifdef DWF_LLHTTP
	parser->keeps_alive = llhttp_should_keep_alive(state) != 0;
#else
	parser->keeps_alive = http_should_keep_alive(state) != 0;
#endif
	return 0;
}

#ifdef DWF_LLHTTP
static const llhttp_settings_t callbacks = {
#else
static const http_parser_settings callbacks = {
#endif
	.on_headers_complete = has_head,
	.on_chunk_header = has_chunk,
	.on_message_complete = is_complete
};

/* Begin with a request */
void
dwf_parser_begin(DwfParser *parser)
{
	memset(parser, 0, sizeof(DwfParser));
#ifdef DWF_LLHTTP
	llhttp_init(&parser->state, HTTP_REQUEST, &callbacks);
#else
	http_parser_init(&parser->state, HTTP_REQUEST);
#endif
}

/*
 * Let the parser read bytes of the request, none beyond its end; returns false
 * if it refuses them
 */
bool
dwf_parser_feed(DwfParser *parser, const char *bytes, size_t length)
{
#ifdef DWF_LLHTTP
	return llhttp_execute(&parser->state, bytes, length) == HPE_OK;
#else
	return http_parser_execute(&parser->state, &callbacks, bytes,
							   length) == length &&
		HTTP_PARSER_ERRNO(&parser->state) == HPE_OK;
#endif
}

/* The headers are in: is there a body, which may be empty if it is chunked? */
bool
dwf_parser_has_body(const DwfParser *parser)
{
	return !parser->is_complete;
}

/* The length of the body, or of the chunk whose line is in */
uint64
dwf_parser_length(const DwfParser *parser)
{
	return parser->state.content_length;
}
