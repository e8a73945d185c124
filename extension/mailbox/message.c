/*-------------------------------------------------------------------------
 *
 * message.c
 *	  Messages: wf_send, wf_send_many, wf_recv, wf_recv_any, wf_recv_many.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "base/args.h"
#include "base/arrays.h"
#include "base/texts.h"
#include "mailbox/mailbox.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "shared/address.h"
#include "shared/waiter.h"
#include "store/store.h"

/* ----- sending ----- */

/* The messages of one call */
typedef struct Batch
{
	int			count;
	Datum	   *destinations;
	Datum	   *payloads;
	Datum	   *keys;			/* NULL if none was given */
	bool	   *key_nulls;
	int64	   *ids;
	DwfAddress	queue;			/* its workflow is the destination */
} Batch;

/*
 * Raise for a destination that does not exist, that is not the user's or, if
 * "finished_too", that has ended: WF001, 42501, WF002 or WF003.
 */
static void
check_destinations(Datum destinations, bool finished_too)
{
	text	   *refused;
	DwfLife		life;

	while ((refused = dwf_store_first_refused(destinations, GetUserId(),
											  finished_too)) != NULL)
	{
		if (finished_too)
			dwf_identity_check_live(refused, GetUserId());
		else
			dwf_identity_check_exists(refused, &life, GetUserId());
	}
}

/*
 * Claim the idempotency keys of a batch.  A message whose key was used gets
 * the id of the first message that had the key.  The others, and those without
 * a key, are put into the three arrays of what to send.  Returns how many
 * these are.
 *
 * Raises what check_destinations() raises, and 40001 if the snapshot does not
 * show which message has a key.  Blocks while another transaction claims one
 * of the keys; all sessions claim keys in one order, so two batches do not
 * deadlock.
 */
static int
drop_repeated(Batch *batch, Datum *destinations, Datum *payloads, int64 *ids)
{
	int			keyed = 0;
	int			left = 0;
	int		   *position = palloc(batch->count * sizeof(int));
	Datum	   *owners = palloc(batch->count * sizeof(Datum));
	Datum	   *scopes = palloc(batch->count * sizeof(Datum));
	Datum	   *keys = palloc(batch->count * sizeof(Datum));
	int64	   *claims = palloc(batch->count * sizeof(int64));
	int64	   *holders = palloc(batch->count * sizeof(int64));
	Datum		owner_array;
	Datum		scope_array;
	Datum		key_array;

	/* Collect the messages that have a key */
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->key_nulls[i])
			continue;
		position[keyed] = i;
		owners[keyed] = batch->destinations[i];
		scopes[keyed] = CStringGetTextDatum("");
		keys[keyed] = batch->keys[i];
		claims[keyed] = batch->ids[i];
		keyed++;
	}

	owner_array = dwf_arrays_of_text(owners, keyed);
	scope_array = dwf_arrays_of_text(scopes, keyed);
	key_array = dwf_arrays_of_text(keys, keyed);
	check_destinations(owner_array, false);
	dwf_store_claim_keys(owner_array, scope_array, key_array,
						 dwf_arrays_of_int8(claims, keyed));
	if (dwf_store_claimed_ids(owner_array, scope_array, key_array,
							  holders) != keyed)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see an idempotency key that another transaction has used")));

	/* Take over the ids that the keys have, and leave out what was sent */
	for (int k = 0; k < keyed; k++)
		batch->ids[position[k]] = holders[k];
	for (int i = 0, k = 0; i < batch->count; i++)
	{
		bool		is_keyed = k < keyed && position[k] == i;

		if (is_keyed && claims[k++] != batch->ids[i])
			continue;
		destinations[left] = batch->destinations[i];
		payloads[left] = batch->payloads[i];
		ids[left++] = batch->ids[i];
	}
	return left;
}

/*
 * Send a batch, all messages or none, and fill in its ids.  Raises WF001,
 * WF002, WF003, 42501 and 40001.  Blocks as drop_repeated() does.
 */
static void
send_batch(Batch *batch)
{
	int			count = batch->count;
	Datum	   *destinations = batch->destinations;
	Datum	   *payloads = batch->payloads;
	int64	   *ids;
	DwfAddress *addresses;
	Datum		destination_array;

	/* Take an id for each */
	ids = batch->ids = palloc(count * sizeof(int64));
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		ids[i] = dwf_store_next_message_id();
	}

	/* Leave out those whose idempotency keys were used */
	if (batch->keys)
	{
		destinations = palloc(count * sizeof(Datum));
		payloads = palloc(count * sizeof(Datum));
		ids = palloc(count * sizeof(int64));
		count = drop_repeated(batch, destinations, payloads, ids);
		if (count == 0)
			return;
	}

	/* Write the messages one by one, or else by one statement */
	addresses = palloc(count * sizeof(DwfAddress));
	for (int i = 0; i < count; i++)
	{
		addresses[i] = batch->queue;
		addresses[i].workflow_id = DatumGetTextPP(destinations[i]);
	}
	if (dwf_mailbox_put_many(count, ids, addresses, payloads, NULL, true))
		return;
	destination_array = dwf_arrays_of_text(destinations, count);
	if (dwf_store_deliver_many(dwf_arrays_of_int8(ids, count),
							   destination_array,
							   dwf_arrays_of_jsonb(payloads, count),
							   &batch->queue, GetUserId()) != (uint64) count)
	{
		/* Raise for one that was refused; that undoes the others */
		check_destinations(destination_array, true);
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("a destination changed while the messages were sent")));
	}
}

