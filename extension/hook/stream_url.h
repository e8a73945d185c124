/*-------------------------------------------------------------------------
 *
 * stream_url.h
 *	  Streams read by tokens, for the gateway.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STREAM_URL_H
#define DWF_STREAM_URL_H

#include "base/durable_wf.h"

#include "mailbox/stream.h"

extern PGDLLEXPORT bool dwf_stream_url_find(text *token, DwfStreamUrl *url);
extern PGDLLEXPORT void dwf_stream_url_read(const DwfStreamUrl *url,
											DwfStreamRead *read);

#endif							/* DWF_STREAM_URL_H */
