/*-------------------------------------------------------------------------
 *
 * room.c
 *	  Room for executors, and which of them give way to other work.
 *
 * When a role has work and can get no other executor, executors that do
 * nothing useful give way, in this order:
 *
 *	idle ones of other roles			leave, if that makes room
 *	one of the role, whose body waits	suspends it, and takes the work
 *	such ones of other roles			suspend theirs, to be idle then, if
 *										enough of them are there to make room
 *
 * Besides, bodies of the role that begin to wait are suspended at once as long
 * as its work is due, and executors of other roles tell when they begin to
 * rest.  An executor that looks for work of the role just now finds it, and
 * tells the worker when it has claimed it; until then nothing else is asked.
 *
 * Each look at what is due decides anew what is asked of each executor; see
 * README.md for why no work is left over.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/room.h"

#include <limits.h>

#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/wait_event.h"

#include "base/settings.h"
#include "shared/executors.h"

/* ----- room ----- */

/*
 * Does an executor wait for a heavyweight lock?  It may have ended just now.
 */
static bool
waits_for_lock(DwfExecutor * executor)
{
	pid_t		pid;
	PGPROC	   *proc;

	if (GetBackgroundWorkerPid(executor->handle, &pid) != BGWH_STARTED)
		return false;
	proc = BackendPidGetProc(pid);
	return proc && (proc->wait_event_info & 0xFF000000U) == PG_WAIT_LOCK;
}

/*
 * How many executors a role has, or all roles if it is invalid; and how many
 * of them wait for a heavyweight lock
 */
static int
count_executors(List *executors, Oid role, int *nwaiting)
{
	int			count = 0;
	ListCell   *cell;

	*nwaiting = 0;
	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		if (OidIsValid(role) && executor->role != role)
			continue;
		count++;
		if (waits_for_lock(executor))
			(*nwaiting)++;
	}
	return count;
}

/* Is there room for another executor of a role?  pool.c has the rules. */
bool
dwf_room_exists(List *executors, Oid role)
{
	int			waiting_of_role;
	int			of_role = count_executors(executors, role, &waiting_of_role);
	int			waiting;
	int			all = count_executors(executors, InvalidOid, &waiting);

	if (of_role == 0)
		return true;
	if (all - waiting < dwf_setting_max_executors &&
		all < 2 * dwf_setting_max_executors)
		return true;
	return of_role == waiting_of_role && of_role < dwf_setting_max_executors;
}

/* How many executors must leave until there is room for one of any role? */
static int
count_needed(List *executors, DwfLack lack)
{
	int			waiting;
	int			all;

	if (lack == DWF_LACKS_SLOT)
		return 1;
	all = count_executors(executors, InvalidOid, &waiting);
	return Max(all - waiting - dwf_setting_max_executors,
			   all - 2 * dwf_setting_max_executors) + 1;
}

/* ----- giving way ----- */

/* An executor's state was not what it had been: look again */
static bool must_look_again = false;

/* Begin a look at what is due */
void
dwf_room_begin(List *executors)
{
	ListCell   *cell;

	must_look_again = false;
	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		executor->state = dwf_executors_state(executor->cell);
		executor->claims = DWF_EXECUTOR_CLAIMS(executor->state);
		executor->asked = 0;
	}
}

/*
 * Ask something of an executor.  An executor that has claimed a body since the
 * look began may have claimed what the look has found; it has told the worker
 * to look again.
 */
static void
ask(DwfExecutor * executor, uint32 bit)
{
	uint32		asked = (executor->state & DWF_EXECUTOR_ASKED) | bit;

	if (DWF_EXECUTOR_CLAIMS(executor->state) != executor->claims)
		return;
	executor->asked |= bit;
	if (dwf_executors_ask(executor->cell, executor->state, asked))
		executor->state |= bit;
	else
		must_look_again = true;
}

/* Is this executor one of the role, or of the others, in such a state? */
static bool
is_one(const DwfExecutor * executor, Oid role, bool of_role, uint32 state)
{
	return (executor->role == role) == of_role &&
		(executor->state & state) == state;
}

/* How many executors of the role, or of the others, are in such a state? */
static int
count_in_state(List *executors, Oid role, bool of_role, uint32 state)
{
	int			count = 0;
	ListCell   *cell;

	foreach(cell, executors)
	{
		if (is_one(lfirst(cell), role, of_role, state))
			count++;
	}
	return count;
}

