/*-------------------------------------------------------------------------
 *
 * handover.c
 *	  Resume a body of which a session has told this executor.
 *
 * News of one thing come to an idle executor, by handed.c, where they would
 * come to the worker otherwise.  The executor claims the body that waits for
 * it, which goes on by that.  Whatever is not plain it leaves to the worker:
 * several that wait, one of another role or another node, a row that is
 * locked, a process that is about to leave the body after its suspension.
 *
 * From the moment that it has taken news until its transaction has committed,
 * this process owes them to the worker: on every way out, an error too, it
 * passes them on.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/handover.h"

#include "access/xact.h"
#include "storage/ipc.h"
#include "utils/builtins.h"

#include "shared/expected.h"
#include "shared/handed.h"
#include "shared/news.h"
#include "store/direct.h"
#include "store/home.h"
#include "store/store.h"

/* Where the work of this executor's role comes to */
static uint64 work_hash;

/* What was taken and is not dealt with yet */
static DwfNews news;
static bool has_news = false;

/* Leave what was taken to the worker */
static void
tell_worker(void)
{
	if (has_news)
		dwf_news_tell(&news);
	has_news = false;
}

/* Leave to the worker what this executor owes, and what is there still */
static void
leave_all(void)
{
	tell_worker();
	has_news = dwf_handed_take(work_hash, &news);
	tell_worker();
}

/*
 * Callback before the exit.  It comes after the one by which a waiter leaves
 * the registry, and aborts first, so that the worker finds no row locked.
 */
static void
handover_exit(int code, Datum arg)
{
	(void) code;
	(void) arg;
	AbortOutOfAnyTransaction();
	leave_all();
}

/* Work of this executor's role comes to that address; before its first wait */
void
dwf_handover_begin(uint64 of_work)
{
	work_hash = of_work;
	before_shmem_exit(handover_exit, (Datum) 0);
}

/*
 * Find the body that waits for what was handed over, to be claimed; NULL if
 * there is none, or the worker was told
 */
text *
dwf_handover_find(void)
{
	DwfAddress	address;
	Datum	   *found;
	int			count;

	tell_worker();
	has_news = dwf_handed_take(work_hash, &news);
	if (!has_news)
		return NULL;

	/* the snapshot by which the waits are read is later than the news */
	address.door = news.door;
	address.workflow_id = cstring_to_text_with_len(news.workflow_id,
												   news.workflow_length);
	address.key = cstring_to_text_with_len(news.key, news.key_length);
	count = dwf_direct_waiters(&address, 1, 1, &found);
	if (count == 1 && !dwf_home_runs_nothing())
		return DatumGetTextPP(found[0]);
	if (count == 0)
	{
		/* nobody waits there now: do not hand over what comes next */
		dwf_expected_forget_role(dwf_news_hash(&news));
		has_news = false;
	}
	tell_worker();
	return NULL;
}

/* The body that was found could not be claimed: leave it to the worker */
void
dwf_handover_refuse(void)
{
	tell_worker();
}

/* The wait for work is over, and its last transaction has committed */
void
dwf_handover_end(void)
{
	has_news = false;
	leave_all();
}
