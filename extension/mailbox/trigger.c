/*-------------------------------------------------------------------------
 *
 * trigger.c
 *	  Row trigger functions for users' tables: wf_trigger_send,
 *	  wf_trigger_set_event, wf_trigger_notify.
 *
 * The arguments of a trigger are templates: literal text with columns of the
 * row in braces, as in 'order-{id}'; a brace itself is written twice.  The
 * payload is the row as jsonb: NEW, or OLD on DELETE.  A template is parsed
 * once per statement; a column that the table does not have raises at the
 * first row.  The text of columns and rows does not depend on the session's
 * settings (portable.c), so a row names one workflow in all sessions.
 *
 * The trigger functions act as the current user, with the checks and the
 * errors of the functions wf_send, wf_set_event and wf_notify.
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "base/args.h"
#include "base/portable.h"
#include "cluster/forward.h"
#include "cluster/received.h"
#include "cluster/route.h"
#include "mailbox/mailbox.h"
#include "mailbox/publish.h"
#include "shared/address.h"
#include "store/anchor.h"

#define TEMPLATES_MAX	2

PG_FUNCTION_INFO_V1(wf_trigger_send);
PG_FUNCTION_INFO_V1(wf_trigger_set_event);
PG_FUNCTION_INFO_V1(wf_trigger_notify);

/* A piece of a template: literal text, or a column with its output function */
typedef struct Piece
{
	char	   *literal;		/* NULL for a column */
	int			attnum;
	FmgrInfo	output;
} Piece;

/* An argument of a trigger, parsed */
typedef struct Template
{
	const char *source;
	int			npieces;
	Piece	   *pieces;
	DwfDependence dependence;	/* of its columns' text */
} Template;

/* What one trigger needs for each row, kept in fn_extra */
typedef struct RowPlan
{
	int			ntemplates;
	Template	templates[TEMPLATES_MAX];
	FmgrInfo	to_jsonb;
	DwfDependence dependence;	/* of the row's text */
} RowPlan;

/* ----- templates ----- */

/* Raise 22023 about a template that cannot be parsed */
static void
refuse_template(const char *template, const Trigger *trigger)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("template \"%s\" of trigger \"%s\" has an unmatched brace",
					template, trigger->tgname),
			 errhint("Write {column} for a column, {{ and }} for braces.")));
}

/* The number of a column that a template names; raises 42703 */
static int
find_column(TupleDesc desc, const char *column, const char *template,
			const TriggerData *data)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped &&
			strcmp(NameStr(attribute->attname), column) == 0)
			return attribute->attnum;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("column \"%s\" of template \"%s\" does not exist in table \"%s\"",
					column, template,
					RelationGetRelationName(data->tg_relation)),
			 errdetail("The template is an argument of trigger \"%s\".",
					   data->tg_trigger->tgname)));
}

/* Append the literal text that was gathered as a piece, and empty it */
static void
end_literal(Template *parsed, StringInfo literal)
{
	if (literal->len == 0)
		return;
	parsed->pieces[parsed->npieces++].literal = pstrdup(literal->data);
	resetStringInfo(literal);
}

/*
 * Parse a column at "at", which follows the opening brace; returns the place
 * after the closing brace.  Raises 22023 and 42703.
 */
static const char *
parse_column(Template *parsed, const char *at, const char *template,
			 const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	const char *end = strchr(at, '}');
	Piece	   *piece = &parsed->pieces[parsed->npieces++];
	Oid			type;
	Oid			function;
	bool		is_varlena;

	/* Find the column */
	if (end == NULL)
		refuse_template(template, data->tg_trigger);
	piece->literal = NULL;
	piece->attnum = find_column(desc, pnstrdup(at, end - at), template, data);

	/* Find out how to write it */
	type = TupleDescAttr(desc, piece->attnum - 1)->atttypid;
	parsed->dependence |= dwf_portable_type(type);
	getTypeOutputInfo(type, &function, &is_varlena);
	fmgr_info(function, &piece->output);
	return end + 1;
}

/*
 * Parse a template, in the current memory context.  Raises 22023 and 42703.
 */
static void
parse_template(Template *parsed, const char *template, const TriggerData *data)
{
	StringInfoData literal;

	/* Make room: each piece takes one byte of the template or more */
	parsed->source = pstrdup(template);
	parsed->npieces = 0;
	parsed->dependence = DWF_DEPENDS_NOT;
	parsed->pieces = palloc0((strlen(template) + 1) * sizeof(Piece));
	initStringInfo(&literal);

	/* Cut it into pieces */
	for (const char *at = template; *at != '\0';)
	{
		if ((*at == '{' || *at == '}') && at[1] == at[0])
		{
			appendStringInfoChar(&literal, *at);
			at += 2;
		}
		else if (*at == '{')
		{
			end_literal(parsed, &literal);
			at = parse_column(parsed, at + 1, template, data);
		}
		else if (*at == '}')
			refuse_template(template, data->tg_trigger);
		else
			appendStringInfoChar(&literal, *at++);
	}
	end_literal(parsed, &literal);
}

