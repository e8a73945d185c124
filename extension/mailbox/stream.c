/*-------------------------------------------------------------------------
 *
 * stream.c
 *	  Streams: wf_write_stream, wf_write_stream_many, wf_close_stream,
 *	  wf_read_stream.
 *
 * A stream is read, not taken, so an item wakes every reader that waits.  How
 * numbers are given, and when a reader may say that nothing more can come, is
 * at the head of stream_rows.c.  A reader that finds the workflow ended while
 * a writer has not ended yet waits on: the end of the writer's transaction
 * wakes it, by an item if it commits, by the note of its turn if it aborts.
 *
 *-------------------------------------------------------------------------
 */
#include "mailbox/stream.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/json.h"
#include "session/arrival.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "session/wakeup.h"
#include "shared/address.h"
#include "store/direct.h"
#include "store/probe.h"
#include "store/store.h"


/* ----- writing ----- */

/*
 * Lock a stream for this transaction, and make it if there is none.  Returns
 * whether it is open.  Raises WF001, WF002, WF003 and 42501.  Blocks while
 * another transaction has locked it.
 */
static bool
take_turn(DwfStreamTurn *turn, text *workflow_id, text *stream)
{
	DwfAddress	note = {DWF_DOOR_TURN, workflow_id, stream};
	DwfAddress	address = {DWF_DOOR_STREAM, workflow_id, stream};
	DwfStreamState state;

	turn->address = address;
	turn->hash = dwf_address_hash(&address);
	dwf_wakeup_note_turn(&note);
	while ((state = dwf_store_lock_stream(turn, GetUserId())) ==
		   DWF_STREAM_REFUSED)
	{
		CHECK_FOR_INTERRUPTS();
		dwf_identity_check_live(workflow_id, GetUserId());
	}
	return state == DWF_STREAM_OPEN;
}

/* Take a turn to write; raises 55000 when the stream is closed */
static void
take_turn_to_write(DwfStreamTurn *turn, text *workflow_id, text *stream)
{
	if (!take_turn(turn, workflow_id, stream))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("stream \"%s\" of workflow \"%s\" is closed",
						text_to_cstring(stream),
						text_to_cstring(workflow_id))));
}

/* A write was refused: raise why, such as that the workflow has ended */
static void
report_refused(text *workflow_id)
{
	dwf_identity_check_live(workflow_id, GetUserId());
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("workflow \"%s\" changed while its stream was written",
					text_to_cstring(workflow_id))));
}

/*
 * Append a value to a stream that this transaction has locked, directly or by
 * a statement; its number, or 0 when the workflow has ended or is not the
 * role's.  The note comes before the effect.
 */
static int64
append(const DwfStreamTurn *turn, Datum value)
{
	DwfDirect	direct;
	int64		item_no;

	if (!dwf_direct_open_items(&direct))
		return dwf_store_append(turn->address.workflow_id, turn->address.key,
								value, GetUserId());
	dwf_arrival_note_stream(&turn->address, turn->hash);
	item_no = dwf_direct_append(&direct, turn, value);
	dwf_direct_close(&direct);
	return item_no;
}

/* wf_write_stream(stream, value, workflow_id) → bigint */
DWF_JOURNALLED(wf_write_stream, 0, DWF_AT_WORKFLOW(2));
static Datum
do_wf_write_stream(PG_FUNCTION_ARGS)
{
	text	   *stream = dwf_args_name(fcinfo, 0, "stream", DWF_KEY_MAX);
	Datum		value = dwf_args_payload(fcinfo, 1);
	text	   *workflow_id = dwf_identity_argument(fcinfo, 2);
	DwfStreamTurn turn;
	int64		item_no;

	dwf_store_require_writable("wf_write_stream");
	take_turn_to_write(&turn, workflow_id, stream);
	item_no = append(&turn, value);
	if (item_no == 0)
		report_refused(workflow_id);
	PG_RETURN_INT64(item_no);
}

