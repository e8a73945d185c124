/*-------------------------------------------------------------------------
 *
 * aside.c
 *	  Workflows that the worker could not serve: they are set aside, so that
 *	  others are served, and tried again later each time.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/aside.h"

#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/arrays.h"
#include "base/texts.h"

/* No more than so many; the longest time until they are tried again, in ms */
#define ASIDE_MAX		100
#define LONGEST_GAP		60000

/* They, as text in TopMemoryContext; when and how often they are tried again */
static List *aside = NIL;
static TimestampTz aside_at;
static int	rounds = 0;

/* Add a copy of an id to a list; both are in TopMemoryContext */
void
dwf_aside_keep(List **list, text *id)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	*list = lappend(*list, dwf_texts_copy(id));
	MemoryContextSwitchTo(old);
}

/* Set a workflow aside; false if there are too many */
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

/* Those that are, as text[] */
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

/* Take them, to be tried again; those that are set aside anew wait for longer */
List *
dwf_aside_take(void)
{
	List	   *taken = aside;

	aside = NIL;
	rounds++;
	return taken;
}

/* When they are to be tried again; DT_NOEND if there are none */
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