/* Fill in a template for a row; raises 22023 about a column that is null */
static text *
expand_template(const Template *parsed, HeapTuple row, const char *argument,
				const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	int			nest_level = dwf_portable_begin(parsed->dependence);
	StringInfoData value;

	/* Append the pieces */
	initStringInfo(&value);
	for (int i = 0; i < parsed->npieces; i++)
	{
		Piece	   *piece = &parsed->pieces[i];
		Form_pg_attribute attribute;
		Datum		column;
		bool		isnull;

		if (piece->literal)
		{
			appendStringInfoString(&value, piece->literal);
			continue;
		}

		/* Write a column as text */
		attribute = TupleDescAttr(desc, piece->attnum - 1);
		column = heap_getattr(row, piece->attnum, desc, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must not be null", argument),
					 errdetail("Column \"%s\" is null, which template \"%s\" of trigger \"%s\" names.",
							   NameStr(attribute->attname), parsed->source,
							   data->tg_trigger->tgname)));
		appendStringInfoString(&value,
							   OutputFunctionCall(&piece->output, column));
	}

	dwf_portable_end(nest_level);
	return cstring_to_text_with_len(value.data, value.len);
}

/* ----- rows ----- */

/*
 * The trigger that called "function"; raises 39P01 and 22023 unless it is a
 * row trigger with as many arguments as the function takes.
 */
static TriggerData *
check_trigger(FunctionCallInfo fcinfo, const char *function, int min_args)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	/* The function was called by a row trigger */
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() can only be called as a trigger", function)));
	if (!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("%s() must be fired for each row", function),
				 errdetail("Trigger \"%s\" fires for each statement.",
						   data->tg_trigger->tgname),
				 errhint("Create it with FOR EACH ROW.")));

	/* The trigger has enough arguments, and not too many */
	if (data->tg_trigger->tgnargs < min_args ||
		data->tg_trigger->tgnargs > TEMPLATES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("wrong number of arguments for %s() in trigger \"%s\"",
						function, data->tg_trigger->tgname),
				 min_args == TEMPLATES_MAX ?
				 errdetail("It takes %d, the trigger gives %d.",
						   min_args, data->tg_trigger->tgnargs) :
				 errdetail("It takes %d to %d, the trigger gives %d.",
						   min_args, TEMPLATES_MAX,
						   data->tg_trigger->tgnargs)));
	return data;
}

/* Prepare a call of to_jsonb() for rows of the trigger's table */
static void
prepare_to_jsonb(FmgrInfo *to_jsonb, const TriggerData *data)
{
	Oid			row_type = RelationGetForm(data->tg_relation)->reltype;
	Node	   *row = (Node *) makeNullConst(row_type, -1, InvalidOid);

	fmgr_info(F_TO_JSONB, to_jsonb);
	fmgr_info_set_expr((Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
											 list_make1(row), InvalidOid,
											 InvalidOid,
											 COERCE_EXPLICIT_CALL),
					   to_jsonb);
}

/* The plan of this trigger; the first row of a statement makes it */
static RowPlan *
row_plan(FunctionCallInfo fcinfo, const TriggerData *data)
{
	RowPlan    *plan = fcinfo->flinfo->fn_extra;
	MemoryContext old;

	if (plan)
		return plan;

	/* Parse the templates in memory that lasts as long as the statement */
	old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);
	plan = palloc0(sizeof(RowPlan));
	plan->ntemplates = data->tg_trigger->tgnargs;
	for (int i = 0; i < plan->ntemplates; i++)
		parse_template(&plan->templates[i], data->tg_trigger->tgargs[i], data);
	prepare_to_jsonb(&plan->to_jsonb, data);
	plan->dependence = dwf_portable_row(RelationGetDescr(data->tg_relation));
	fcinfo->flinfo->fn_extra = plan;
	MemoryContextSwitchTo(old);
	return plan;
}

/* The row of the trigger: NEW, or OLD on DELETE */
static HeapTuple
trigger_row(const TriggerData *data)
{
	return TRIGGER_FIRED_BY_UPDATE(data->tg_event) ?
		data->tg_newtuple : data->tg_trigtuple;
}

/*
 * The row to send.  In a BEFORE trigger, the generated columns have no value
 * yet; in that of an UPDATE they have the old row's, so send null instead.
 */
