/*-------------------------------------------------------------------------
 *
 * notifier.c
 *	  Notify the sessions that listen, for the worker of their database.
 *
 * News are sent at once if the least gap since the last batch is over, else
 * when it is over.  That limits the rate; it is no period.  The gap is as long
 * as it takes for the sessions that a batch wakes to stay within a small part
 * of the CPUs, and durable_wf.notify_min_gap at least.
 *
 * A failure here concerns no workflow.  NOTIFY fails while the server's queue
 * of notifications is full, which a listening session causes that stays idle
 * in a transaction.  It waits while another session that has notified commits,
 * since all of these take one lock until their commit.  After a failure news
 * are dropped, and when NOTIFY works again all listeners get a resync: each
 * has to read the tables.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/notifier.h"

#include <math.h>
#include <unistd.h>

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

#include "base/compat.h"
#include "base/owner.h"
#include "base/settings.h"
#include "bgworker/attempt.h"
#include "shared/address.h"
#include "shared/counters.h"
#include "shared/listener.h"
#include "shared/news.h"
#include "store/store.h"

/*
 * What a session that is woken takes of a CPU, in ms, and what part of all
 * CPUs all of them may take
 */
#define WAKE_COST			0.036
#define CPU_SHARE			0.015

/* A batch ends after so many ms: other work waits for the worker, too */
#define LONGEST_BATCH		20

/* News that were not sent yet, so many bytes at most; and were some lost? */
#define PENDING_MAX		(1024 * 1024)
static StringInfoData pending;
static bool pending_resync = false;

/* When the last batch was sent; zero before the first */
static instr_time last_batch;

/* How many sessions the last batch has told something, each perhaps twice */
static int	told = 0;

/* How many CPUs there are */
static int	cpus = 1;

static DwfAttempt telling = {
	.purpose = "notify listeners",
	.hint = "Workflows go on.  Listeners are told to look for themselves when it works again.  pg_notification_queue_usage() tells how full the queue is; a session that listens and is idle in a transaction keeps it from being emptied.",
	.lock_timeout = 250
};

/* The payload of one piece of news, as JSON */
static char *
make_payload(const DwfNews *news)
{
	StringInfoData payload;
	DwfSubject	subject;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"workflow_id\": ");
	escape_json(&payload, pnstrdup(news->workflow_id, news->workflow_length));
	subject = dwf_counters_subject(news->door);
	appendStringInfo(&payload, ", \"kind\": \"%s\", \"key\": ",
					 dwf_counters_subject_name(subject));
	if (news->door == DWF_DOOR_NO_TOPIC || news->door == DWF_DOOR_LIFE)
		appendStringInfoString(&payload, "null");
	else
		escape_json(&payload, pnstrdup(news->key, news->key_length));
	appendStringInfoChar(&payload, '}');
	return payload.data;
}

/* The listens of this database, sorted by the hash of their workflow */
typedef struct Listens
{
	DwfListen  *all;
	bool	   *is_told;		/* for each: did the batch tell it anything? */
	int			count;
	int			first_workflow; /* listens for a role, hash 0, precede it */
} Listens;

/* Order listens by the hash of their workflow, for qsort() */
static int
compare_listens(const void *a, const void *b)
{
	uint64		left = ((const DwfListen *) a)->key.workflow_hash;
	uint64		right = ((const DwfListen *) b)->key.workflow_hash;

	return (left > right) - (left < right);
}

/*
 * Read the listens.  To be called after the news were taken from the ring: a
 * listen that made a session put news there is in shared memory by then.
 */
static void
list_listens(Listens *listens)
{
	listens->all = dwf_listener_list(&listens->count);
	qsort(listens->all, listens->count, sizeof(DwfListen), compare_listens);
	listens->is_told = palloc0(Max(listens->count, 1) * sizeof(bool));
	listens->first_workflow = 0;
	while (listens->first_workflow < listens->count &&
		   listens->all[listens->first_workflow].key.workflow_hash == 0)
		listens->first_workflow++;
}

/* Where the listens for a workflow begin, or would begin */
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

/* Notify the channel of a listen of news at a door, and count that */
static void
notify_listen(const Listens *listens, int i, char door, const char *payload)
{
	Async_Notify(listens->all[i].channel, payload);
	listens->is_told[i] = true;
	dwf_counters_add(dwf_counters_subject(door), DWF_COUNT_NOTIFICATIONS, 1);
}

/*
 * Notify the listeners for all workflows of the owner's, and those for this
 * workflow whose role may see it.  A workflow that is not in the tables any
 * more has news of its end only.
 */
