/*-------------------------------------------------------------------------
 *
 * inbox.c
 *	  News for suspended workflows that were taken from the ring, until they
 *	  are served.
 *
 * The worker empties the ring whenever there is something urgent in it, also
 * while earlier news are not served yet: so the ring is full only when more
 * comes between two pieces of the worker's work than it has room for.
 *
 * There are two queues.  The first few news of a commit go to one, the rest of
 * a commit with many news to the other; the worker serves a slice of each in
 * turn.  So who brings one thing does not wait behind who has brought
 * thousands.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/inbox.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "shared/expected.h"

/* So many bytes a queue keeps at most; the rest is lost, and a pass follows */
#define ROOM		(1024 * 1024)

/* News in the order in which they came, and up to where they were served */
typedef struct InboxQueue
{
	StringInfoData news;
	int			served;
} InboxQueue;

/* For the few news of a commit, and the many */
static InboxQueue queues[2];

/* Initialise; what it allocates lives as long as the process */
void
dwf_inbox_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&queues[false].news);
	initStringInfo(&queues[true].news);
	MemoryContextSwitchTo(old);
}

/* Forget what was served, once that is most of the queue */
static void
compact(InboxQueue *queue)
{
	if (queue->served <= queue->news.len / 2)
		return;
	queue->news.len -= queue->served;
	memmove(queue->news.data, queue->news.data + queue->served,
			queue->news.len);
	queue->served = 0;
}

/*
 * Keep those of these news for which a suspended workflow may wait, and add to
 * "lost" those for which there is no room
 */
void
dwf_inbox_add(const char *news, uint32 length, DwfLost *lost)
{
	compact(&queues[false]);
	compact(&queues[true]);
	for (uint32 at = 0; at < length;)
	{
		DwfNews		one;
		uint32		size = dwf_news_read(news + at, &one);
		InboxQueue *queue = &queues[one.is_bulk];
		uint64		hash = dwf_news_hash(&one);

		if (!dwf_expected_has(hash))
			;					/* what begins to wait looks itself */
		else if (queue->news.len + size > ROOM)
			dwf_news_add_one_lost(lost, hash);
		else
			appendBinaryStringInfo(&queue->news, news + at, size);
		at += size;
	}
}

/* Are there news in a queue? */
bool
dwf_inbox_has(bool is_bulk)
{
	return queues[is_bulk].served < queues[is_bulk].news.len;
}

/* Begin to read the news of a queue */
void
dwf_inbox_begin(DwfInboxSlice *slice)
{
	slice->end = queues[slice->is_bulk].served;
}

/* Read the next news of a slice; false if there are no more in its queue */
bool
dwf_inbox_read(DwfInboxSlice *slice, DwfNews *news)
{
	const InboxQueue *queue = &queues[slice->is_bulk];

	if (slice->end == queue->news.len)
		return false;
	slice->end += dwf_news_read(queue->news.data + slice->end, news);
	return true;
}

/* The news that were read of a slice were served */
void
dwf_inbox_forget(const DwfInboxSlice *slice)
{
	queues[slice->is_bulk].served = slice->end;
}

/* Forget all news of a queue: they are lost, as the caller says elsewhere */
void
dwf_inbox_empty(bool is_bulk)
{
	queues[is_bulk].served = queues[is_bulk].news.len = 0;
}