/* wf_write_stream_many(stream, items, workflow_id) → bigint */
DWF_JOURNALLED(wf_write_stream_many, 0, DWF_AT_WORKFLOW(2));
static Datum
do_wf_write_stream_many(PG_FUNCTION_ARGS)
{
	text	   *stream = dwf_args_name(fcinfo, 0, "stream", DWF_KEY_MAX);
	Datum	   *values;
	bool	   *nulls;
	int			count = dwf_args_array(fcinfo, 1, "items", JSONBOID, &values,
									   &nulls);
	text	   *workflow_id;
	DwfStreamTurn turn;
	Datum		array;
	int64		item_no;

	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("items must not be empty")));
	for (int i = 0; i < count; i++)
		if (nulls[i])
			values[i] = dwf_args_json_null();
	workflow_id = dwf_identity_argument(fcinfo, 2);
	dwf_store_require_writable("wf_write_stream_many");

	array = PointerGetDatum(construct_array(values, count, JSONBOID, -1, false,
											TYPALIGN_INT));
	take_turn_to_write(&turn, workflow_id, stream);
	item_no = dwf_store_append_many(workflow_id, stream, array, GetUserId());
	if (item_no == 0)
		report_refused(workflow_id);
	PG_RETURN_INT64(item_no);
}

/* wf_close_stream(stream, workflow_id) → void */
DWF_JOURNALLED(wf_close_stream, 0, DWF_AT_WORKFLOW(1));
static Datum
do_wf_close_stream(PG_FUNCTION_ARGS)
{
	text	   *stream = dwf_args_name(fcinfo, 0, "stream", DWF_KEY_MAX);
	text	   *workflow_id = dwf_identity_argument(fcinfo, 1);
	DwfStreamTurn turn;

	dwf_store_require_writable("wf_close_stream");
	if (take_turn(&turn, workflow_id, stream) &&
		!dwf_store_close_stream(workflow_id, stream, GetUserId()))
		report_refused(workflow_id);
	PG_RETURN_VOID();
}

/* ----- reading ----- */

/* Read what there is after the last item that was read */
static void
read_items(DwfStreamRead *read)
{
	read->count = dwf_direct_read_items(read->workflow_id, read->stream,
										read->after, read->limit,
										&read->items);
	if (read->count < 0)
		read->count = dwf_store_read_stream(read->workflow_id, read->stream,
											read->after, read->limit,
											&read->items);
}

/*
 * Is a stream over, since it is closed, or its workflow has ended and no
 * writer goes on?  If the workflow lives, by what the caller has seen, only
 * the former counts.  Returns false if there is no such workflow.
 */
static bool
look_for_end(DwfStreamRead *read, bool lives, Oid role, bool *is_over)
{
	DwfLife		life;
	bool		closed;

	if (lives)
		*is_over = dwf_store_stream_is_closed(read->workflow_id,
											  read->stream);
	else if (dwf_store_stream_state(read->workflow_id, read->stream, &life,
									&closed))
	{
		dwf_identity_check_owner(read->workflow_id, &life, role);
		*is_over = closed ||
			(life.finished && !dwf_store_stream_has_writer(read->workflow_id,
														   read->stream));
	}
	else
		return false;
	return true;
}

/*
 * Read items, or the end of the stream, without waiting, as this role; false
 * if there is neither.  Nothing more can come if, in this order, the stream is
 * over, no writer goes on, and there are no items.
 */
bool
dwf_stream_look(DwfStreamRead *read, Oid role)
{
	bool		lives = dwf_probe_accepts(read->workflow_id, role);
	bool		is_over;

	read->count = 0;
	read->ended = false;

	/* most looks find items, or that the stream of a live workflow is open */
	if (lives)
	{
		read_items(read);
		if (read->count > 0)
			return true;
	}
	if (!look_for_end(read, lives, role, &is_over) || (lives && !is_over))
		return false;

	read_items(read);
	read->ended = is_over && read->count == 0 &&
		!dwf_store_stream_has_more(read->workflow_id, read->stream,
								   read->after);
	return read->count > 0 || read->ended;
}

