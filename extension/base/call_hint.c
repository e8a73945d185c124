/*-------------------------------------------------------------------------
 *
 * call_hint.c
 *	  How a call is to be written in the body of a SQL workflow.
 *
 * Hints show the line that was refused as it should be: a wait is CALLed, with
 * all its arguments and a variable for each result; a write is in a step.
 *
 *-------------------------------------------------------------------------
 */
#include "base/call_hint.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/* Of values and statements, so many bytes are shown */
#define VALUE_MAX		40
#define STATEMENT_MAX	200

/* What the procedures return, by variables that are named as it is */
static const char *const results[][2] = {
	{"wf_recv", "message"},
	{"wf_recv_any", "topic, message"},
	{"wf_get_event", "value"},
	{"wf_wait_for_event", "event_data, timed_out"},
	{"wf_await_hook", "payload"},
	{"wf_await_response", "response"},
	{"wf_read_stream", "items, last_item, ended"},
	{"wf_result", "status, output, error"},
	{"wf_sleep", "woke_at"},
	{"wf_step", "output"},
};

/* The beginning of a string, marked as such if it is not all of it */
static char *
clip(const char *string, int max)
{
	int			length = strlen(string);

	if (length <= max)
		return pstrdup(string);
	return psprintf("%.*s...", pg_mbcliplen(string, length, max), string);
}

/* The arguments of a call, as literals */
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

/* How the call of a waiting function is to be written */
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

/* How a statement that writes is to be written */
char *
dwf_call_hint_step(const char *statement)
{
	while (*statement == ' ' || *statement == '\n' || *statement == '\t')
		statement++;
	return psprintf("PERFORM wf_step('its name', $sql$%s$sql$);",
					clip(statement, STATEMENT_MAX));
}
