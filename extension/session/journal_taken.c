/*-------------------------------------------------------------------------
 *
 * journal_taken.c
 *	  What a step has taken from mailboxes, as the journal keeps it: wf_retry
 *	  puts it back when a workflow goes back to before the step.
 *
 * A record has a text[] for that, with ITEM_PARTS texts for each item.  The
 * payload is null where the record's result has it, so that nothing is written
 * twice.  What a step's command receives is not in the result.
 *
 * The notes of a call are dropped with the subtransaction that has taken the
 * items, which gives them back.
 *
 *-------------------------------------------------------------------------
 */
#include "session/journal_taken.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"

#include "base/arrays.h"
#include "base/texts.h"

/*
 * workflow (null: the journal's), door, key, id, sent at (in us), payload,
 * trace context
 */
#define ITEM_PARTS	7
#define PART_ID		3
#define PART_TRACE	6

/* Items that this transaction has taken from one queue, in one look */
typedef struct Take
{
	SubTransactionId subid;
	DwfAddress	queue;
	int			count;
	DwfItem    *items;			/* a payload of 0 is in the result */
} Take;

/* The takes of the present call, in the transaction's memory */
static List *takes = NIL;

/* Functions whose results have what they took, and in which column */
static const struct
{
	const char *function;
	int			column;			/* from 0 */
	int			columns;		/* of a row; there are many rows if > 0 */
	bool		takes_always;	/* a result that is not null was taken */
}			receivers[] =

{
	{"wf_recv", 0, 0, true},
	{"wf_recv_any", 1, 0, true},
	{"wf_recv_many", 1, 2, true},
	{"wf_wait_for_event", 0, 0, true},
	{"wf_await_hook", 0, 0, true},
	{"wf_wait_any", 1, 0, false},
};

/* The number of a function among the receivers, or -1 */
static int
find_receiver(const char *function)
{
	for (int i = 0; i < (int) lengthof(receivers); i++)
		if (strcmp(receivers[i].function, function) == 0)
			return i;
	return -1;
}

/* Does the result of this function have the payloads that it took? */
bool
dwf_journal_taken_is_result(const char *function)
{
	return find_receiver(function) >= 0;
}

/* ----- in the call that takes ----- */

/*
 * The present call has taken items from a queue.  "payloads_too" tells that
 * its result does not have their payloads.
 */
void
dwf_journal_taken_note(const DwfAddress *queue, const DwfItem *items,
					   int count, bool payloads_too)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	Take	   *take = palloc0(sizeof(Take));

	take->subid = GetCurrentSubTransactionId();
	take->queue.door = queue->door;
	take->queue.workflow_id = (text *)
		DatumGetPointer(datumCopy(PointerGetDatum(queue->workflow_id), false,
								  -1));
	take->queue.key = (text *)
		DatumGetPointer(datumCopy(PointerGetDatum(queue->key), false, -1));
	take->count = count;
	take->items = MemoryContextAllocHuge(TopTransactionContext,
										 count * sizeof(DwfItem));
	for (int i = 0; i < count; i++)
	{
		take->items[i] = items[i];
		take->items[i].payload = payloads_too ?
			PointerGetDatum(PG_DETOAST_DATUM_COPY(items[i].payload)) :
			(Datum) 0;
		if (items[i].traceparent)
			take->items[i].traceparent = dwf_texts_copy(items[i].traceparent);
	}
	takes = lappend(takes, take);
	MemoryContextSwitchTo(old);
}

/* The transaction ends, or another call begins: there are no notes */
void
dwf_journal_taken_end_xact(void)
{
	takes = NIL;
}

/* A subtransaction has aborted: it has taken nothing.  Cannot fail. */
void
dwf_journal_taken_end_subxact(SubTransactionId subid)
{
	while (takes != NIL && ((Take *) llast(takes))->subid >= subid)
		takes = list_delete_last(takes);
}

/* Append a text to an array; null if it is NULL */
static ArrayBuildState *
append(ArrayBuildState *texts, const text *value)
{
	return accumArrayResult(texts, PointerGetDatum(value), value == NULL,
							TEXTOID, CurrentMemoryContext);
}

/* Append a number to an array, as text */
static ArrayBuildState *
append_number(ArrayBuildState *texts, int64 number)
{
	return append(texts, cstring_to_text(psprintf(INT64_FORMAT, number)));
}

