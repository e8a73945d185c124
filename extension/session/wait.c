/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  The wait loop: look, and sleep until something can have changed.
 *
 *	register; then: reset latch, test, look, sleep; unregister on every way out
 *
 * The first look comes before the registration, since most calls find what
 * they want.  After the registration the loop looks again if something has
 * arrived at its keys since before the first look: the counts of arrivals tell
 * (W5 in waiter.c).  What arrives later signals the waiter's slot.  The loop
 * has no timeout but the caller's deadline and the moment that the look
 * asks for, so nothing runs while nothing happens.
 *
 * Called as a function, a wait keeps the snapshot of the query that calls it.
 * Called by CALL outside a transaction block it commits first, and again
 * after each look that found nothing, so that it sleeps with neither a
 * snapshot nor an xid nor a lock.
 *
 * Every wait also ends with an error when the workflow that it acts as ends,
 * or, if it acts as none, the session's current workflow, provided that this
 * was alive when the wait began; and when the session's client has gone
 * (client.c).
 *
 *-------------------------------------------------------------------------
 */
#include "session/wait.h"

#include <limits.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/client.h"
#include "base/compat.h"
#include "base/owner.h"
#include "base/settings.h"
#include "base/texts.h"
#include "session/body_timeout.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/suspend.h"
#include "shared/address.h"
#include "shared/claim.h"
#include "shared/counters.h"
#include "shared/dismissal.h"
#include "shared/expected.h"
#include "shared/listener.h"
#include "shared/preloaded.h"
#include "shared/waiter.h"
#include "shared/workers.h"
#include "store/anchor.h"
#include "store/custody.h"
#include "store/probe.h"
#include "store/store.h"

/*
 * Note how a SQL function was called, in which workflow and by which role.
 * The workflow and the role may be SET LOCAL and gone after the first commit.
 */
void
dwf_wait_init(DwfWait *wait, FunctionCallInfo fcinfo, const char *function)
{
	memset(wait, 0, sizeof(DwfWait));
	wait->function = function;
	wait->call = fcinfo;
	wait->is_call = fcinfo->context && IsA(fcinfo->context, CallContext);
	wait->may_commit = wait->is_call &&
		!castNode(CallContext, fcinfo->context)->atomic;
	wait->current = dwf_identity_current();
	wait->role = GetUserId();
	wait->look_at = DWF_WAIT_FOREVER;
	wait->taken_at = -1;
}

/* Begin a wait of a process of ours, in no call: it can commit */
void
dwf_wait_init_for_process(DwfWait *wait, const char *name, Oid role)
{
	memset(wait, 0, sizeof(DwfWait));
	wait->function = name;
	wait->is_call = wait->may_commit = true;
	wait->role = role;
	wait->look_at = DWF_WAIT_FOREVER;
	wait->taken_at = -1;
}

/* ----- what to wait for ----- */

/* Are two texts the same, or both NULL? */
static bool
same_text(const text *a, const text *b)
{
	return a == b || dwf_texts_equal(a, b);
}

/* Add an address to the keys of a wait, unless it is among them */
static void
add_key(DwfWait *wait, char door, text *workflow_id, text *key, bool is_aid)
{
	DwfWaitKey *added;

	for (int i = 0; i < wait->nkeys; i++)
	{
		DwfWaitKey *other = &wait->keys[i];

		if (other->address.door == door &&
			same_text(other->address.workflow_id, workflow_id) &&
			same_text(other->address.key, key))
		{
			other->is_aid &= is_aid;
			return;
		}
	}

	Assert(wait->nkeys <= wait->keys_size &&
		   wait->nkeys < DWF_LINKS_MAX - 1);
	if (wait->keys_size == 0)
		wait->keys = palloc((wait->keys_size = 4) * sizeof(DwfWaitKey));
	else if (wait->nkeys == wait->keys_size)
		wait->keys = repalloc(wait->keys,
							  (wait->keys_size *= 2) * sizeof(DwfWaitKey));
	added = &wait->keys[wait->nkeys++];
	added->address.door = door;
	added->address.workflow_id = workflow_id;
	added->address.key = key;
	added->is_aid = is_aid;
}

/*
 * Wait at an address, and at those whose wakes can end a wait there, too.  A
 * wait for several things calls this for each; the first is what it is shown
 * to wait for.
 */
