/*
 * A library for tests: hold_at() has the session that calls it stop itself, by
 * SIGSTOP, at a place where nothing else can hold it.  A test looks in /proc
 * whether it has stopped, does what is to happen meanwhile, and sends SIGCONT.
 *
 *	commit	after the transaction's commit, when all others see it, and before
 *			what durable_wf does then: load this library after durable_wf, as the
 *			callback that was registered last is called first
 *	abort	the same of its abort
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(hold_at);

void		_PG_init(void);

static XactEvent place;
static bool is_armed = false;

/* Stop where the session was told to, once */
static void
callback(XactEvent event, void *arg)
{
	(void) arg;
	if (!is_armed || event != place)
		return;
	is_armed = false;
	(void) raise(SIGSTOP);
}

/* hold_at(place) → void */
Datum
hold_at(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(name, "commit") == 0)
		place = XACT_EVENT_COMMIT;
	else if (strcmp(name, "abort") == 0)
		place = XACT_EVENT_ABORT;
	else
		elog(ERROR, "no such place: %s", name);
	is_armed = true;
	PG_RETURN_VOID();
}

/* The library is loaded */
void
_PG_init(void)
{
	RegisterXactCallback(callback, NULL);
}
