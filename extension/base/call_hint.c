/*-------------------------------------------------------------------------
 *
 * call_hint.c
 *	  Write the hints that show how a call belongs in the body of a SQL
 *	  workflow.
 *
 * A hint shows how the refused line should read: a wait is CALLed, with all
 * its arguments and a variable for each result; a write is in a step.
 *
 *-------------------------------------------------------------------------
 */
#include "base/call_hint.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* How many bytes of a value and of a statement a hint shows */
#define VALUE_MAX		40
#define STATEMENT_MAX	200

/* The results of the procedures, as names of variables */
static const char *const results[][2] = {
	{"wf_recv", "message"},
	{"wf_recv_any", "topic, message"},
	{"wf_get_event", "value"},
	{"wf_wait_for_event", "event_data, timed_out"},
	{"wf_await_hook", "payload"},
	{"wf_await_response", "response"},
	{"wf_read_stream", "items, last_item, ended"},
	{"wf_result", "status, output, error"},
	{"wf_wait_any", "source, value"},
	{"wf_sleep", "woke_at"},
	{"wf_step", "output"},
};

/* A copy of a string; if that is too long, its beginning and an ellipsis */
static char *
clip(const char *string, int max)
{
	int			length = strlen(string);

	if (length <= max)
		return pstrdup(string);
	return psprintf("%.*s...", pg_mbcliplen(string, length, max), string);
}

/* Append the arguments of a call as literals */
static void
append_arguments(StringInfo line, FunctionCallInfo fcinfo)
{
	Oid		   *types;
	int			count;

	(void) get_func_signature(fcinfo->flinfo->fn_oid, &types, &count);
	for (int i = 0; i < count && i < fcinfo->nargs; i++)
	{
		Oid			output;
		bool		is_varlena;

		if (PG_ARGISNULL(i))
			appendStringInfoString(line, "NULL, ");
		else
		{
			getTypeOutputInfo(types[i], &output, &is_varlena);
			appendStringInfo(line, types[i] == INT4OID ? "%s, " : "'%s', ",
							 clip(OidOutputFunctionCall(output,
														PG_GETARG_DATUM(i)),
								  VALUE_MAX));
		}
	}
}

/* Write the call of a waiting function, as a CALL */
char *
dwf_call_hint(FunctionCallInfo fcinfo, const char *function)
{
	for (int i = 0; i < (int) lengthof(results); i++)
	{
		StringInfoData line;

		if (strcmp(function, results[i][0]) != 0)
			continue;
		initStringInfo(&line);
		appendStringInfo(&line, "CALL %s(", function);
		append_arguments(&line, fcinfo);
		appendStringInfo(&line, "%s);", results[i][1]);
		return line.data;
	}
	return "CALL wf_recv() in a loop, or pass a timeout of 0.";
}

/* Write a call of a function whose arguments are not known */
char *
dwf_call_hint_select(const char *function)
{
	return psprintf("SELECT %s(...)", function);
}

/* Write a statement as a step */
char *
dwf_call_hint_step(const char *statement)
{
	while (*statement == ' ' || *statement == '\n' || *statement == '\t')
		statement++;
	return psprintf("PERFORM wf_step('its name', $sql$%s$sql$);",
					clip(statement, STATEMENT_MAX));
}
