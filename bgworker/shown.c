/*-------------------------------------------------------------------------
 *
 * shown.c
 *	  What the log and pg_stat_activity show of the workflow that an executor
 *	  runs: its id, in the context of each message and before the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/shown.h"

#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

/* How the log calls the workflow that is executed; in TopMemoryContext */
static char *shown_as = NULL;

/* Error context callback: the workflow that runs here causes a message */
static void
show_workflow(void *arg)
{
	(void) arg;
	if (shown_as)
		errcontext("%s", shown_as);
}

/* Show a workflow in all messages, until dwf_shown_end() */
void
dwf_shown_begin(ErrorContextCallback *frame, text *workflow_id)
{
	char	   *name = psprintf("workflow \"%s\"",
								text_to_cstring(workflow_id));

	shown_as = MemoryContextStrdup(TopMemoryContext, name);
	frame->callback = show_workflow;
	frame->arg = NULL;
	frame->previous = error_context_stack;
	error_context_stack = frame;
}

/* The workflow is left */
void
dwf_shown_end(const ErrorContextCallback *frame)
{
	error_context_stack = frame->previous;
	pfree(shown_as);
	shown_as = NULL;
}

/*
 * An error's context without the line of show_workflow(), which is the last
 * one, for the row of that workflow
 */
char *
dwf_shown_error_context(const ErrorData *error)
{
	char	   *context = pstrdup(error->context ? error->context : "");
	char	   *last = strrchr(context, '\n');

	last = last ? last + 1 : context;
	if (shown_as && strcmp(last, shown_as) == 0)
		*(last > context ? last - 1 : last) = '\0';
	return context;
}

/* Show in pg_stat_activity that a statement is run, and for which workflow */
void
dwf_shown_statement(const char *sql)
{
	char	   *shown = shown_as ? psprintf("%s: %s", shown_as, sql) : NULL;

	pgstat_report_activity(STATE_RUNNING, shown ? shown : sql);
	if (shown)
		pfree(shown);
}
