/*-------------------------------------------------------------------------
 *
 * wait_any.c
 *	  Wait for whichever of several things comes first: wf_wait_any.
 *
 * A source is what another call waits for, and is looked at by the function
 * that the other call uses.  A look tries the sources in the order of the
 * list and ends with the first that has something.  So it takes at most one
 * item: the others are not even locked.  What a source raises when nothing can
 * come any more (WF001, WF002, WF003, WF006), the wait raises, unless a source
 * before it has something.
 *
 * A source's address says by its door what it is: DWF_DOOR_LIFE is the result
 * of a workflow, DWF_DOOR_EVENT an event, DWF_DOOR_STREAM the next item of a
 * stream, or its end; all others are queues.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/args.h"
#include "base/json.h"
#include "base/texts.h"
#include "cluster/route.h"
#include "mailbox/event.h"
#include "mailbox/mailbox.h"
#include "mailbox/stream.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/trace.h"
#include "session/wait.h"
#include "shared/waiter.h"
#include "store/store.h"

/* One thing that a call waits for */
typedef struct Source
{
	DwfAddress	address;
	int64		after;			/* of a stream: the last item that was read */
} Source;

/* What a call waits for, and what it has found */
typedef struct AnyWait
{
	text	   *workflow_id;	/* whose mailbox; NULL: no source needs one */
	int			count;
	Source		sources[DWF_SOURCES_MAX];
	int			found;			/* the place in the list, from 1; 0: none */
	DwfValue	value;
} AnyWait;

/* ----- the list ----- */

/* The fields of a source's object; NULL where it has none */
typedef struct Fields
{
	JsonbValue *topic;
	JsonbValue *event_id;
	JsonbValue *token;
	JsonbValue *workflow_id;
	JsonbValue *key;
	JsonbValue *stream;
	JsonbValue *after;
} Fields;

/* Raise 22023 for an object that is no source, or more than one */
static void
report_source(int place)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("source %d is not one thing to wait for", place),
			 errdetail("It has to be an object with the fields of one of these: {topic}, {event_id}, {token}, {workflow_id, key}, {workflow_id, stream, after}, {workflow_id}.")));
}

/* Take an object apart; raises 22023 if it is none, or has other fields */
static void
read_fields(JsonbValue *object, int place, Fields *fields)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	item;

	if (object->type != jbvBinary ||
		!JsonContainerIsObject(object->val.binary.data))
		report_source(place);
	memset(fields, 0, sizeof(Fields));

	iterator = JsonbIteratorInit(object->val.binary.data);
	(void) JsonbIteratorNext(&iterator, &item, true);
	while ((token = JsonbIteratorNext(&iterator, &item, true)) == WJB_KEY)
	{
		const struct
		{
			const char *name;
			JsonbValue **field;
		}			known[] = {
			{"topic", &fields->topic},
			{"event_id", &fields->event_id},
			{"token", &fields->token},
			{"workflow_id", &fields->workflow_id},
			{"key", &fields->key},
			{"stream", &fields->stream},
			{"after", &fields->after},
		};
		JsonbValue **field = NULL;

		for (int i = 0; i < (int) lengthof(known); i++)
			if (item.val.string.len == (int) strlen(known[i].name) &&
				memcmp(item.val.string.val, known[i].name,
					   item.val.string.len) == 0)
				field = known[i].field;
		if (field == NULL)
			report_source(place);
		*field = palloc(sizeof(JsonbValue));
		(void) JsonbIteratorNext(&iterator, *field, true);
	}
}

/* A field's text; raises 22023 unless it is a name of at most "max" bytes */
static text *
field_text(JsonbValue *field, const char *name, int place, int max,
		   bool may_be_empty)
{
	char	   *full = psprintf("%s of source %d", name, place);
	text	   *value;

	if (field->type == jbvNull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be null", full)));
	if (field->type != jbvString)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a string", full)));
	value = cstring_to_text_with_len(field->val.string.val,
									 field->val.string.len);
	dwf_args_check_name(value, full, max, may_be_empty);
	return value;
}

/* The number of the field "after"; raises 22023 */
static int64
field_after(JsonbValue *field, int place)
{
	int64		after = -1;

	/* a number beyond all items is refused like one that is no integer */
	if (field->type == jbvNumeric)
	{
		Datum		number = NumericGetDatum(field->val.numeric);
		char	   *string = DatumGetCString(DirectFunctionCall1(numeric_out,
																 number));
		char	   *end;

		errno = 0;
		after = strtoll(string, &end, 10);
		if (errno != 0 || *end != '\0')
			after = -1;
	}
	if (after < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("after of source %d must be an integer that is not negative",
						place)));
	return after;
}

