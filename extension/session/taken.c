/*-------------------------------------------------------------------------
 *
 * taken.c
 *	  Which mailbox items this transaction has taken, so that it is counted
 *	  if they are given back.
 *
 * Used only while durable_wf.max_deliveries is set.  A buffer has an entry for
 * each take, in their order, each with the subtransaction that made it.  The
 * abort of a subtransaction tells the worker of the entries at the end of the
 * buffer which it and its children have made (as in wakeup.c), that of the
 * transaction of all.  A commit forgets them, and so does PREPARE TRANSACTION.
 *
 * The buffer is as large as the worker's: more could not be told at once.
 *
 *-------------------------------------------------------------------------
 */
#include "session/taken.h"

#include "utils/memutils.h"

#include "shared/preloaded.h"
#include "shared/returned.h"

/* The entries; in TopMemoryContext, from the first note on */
static char *entries = NULL;
static uint32 used = 0;

/*
 * Note items that this transaction has taken from a queue; those for which
 * there is no room are left out.  May raise out of memory.
 */
void
dwf_taken_note(const DwfAddress *queue, const DwfItem *items, int count)
{
	DwfReturned entry;
	uint32		head;
	char	   *to;

	if (!dwf_preloaded())
		return;
	if (entries == NULL)
		entries = MemoryContextAlloc(TopMemoryContext, DWF_RETURNED_BYTES);

	/* Describe the queue, and find how many ids fit in */
	memset(&entry, 0, sizeof(DwfReturned));
	entry.subid = GetCurrentSubTransactionId();
	entry.workflow_length = VARSIZE_ANY_EXHDR(queue->workflow_id);
	entry.key_length = VARSIZE_ANY_EXHDR(queue->key);
	entry.door = queue->door;
	head = sizeof(DwfReturned) + entry.workflow_length + entry.key_length;
	if (DWF_RETURNED_BYTES - used < head + sizeof(int64))
		return;
	entry.count = Min((uint32) count, (DWF_RETURNED_BYTES - used - head) /
					  sizeof(int64));

	/* Append the entry */
	to = entries + used;
	memcpy(to, &entry, sizeof(DwfReturned));
	to += sizeof(DwfReturned);
	memcpy(to, VARDATA_ANY(queue->workflow_id), entry.workflow_length);
	to += entry.workflow_length;
	memcpy(to, VARDATA_ANY(queue->key), entry.key_length);
	to += entry.key_length;
	for (uint32 i = 0; i < entry.count; i++, to += sizeof(int64))
		memcpy(to, &items[i].message_id, sizeof(int64));
	used = to - entries;
}

/* Tell the worker of the entries from "bottom" on, and forget them */
static void
give_back(uint32 bottom)
{
	if (bottom < used)
		dwf_returned_put(entries + bottom, used - bottom);
	used = bottom;
}

/* At the end of a transaction.  Neither allocates nor raises. */
void
dwf_taken_end_xact(XactEvent event)
{
	if (used == 0)
		return;
	if (event == XACT_EVENT_ABORT)
		give_back(0);
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
		used = 0;
}

/* At the abort of a subtransaction.  Neither allocates nor raises. */
void
dwf_taken_end_subxact(SubTransactionId subid)
{
	const char *at = entries;
	const char *bottom = entries;

	if (used == 0)
		return;

	/* find what follows the last entry of a smaller subtransaction id */
	while (at < entries + used)
	{
		DwfReturned entry;

		at = dwf_returned_read(at, &entry);
		if (entry.subid < subid)
			bottom = at;
	}
	give_back(bottom - entries);
}
