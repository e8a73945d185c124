/*-------------------------------------------------------------------------
 *
 * reading.h
 *	  What a request for a stream asks, and the bytes of its answer.
 *	  Pure, but for the settings and StringInfo.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_READING_H
#define DWF_READING_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "bgworker/gateway/incoming.h"
#include "bgworker/gateway/reply.h"

/* What a request for a stream asks */
typedef struct DwfReading
{
	int64		after;			/* the number of the item before the first */
	bool		follows;		/* also what comes later */
	bool		is_lines;		/* as lines of JSON, not as events */
} DwfReading;

extern bool dwf_reading_parse(const DwfIncoming *incoming,
							  DwfReading *reading);
extern const DwfReply *dwf_reading_begin(const DwfIncoming *incoming,
										 bool is_lines);
extern const DwfReply *dwf_reading_refuse(const DwfIncoming *incoming,
										  int status);
extern const DwfReply *dwf_reading_send_on(const DwfIncoming *incoming,
										   const DwfReply *like);
extern const DwfReply *dwf_reading_preflight(const DwfIncoming *incoming);
extern void dwf_reading_write_item(StringInfo text, bool is_lines,
								   int64 item_no, const char *json,
								   int length);
extern const char *dwf_reading_end(bool is_lines);
extern const char *dwf_reading_heartbeat(bool is_lines);

#endif							/* DWF_READING_H */
