/*-------------------------------------------------------------------------
 *
 * stream.h
 *	  Streams, read without waiting.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STREAM_H
#define DWF_STREAM_H

#include "base/durable_wf.h"

#include "store/stream_rows.h"

/* What is to be read of a stream, and what was found */
typedef struct DwfStreamRead
{
	text	   *workflow_id;
	text	   *stream;
	int64		after;
	int			limit;

	/* filled by dwf_stream_look */
	DwfStreamItem *items;
	int			count;
	bool		ended;			/* all was read, and nothing can come */
} DwfStreamRead;

extern bool dwf_stream_look(DwfStreamRead *read, Oid role);

#endif							/* DWF_STREAM_H */