/* The look of wf_read_stream */
static bool
look_for_items(DwfWait *wait)
{
	return dwf_stream_look(wait->arg, wait->role);
}

/* The values of what was read, as a JSON array; for a CALL */
static Datum
values_as_array(const DwfStreamRead *read)
{
	DwfJsonState state = {0};
	JsonbValue *array;

	dwf_json_add(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < read->count; i++)
	{
		Jsonb	   *jsonb = DatumGetJsonbP(read->items[i].value);
		JsonbValue	value;

		/* a scalar is kept as an array of one, which is to be taken off */
		if (!JsonbExtractScalar(&jsonb->root, &value))
			value = dwf_json_container(jsonb);
		dwf_json_add(&state, WJB_ELEM, &value);
	}
	array = dwf_json_add(&state, WJB_END_ARRAY, NULL);
	PG_RETURN_JSONB_P(JsonbValueToJsonb(array));
}

/* Return what was read to a CALL: items, last_item, ended */
static Datum
return_to_call(FunctionCallInfo fcinfo, const DwfStreamRead *read)
{
	Datum		values[3] = {0};
	bool		nulls[3] = {read->count == 0, false, false};

	if (read->count > 0)
		values[0] = values_as_array(read);
	values[1] = Int64GetDatum(read->count == 0 ? read->after :
							  read->items[read->count - 1].item_no);
	values[2] = BoolGetDatum(read->ended);
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* Return a row for each item, or one that says that the stream has ended */
static void
return_rows(ReturnSetInfo *result, const DwfStreamRead *read)
{
	Datum		values[3] = {0};
	bool		nulls[3] = {false, false, false};

	for (int i = 0; i < read->count; i++)
	{
		values[0] = Int64GetDatum(read->items[i].item_no);
		values[1] = read->items[i].value;
		values[2] = BoolGetDatum(false);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	if (read->ended)
	{
		nulls[0] = nulls[1] = true;
		values[2] = BoolGetDatum(true);
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
}

/* The arguments after and max_items */
static void
take_range(FunctionCallInfo fcinfo, DwfStreamRead *read)
{
	dwf_args_require(fcinfo, 2, "after");
	read->after = PG_GETARG_INT64(2);
	if (read->after < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after must not be negative")));
	dwf_args_require(fcinfo, 3, "max_items");
	read->limit = PG_GETARG_INT32(3);
	if (read->limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_items must be at least 1")));
}

/*
 * wf_read_stream(workflow_id, stream, after, max_items, timeout) → rows;
 * also a CALL
 */
DWF_JOURNALLED(wf_read_stream, 1, DWF_WAITS_AT(0, 4));
static Datum
do_wf_read_stream(PG_FUNCTION_ARGS)
{
	DwfStreamRead read = {0};
	DwfWait		wait;

	dwf_wait_init(&wait, fcinfo, "wf_read_stream");
	read.workflow_id = dwf_args_name(fcinfo, 0, "workflow_id",
									 DWF_WORKFLOW_ID_MAX);
	read.stream = dwf_args_name(fcinfo, 1, "stream", DWF_KEY_MAX);
	take_range(fcinfo, &read);
	wait.deadline = dwf_args_deadline(fcinfo, 4, "timeout");
	if (!wait.is_call)
		InitMaterializedSRF(fcinfo, 0);

	dwf_wait_at(&wait, DWF_DOOR_STREAM, read.workflow_id, read.stream);
	wait.look = look_for_items;
	wait.arg = &read;
	(void) dwf_wait(&wait);

	if (wait.is_call)
		return return_to_call(fcinfo, &read);
	return_rows((ReturnSetInfo *) fcinfo->resultinfo, &read);
	return (Datum) 0;
}