/* wf_send(destination_id, message, topic, idempotency_key) → bigint */
DWF_JOURNALLED(wf_send, 0, DWF_AT_WORKFLOW(0));
static Datum
do_wf_send(PG_FUNCTION_ARGS)
{
	text	   *destination;
	text	   *topic;
	text	   *key;
	DwfAddress	queue;
	Batch		batch = {0};
	Datum		destination_datum;
	Datum		payload;
	Datum		key_datum;
	bool		key_null = false;

	destination = dwf_args_name(fcinfo, 0, "destination_id",
								DWF_WORKFLOW_ID_MAX);
	topic = dwf_args_topic(fcinfo, 2);
	key = dwf_args_optional_name(fcinfo, 3, "idempotency_key", DWF_KEY_MAX);
	payload = dwf_args_payload(fcinfo, 1);
	dwf_store_require_writable("wf_send");

	/* without a key the message is delivered at once */
	queue = dwf_mailbox_topic_queue(destination, topic);
	if (key == NULL)
		PG_RETURN_INT64(dwf_mailbox_deliver(&queue, payload));

	/* with one it is a batch of one */
	destination_datum = PointerGetDatum(destination);
	key_datum = PointerGetDatum(key);
	batch.count = 1;
	batch.destinations = &destination_datum;
	batch.payloads = &payload;
	batch.keys = &key_datum;
	batch.key_nulls = &key_null;
	batch.queue = queue;
	send_batch(&batch);
	PG_RETURN_INT64(batch.ids[0]);
}

/* Raise 22023 unless each element of an array is a name, or an allowed null */
static void
check_names(Datum *values, bool *nulls, int count, const char *name, int max,
			bool may_be_null)
{
	for (int i = 0; i < count; i++)
	{
		if (!nulls[i])
			dwf_args_check_name(DatumGetTextPP(values[i]), name, max, false);
		else if (!may_be_null)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not be null", name)));
	}
}

/* Raise 22023 unless an array has as many elements as destination_ids */
static void
check_array_length(const char *name, int count, int destinations)
{
	if (count != destinations)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must have as many elements as destination_ids",
						name),
				 errdetail("It has %d, destination_ids has %d.",
						   count, destinations)));
}

/*
 * wf_send_many(destination_ids, messages, topic, idempotency_keys)
 *	→ bigint[]
 */
DWF_JOURNALLED(wf_send_many, -1, DWF_AT_MANY(0));
static Datum
do_wf_send_many(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};
	bool	   *nulls;
	bool	   *payload_nulls;
	int			count;

	/* Read the arguments */
	batch.count = dwf_args_array(fcinfo, 0, "destination_ids", TEXTOID,
								 &batch.destinations, &nulls);
	count = dwf_args_array(fcinfo, 1, "messages", JSONBOID,
						   &batch.payloads, &payload_nulls);
	check_array_length("messages", count, batch.count);
	batch.queue = dwf_mailbox_topic_queue(NULL, dwf_args_topic(fcinfo, 2));
	if (!PG_ARGISNULL(3))
	{
		count = dwf_args_array(fcinfo, 3, "idempotency_keys", TEXTOID,
							   &batch.keys, &batch.key_nulls);
		check_array_length("idempotency_keys", count, batch.count);
		check_names(batch.keys, batch.key_nulls, count, "idempotency_key",
					DWF_KEY_MAX, true);
	}

	/* Check the destinations; a message that is SQL NULL is JSON null */
	check_names(batch.destinations, nulls, batch.count, "destination_id",
				DWF_WORKFLOW_ID_MAX, false);
	for (int i = 0; i < batch.count; i++)
		if (payload_nulls[i])
			batch.payloads[i] = dwf_args_json_null();
	dwf_store_require_writable("wf_send_many");

	if (batch.count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(INT8OID));
	send_batch(&batch);
	PG_RETURN_DATUM(dwf_arrays_of_int8(batch.ids, batch.count));
}

/* ----- receiving ----- */