void
dwf_wait_at(DwfWait *wait, char door, text *workflow_id, text *key)
{
	add_key(wait, door, workflow_id, key, false);
	switch (door)
	{
		case DWF_DOOR_NOTIFY:
			/* a broadcast looks for waiters at its own address, by their id */
			add_key(wait, DWF_DOOR_BROADCAST, NULL, key, true);
			wait->wants_id = true;
			break;
		case DWF_DOOR_STREAM:
			add_key(wait, DWF_DOOR_TURN, workflow_id, key, true);
			add_key(wait, DWF_DOOR_LIFE, workflow_id, NULL, true);
			break;
		case DWF_DOOR_EVENT:
		case DWF_DOOR_RESPONSE:
			/* nothing comes after the end of the workflow */
			add_key(wait, DWF_DOOR_LIFE, workflow_id, NULL, true);
			break;
		default:
			break;
	}
}

/* Commit and go on in a new transaction, which holds nothing yet */
void
dwf_wait_commit(void)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_commit();
	MemoryContextSwitchTo(context);
}

/* ----- which sessions may wait ----- */

/*
 * Raise unless this session can wait: 25006, 25001, WF009 in a step, 55000.
 * A CALL that cannot commit gets a NOTICE that it keeps snapshot and locks;
 * with durable_wf.wait_in_transaction off that, too, is 25001.
 */
void
dwf_wait_check(const DwfWait *wait)
{
	/* in recovery nothing arrives, in an old snapshot nothing is seen */
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				 errmsg("cannot wait in %s() during recovery",
						wait->function),
				 errhint("A standby can look, with a timeout of 0; to wait, connect to the primary.")));
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot wait in %s() in a REPEATABLE READ or SERIALIZABLE transaction",
						wait->function),
				 errdetail("The transaction's snapshot could never show what it would wait for."),
				 errhint("Wait in a READ COMMITTED transaction, or pass a timeout of 0.")));

	/* the wait needs the registry, which has room for one of each session */
	dwf_preloaded_require(wait->function);
	if (dwf_journal_in_command())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot wait in %s() inside a step", wait->function),
				 errhint("Wait before or after wf_step(), or pass a timeout of 0.")));
	if (dwf_waiter_is_waiting())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot wait in %s() while this session is waiting",
						wait->function),
				 errdetail("It was called by a trigger in the middle of another wait.")));

	if (!dwf_setting_wait_in_transaction && !wait->may_commit &&
		(wait->is_call || IsTransactionBlock()))
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("%s() cannot wait inside a transaction block or an EXCEPTION block",
						wait->function),
				 errdetail("durable_wf.wait_in_transaction is off."),
				 errhint("CALL it outside, where it can commit before it waits, or pass a timeout of 0.")));
	if (wait->is_call && !wait->may_commit)
		ereport(NOTICE,
				(errmsg("%s() waits inside a transaction block or an EXCEPTION block and keeps its snapshot and locks",
						wait->function),
				 errhint("CALL it outside, where it can commit before it waits.")));
}

/*
 * The workflow whose end makes the wait raise an error, or NULL.  For a wait
 * that acts as no workflow this is the current one, unless that is what the
 * wait is for, has ended, or belongs to another role.
 */
static text *
watched_workflow(const DwfWait *wait)
{
	text	   *current = wait->current;
	DwfLife		life;

	if (wait->acts_as)
		return wait->acts_as;

	if (current == NULL)
		return NULL;
	for (int i = 0; i < wait->nkeys; i++)
		if (dwf_texts_equal(current, wait->keys[i].address.workflow_id))
			return NULL;
	if (!dwf_store_life(current, &life) || life.finished ||
		!dwf_owner_allows(life.owner, wait->role))
		return NULL;
	return current;
}

/* ----- the loop ----- */

/*
 * What has arrived at the keys of this wait, the end of the workflow that it
 * acts as among them
 */
static uint32
count_arrivals(const DwfWait *wait)
{
	uint32		count = dwf_waiter_arrivals(wait->keys, wait->nkeys);
	DwfWaitKey	life = {{DWF_DOOR_LIFE, wait->acts_as, NULL}, true};

	if (wait->acts_as)
		count += dwf_waiter_arrivals(&life, 1);
	return count;
}

/* Note what has arrived before the first look */
static void
note_arrivals(DwfWait *wait)
{
	wait->has_looked = dwf_preloaded() && wait->deadline != DWF_WAIT_NEVER;
	if (wait->has_looked)
		wait->arrivals = count_arrivals(wait);
}

