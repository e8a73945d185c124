/*-------------------------------------------------------------------------
 *
 * incoming.h
 *	  A request as it comes in, from bytes.  Pure: uses nothing of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_INCOMING_H
#define DWF_INCOMING_H

#include "postgres.h"

#include "bgworker/gateway/parser.h"
#include "bgworker/gateway/request.h"

/* How long the request line and the headers may be together */
#define DWF_HEAD_MAX	(32 * 1024)

/* How far a request has come in; see incoming.c */
typedef enum DwfPhase
{
	DWF_PHASE_START,			/* nothing of it but empty lines */
	DWF_PHASE_HEADERS,
	DWF_PHASE_HEAD_IN,			/* all headers are; dwf_incoming_go_on() */
	DWF_PHASE_DATA,				/* the body, or a chunk of it */
	DWF_PHASE_CHUNK,			/* the line of a chunk */
	DWF_PHASE_CHUNK_END,		/* the end of line after a chunk */
	DWF_PHASE_TRAILERS,
	DWF_PHASE_COMPLETE,
	DWF_PHASE_REFUSED			/* "status" says why */
} DwfPhase;

/* A request that is coming in */
typedef struct DwfIncoming
{
	DwfParser	parser;
	DwfPhase	phase;
	int			status;			/* of its answer, when it is refused */

	/* what the head says */
	bool		is_http_1_0;
	bool		is_chunked;
	bool		has_length;
	bool		is_encoded;		/* by a content coding */
	bool		expects_continue;
	int			hosts;

	/* strings: method, target, then the name and the value of each header */
	char	   *head;
	size_t		head_length;
	size_t		head_size;
	int			nheaders;

	/* a line of which not all is in; how much all lines have */
	char	   *line;
	size_t		line_length;
	size_t		line_size;
	size_t		lines_bytes;

	/* the body, and how much of it or of a chunk is to come */
	char	   *body;
	size_t		body_length;
	size_t		body_size;
	size_t		body_max;
	uint64		left;
} DwfIncoming;

extern void dwf_incoming_begin(DwfIncoming *incoming);
extern void dwf_incoming_free(DwfIncoming *incoming);
extern void dwf_incoming_forget(DwfIncoming *incoming);
extern size_t dwf_incoming_take(DwfIncoming *incoming, const char *bytes,
								size_t length);
extern void dwf_incoming_go_on(DwfIncoming *incoming, size_t body_max);
extern bool dwf_incoming_is_begun(const DwfIncoming *incoming);
extern bool dwf_incoming_has_body(const DwfIncoming *incoming);
extern const char *dwf_incoming_method(const DwfIncoming *incoming);
extern const char *dwf_incoming_target(const DwfIncoming *incoming);
extern void dwf_incoming_headers(const DwfIncoming *incoming,
								 DwfHttpHeader *headers);
extern const char *dwf_incoming_header(const DwfIncoming *incoming,
									   const char *name);

#endif							/* DWF_INCOMING_H */
