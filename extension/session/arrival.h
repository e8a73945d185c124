/*-------------------------------------------------------------------------
 *
 * arrival.h
 *	  Note what arrives at which address.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ARRIVAL_H
#define DWF_ARRIVAL_H

#include "base/durable_wf.h"

#include "fmgr.h"

#include "shared/address.h"
#include "store/store.h"

extern Datum dwf_note_arrival(PG_FUNCTION_ARGS);
extern void dwf_arrival_note_item(const DwfAddress *address, Oid table,
								  int64 message_id);
extern void dwf_arrival_note_stream(const DwfAddress *address, uint64 hash);
extern void dwf_arrival_note_start(const DwfStart *start, Oid owner);
extern void dwf_arrival_note_end(text *workflow_id);
extern void dwf_arrival_note_event(const DwfAddress *address, uint32 count);

#endif							/* DWF_ARRIVAL_H */
