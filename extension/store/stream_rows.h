/*-------------------------------------------------------------------------
 *
 * stream_rows.h
 *	  The tables of streams, as C functions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_STREAM_ROWS_H
#define DWF_STREAM_ROWS_H

#include "base/durable_wf.h"

#include "storage/itemptr.h"

#include "shared/address.h"
#include "store/store.h"

/* What became of an attempt to lock a stream */
typedef enum DwfStreamState
{
	DWF_STREAM_REFUSED,
	DWF_STREAM_BUSY,			/* within stream_rows.c */
	DWF_STREAM_OPEN,
	DWF_STREAM_CLOSED
} DwfStreamState;

/* A stream that this transaction has locked */
typedef struct DwfStreamTurn
{
	DwfAddress	address;
	uint64		hash;			/* of the address */

	/* which version of its row; invalid if this transaction has made it */
	ItemPointerData tid;
	TransactionId xmin;
} DwfStreamTurn;

/* An item of a stream; the value is jsonb */
typedef struct DwfStreamItem
{
	int64		item_no;
	Datum		value;
} DwfStreamItem;

/* What a token lets its holder read; the owner is the workflow's */
typedef struct DwfStreamUrl
{
	text	   *workflow_id;
	text	   *stream;
	Oid			owner;
} DwfStreamUrl;

extern DwfStreamState dwf_store_lock_stream(DwfStreamTurn *turn, Oid role);
extern int64 dwf_store_append(text *workflow_id, text *stream, Datum value,
							  Oid role);
extern int64 dwf_store_append_many(text *workflow_id, text *stream,
								   Datum values, Oid role);
extern bool dwf_store_close_stream(text *workflow_id, text *stream, Oid role);
extern bool dwf_store_stream_state(text *workflow_id, text *stream,
								   DwfLife *life, bool *closed);
extern bool dwf_store_stream_is_closed(text *workflow_id, text *stream);
extern bool dwf_store_stream_has_writer(text *workflow_id, text *stream);
extern bool dwf_store_stream_has_more(text *workflow_id, text *stream,
									  int64 after);
extern int	dwf_store_read_stream(text *workflow_id, text *stream,
								  int64 after, int limit,
								  DwfStreamItem **items);
extern bool dwf_store_create_stream_url(text *token, text *workflow_id,
										text *stream, Oid role);
extern bool dwf_store_dispose_stream_url(text *token, Oid role,
										 DwfStreamUrl *url);
extern bool dwf_store_find_stream_url(text *token, DwfStreamUrl *url);

#endif							/* DWF_STREAM_ROWS_H */
