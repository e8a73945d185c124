/*-------------------------------------------------------------------------
 *
 * helper.h
 *	  What the gateway and its helpers send each other (see validate.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HELPER_H
#define DWF_HELPER_H

#include "postgres.h"

#include "bgworker/gateway/request.h"

/* The size of what they share: a flag, and a queue for each direction */
#define DWF_HELPER_QUEUE	((Size) 65536)
#define DWF_HELPER_DOUBT	MAXALIGN(sizeof(bool))
#define DWF_HELPER_SEGMENT \
	(DWF_HELPER_DOUBT + 2 * DWF_HELPER_QUEUE)

/* The arguments of a helper's main function beside the segment */
typedef struct DwfHelperStart
{
	Oid			database;
	Oid			role;
} DwfHelperStart;

/*
 * What precedes the request in a message to a helper: then come its head and
 * its body (DwfIncoming)
 */
typedef struct DwfHelperRequest
{
	char		token[DWF_TOKEN_MAX + 1];
	int			nheaders;
	Size		head_length;
	Size		body_length;
	bool		is_elsewhere;	/* as in DwfConn */
	bool		wants_place;
} DwfHelperRequest;

/* What precedes the response, or the refusal, in its answer (DwfTask) */
typedef struct DwfHelperResponse
{
	int			status;
	int			fate;
	bool		is_refusal;
} DwfHelperResponse;

extern PGDLLEXPORT void dwf_helper_main(Datum arg);

#endif							/* DWF_HELPER_H */