/*
 * Is the first look, of what this session now is registered for, still good?
 * Each look is good for one registration.
 */
static bool
still_knows(DwfWait *wait, text *watched)
{
	bool		has_looked = wait->has_looked;

	wait->has_looked = false;
	return has_looked && watched == wait->acts_as &&
		count_arrivals(wait) == wait->arrivals;
}

/*
 * Register for the caller's keys and for the end of the watched workflow.  The
 * caller unregisters on every way out.
 */
static void
begin(const DwfWait *wait, text *watched, TimestampTz until)
{
	DwfWaitKey	keys[DWF_LINKS_MAX];
	int			nkeys = wait->nkeys;

	Assert(nkeys > 0 && nkeys < DWF_LINKS_MAX);
	memcpy(keys, wait->keys, nkeys * sizeof(DwfWaitKey));
	if (watched)
	{
		memset(&keys[nkeys], 0, sizeof(DwfWaitKey));
		keys[nkeys].address.door = DWF_DOOR_LIFE;
		keys[nkeys].address.workflow_id = watched;
		keys[nkeys++].is_aid = true;
	}
	dwf_waiter_begin(keys, nkeys, until, wait->role, wait->wants_id);
}

/* Milliseconds to sleep until a moment: at most INT_MAX; -1 for ever */
static long
milliseconds_left(TimestampTz until)
{
	if (until == DWF_WAIT_FOREVER)
		return -1;
	return Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), until),
			   INT_MAX);
}

/*
 * Look.  Returns true if the look was successful; else raises the errors of
 * "watched", unless that is NULL or a workflow in which one can go on waiting.
 */
bool
dwf_wait_look(DwfWait *wait, text *watched)
{
	if (wait->look(wait))
		return true;
	if (watched && !dwf_probe_accepts(watched, wait->role))
		dwf_identity_check_live(watched, wait->role);
	return false;
}

/* Is the wait to end before its time? */
static bool
gives_up(const DwfWait *wait)
{
	return wait->gives_up && wait->gives_up();
}

/*
 * The loop, while the waiter is registered.  Returns true when the look was
 * successful, false at the moment "until" or when the wait gives up.  Each look
 * comes after the signal before it was taken back, so what arrives during a
 * look signals anew.
 */
static bool
wait_registered(DwfWait *wait, text *watched, TimestampTz until,
				DwfAtTimeout at_timeout)
{
	DwfSubject	subject = dwf_counters_subject(wait->keys[0].address.door);
	uint32		wait_event = dwf_compat_wait_event(wait->function);
	MemoryContext context = CurrentMemoryContext;
	MemoryContext look_context;
	bool		first = !still_knows(wait, watched);

	/* the first look was the last one: sleep in a new transaction */
	if (!first && wait->may_commit)
		dwf_wait_commit();

	/* reset before each look: a wait of days may look often */
	look_context = AllocSetContextCreate(context, "durable_wf look",
										 ALLOCSET_SMALL_SIZES);

	for (;;)
	{
		bool		signalled;
		bool		expired;
		bool		was_due;

		/* reset the latch first: what sets it from now on ends the sleep */
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		/* look, if something can have changed */
		signalled = dwf_waiter_take_signal();
		dwf_dismissal_check();
		if (dwf_anchor_may_exist())
			dwf_custody_check_waiting(wait->keys[0].address.workflow_id);
		expired = milliseconds_left(until) == 0 || gives_up(wait);
		was_due = first || milliseconds_left(wait->look_at) == 0;
		if (was_due || signalled || expired)
		{
			bool		found;

			MemoryContextReset(look_context);
			wait->look_at = DWF_WAIT_FOREVER;
			MemoryContextSwitchTo(look_context);
			found = dwf_wait_look(wait, watched);
			MemoryContextSwitchTo(context);

			dwf_waiter_settle_signal(found, was_due, wait->taken_at);
			if (found)
				return true;
			if (signalled)
				dwf_counters_add(subject, DWF_COUNT_SPURIOUS, 1);
			if (expired)
			{
				if (at_timeout && milliseconds_left(wait->ends_at) != 0)
					at_timeout(wait);
				else
					dwf_counters_add(subject, DWF_COUNT_TIMEOUTS, 1);
				return false;
			}
			if (wait->may_commit)
				dwf_wait_commit();
			first = false;
		}

		/* a look may have waited for a lock, and have reset the latch */
		if (gives_up(wait))
			continue;
		dwf_client_sleep(milliseconds_left(Min(until, wait->look_at)),
						 wait_event);
	}
}