/* Read a source that names a workflow: its result, an event, or a stream */
static void
read_workflow_source(const Fields *fields, int place, Source *source)
{
	DwfAddress *address = &source->address;

	address->door = DWF_DOOR_LIFE;
	address->workflow_id = field_text(fields->workflow_id, "workflow_id",
									  place, DWF_WORKFLOW_ID_MAX, false);
	if (fields->key)
	{
		address->door = DWF_DOOR_EVENT;
		address->key = field_text(fields->key, "key", place, DWF_KEY_MAX,
								  false);
	}
	else if (fields->stream)
	{
		address->door = DWF_DOOR_STREAM;
		address->key = field_text(fields->stream, "stream", place,
								  DWF_KEY_MAX, false);
		if (fields->after)
			source->after = field_after(fields->after, place);
	}
}

/*
 * Read a source.  Its address lacks a workflow if that is the one whose
 * mailbox the call reads, or the one of a hook.
 */
static void
read_source(JsonbValue *object, int place, Source *source)
{
	DwfAddress *address = &source->address;
	Fields		fields;

	read_fields(object, place, &fields);
	memset(source, 0, sizeof(Source));

	/* an object is one thing, and has no field that belongs to another */
	if ((fields.topic != NULL) + (fields.event_id != NULL) +
		(fields.token != NULL) + (fields.workflow_id != NULL) != 1 ||
		((fields.key || fields.stream) && !fields.workflow_id) ||
		(fields.key && fields.stream) || (fields.after && !fields.stream))
		report_source(place);

	if (fields.workflow_id)
		read_workflow_source(&fields, place, source);
	else if (fields.event_id)
	{
		address->door = DWF_DOOR_NOTIFY;
		address->key = field_text(fields.event_id, "event_id", place,
								  DWF_KEY_MAX, false);
	}
	else if (fields.token)
	{
		address->door = DWF_DOOR_HOOK;
		address->key = field_text(fields.token, "token", place, DWF_KEY_MAX,
								  false);
	}
	else
	{
		text	   *topic = fields.topic->type == jbvNull ? NULL :
		field_text(fields.topic, "topic", place, DWF_KEY_MAX, true);

		*address = dwf_mailbox_topic_queue(NULL, topic);
	}
}

/* Read the list of sources; raises 22023 */
static void
read_sources(FunctionCallInfo fcinfo, AnyWait *any)
{
	Jsonb	   *list;

	dwf_args_require(fcinfo, 0, "sources");
	list = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(list) || JB_ROOT_IS_SCALAR(list))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sources must be a JSON array")));
	if (JB_ROOT_COUNT(list) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("sources must not be empty")));
	if (JB_ROOT_COUNT(list) > DWF_SOURCES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("too many sources"),
				 errdetail("There are %u, the limit is %d.",
						   (unsigned) JB_ROOT_COUNT(list), DWF_SOURCES_MAX)));

	any->count = JB_ROOT_COUNT(list);
	for (int i = 0; i < any->count; i++)
		read_source(getIthJsonbValueFromContainer(&list->root, i), i + 1,
					&any->sources[i]);
}

/*
 * Find the workflows of the sources that have none: the argument or the
 * current one, and those of hooks.  Raises WF008; WF006 and 42501 for a hook;
 * WF011 for one that is on another node.
 */
static void
resolve_sources(FunctionCallInfo fcinfo, AnyWait *any, Oid role)
{
	for (int i = 0; i < any->count; i++)
	{
		DwfAddress *source = &any->sources[i].address;

		if (source->workflow_id || source->door == DWF_DOOR_HOOK)
			continue;
		if (any->workflow_id == NULL)
			any->workflow_id = dwf_identity_argument(fcinfo, 2);
		source->workflow_id = any->workflow_id;
	}
	for (int i = 0; i < any->count; i++)
	{
		DwfAddress *source = &any->sources[i].address;

		if (source->workflow_id == NULL)
			source->workflow_id = dwf_identity_hook_workflow(source->key,
															 role);
		dwf_route_require_here("wf_wait_any", source->workflow_id);
	}
}

/* ----- the wait ----- */

/* Wait at the address of a source */
static void
wait_at_source(DwfWait *wait, const Source *source)
{
	dwf_wait_at(wait, source->address.door, source->address.workflow_id,
				source->address.key);
}

