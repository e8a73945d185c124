/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  Workflows that the worker could not serve and tries again later.
 *
 * Such a workflow is set aside: all searches of the worker leave it out, so
 * that others are served.  All that are set aside are taken at once and tried
 * alone, later each time.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/aside.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/texts.h"

/* How many can be set aside; the longest delay until they are tried, in ms */
#define ASIDE_MAX		100
#define LONGEST_GAP		60000

/* Their ids, as text in TopMemoryContext */
static List *aside = NIL;

/*
 * When they are tried again, and how often they were since the list was empty
 */
static TimestampTz aside_at;
static int	rounds = 0;

/* Append a copy of an id to a list; both are made in TopMemoryContext */
void
dwf_aside_keep(List **list, text *id)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	*list = lappend(*list, dwf_texts_copy(id));
	MemoryContextSwitchTo(old);
}

/* Set a workflow aside; returns false if too many are */
bool
dwf_aside_add(text *id)
{
	if (list_length(aside) == ASIDE_MAX)
		return false;
	if (aside == NIL)
		aside_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   Min(1000L << Min(rounds, 6),
												   LONGEST_GAP));
	dwf_aside_keep(&aside, id);
	return true;
}

/* The ids of those that are set aside, as text[] */
Datum
dwf_aside_ids(void)
{
	Datum	   *ids = palloc((list_length(aside) + 1) * sizeof(Datum));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, aside)
	{
		ids[count++] = PointerGetDatum(lfirst(cell));
	}
	return dwf_arrays_of_text(ids, count);
}

/* Take all that are set aside; those set aside after this wait for longer */
List *
dwf_aside_take(void)
{
	List	   *taken = aside;

	aside = NIL;
	rounds++;
	return taken;
}

/* When the workflows set aside are tried again; DT_NOEND if there are none */
TimestampTz
dwf_aside_at(void)
{
	if (aside == NIL)
	{
		rounds = 0;
		return DT_NOEND;
	}
	return aside_at;
}
