/*-------------------------------------------------------------------------
 *
 * next.c
 *	  Take workflows from queues: wf_attach_next, wf_attach_any.
 *
 * A session takes the workflow that has been due for longest in any of its
 * queues, that no session executes and whose row is not locked.  A workflow
 * whose sessions have died durable_wf.max_attempts times without getting
 * further ends with ERROR instead, when the next one would take it.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"

#include "base/args.h"
#include "base/restricted.h"
#include "base/settings.h"
#include "base/texts.h"
#include "session/trace.h"
#include "session/wait.h"
#include "session/wakeup.h"
#include "shared/claim.h"
#include "shared/crash.h"
#include "shared/waiter.h"
#include "store/store.h"
#include "workflow/attach.h"

PG_FUNCTION_INFO_V1(wf_attach_next);
PG_FUNCTION_INFO_V1(wf_attach_any);

/* What a call waits for, and what it has taken */
typedef struct NextWait
{
	int			nqueues;
	DwfWaitKey *keys;			/* the queues, each once */
	MemoryContext context;		/* of what was taken; it outlives the look */
	text	   *workflow_id;	/* NULL: nothing was taken */
	DwfTurn		turn;
	bool		has_ended_one;	/* in this transaction, as it died too often */
} NextWait;

/* ----- looking for work ----- */

/*
 * This session has attached to a workflow.  Returns whether it may go on; if
 * sessions have died in it too often, ends the workflow, and is not attached.
 */
static bool
may_go_on(text *workflow_id, NextWait *next)
{
	DwfTurn    *turn = &next->turn;
	DwfAddress	queue = {.door = DWF_DOOR_QUEUE};

	if (!dwf_store_turn(workflow_id, turn))
		return true;			/* it has gone with its row's lock */
	dwf_trace_begin(true, turn->traceparent);
	if (turn->attempts <= dwf_setting_max_attempts ||
		!dwf_crash_is_noted(workflow_id))
		return true;

	/* if that is rolled back, it is due again, and nobody has its claim */
	queue.key = turn->queue;
	if (queue.key)
		dwf_wakeup_note_removal(&queue);
	(void) dwf_store_fail(workflow_id,
						  psprintf("sessions that executed the workflow have died %d times in a row",
								   turn->attempts - 1), NULL, NULL);
	dwf_crash_forget(workflow_id);
	dwf_claim_pass_by();
	next->has_ended_one = true;
	return false;
}

/* The search that has found what has been due for longest, or NULL */
static DwfSearch *
first_due(DwfSearch *searches, const bool *found, int count)
{
	DwfSearch  *first = NULL;

	for (int i = 0; i < count; i++)
		if (found[i] && (first == NULL || searches[i].due < first->due))
			first = &searches[i];
	return first;
}

/*
 * Attach the workflow that has been due for longest, that no session executes
 * and whose row no transaction has locked.  Returns its id; or NULL, and then
 * *held is the first one whose row is locked, or NULL.
 */
static text *
attach_free_work(DwfWait *wait, NextWait *next, text **held)
{
	DwfSearch  *searches = palloc0(next->nqueues * sizeof(DwfSearch));
	bool	   *found = palloc(next->nqueues * sizeof(bool));
	DwfSearch  *first;

	*held = NULL;

	/* search each queue, and try what was found in the order of time */
	for (int i = 0; i < next->nqueues; i++)
	{
		searches[i].queue = next->keys[i].address.key;
		searches[i].role = wait->role;
		found[i] = dwf_store_search(&searches[i]);
	}
	while ((first = first_due(searches, found, next->nqueues)) != NULL)
	{
		bool		is_held;

		CHECK_FOR_INTERRUPTS();
		if (dwf_attach_pass(first->workflow_id, wait->role, &is_held))
		{
			if (may_go_on(first->workflow_id, next))
			{
				wait->taken_at = first - searches;
				for (int i = 0; i < next->nqueues; i++)
					wait->has_left |= searches[i].nheld > 0;
				return first->workflow_id;
			}
		}
		else if (is_held)
			dwf_store_search_held(first);
		found[first - searches] = dwf_store_search(first);
	}

	/* nothing: when to look again, and what else could be waited for */
	for (int i = 0; i < next->nqueues; i++)
	{
		wait->has_left |= searches[i].nheld > 0;
		wait->look_at = Min(wait->look_at, searches[i].next);
		if (*held == NULL)
			*held = searches[i].first_held;
	}
	return NULL;
}

/* Keep what was taken beyond the look */
static void
keep_taken(NextWait *next, text *workflow_id)
{
	MemoryContext old = MemoryContextSwitchTo(next->context);
	DwfTurn    *turn = &next->turn;

	next->workflow_id = dwf_texts_copy(workflow_id);
	if (turn->queue)
		turn->queue = dwf_texts_copy(turn->queue);
	if (!turn->input.isnull)
		turn->input.value = datumCopy(turn->input.value, false, -1);
	MemoryContextSwitchTo(old);
}

