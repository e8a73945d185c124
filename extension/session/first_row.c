/*-------------------------------------------------------------------------
 *
 * first_row.c
 *	  A receiver of rows that keeps the first value of the first.
 *
 * It receives all rows, since a command has its effect by making them, and
 * keeps one value.  Of several statements the last one counts, whether or not
 * it returns rows: step_scope.c calls dwf_first_row_begin_statement() at the
 * begin of each.
 *
 *-------------------------------------------------------------------------
 */
#include "session/first_row.h"

#include "executor/tuptable.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

/* DestReceiver callback: a row; keep the first value of the first one */
static bool
receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	DwfFirstRow *row = (DwfFirstRow *) self;
	MemoryContext old;
	Datum		value;
	int16		length;
	bool		by_value;

	if (row->nrows > 0)
		return true;

	/* note the row, which may have no column */
	row->nrows = 1;
	row->type = InvalidOid;
	row->isnull = true;
	if (slot->tts_tupleDescriptor->natts == 0)
		return true;

	/* copy the value */
	row->type = TupleDescAttr(slot->tts_tupleDescriptor, 0)->atttypid;
	value = slot_getattr(slot, 1, &row->isnull);
	if (row->isnull)
		return true;
	get_typlenbyval(row->type, &length, &by_value);
	old = MemoryContextSwitchTo(row->context);
	row->value = datumCopy(value, by_value, length);
	MemoryContextSwitchTo(old);
	return true;
}

/* DestReceiver callback: a statement begins to send rows */
static void
start_up(DestReceiver *self, int operation, TupleDesc desc)
{
	(void) operation;
	(void) desc;
	dwf_first_row_begin_statement(self);
}

/* DestReceiver callback: rows end, or the receiver does */
static void
do_nothing(DestReceiver *self)
{
	(void) self;
}

/* A new receiver that keeps its value in the current memory context */
DwfFirstRow *
dwf_first_row_create(void)
{
	DwfFirstRow *row = palloc0(sizeof(DwfFirstRow));

	row->receiver.receiveSlot = receive_slot;
	row->receiver.rStartup = start_up;
	row->receiver.rShutdown = do_nothing;
	row->receiver.rDestroy = do_nothing;
	/* some of the server's code makes no rows for DestNone */
	row->receiver.mydest = DestTuplestore;
	row->context = CurrentMemoryContext;
	row->isnull = true;
	return row;
}

/*
 * A statement begins that may send rows: forget those of the one before.  Does
 * nothing for receivers of other kinds.
 */
void
dwf_first_row_begin_statement(DestReceiver *receiver)
{
	DwfFirstRow *row = (DwfFirstRow *) receiver;

	if (receiver == NULL || receiver->receiveSlot != receive_slot)
		return;
	row->nrows = 0;
	row->isnull = true;
}