/* Append what the record of a step has about an item */
static ArrayBuildState *
append_item(ArrayBuildState *texts, const Take *take, const DwfItem *item,
			const text *workflow_id)
{
	bool		is_own = dwf_texts_equal(take->queue.workflow_id, workflow_id);
	text	   *payload = NULL;

	if (item->payload != (Datum) 0)
	{
		Jsonb	   *json = DatumGetJsonbP(item->payload);

		payload = cstring_to_text(JsonbToCString(NULL, &json->root,
												 VARSIZE(json)));
	}
	texts = append(texts, is_own ? NULL : take->queue.workflow_id);
	texts = append(texts, cstring_to_text_with_len(&take->queue.door, 1));
	texts = append(texts, take->queue.key);
	texts = append_number(texts, item->message_id);
	texts = append_number(texts, item->sent_at);
	texts = append(texts, payload);
	return append(texts, item->traceparent);
}

/* What the present call has taken, for the record; null for nothing */
DwfValue
dwf_journal_taken_encode(const text *workflow_id)
{
	ArrayBuildState *texts = NULL;
	DwfValue	value = {.isnull = true};
	ListCell   *cell;

	foreach(cell, takes)
	{
		Take	   *take = lfirst(cell);

		for (int i = 0; i < take->count; i++)
			texts = append_item(texts, take, &take->items[i], workflow_id);
	}
	if (texts != NULL)
	{
		value.isnull = false;
		value.value = makeArrayResult(texts, CurrentMemoryContext);
	}
	return value;
}

/* ----- in wf_retry ----- */

/* Does a result say that the step received something? */
static bool
has_received(int receiver, const bool *nulls, int count)
{
	int			column = receivers[receiver].column;

	return receivers[receiver].takes_always && column < count &&
		!nulls[column];
}

/*
 * Read what a step has taken.  Returns how many items these are, -1 if the
 * journal does not know.
 */
int
dwf_journal_taken_decode(const DwfRecord *record, text *workflow_id,
						 DwfTaken *taken)
{
	int			receiver = find_receiver(record->function);
	Datum	   *parts;
	bool	   *nulls;
	Datum	   *results = NULL;
	bool	   *result_nulls = NULL;
	int			nresults = 0;
	int			count;

	if (receiver >= 0 && !record->result.isnull)
		nresults = dwf_arrays_read_texts(record->result.value, &results,
										 &result_nulls);
	if (record->taken.isnull)
		return receiver >= 0 &&
			has_received(receiver, result_nulls, nresults) ? -1 : 0;

	count = dwf_arrays_read_texts(record->taken.value, &parts, &nulls) /
		ITEM_PARTS;
	taken->workflow_ids = palloc(count * sizeof(Datum));
	taken->doors = palloc(count * sizeof(Datum));
	taken->keys = palloc(count * sizeof(Datum));
	taken->message_ids = palloc(count * sizeof(Datum));
	taken->sent_at = palloc(count * sizeof(Datum));
	taken->payloads = palloc(count * sizeof(Datum));
	taken->traceparents = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		Datum	   *item = &parts[i * ITEM_PARTS];
		bool	   *is_null = &nulls[i * ITEM_PARTS];

		taken->workflow_ids[i] = is_null[0] ?
			PointerGetDatum(workflow_id) : item[0];
		taken->doors[i] = item[1];
		taken->keys[i] = item[2];
		taken->message_ids[i] = item[3];
		taken->sent_at[i] = item[4];
		taken->payloads[i] = item[5];
		taken->traceparents[i] = is_null[PART_TRACE] ?
			CStringGetTextDatum("") : item[PART_TRACE];
		if (is_null[5])
		{
			int			column = receiver < 0 ? nresults :
			receivers[receiver].column + i * receivers[receiver].columns;

			if (column >= nresults || result_nulls[column])
				return -1;
			taken->payloads[i] = results[column];
		}
	}
	return count;
}

/* ----- in a replay ----- */

/*
 * Read the ids, as texts, and the trace contexts, or 0, of what a step has
 * taken; returns how many items these are
 */
int
dwf_journal_taken_traces(DwfValue taken, Datum **ids, Datum **traceparents)
{
	Datum	   *parts;
	bool	   *nulls;
	int			count;

	if (taken.isnull)
		return 0;
	count = dwf_arrays_read_texts(taken.value, &parts, &nulls) / ITEM_PARTS;
	*ids = palloc(count * sizeof(Datum));
	*traceparents = palloc(count * sizeof(Datum));
	for (int i = 0; i < count; i++)
	{
		(*ids)[i] = parts[i * ITEM_PARTS + PART_ID];
		(*traceparents)[i] = nulls[i * ITEM_PARTS + PART_TRACE] ?
			(Datum) 0 : parts[i * ITEM_PARTS + PART_TRACE];
	}
	return count;
}