static HeapTuple
row_to_send(const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	HeapTuple	row = trigger_row(data);
	bool		isnull = true;
	Datum		none = (Datum) 0;

	/* Only a BEFORE UPDATE trigger may have old generated columns */
	if (!TRIGGER_FIRED_BEFORE(data->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(data->tg_event) ||
		desc->constr == NULL || !desc->constr->has_generated_stored)
		return row;

	/* Set them to null in a copy of the row */
	for (int i = 1; i <= desc->natts; i++)
		if (TupleDescAttr(desc, i - 1)->attgenerated != '\0')
			row = heap_modify_tuple_by_cols(row, desc, 1, &i, &none, &isnull);
	return row;
}

/*
 * Template n filled in for the row, and checked as a name; NULL if the trigger
 * has no such argument.  Raises 22023.
 */
static text *
template_value(RowPlan *plan, int n, const TriggerData *data,
			   const char *argument, int max, bool may_be_empty)
{
	text	   *value;

	if (n >= plan->ntemplates)
		return NULL;
	value = expand_template(&plan->templates[n], row_to_send(data), argument,
							data);
	dwf_args_check_name(value, argument, max, may_be_empty);
	return value;
}

/* The row to send, as jsonb */
static Datum
row_payload(RowPlan *plan, const TriggerData *data)
{
	TupleDesc	desc = RelationGetDescr(data->tg_relation);
	int			nest_level = dwf_portable_begin(plan->dependence);
	Datum		payload;

	payload = FunctionCall1(&plan->to_jsonb,
							heap_copy_tuple_as_datum(row_to_send(data), desc));
	dwf_portable_end(nest_level);
	return payload;
}

/* ----- workflows of other nodes ----- */

/*
 * Have the node of a workflow make the call that a trigger stands for: two
 * texts and the payload, in the order of that function's arguments
 */
static void
forward(const char *function, text *workflow_id, text *first, Datum payload,
		text *third, int nargs)
{
	Datum		arguments[4] = {0};
	bool		nulls[4] = {false, false, false, true};

	arguments[0] = PointerGetDatum(first);
	arguments[1] = DirectFunctionCall1(jsonb_out, payload);
	arguments[1] = CStringGetTextDatum(DatumGetCString(arguments[1]));
	arguments[2] = PointerGetDatum(third);
	nulls[2] = third == NULL;
	if (workflow_id)
		(void) dwf_forward_texts(function, workflow_id, arguments, nulls,
								 nargs);
	else
		dwf_route_send_to_others(function, arguments, nulls, nargs);
}

/*
 * Is a workflow on another node?  Raises WF011 if it is and this session makes
 * a call of another node, and 55000 if it is here without its rows
 */
static bool
is_elsewhere(const char *function, text *workflow_id)
{
	if (workflow_id == NULL || !dwf_anchor_may_exist())
		return false;
	if (dwf_route_is_elsewhere(workflow_id) && !dwf_received_is_active())
		return true;
	dwf_route_require_here(function, workflow_id);
	return false;
}

/* ----- the trigger functions ----- */

/* wf_trigger_send(destination [, topic]) */
Datum
wf_trigger_send(PG_FUNCTION_ARGS)
{
	TriggerData *data = check_trigger(fcinfo, "wf_trigger_send", 1);
	RowPlan    *plan = row_plan(fcinfo, data);
	text	   *destination;
	text	   *topic;
	DwfAddress	queue;

	destination = template_value(plan, 0, data, "destination_id",
								 DWF_WORKFLOW_ID_MAX, false);
	topic = template_value(plan, 1, data, "topic", DWF_KEY_MAX, true);
	if (is_elsewhere("wf_trigger_send", destination))
	{
		forward("wf_send", destination, destination, row_payload(plan, data),
				topic, 4);
		PG_RETURN_POINTER(trigger_row(data));
	}
	queue = dwf_mailbox_topic_queue(destination, topic);
	(void) dwf_mailbox_deliver(&queue, row_payload(plan, data));
	PG_RETURN_POINTER(trigger_row(data));
}

/* wf_trigger_set_event(workflow_id, key) */
Datum
wf_trigger_set_event(PG_FUNCTION_ARGS)
{
	TriggerData *data = check_trigger(fcinfo, "wf_trigger_set_event", 2);
	RowPlan    *plan = row_plan(fcinfo, data);
	text	   *workflow_id;
	text	   *key;

	workflow_id = template_value(plan, 0, data, "workflow_id",
								 DWF_WORKFLOW_ID_MAX, false);
	key = template_value(plan, 1, data, "key", DWF_KEY_MAX, false);
	if (is_elsewhere("wf_trigger_set_event", workflow_id))
		forward("wf_set_event", workflow_id, key, row_payload(plan, data),
				workflow_id, 3);
	else
		dwf_publish_event(workflow_id, key, row_payload(plan, data));
	PG_RETURN_POINTER(trigger_row(data));
}

/* wf_trigger_notify(event_id [, workflow_id]) */
Datum
wf_trigger_notify(PG_FUNCTION_ARGS)
{
	TriggerData *data = check_trigger(fcinfo, "wf_trigger_notify", 1);
	RowPlan    *plan = row_plan(fcinfo, data);
	text	   *event_id;
	text	   *workflow_id;

	event_id = template_value(plan, 0, data, "event_id", DWF_KEY_MAX, false);
	workflow_id = template_value(plan, 1, data, "workflow_id",
								 DWF_WORKFLOW_ID_MAX, false);
	if (is_elsewhere("wf_trigger_notify", workflow_id))
		forward("wf_notify", workflow_id, event_id, row_payload(plan, data),
				workflow_id, 3);
	else
		(void) dwf_publish_notify(event_id, row_payload(plan, data),
								  workflow_id);
	if (workflow_id == NULL && dwf_anchor_may_exist())
		forward("wf_notify", NULL, event_id, row_payload(plan, data), NULL, 3);
	PG_RETURN_POINTER(trigger_row(data));
}
