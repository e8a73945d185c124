/*-------------------------------------------------------------------------
 *
 * delivery.c
 *	  Count how often messages are given back; move those that were given back
 *	  durable_wf.max_deliveries times to the dead letters.
 *
 * Sessions tell what they have given back through returned.c.  A receive takes
 * no message whose count has reached the limit, so the receivers that come
 * back at once cannot keep such a message from the worker: it becomes free
 * when the receiver that has it now ends.  The worker skips it while it is
 * locked, and while its workflow has ended, and tries again when that receiver
 * tells that it has given it back.  As that may remain untold, and a workflow
 * may live again, the worker also tries by the clock, after half a second and
 * then ever more rarely; and when it begins or the settings change.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/delivery.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "base/settings.h"
#include "bgworker/attempt.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "shared/returned.h"
#include "store/catalog.h"
#include "store/store.h"

/* At most so many are moved in one transaction */
#define LETTERS_MAX		1000

/* Delays before a message that was locked is tried again, in ms */
#define FIRST_GAP		500
#define LONGEST_GAP		60000

/* After so many failures in a row a batch is dropped */
#define FAILURES_MAX	3

static DwfAttempt counting = {
	.purpose = "count deliveries",
	.lock_timeout = 250
};

/* What was given back and is still to be counted */
static char batch[DWF_RETURNED_BYTES];
static uint32 length = 0;

/* When to look for messages to move; the delay before, in ms */
static TimestampTz look_at = DT_NOBEGIN;
static int	gap = FIRST_GAP;

/* Look for messages to move: the settings may have changed */
void
dwf_delivery_look(void)
{
	look_at = DT_NOBEGIN;
}

/* When dwf_delivery_count() has something to do; DT_NOEND: not yet known */
TimestampTz
dwf_delivery_next(void)
{
	TimestampTz next = look_at;

	if (length > 0 || dwf_returned_are_there())
		next = DT_NOBEGIN;
	return dwf_attempt_may(&counting) || next == DT_NOEND ? next :
		Max(next, counting.again_at);
}

/* Has dwf_delivery_count() something to do now? */
bool
dwf_delivery_is_due(void)
{
	TimestampTz next = dwf_delivery_next();

	return next != DT_NOEND && next <= GetCurrentTimestamp();
}

/* The items of the batch */
static void
read_batch(DwfLetters *letters)
{
	const char *at = batch;

	dwf_store_make_letters(letters, DWF_RETURNED_BYTES / sizeof(int64));
	while (at < batch + length)
	{
		DwfReturned entry;
		const char *end = dwf_returned_read(at, &entry);
		text	   *text_of_id;
		Datum		workflow_id;
		Datum		key;

		at += sizeof(DwfReturned);
		text_of_id = cstring_to_text_with_len(at, entry.workflow_length);
		workflow_id = PointerGetDatum(text_of_id);
		at += entry.workflow_length;
		key = PointerGetDatum(cstring_to_text_with_len(at, entry.key_length));
		at += entry.key_length;
		for (; at < end; at += sizeof(int64))
		{
			letters->workflow_ids[letters->count] = workflow_id;
			letters->doors[letters->count] = CharGetDatum(entry.door);
			letters->keys[letters->count] = key;
			memcpy(&letters->message_ids[letters->count++], at, sizeof(int64));
		}
	}
}

/*
 * Move what has reached the limit to the dead letters; false if something that
 * has is still in its queue.  Removals are noted before a row is locked: if
 * this transaction aborts, receivers may have skipped it (README, I3).
 */
static bool
bury(int64 limit)
{
	DwfLetters	letters;

	dwf_store_forget_deliveries(look_at == DT_NOBEGIN ? 0 : limit);
	dwf_store_find_due_letters(limit, LETTERS_MAX, &letters);
	for (int i = 0; i < letters.count; i++)
	{
		DwfAddress	queue = {DatumGetChar(letters.doors[i]),
			DatumGetTextP(letters.workflow_ids[i]),
		DatumGetTextP(letters.keys[i])};

		dwf_wakeup_note_removal(&queue);
	}
	if (letters.count > 0)
		(void) dwf_store_bury(&letters);
	return !dwf_store_any_due_letter(limit);
}

/* What came of a piece of work */
typedef struct Outcome
{
	bool		looked;			/* for what has reached the limit */
	bool		is_left;		/* something that has is still in its queue */
} Outcome;

/* Objects from before 1.0.0 count no deliveries: say so, once */
static void
say_not_counted(void)
{
	static bool said = false;

	if (said)
		return;
	said = true;
	ereport(LOG,
			(errmsg("durable_wf.max_deliveries has no effect in database \"%s\" yet",
					get_database_name(MyDatabaseId)),
			 errhint("Use ALTER EXTENSION durable_wf UPDATE.")));
}

/*
 * A piece of work: count the batch, move what has reached the limit.  The
 * argument takes the outcome.
 */
static void
count_batch(void *argument)
{
	Outcome    *outcome = argument;
	int64		limit = dwf_setting_max_deliveries;
	bool		must_look = look_at <= GetCurrentTimestamp();

	outcome->looked = must_look;
	if (!OidIsValid(dwf_catalog_find_relation("delivery")))
	{
		say_not_counted();
		return;
	}

	if (length > 0)
	{
		DwfLetters	letters;

		read_batch(&letters);
		must_look |= dwf_store_count_deliveries(&letters, limit);
	}
	outcome->looked = must_look;
	if (must_look)
		outcome->is_left = !bury(limit);
}

/* Count what was given back, and move what is due to the dead letters */
void
dwf_delivery_count(void)
{
	bool		is_new = dwf_returned_are_there();
	Outcome		outcome = {false, false};

	if (length == 0)
		length = dwf_returned_take(batch);
	if (dwf_setting_max_deliveries == 0)
	{
		length = 0;
		look_at = DT_NOEND;
		return;
	}
	if (!dwf_attempt(&counting, count_batch, &outcome, NULL))
	{
		if (counting.failures > FAILURES_MAX)
			length = 0;
		return;
	}

	/* Look again later if something was locked */
	length = 0;
	if (!outcome.looked)
		return;
	gap = is_new ? FIRST_GAP : Min(gap * 2, LONGEST_GAP);
	look_at = !outcome.is_left ? DT_NOEND :
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), gap);
}
