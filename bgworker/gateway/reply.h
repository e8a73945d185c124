/*-------------------------------------------------------------------------
 *
 * reply.h
 *	  The bytes of responses.  Pure: uses nothing of the server.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_REPLY_H
#define DWF_REPLY_H

#include "postgres.h"

/*
 * The room for the head of a response: 8 kB of headers, in the encoding of the
 * server, of one byte each if it must be, and ours
 */
#define DWF_REPLY_HEAD_MAX	(128 * 1024)

/* A response; the body is text or any bytes */
typedef struct DwfReply
{
	int			status;
	int			nheaders;
	const char **names;
	const char **values;
	const char *body;
	size_t		body_length;
} DwfReply;

/* What a response's head says beside that, of the connection */
typedef struct DwfReplyTo
{
	bool		is_head;		/* the method was HEAD: the body is left out */
	bool		is_http_1_0;
	bool		keeps_alive;
	bool		is_stream;		/* the body comes in chunks, or ends with the
								 * connection */
} DwfReplyTo;

extern const DwfReply *dwf_reply_plain(int status);
extern bool dwf_reply_has_body(const DwfReply *reply, const DwfReplyTo *to);
extern size_t dwf_reply_head(const DwfReply *reply, const DwfReplyTo *to,
							 char *head);

#endif							/* DWF_REPLY_H */
