/*-------------------------------------------------------------------------
 *
 * returned.h
 *	  Which mailbox items receivers have given back, for the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_RETURNED_H
#define DWF_RETURNED_H

#include "base/durable_wf.h"

#include "storage/lwlock.h"

#define DWF_RETURNED_BYTES	32768

/*
 * Items of one queue that were taken together; the bytes of workflow, key and
 * ids follow, in this order and not aligned
 */
typedef struct DwfReturned
{
	SubTransactionId subid;		/* which took them; for the session only */
	uint32		count;			/* how many ids */
	uint16		workflow_length;
	uint16		key_length;
	char		door;
} DwfReturned;

extern Size dwf_returned_size(void);
extern void dwf_returned_init_shared(LWLockPadded *locks);
extern const char *dwf_returned_read(const char *bytes, DwfReturned *entry);

/* for backends */
extern void dwf_returned_put(const char *bytes, uint32 length);

/* for a worker */
extern void dwf_returned_begin(void);
extern void dwf_returned_end(void);
extern bool dwf_returned_are_there(void);
extern uint32 dwf_returned_take(char *copy);

#endif							/* DWF_RETURNED_H */