/*
 * Register, and wait until the look is successful (true) or until a moment
 * (false), or the wait gives up (false).  Then "at_timeout", unless it is NULL
 * or the wait has come to its end, is called before the waiter is
 * unregistered.  Raises as dwf_wait() does.
 */
bool
dwf_wait_until(DwfWait *wait, TimestampTz until, DwfAtTimeout at_timeout)
{
	char		door = wait->keys[0].address.door;
	text	   *watched = watched_workflow(wait);
	bool		found = false;

	dwf_wait_check(wait);
	dwf_counters_add(dwf_counters_subject(door), DWF_COUNT_WAITS, 1);
	if (door == DWF_DOOR_QUEUE)
		dwf_client_keep_alive();

	PG_TRY();
	{
		begin(wait, watched, until);
		found = wait_registered(wait, watched, until, at_timeout);
	}
	PG_FINALLY();
	{
		dwf_waiter_end();
		/* give back a latch event that may have been meant for others */
		SetLatch(MyLatch);
		if (dwf_claim_state() == DWF_EXECUTES_NOTHING)
			dwf_client_keep_as_set();
	}
	PG_END_TRY();
	return found;
}

/* Is the session in a body, outside of a step's command? */
static bool
is_in_body(void)
{
	return dwf_claim_is_body() && !dwf_journal_in_command();
}

/* The last wait of this session has ended in vain */
bool		dwf_wait_has_expired = false;

/*
 * Begin a wait: settle when it ends, before the commit that records it.
 * Raises WF009 in a body that has not CALLed it.
 */
void
dwf_wait_enter(DwfWait *wait)
{
	MemoryContext context = CurrentMemoryContext;

	if (is_in_body())
		dwf_suspend_check_call(wait);
	wait->ends_at = dwf_journal_settle_deadline(wait->deadline,
												wait->may_commit);
	if (!wait->may_commit)
		return;
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	MemoryContextSwitchTo(context);
	if (wait->call)
		dwf_wait_commit();		/* what a caller has done, and holds */
}

/* End a wait, which has begun in this memory context */
void
dwf_wait_leave(const DwfWait *wait, MemoryContext context)
{
	if (wait->may_commit)
		SPI_finish();
	MemoryContextSwitchTo(context);
}

/*
 * While this is set, each look of this session that finds nothing is written
 * down as a wait of that workflow, which is on another node
 */
text	   *dwf_wait_subscriber = NULL;

/* Write a wait down, and have the worker told of news at its addresses */
static void
subscribe(const DwfWait *wait)
{
	for (int i = 0; i < wait->nkeys; i++)
	{
		const DwfAddress *address = &wait->keys[i].address;

		if (address->workflow_id == NULL)
			continue;
		dwf_expected_add(dwf_address_hash(address));
		dwf_store_subscribe(dwf_wait_subscriber, address);
	}
}

/*
 * Wait until the look is successful; false if the deadline came first.  What
 * the look allocates in the present memory context survives the commits.
 *
 * Raises, besides the look's errors: WF001, 42501, WF002, WF003 for the
 * workflow it acts as; WF009 in a body that has not CALLed it, and WF003 in
 * one that has ended its run; WF010 in a client's session whose workflow is
 * suspended; 25001, 25006 and 55000 when it would have to
 * sleep and cannot; and whatever interrupts raise.
 */
bool
dwf_wait(DwfWait *wait)
{
	MemoryContext context = CurrentMemoryContext;
	bool		in_body = is_in_body();
	bool		found;

	dwf_wait_enter(wait);

	/* most calls find what they want at once */
	note_arrivals(wait);
	found = dwf_wait_look(wait, wait->acts_as);
	if (!found && wait->deadline != DWF_WAIT_NEVER)
		found = in_body || dwf_suspend_is_wanted(wait) ?
			dwf_suspend_wait(wait) :
			dwf_wait_until(wait, wait->ends_at, NULL);

	/* the next stretch of the body begins, and its time is limited anew */
	if (in_body)
		dwf_body_timeout_start();
	if (found)
		dwf_client_note_taken();
	dwf_wait_has_expired = !found;
	if (!found && dwf_wait_subscriber)
		subscribe(wait);
	dwf_wait_leave(wait, context);
	return found;
}