/*
 * The look of both calls.  A call that may sleep looks again at workflows
 * whose rows are locked.  A call that may not, and finds nothing else, blocks
 * until the row of the first of them is unlocked.  A call that has ended a
 * workflow, and cannot commit that, does not sleep on it.
 */
static bool
look_for_work(DwfWait *wait)
{
	NextWait   *next = wait->arg;
	text	   *attached;

	dwf_attach_check(wait->function);
	for (;;)
	{
		text	   *held;
		bool		ended;

		/* attach a workflow that is free */
		attached = attach_free_work(wait, next, &held);
		if (attached)
			break;

		/* or block for one whose row is locked, and search again */
		if (next->has_ended_one && !wait->may_commit)
			return true;
		if (held == NULL || wait->deadline != DWF_WAIT_NEVER)
			return false;
		if (dwf_attach_try(held, wait->role, &ended) == 0 && !ended &&
			may_go_on(held, next))
		{
			attached = held;
			break;
		}
	}
	dwf_claim_set_from_queue();
	keep_taken(next, attached);
	return true;
}

/* Wait for work in the queues, and attach to it; false if there is none */
static bool
take_next(NextWait *next, DwfWait *wait)
{
	for (int i = 0; i < next->nqueues; i++)
		next->keys[i].address.door = DWF_DOOR_QUEUE;
	next->context = CurrentMemoryContext;
	wait->current = NULL;
	wait->keys = next->keys;
	wait->nkeys = next->nqueues;
	wait->look = look_for_work;
	wait->arg = next;
	return dwf_wait(wait) && next->workflow_id;
}

/* ----- the functions ----- */

/* wf_attach_next(queue, timeout) → text, the workflow; also a CALL */
Datum
wf_attach_next(PG_FUNCTION_ARGS)
{
	DwfWaitKey	key = {0};
	NextWait	next = {.nqueues = 1,.keys = &key};
	DwfWait		wait;
	bool		isnull;

	dwf_restricted_refuse("wf_attach_next");
	key.address.key = dwf_args_name(fcinfo, 0, "queue", DWF_KEY_MAX);
	dwf_wait_init(&wait, fcinfo, "wf_attach_next");
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	isnull = !take_next(&next, &wait);
	return dwf_args_return_value(fcinfo, PointerGetDatum(next.workflow_id),
								 isnull);
}

/* Is this queue among the first "count"? */
static bool
is_among(text *queue, const DwfWaitKey *keys, int count)
{
	for (int i = 0; i < count; i++)
		if (dwf_texts_equal(keys[i].address.key, queue))
			return true;
	return false;
}

/* Collect the queues that argument n names, each once; raises 22023 */
static void
collect_queues(FunctionCallInfo fcinfo, int n, NextWait *next)
{
	Datum	   *queues;
	bool	   *nulls;
	int			count;
	int			bytes = 0;

	count = dwf_args_array(fcinfo, n, "queues", TEXTOID, &queues, &nulls);
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("queues must not be empty")));
	next->keys = palloc0(DWF_TOPICS_MAX * sizeof(DwfWaitKey));
	for (int i = 0; i < count; i++)
	{
		text	   *queue;

		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("queue must not be null")));
		queue = DatumGetTextPP(queues[i]);
		dwf_args_check_name(queue, "queue", DWF_KEY_MAX, false);
		if (is_among(queue, next->keys, next->nqueues))
			continue;
		bytes += VARSIZE_ANY_EXHDR(queue);
		if (next->nqueues == DWF_TOPICS_MAX || bytes > DWF_TOPIC_BYTES_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("too many queues"),
					 errdetail("At most %d different queues of together at most %d bytes can be waited for.",
							   DWF_TOPICS_MAX, DWF_TOPIC_BYTES_MAX)));
		next->keys[next->nqueues++].address.key = queue;
	}
}

/*
 * wf_attach_any(queues, timeout) → (workflow_id, queue, input, attempt);
 * also a CALL
 */
Datum
wf_attach_any(PG_FUNCTION_ARGS)
{
	NextWait	next = {0};
	DwfWait		wait;
	Datum		values[4] = {0};
	bool		nulls[4] = {true, true, true, true};

	dwf_restricted_refuse("wf_attach_any");
	dwf_wait_init(&wait, fcinfo, "wf_attach_any");
	collect_queues(fcinfo, 0, &next);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	if (take_next(&next, &wait))
	{
		memset(nulls, 0, sizeof(nulls));
		values[0] = PointerGetDatum(next.workflow_id);
		values[1] = PointerGetDatum(next.turn.queue);
		nulls[1] = next.turn.queue == NULL;
		values[2] = next.turn.input.value;
		nulls[2] = next.turn.input.isnull;
		values[3] = Int32GetDatum(next.turn.attempts);
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}
