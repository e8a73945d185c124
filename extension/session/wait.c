/*-------------------------------------------------------------------------
 *
 * wait.c
 *	  THE wait loop: look, and sleep until something can have changed.
 *
 *	register; then: reset latch, test, look, sleep; leave on every way out
 *
 * The first look comes before the registration, since most calls find what
 * they want.  After it the loop looks again: what arrived in between is seen
 * by that look, what arrives later signals the slot.  There is no timeout but
 * the caller's deadline, so nothing runs while nothing happens.
 *
 * Called as a function, a wait keeps the snapshot of the query it is part of.
 * Called by CALL outside a transaction block it commits first, and again
 * after each look that found nothing, so that it sleeps with neither a
 * snapshot nor an xid nor a lock.
 *
 * Every wait also ends with the workflow that it acts as, or else with the
 * session's current workflow, if that was alive when the wait began; and with
 * the client that it waits for (client.c).
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
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "base/args.h"
#include "base/call_hint.h"
#include "base/client.h"
#include "base/owner.h"
#include "base/settings.h"
#include "base/texts.h"
#include "session/body_timeout.h"
#include "session/identity.h"
#include "session/journal.h"
#include "shared/claim.h"
#include "shared/listener.h"
#include "shared/service.h"
#include "shared/shmem.h"
#include "store/store.h"

/*
 * How was this function called, in which workflow and by whom?  The latter two
 * may be SET LOCAL and gone after the first commit.
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
}

/* Commit and go on in a new transaction, which holds nothing yet */
static void
commit(void)
{
	MemoryContext context = CurrentMemoryContext;

	SPI_commit();
	MemoryContextSwitchTo(context);
}

/* Raise unless this session can wait at all */
static void
check_can_wait(DwfWait *wait)
{
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
	dwf_shmem_require(wait->function);
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

	if (wait->is_call && !wait->may_commit)
		ereport(NOTICE,
				(errmsg("%s() waits inside a transaction block or an EXCEPTION block and keeps its snapshot and locks",
						wait->function),
				 errhint("CALL it outside, where it can commit before it waits.")));
}

/*
 * The workflow that ends the wait when it ends, or NULL.  For a wait that
 * acts as no workflow this is the current one, unless it is what is waited
 * for anyhow or there is nothing to wait in.
 */
static text *
watched_workflow(DwfWait *wait)
{
	text	   *current = wait->current;
	text	   *target = wait->keys[0].address.workflow_id;
	DwfLife		life;

	if (wait->acts_as)
		return wait->acts_as;

	if (current == NULL || dwf_texts_equal(current, target))
		return NULL;
	if (!dwf_store_life(current, &life) || life.finished ||
		!dwf_owner_allows(life.owner, wait->role))
		return NULL;
	return current;
}

/* Register for the caller's keys and for the end of the watched workflow */
static void
begin(DwfWait *wait, text *watched)
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
	dwf_waiter_begin(keys, nkeys, wait->deadline, wait->role, wait->wants_id);
}

/* Milliseconds until the deadline, to sleep: at most INT_MAX, -1 none */
static long
milliseconds_left(TimestampTz deadline)
{
	if (deadline == DWF_WAIT_FOREVER)
		return -1;
	return Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
											   deadline), INT_MAX);
}

/* Look; and when there is nothing, make sure that it is worth waiting */
static bool
look(DwfWait *wait, text *watched)
{
	if (wait->look(wait))
		return true;
	if (watched)
		dwf_identity_check_live(watched, wait->role);
	return false;
}

static void write_suspension(DwfWait *wait);

/* The loop; true when the look was, false at the deadline */
static bool
wait_registered(DwfWait *wait, text *watched, DwfSubject subject)
{
	uint32		wait_event = dwf_compat_wait_event(wait->function);
	MemoryContext context = CurrentMemoryContext;
	MemoryContext look_context;
	bool		first = true;

	/* reset before each look: a wait of days may look often */
	look_context = AllocSetContextCreate(context, "durable_wf look",
										 ALLOCSET_SMALL_SIZES);

	for (;;)
	{
		bool		signalled;
		bool		expired;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();

		signalled = dwf_waiter_take_signal();
		expired = milliseconds_left(wait->deadline) == 0;
		if (first || signalled || expired ||
			milliseconds_left(wait->look_at) == 0)
		{
			bool		found;

			dwf_waiter_check_dismissed();
			MemoryContextReset(look_context);
			wait->look_at = DWF_WAIT_FOREVER;
			MemoryContextSwitchTo(look_context);
			found = look(wait, watched);
			MemoryContextSwitchTo(context);

			dwf_waiter_settle_signal(found);
			if (found)
				return true;
			if (signalled)
				dwf_shmem_count(subject, DWF_COUNT_SPURIOUS, 1);
			if (expired)
			{
				if (wait->suspends)
					write_suspension(wait);
				else
					dwf_shmem_count(subject, DWF_COUNT_TIMEOUTS, 1);
				return false;
			}
			if (wait->may_commit)
				commit();
			first = false;
		}
		dwf_client_sleep(milliseconds_left(Min(wait->deadline,
											   wait->look_at)), wait_event);
	}
}

