/*-------------------------------------------------------------------------
 *
 * call_forms.c
 *	  How our functions and procedures are called, for who has called one in
 *	  another way.
 *
 * The server finds no function for a call, or one of the wrong kind, before
 * any code of ours runs, and its hint can be the wrong one: a CALL without the
 * last argument finds the function, and "use SELECT" is what a wait had better
 * not do.  So the hint of such an error is replaced when it is reported
 * (log.c): to a client, or by an executor, which then writes it to the
 * workflow's row.
 * The session may be in a failed transaction by then: nothing is looked up.
 *
 *-------------------------------------------------------------------------
 */
#include "base/call_forms.h"

#include <ctype.h>

#include "tcop/tcopprot.h"

/* How a function is called; its procedure has all arguments, and results */
typedef struct CallForm
{
	const char *name;
	const char *arguments;		/* in brackets what has a default */
	const char *procedure;		/* its arguments; NULL: there is none */
} CallForm;

/* sql/call_forms.sql compares it with the catalog */
static const CallForm forms[] = {
	{"wf_adopt",
	"", NULL},
	{"wf_attach",
	"workflow_id text [, takeover boolean]", NULL},
	{"wf_attach_any",
		"queues text[] [, timeout interval]",
	"queues, timeout, workflow_id, queue, input, attempt"},
	{"wf_attach_next",
		"queue text [, timeout interval]",
	"queue, timeout, workflow_id"},
	{"wf_await_hook",
		"token text [, timeout interval]",
	"token, timeout, payload"},
	{"wf_await_response",
		"token text, request_id bigint [, timeout interval]",
	"token, request_id, timeout, response"},
	{"wf_begin_step",
	"name text", NULL},
	{"wf_cancel",
	"workflow_id text [, reason text, children boolean]", NULL},
	{"wf_close_stream",
	"stream text [, workflow_id text]", NULL},
	{"wf_complete",
	"[output jsonb, workflow_id text]", NULL},
	{"wf_continue_as_new",
	"input jsonb", NULL},
	{"wf_create_hook",
	"[token text, metadata jsonb, validator text, workflow_id text]", NULL},
	{"wf_create_stream_url",
	"stream text [, workflow_id text]", NULL},
	{"wf_create_webhook",
		"[respond_with jsonb, metadata jsonb, validator text, workflow_id"
	" text]", NULL},
	{"wf_current",
	"", NULL},
	{"wf_delete",
	"workflow_id text", NULL},
	{"wf_detach",
	"[retry_after interval]", NULL},
	{"wf_dispose_hook",
	"token text", NULL},
	{"wf_distribute",
	"[shard_count integer]", NULL},
	{"wf_event_waiters",
	"event_id text", NULL},
	{"wf_fail",
	"error text [, workflow_id text]", NULL},
	{"wf_fail_step",
	"name text, error text", NULL},
	{"wf_form",
	"body text", NULL},
	{"wf_get_event",
		"workflow_id text, key text [, timeout interval]",
	"workflow_id, key, timeout, value"},
	{"wf_get_hook",
	"token text", NULL},
	{"wf_get_step",
	"name text", NULL},
	{"wf_list_steps",
	"workflow_id text", NULL},
	{"wf_listen",
	"[workflow_id text]", NULL},
	{"wf_move_shard",
	"shard bigint, to text", NULL},
	{"wf_node",
	"workflow_id text", NULL},
	{"wf_notify",
	"event_id text [, event_data jsonb, workflow_id text]", NULL},
	{"wf_now",
	"", NULL},
	{"wf_patched",
	"change text", NULL},
	{"wf_prune",
	"[older_than interval, batch integer]", NULL},
	{"wf_random",
	"", NULL},
	{"wf_read_stream",
		"workflow_id text, stream text [, after bigint, max_items integer,"
		" timeout interval]",
		"workflow_id, stream, after, max_items, timeout, items, last_item,"
	" ended"},
	{"wf_reassign_owned",
	"old_owner text, new_owner text", NULL},
	{"wf_received_traceparent",
	"[message_id bigint]", NULL},
	{"wf_recv",
		"[topic text, timeout interval, workflow_id text]",
	"topic, timeout, workflow_id, message"},
	{"wf_recv_any",
		"topics text[] [, timeout interval, workflow_id text]",
	"topics, timeout, workflow_id, topic, message"},
	{"wf_recv_many",
		"[topic text, max_messages integer, timeout interval, workflow_id"
	" text]", NULL},
	{"wf_redrive",
	"workflow_id text [, topic text]", NULL},
	{"wf_respond",
	"request_id bigint [, status integer, headers jsonb, body text]", NULL},
	{"wf_result",
		"workflow_id text [, timeout interval]",
	"workflow_id, timeout, status, output, error"},
	{"wf_resume_hook",
	"token text, payload jsonb [, idempotency_key text]", NULL},
	{"wf_resume_webhook",
	"token text, request jsonb", NULL},
	{"wf_retry",
	"workflow_id text [, from_step integer]", NULL},
	{"wf_save_step",
	"name text, output jsonb", NULL},
	{"wf_schedule",
	"name text, schedule text, body text, input jsonb", NULL},
	{"wf_schedule_retention",
	"schedule text, older_than interval", NULL},
	{"wf_send",
		"destination_id text, message jsonb [, topic text, idempotency_key"
	" text]", NULL},
	{"wf_send_many",
		"destination_ids text[], messages jsonb[] [, topic text,"
	" idempotency_keys text[]]", NULL},
	{"wf_set_attributes",
	"attributes jsonb [, workflow_id text]", NULL},
	{"wf_set_event",
	"key text, value jsonb [, workflow_id text]", NULL},
	{"wf_set_owner",
	"workflow_id text, owner text", NULL},
	{"wf_sleep",
		"duration interval",
	"duration, woke_at"},
	{"wf_start",
		"[workflow_id text, body text, input jsonb, queue text, start_after"
	" interval, timeout interval, attributes jsonb]", NULL},
	{"wf_start_attached",
		"[workflow_id text, input jsonb, queue text, timeout interval,"
	" attributes jsonb]", NULL},
	{"wf_status",
	"workflow_id text", NULL},
	{"wf_step",
		"name text, command text [, args jsonb, max_attempts integer,"
		" retry_delay interval]",
	"name, command, args, max_attempts, retry_delay, output"},
	{"wf_unlisten",
	"[workflow_id text]", NULL},
	{"wf_unschedule",
	"name text", NULL},
	{"wf_until",
	"deadline timestamptz", NULL},
	{"wf_uuid",
	"", NULL},
	{"wf_wait_any",
		"sources jsonb [, timeout interval, workflow_id text]",
	"sources, timeout, workflow_id, source, value"},
	{"wf_wait_for_event",
		"event_id text [, timeout interval, workflow_id text]",
	"event_id, timeout, workflow_id, event_data, timed_out"},
	{"wf_write_stream",
	"stream text, value jsonb [, workflow_id text]", NULL},
	{"wf_write_stream_many",
	"stream text, items jsonb[] [, workflow_id text]", NULL},
};