static void
notify_news(const Listens *listens, const DwfNews *news)
{
	uint64		hash = dwf_address_workflow_hash(news->workflow_id,
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

	/* whose is it? */
	payload = make_payload(news);
	exists = dwf_store_life(cstring_to_text_with_len(news->workflow_id,
													 news->workflow_length),
							&life);

	/* listeners for a role, then those for this workflow */
	for (int i = 0; exists && i < listens->first_workflow; i++)
		if (listens->all[i].key.role == life.owner)
			notify_listen(listens, i, news->door, payload);
	for (int i = first; i < listens->count &&
		 listens->all[i].key.workflow_hash == hash; i++)
		if (exists ? dwf_owner_allows(life.owner, listens->all[i].key.role)
			: news->door == DWF_DOOR_LIFE)
			notify_listen(listens, i, news->door, payload);
}

/*
 * Send a resync on each channel of this database.  Any lost news may concern a
 * listener for a role; a session with several channels gets it on each.
 */
static void
notify_resync(const Listens *listens)
{
	for (int i = 0; i < listens->count; i++)
	{
		Async_Notify(listens->all[i].channel,
					 "{\"workflow_id\": null, \"kind\": \"resync\", \"key\": null}");
		listens->is_told[i] = true;
	}
	if (listens->count > 0)
		dwf_counters_add(DWF_SUBJECT_ALL, DWF_COUNT_RESYNCS, 1);
}

/* Are these news not in this batch yet?  Equal hashes count as equal news. */
static bool
are_new(HTAB *seen, const DwfNews *news)
{
	uint64		hash = dwf_news_hash(news);
	bool		found;

	(void) hash_search(seen, &hash, HASH_ENTER, &found);
	return !found;
}

/* How many ms have passed since a moment */
static double
milliseconds_since(instr_time start)
{
	instr_time	passed;

	INSTR_TIME_SET_CURRENT(passed);
	INSTR_TIME_SUBTRACT(passed, start);
	return INSTR_TIME_GET_MILLISEC(passed);
}

/*
 * A piece of work: notify listeners of the kept news, in order, for at most
 * LONGEST_BATCH.  The argument takes where the batch ends in them.
 */
static void
notify_batch(void *argument)
{
	int		   *end = argument;
	HASHCTL		control = {0};
	HTAB	   *seen;
	Listens		listens;
	instr_time	start;

	/* read who listens; make a set for what was sent */
	INSTR_TIME_SET_CURRENT(start);
	list_listens(&listens);
	control.keysize = control.entrysize = sizeof(uint64);
	control.hcxt = CurrentMemoryContext;
	seen = hash_create("durable_wf news", 256, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	/* send */
	if (pending_resync)
		notify_resync(&listens);
	*end = 0;
	while (*end < pending.len && milliseconds_since(start) < LONGEST_BATCH)
	{
		DwfNews		news;
		uint32		size = dwf_news_read(pending.data + *end, &news);

		if (are_new(seen, &news))
			notify_news(&listens, &news);
		*end += size;
	}

	/* how many sessions it wakes */
	told = 0;
	for (int i = 0; i < listens.count; i++)
		if (listens.is_told[i])
			told += listens.all[i].sessions;
}

/* Forget the first bytes of the kept news */
static void
forget_news(int length)
{
	pending.len -= length;
	memmove(pending.data, pending.data + length, pending.len);
}

/* Forget all kept news; "resync": they are lost, so all listeners get one */
static void
lose_news(bool resync)
{
	forget_news(pending.len);
	pending_resync = resync;
}

/* Initialise; what it allocates lives as long as the process */
void
dwf_notifier_init(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&pending);
	MemoryContextSwitchTo(old);
	INSTR_TIME_SET_ZERO(last_batch);
	cpus = Max((int) sysconf(_SC_NPROCESSORS_ONLN), 1);
}

/* May a session listen for these news? */
static bool
is_listened_for(const DwfNews *news)
{
	uint64		hash = dwf_address_workflow_hash(news->workflow_id,
												 news->workflow_length);

	return dwf_listener_wants(hash);
}

/*
 * Keep those of these news for which a session may listen; "resync": some were
 * lost.  A session that begins to listen after this reads the tables after
 * that itself.
 */
void
dwf_notifier_add(const char *news, uint32 length, bool resync)
{
	pending_resync |= resync;
	if (telling.failures > 0 || pending.len + length > PENDING_MAX)
	{
		lose_news(true);
		return;
	}
	for (uint32 at = 0; at < length;)
	{
		DwfNews		one;
		uint32		size = dwf_news_read(news + at, &one);

		if (is_listened_for(&one))
			appendBinaryStringInfo(&pending, news + at, size);
		at += size;
	}
}

/*
 * The least gap between two batches, in ms: the setting, or longer if that
 * keeps the sessions that are woken within their part of the CPUs.  A batch
 * wakes all sessions that listen in this database or, with a newer server,
 * those that it tells something.  With a setting of 0 there is no gap.
 */
static double
least_gap(void)
{
	int			woken = DWF_NOTIFY_IS_TARGETED ? told :
	(int) dwf_listener_sessions();

	if (dwf_setting_notify_min_gap == 0)
		return 0;
	return Max(woken * WAKE_COST / (CPU_SHARE * cpus),
			   dwf_setting_notify_min_gap);
}

/*
 * For how many milliseconds the next batch has to wait, by the monotonic
 * clock
 */
long
dwf_notifier_time_left(void)
{
	if (INSTR_TIME_IS_ZERO(last_batch))
		return 0;
	return Max(0, (long) ceil(least_gap() - milliseconds_since(last_batch)));
}

/* Is there anything to send? */
static bool
has_news(void)
{
	return pending.len > 0 || pending_resync;
}

/* Is there anything to send, and are the gap and a failure's delay over? */
bool
dwf_notifier_is_due(void)
{
	return has_news() && dwf_attempt_may(&telling) &&
		dwf_notifier_time_left() == 0;
}

/* When dwf_notifier_is_due() will be true; DT_NOEND if nothing is kept */
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
 * Send a batch of the kept news.  While no session listens, in any database,
 * the news are forgotten, and nothing can fail: a session that began to listen
 * before a sender's commit was counted before that.
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