/* The outcome of a workflow that has ended, as an object */
static Datum
outcome_object(const DwfOutcome *outcome)
{
	DwfJsonState state = {0};
	text	   *error = outcome->error.isnull ? NULL :
	DatumGetTextPP(outcome->error.value);

	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_push_text(&state, "status",
					   cstring_to_text(outcome->life.status));
	dwf_json_push_jsonb(&state, "output", outcome->output.value,
						outcome->output.isnull);
	if (error)
		dwf_json_push_text(&state, "error", error);
	else
		dwf_json_push(&state, "error", NULL);
	return dwf_json_finish(&state);
}

/* What was read of a stream, as an object */
static Datum
item_object(const DwfStreamRead *read)
{
	DwfJsonState state = {0};
	JsonbValue	ended = {.type = jbvBool,.val.boolean = read->ended};

	dwf_json_add(&state, WJB_BEGIN_OBJECT, NULL);
	if (read->count > 0)
		dwf_json_push_number(&state, "item_no", read->items[0].item_no);
	else
		dwf_json_push(&state, "item_no", NULL);
	dwf_json_push_jsonb(&state, "value",
						read->count > 0 ? read->items[0].value : (Datum) 0,
						read->count == 0);
	dwf_json_push(&state, "ended", &ended);
	return dwf_json_finish(&state);
}

/* Look at a stream's next item; true if there is one, or the end */
static bool
look_at_stream(const Source *source, DwfValue * value, Oid role)
{
	DwfStreamRead read = {.limit = 1};

	read.workflow_id = source->address.workflow_id;
	read.stream = source->address.key;
	read.after = source->after;
	if (!dwf_stream_look(&read, role))
		return false;
	value->value = item_object(&read);
	value->isnull = false;
	return true;
}

/* Look at one source, and take what it has; true if it had something */
static bool
look_at_source(Source *place, DwfValue * value, Oid role)
{
	DwfAddress *source = &place->address;
	DwfReceive	receive = {.limit = 1,.nqueues = 1};
	DwfOutcome	outcome;

	switch (source->door)
	{
		case DWF_DOOR_EVENT:
			return dwf_event_look(source->workflow_id, source->key, value,
								  role);
		case DWF_DOOR_STREAM:
			return look_at_stream(place, value, role);
		case DWF_DOOR_LIFE:
			if (!dwf_identity_outcome(source->workflow_id, &outcome, role))
				return false;
			value->value = outcome_object(&outcome);
			break;
		default:
			Assert(dwf_door_is_queue(source->door));
			receive.workflow_id = source->workflow_id;
			receive.queues = source;
			if (!dwf_mailbox_look(&receive, role))
				return false;
			value->value = receive.items[0].payload;
			break;
	}
	value->isnull = false;
	return true;
}

/* The wait's look: the first source of the list that has something */
static bool
look_for_any(DwfWait *wait)
{
	AnyWait    *any = wait->arg;

	for (int i = 0; i < any->count; i++)
		if (look_at_source(&any->sources[i], &any->value, wait->role))
		{
			any->found = i + 1;
			return true;
		}
	return false;
}

/*
 * wf_wait_any(sources, timeout, workflow_id) → (source, value); also a CALL
 */
DWF_JOURNALLED_NAMED(wf_wait_any, 0, JSONBOID, DWF_WAITS_AT(2, 1));
static Datum
do_wf_wait_any(PG_FUNCTION_ARGS)
{
	AnyWait    *any = palloc0(sizeof(AnyWait));
	DwfWait		wait;
	Datum		values[2] = {0};
	bool		nulls[2] = {true, true};

	/* Read the arguments */
	dwf_trace_forget();
	dwf_wait_init(&wait, fcinfo, "wf_wait_any");
	read_sources(fcinfo, any);
	wait.deadline = dwf_args_deadline(fcinfo, 1, "timeout");
	resolve_sources(fcinfo, any, wait.role);
	for (int i = 0; i < any->count; i++)
		if (dwf_door_is_queue(any->sources[i].address.door))
		{
			dwf_store_require_writable("wf_wait_any");
			break;
		}

	/* Wait at the workflow's own queues first: that workflow is shown */
	for (int i = 0; i < any->count; i++)
		if (any->workflow_id &&
			any->sources[i].address.workflow_id == any->workflow_id)
			wait_at_source(&wait, &any->sources[i]);
	for (int i = 0; i < any->count; i++)
		wait_at_source(&wait, &any->sources[i]);
	wait.acts_as = any->workflow_id;
	wait.look = look_for_any;
	wait.arg = any;

	if (dwf_wait(&wait))
	{
		values[0] = Int32GetDatum(any->found);
		nulls[0] = false;
		values[1] = any->value.value;
		nulls[1] = any->value.isnull;
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}