/* The form of the function whose name is the identifier that begins here */
static const CallForm *
form_at(const char *text)
{
	for (int i = 0; i < (int) lengthof(forms); i++)
	{
		int			length = strlen(forms[i].name);

		if (strncmp(text, forms[i].name, length) == 0 &&
			!isalnum((unsigned char) text[length]) && text[length] != '_')
			return &forms[i];
	}
	return NULL;
}

/* Can this be a part of an identifier? */
static bool
is_in_name(char c)
{
	return isalnum((unsigned char) c) || c == '_';
}

/* The form of the function that a message names first */
static const CallForm *
form_named_in(const char *message)
{
	for (const char *at = strstr(message, "wf_"); at; at = strstr(at + 1, "wf_"))
		if (at == message || !is_in_name(at[-1]))
			return form_at(at);
	return NULL;
}

/*
 * The form of the function in whose arguments a position of a query is, the
 * innermost one: "position" is in bytes, from 0.  A parenthesis in a literal
 * can hide the call; then there is no hint.
 */
static const CallForm *
form_around(const char *query, int position)
{
	int			depth = 0;

	for (int i = position - 1; i > 0; i--)
	{
		int			begin = i;

		if (query[i] == ')')
			depth++;
		else if (query[i] == '(' && depth > 0)
			depth--;
		else if (query[i] == '(')
		{
			while (begin > 0 && is_in_name(query[begin - 1]))
				begin--;
			return form_at(query + begin);
		}
	}
	return NULL;
}

/* The form of the call that has an argument of the wrong form */
static const CallForm *
form_of_argument(const ErrorData *error)
{
	const char *query = error->internalquery ? error->internalquery :
	debug_query_string;
	int			position = error->internalquery ? error->internalpos :
	error->cursorpos;

	/* positions count characters: of what is not ASCII, say nothing */
	if (query == NULL || position <= 0 || position > (int) strlen(query))
		return NULL;
	for (int i = 0; i < position; i++)
		if (IS_HIGHBIT_SET(query[i]))
			return NULL;
	return form_around(query, position - 1);
}

/* Is this the error for a call of what is, or is not, a procedure? */
static bool
concerns_procedure(const ErrorData *error)
{
	return error->message_id && strstr(error->message_id, "procedure") &&
		strstr(error->message_id, "is a procedure") == NULL;
}

/*
 * Replace the hint of an error about how one of ours was called.  Allocates in
 * the current context, which must be the error's.
 */
void
dwf_call_forms_explain(ErrorData *error)
{
	const CallForm *form = NULL;

	if (error->elevel != ERROR || error->message == NULL)
		return;
	switch (error->sqlerrcode)
	{
		case ERRCODE_UNDEFINED_FUNCTION:
		case ERRCODE_AMBIGUOUS_FUNCTION:
		case ERRCODE_WRONG_OBJECT_TYPE:
			form = form_named_in(error->message);
			break;
		case ERRCODE_INVALID_TEXT_REPRESENTATION:
		case ERRCODE_INVALID_DATETIME_FORMAT:
			if (error->hint == NULL)
				form = form_of_argument(error);
			break;
	}
	if (form == NULL)
		return;

	/* a procedure has no defaults, and takes its results as arguments */
	if (concerns_procedure(error) && form->procedure)
		error->hint =
			psprintf("Pass all arguments, and a variable or NULL for each result: CALL %s(%s).",
					 form->name, form->procedure);
	else if (error->sqlerrcode != ERRCODE_WRONG_OBJECT_TYPE)
		error->hint = psprintf("The function is %s(%s).", form->name,
							   form->arguments);
}
