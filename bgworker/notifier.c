/*-------------------------------------------------------------------------
 *
 * notifier.c
 *	  Notify the sessions that listen, for the worker of their database.
 *
 * News are sent on at once when the last batch is longer ago than the least
 * gap, else when that is over: a limit of the rate, no period.
 *
 * What is told to listeners is no matter of the workflows'.  It may fail, as
 * the server's queue of notifications is full when a session that listens, to
 * whatever, is idle in a transaction for long; and it may have to wait, since
 * all who NOTIFY take one lock until they have committed.  Then nothing is
 * told, and when it works again all listeners have to look for themselves.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/notifier.h"

#include <math.h>

#include "commands/async.h"
#include "common/hashfn.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/owner.h"
#include "bgworker/attempt.h"
#include "shared/listener.h"
#include "shared/shmem.h"
#include "store/store.h"

/* Each so many sessions that listen lengthen the gap by as much again */
#define SESSIONS_PER_GAP	100.0

/* A batch ends after this, in ms: others wait for the worker, too */
#define LONGEST_BATCH		50

/* News for those who listen, and whether some were lost */
#define PENDING_MAX		(1024 * 1024)
static StringInfoData pending;
static bool pending_resync = false;

static instr_time last_batch;

static DwfAttempt telling = {
	.purpose = "notify listeners",
	.hint = "Workflows go on.  Listeners are told to look for themselves when it works again.  pg_notification_queue_usage() tells how full the queue is; a session that listens and is idle in a transaction keeps it from being emptied.",
	.lock_timeout = 250
};

/* The payload that tells what has come where */
static char *
make_payload(const DwfNews *news)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"workflow_id\": ");
	escape_json(&payload, pnstrdup(news->workflow_id, news->workflow_length));
	appendStringInfo(&payload, ", \"kind\": \"%s\", \"key\": ",
					 dwf_shmem_subject_name(dwf_shmem_subject(news->door)));
	if (news->door == DWF_DOOR_NO_TOPIC || news->door == DWF_DOOR_LIFE)
		appendStringInfoString(&payload, "null");
	else
		escape_json(&payload, pnstrdup(news->key, news->key_length));
	appendStringInfoChar(&payload, '}');
	return payload.data;
}

/* The listens of this database, those for a workflow by its hash */
typedef struct Listens
{
	DwfListen  *all;			/* sorted */
	int			count;
	int			first_workflow; /* those of roles come before it */
} Listens;

static int
compare_listens(const void *a, const void *b)
{
	uint64		left = ((const DwfListen *) a)->key.workflow_hash;
	uint64		right = ((const DwfListen *) b)->key.workflow_hash;

	return (left > right) - (left < right);
}

/*
 * To be called when the news have been taken: whose interest made a sender
 * leave them is there now.
 */
static void
list_listens(Listens *listens)
{
	listens->all = dwf_listener_list(&listens->count);
	qsort(listens->all, listens->count, sizeof(DwfListen), compare_listens);
	listens->first_workflow = 0;
	while (listens->first_workflow < listens->count &&
		   listens->all[listens->first_workflow].key.workflow_hash == 0)
		listens->first_workflow++;
}

/* Where those for a workflow begin, if there are any */
static int
find_listens(const Listens *listens, uint64 workflow_hash)
{
	int			low = listens->first_workflow;
	int			high = listens->count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (listens->all[middle].key.workflow_hash < workflow_hash)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* Notify a channel of news at this door */
static void
notify_channel(const char *channel, char door, const char *payload)
{
	Async_Notify(channel, payload);
	dwf_shmem_count(dwf_shmem_subject(door), DWF_COUNT_NOTIFICATIONS, 1);
}

/*
 * Notify who listens for all of the owner's workflows, and who for this one
 * and may see it.  One that is gone has news only of its life, which is over.
 */
static void
notify_news(const Listens *listens, const DwfNews *news)
{
	uint64		hash = dwf_listener_workflow_hash(news->workflow_id,
												  news->workflow_length);
	int			first = find_listens(listens, hash);
	bool		wanted = first < listens->count &&
	listens->all[first].key.workflow_hash == hash;
	char	   *payload;
	bool		exists;
	DwfLife		life;

	if ((!wanted && listens->first_workflow == 0) ||
		news->door == DWF_DOOR_RESPONSE ||	/* for suspended workflows only */
		news->door == DWF_DOOR_TURN)
		return;
	payload = make_payload(news);
	exists = dwf_store_life(cstring_to_text_with_len(news->workflow_id,
													 news->workflow_length),
							&life);

	for (int i = 0; exists && i < listens->first_workflow; i++)
		if (listens->all[i].key.role == life.owner)
			notify_channel(listens->all[i].channel, news->door, payload);
	for (int i = first; i < listens->count &&
		 listens->all[i].key.workflow_hash == hash; i++)
		if (exists ? dwf_owner_allows(life.owner, listens->all[i].key.role)
			: news->door == DWF_DOOR_LIFE)
			notify_channel(listens->all[i].channel, news->door, payload);
}

/*
 * Tell everyone who listens in this database to look for himself.  Whoever
 * listens for all workflows of a role has to in any case, and who follows
 * several by as many channels may take it by any of them.
 */
static void
notify_resync(const Listens *listens)
{
	for (int i = 0; i < listens->count; i++)
		Async_Notify(listens->all[i].channel,
					 "{\"workflow_id\": null, \"kind\": \"resync\", \"key\": null}");
	if (listens->count > 0)
		dwf_shmem_count(DWF_SUBJECT_ALL, DWF_COUNT_RESYNCS, 1);
}

/* True unless the same news are in this batch already */
static bool
are_new(HTAB *seen, const char *news, uint32 length)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) news, length,
										   dwf_shared->hash_seed);
	bool		found;

	(void) hash_search(seen, &hash, HASH_ENTER, &found);
	return !found;
}