/*
 * Ask something of so many executors in such a state; those that were asked
 * before and have not followed yet are among them
 */
static void
ask_some(List *executors, Oid role, bool of_role, uint32 state, uint32 bit,
		 int count)
{
	ListCell   *cell;

	count -= count_in_state(executors, role, of_role, state | bit);
	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		if (!is_one(executor, role, of_role, state))
			continue;
		if ((executor->state & bit) || count-- > 0)
			ask(executor, bit);
	}
}

/* Does an executor of this role look for work, or is it about to? */
static bool
one_looks(List *executors, Oid role)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		if (executor->role == role &&
			(executor->state & (DWF_EXECUTOR_RUNS |
								DWF_EXECUTOR_MUST_LEAVE)) == 0)
			return true;
	}
	return false;
}

/* Leave it at what was asked before this look */
static void
leave_asked(List *executors)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		executor->asked |= executor->state & DWF_EXECUTOR_ASKED;
	}
}

/*
 * Ask those that run a body which does not wait: to do so, or to
 * tell, when they begin to rest
 */
static void
ask_running(List *executors, Oid role, DwfLack lack)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		if (executor->state & (DWF_EXECUTOR_RESTS | DWF_EXECUTOR_IDLE))
			continue;
		if (executor->role == role)
			ask(executor, DWF_EXECUTOR_WANTED);
		else if (lack != DWF_LACKS_TIME)
			ask(executor, DWF_EXECUTOR_MUST_TELL);
	}
}

/* Does an executor rest or idle that was not asked to give way? */
static bool
one_could_give_way(List *executors)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		uint64		state = ((DwfExecutor *) lfirst(cell))->state;

		if ((state & (DWF_EXECUTOR_RESTS | DWF_EXECUTOR_IDLE)) &&
			!(state & (DWF_EXECUTOR_WANTED | DWF_EXECUTOR_MUST_LEAVE)))
			return true;
	}
	return false;
}

/*
 * Work of a role is due, and no executor of the role was woken or started:
 * have executors give way.  The head has the rules.  Returns whether the role
 * is saturated: nothing can be done for more of its work either, before an
 * executor has told the worker something.
 */
bool
dwf_room_make(List *executors, Oid role, DwfLack lack)
{
	int			needed = lack == DWF_LACKS_TIME ? INT_MAX :
	count_needed(executors, lack);
	int			idle;
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);

		executor->state = dwf_executors_state(executor->cell);
	}
	if (one_looks(executors, role))
	{
		leave_asked(executors);
		return false;
	}

	/* idle ones of other roles leave */
	idle = count_in_state(executors, role, false, DWF_EXECUTOR_IDLE);
	if (idle >= needed)
	{
		ask_some(executors, role, false, DWF_EXECUTOR_IDLE,
				 DWF_EXECUTOR_MUST_LEAVE, needed);
		return false;
	}

	/* bodies that wait are suspended: one of the role, or others */
	if (count_in_state(executors, role, true, DWF_EXECUTOR_RESTS) > 0)
		ask_some(executors, role, true, DWF_EXECUTOR_RESTS,
				 DWF_EXECUTOR_WANTED, 1);
	else if (idle + count_in_state(executors, role, false,
								   DWF_EXECUTOR_RESTS) >= needed)
		ask_some(executors, role, false, DWF_EXECUTOR_RESTS,
				 DWF_EXECUTOR_WANTED, needed - idle);
	ask_running(executors, role, lack);
	return lack == DWF_LACKS_ROOM && !must_look_again &&
		!one_could_give_way(executors);
}

/*
 * End a look: withdraw what it does not ask any more.  Returns whether the
 * worker has to look again at once.
 */
bool
dwf_room_end(List *executors)
{
	ListCell   *cell;

	foreach(cell, executors)
	{
		DwfExecutor *executor = lfirst(cell);
		uint64		state = dwf_executors_state(executor->cell);
		uint32		asked = executor->asked & state;

		/* an executor that has claimed makes the worker look again */
		if (DWF_EXECUTOR_CLAIMS(state) == executor->claims &&
			!dwf_executors_ask(executor->cell, state, asked))
			must_look_again = true;
	}
	return must_look_again;
}