/* wf_recv(topic, timeout, workflow_id) → jsonb; also a CALL */
DWF_JOURNALLED(wf_recv, 0, DWF_WAITS_AT(2, 1));
static Datum
do_wf_recv(PG_FUNCTION_ARGS)
{
	DwfReceive	receive = {.limit = 1,.nqueues = 1};
	DwfAddress	queue;
	DwfWait		wait;
	text	   *topic;
	bool		isnull;
	Datum		message;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_recv");
	topic = dwf_args_topic(fcinfo, 0);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	receive.workflow_id = dwf_identity_argument(fcinfo, 2);
	queue = dwf_mailbox_topic_queue(receive.workflow_id, topic);
	receive.queues = &queue;

	/* Wait for a message */
	isnull = !dwf_mailbox_receive(&receive, &wait);
	message = isnull ? (Datum) 0 : receive.items[0].payload;

	return dwf_args_return_value(fcinfo, message, isnull);
}

/* Is this queue among the first "count" of an array? */
static bool
is_among(const DwfAddress *queue, const DwfAddress *queues, int count)
{
	for (int i = 0; i < count; i++)
		if (queues[i].door == queue->door &&
			dwf_texts_equal(queues[i].key, queue->key))
			return true;
	return false;
}

/*
 * Fill in the queues of a receive that an array of topics names, each once.
 * Raises 22023 if there is none, or too many.
 */
static void
collect_queues(FunctionCallInfo fcinfo, int n, DwfReceive *receive)
{
	Datum	   *topics;
	bool	   *nulls;
	int			count;
	int			bytes = 0;

	/* Read the array */
	count = dwf_args_array(fcinfo, n, "topics", TEXTOID, &topics, &nulls);
	if (count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("topics must not be empty")));

	/* Collect the queues */
	receive->queues = palloc(DWF_TOPICS_MAX * sizeof(DwfAddress));
	for (int i = 0; i < count; i++)
	{
		text	   *topic = nulls[i] ? NULL : DatumGetTextPP(topics[i]);
		DwfAddress	queue;

		if (topic)
			dwf_args_check_name(topic, "topic", DWF_KEY_MAX, true);
		queue = dwf_mailbox_topic_queue(receive->workflow_id, topic);
		if (is_among(&queue, receive->queues, receive->nqueues))
			continue;

		bytes += VARSIZE_ANY_EXHDR(queue.key);
		if (receive->nqueues == DWF_TOPICS_MAX || bytes > DWF_TOPIC_BYTES_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("too many topics"),
					 errdetail("At most %d different topics of together at most %d bytes can be waited for.",
							   DWF_TOPICS_MAX, DWF_TOPIC_BYTES_MAX)));
		receive->queues[receive->nqueues++] = queue;
	}
}

/*
 * wf_recv_any(topics, timeout, workflow_id) → (topic, message); also a CALL
 */
DWF_JOURNALLED_NAMED(wf_recv_any, 0, TEXTARRAYOID, DWF_WAITS_AT(2, 1));
static Datum
do_wf_recv_any(PG_FUNCTION_ARGS)
{
	DwfReceive	receive = {.limit = 1};
	DwfWait		wait;
	Datum		values[2] = {0};
	bool		nulls[2] = {true, true};

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_recv_any");
	dwf_args_require(fcinfo, 0, "topics");
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	receive.workflow_id = dwf_identity_argument(fcinfo, 2);
	collect_queues(fcinfo, 0, &receive);

	/* Wait for a message of any of the topics */
	if (dwf_mailbox_receive(&receive, &wait))
	{
		DwfAddress *queue = &receive.queues[receive.from];

		values[0] = PointerGetDatum(queue->key);
		nulls[0] = queue->door == DWF_DOOR_NO_TOPIC;
		values[1] = receive.items[0].payload;
		nulls[1] = false;
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* wf_recv_many(topic, max_messages, timeout, workflow_id) → rows */
DWF_JOURNALLED(wf_recv_many, 0, DWF_WAITS_AT(3, 2));
static Datum
do_wf_recv_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	DwfReceive	receive = {.nqueues = 1};
	DwfAddress	queue;
	DwfWait		wait;
	text	   *topic;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_recv_many");
	topic = dwf_args_topic(fcinfo, 0);
	dwf_args_require(fcinfo, 1, "max_messages");
	receive.limit = PG_GETARG_INT32(1);
	if (receive.limit < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_messages must be at least 1")));
	wait.deadline = dwf_args_deadline(fcinfo, 2, "timeout");
	receive.workflow_id = dwf_identity_argument(fcinfo, 3);
	queue = dwf_mailbox_topic_queue(receive.workflow_id, topic);
	receive.queues = &queue;

	/* Wait for the first message, and return those that were taken */
	InitMaterializedSRF(fcinfo, 0);
	(void) dwf_mailbox_receive(&receive, &wait);
	for (int i = 0; i < receive.count; i++)
	{
		Datum		values[2];
		bool		nulls[2] = {false, false};

		values[0] = Int64GetDatum(receive.items[i].message_id);
		values[1] = receive.items[i].payload;
		tuplestore_putvalues(result->setResult, result->setDesc, values,
							 nulls);
	}
	return (Datum) 0;
}