/* For how long a batch has been made, in ms */
static double
milliseconds_since(instr_time start)
{
	instr_time	passed;

	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, start);
	return INSTR_TIME_GET_MILLISEC(passed);
}

/* Send on a batch of what was kept; the argument is where it ends */
static void
notify_batch(void *argument)
{
	int		   *end = argument;
	HASHCTL		control = {0};
	HTAB	   *seen;
	Listens		listens;
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	list_listens(&listens);
	control.keysize = control.entrysize = sizeof(uint64);
	control.hcxt = CurrentMemoryContext;
	seen = hash_create("durable_wf news", 256, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	if (pending_resync)
		notify_resync(&listens);
	*end = 0;
	while (*end < pending.len && milliseconds_since(start) < LONGEST_BATCH)
	{
		DwfNews		news;
		uint32		size = dwf_service_read_news(pending.data + *end, &news);

		if (are_new(seen, pending.data + *end, size))
			notify_news(&listens, &news);
		*end += size;
	}
}

/* Forget the first news that are kept */
static void
forget_news(int length)
{
	pending.len -= length;
	memmove(pending.data, pending.data + length, pending.len);
}

/* Forget all news: nobody wants them, or all have to look for themselves */
static void
lose_news(bool is_wanted)
{
	forget_news(pending.len);
	pending_resync = is_wanted;
}

/* Initialise; allocates for the life of the process */
void
dwf_notifier_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&pending);
	MemoryContextSwitchTo(old);
	INSTR_TIME_SET_ZERO(last_batch);
}

/* Keep news for those who listen; "resync": some were lost */
void
dwf_notifier_add(const char *news, uint32 length, bool resync)
{
	pending_resync |= resync;
	if (telling.failures > 0 || pending.len + length > PENDING_MAX)
		lose_news(true);
	else
		appendBinaryStringInfo(&pending, news, length);
}

/*
 * For how many milliseconds the next batch has to wait.  By a clock that
 * nobody sets.
 *
 * A batch wakes all sessions that listen, which on two CPUs takes each of them
 * some 30 microseconds; each hundred of them adds a gap, so that all together
 * never take more than a small part of one CPU.
 */
long
dwf_notifier_time_left(void)
{
	double		gap = dwf_setting_notify_min_gap *
	(1 + dwf_listener_sessions() / SESSIONS_PER_GAP);

	if (INSTR_TIME_IS_ZERO(last_batch))
		return 0;
	return Max(0, (long) ceil(gap - milliseconds_since(last_batch)));
}

/* Is there anything to be told? */
static bool
has_news(void)
{
	return pending.len > 0 || pending_resync;
}

/* Is it to be told now, as far as the gap is concerned? */
bool
dwf_notifier_is_due(void)
{
	return has_news() && dwf_attempt_may(&telling) &&
		dwf_notifier_time_left() == 0;
}

/* When there will be something to tell, as far as is known; or DT_NOEND */
TimestampTz
dwf_notifier_next(void)
{
	if (!has_news())
		return DT_NOEND;
	if (telling.failures > 0)
		return telling.again_at;
	return TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
									   dwf_notifier_time_left());
}

/*
 * Send on what was kept for those who listen.  When nobody does, in any
 * database, there is nothing to be told, and nothing that could fail: whoever
 * made a sender leave news was counted before that.
 */
void
dwf_notifier_tell(void)
{
	int			end;

	if (dwf_listener_count() == 0)
	{
		lose_news(false);
		telling.failures = telling.said = 0;
	}
	else if (dwf_attempt(&telling, notify_batch, &end, NULL))
	{
		forget_news(end);
		pending_resync = false;
	}
	else
		lose_news(true);
	INSTR_TIME_SET_CURRENT(last_batch);
	pgstat_report_stat(false);
}