/* Wait for what the first look did not find */
static bool
wait_for_news(DwfWait *wait)
{
	DwfSubject	subject = dwf_shmem_subject(wait->keys[0].address.door);
	text	   *watched = watched_workflow(wait);
	bool		found = false;

	check_can_wait(wait);
	dwf_shmem_count(subject, DWF_COUNT_WAITS, 1);
	if (wait->keys[0].address.door == DWF_DOOR_QUEUE)
		dwf_client_keep_alive();

	PG_TRY();
	{
		begin(wait, watched);
		found = wait_registered(wait, watched, subject);
	}
	PG_FINALLY();
	{
		dwf_waiter_end();
		/* a latch event that we slept through may not have been ours */
		SetLatch(MyLatch);
		if (dwf_claim_state() == DWF_EXECUTES_NOTHING)
			dwf_client_keep_as_set();
	}
	PG_END_TRY();
	return found;
}

/* ----- in the body of a SQL workflow ----- */

/* Raise WF009 unless the wait was CALLed where it can commit */
static void
check_called(const DwfWait *wait)
{
	if (wait->may_commit || wait->deadline == DWF_WAIT_NEVER)
		return;
	if (wait->is_call)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("%s() cannot wait inside an EXCEPTION block or a function",
						wait->function),
				 errdetail("There it cannot commit what came before."),
				 errhint("CALL it outside of the block, or pass a timeout of 0.")));
	ereport(ERROR,
			(errcode(DWF_ERRCODE_NOT_IN_BODY),
			 errmsg("%s() has to be CALLed in the body of a workflow",
					wait->function),
			 errhint("%s", dwf_call_hint(wait->call, wait->function))));
}

/*
 * Raise WF003 unless this run can still wait.  (What ended it is committed by
 * now, and stays.)
 */
static void
check_run(const DwfWait *wait)
{
	if (dwf_claim_state() != DWF_EXECUTES)
		ereport(ERROR,
				(errcode(DWF_ERRCODE_FINISHED),
				 errmsg("cannot wait in %s() after the end of the run",
						wait->function),
				 errdetail("There is nothing that could be suspended and go on later."),
				 errhint("This run has ended it, with wf_complete() or its like: let RETURN follow that.")));
}

/*
 * Write down that the workflow waits, for whoever goes on with it.  From the
 * time that an address is expected, the worker is told of its news.
 */
static void
write_suspension(DwfWait *wait)
{
	text	   *workflow_id = dwf_claim_require(wait->function);
	int64		wait_id = 0;

	if (wait->wants_id)
		wait_id = (int64) pg_atomic_fetch_add_u64(&dwf_shared->next_wait_id, 1);
	dwf_listener_expect(workflow_id);
	for (int i = 0; i < wait->nkeys; i++)
		if (wait->keys[i].address.workflow_id)
			dwf_listener_expect(wait->keys[i].address.workflow_id);
	dwf_journal_note_wait();
	dwf_store_suspend(workflow_id, dwf_journal_step(), wait->keys, wait->nkeys,
					  wait_id, wait->full_deadline);
	commit();
	if (wait->full_deadline != DWF_WAIT_FOREVER)
		dwf_service_ask_clock(wait->full_deadline);
}

/*
 * Would a look succeed?  What it takes is given back.
 */
static bool
peek(DwfWait *wait)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool		found;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	found = look(wait, wait->acts_as);
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return found;
}

/*
 * Wait with this process for a while, and then without it.  Returns true if
 * what it waits for has come, false when it has waited long enough; else
 * raises, to leave the body.
 *
 * The suspension is written down while the session is still registered, so
 * that who broadcasts finds it by one or the other.  What came before it was
 * is seen by the look that follows; what comes later is news for the worker.
 *
 * If that look finds something, the workflow goes on here.  That it does is
 * committed before it takes what it has found, so that nobody who changes the
 * workflow's row has to wait for what the body does then.
 */
static bool
wait_in_body(DwfWait *wait)
{
	wait->full_deadline = wait->deadline;
	for (;;)
	{
		wait->deadline = Min(wait->full_deadline,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														 dwf_setting_suspend_after));
		wait->suspends = wait->deadline != wait->full_deadline;
		if (wait_for_news(wait))
			return true;
		if (!wait->suspends)
			return false;
		if (!peek(wait))
			break;

		dwf_store_unsuspend(dwf_claim_require(wait->function));
		commit();
		if (look(wait, wait->acts_as))
			return true;
	}
	dwf_claim_set_suspending(true);
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("workflow \"%s\" is suspended",
					text_to_cstring(dwf_claim_require(wait->function)))));
}

/* ----- both ----- */

/*
 * Wait until the look succeeds; false if the deadline came first.  What the
 * look allocates in the current memory context survives the commits.
 *
 * Raises, besides the look's errors: WF001, 42501, WF002, WF003 for the
 * workflow it acts as; WF003 when it would have to wait in a body that has
 * ended its run, 25001, 25006 and 55000 when it would have to and cannot; and
 * whatever interrupts raise.
 */
bool
dwf_wait(DwfWait *wait)
{
	MemoryContext context = CurrentMemoryContext;
	bool		in_body = dwf_claim_is_body() &&
	!dwf_journal_in_command();
	bool		found;

	if (in_body)
		check_called(wait);
	dwf_journal_settle_deadline(&wait->deadline, wait->may_commit);
	if (wait->may_commit)
	{
		SPI_connect_ext(SPI_OPT_NONATOMIC);
		MemoryContextSwitchTo(context);
		commit();
	}

	found = look(wait, wait->acts_as);
	if (!found && wait->deadline != DWF_WAIT_NEVER)
	{
		if (in_body)
		{
			check_run(wait);
			dwf_body_timeout_stop();
		}
		found = in_body ? wait_in_body(wait) : wait_for_news(wait);
	}
	if (in_body)
		dwf_body_timeout_start();
	if (found)
		dwf_client_note_taken();

	if (wait->may_commit)
		SPI_finish();
	MemoryContextSwitchTo(context);
	return found;
}
