/*-------------------------------------------------------------------------
 *
 * trace.c
 *	  The trace context that a send takes along, and that of what was received:
 *	  wf_received_traceparent.
 *
 * What a session sends, or starts, takes along the setting
 * durable_wf.traceparent; where that is empty, and the session executes a
 * workflow, the one that the workflow was started with.  The setting shows
 * what a send would take.  While there is none, a send tests one flag: it is
 * set when the setting changes and when the session begins to execute a
 * workflow, and cleared by the first look that finds nothing.
 *
 * What a call has received keeps its trace contexts for the session until the
 * next call that receives, or the next step (whose command may receive, and is
 * not run by a replay).  So a replay finds the same: it notes which step has
 * received, and reads what the record says of it when that is asked for.
 *
 *-------------------------------------------------------------------------
 */
#include "session/trace.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/restricted.h"
#include "base/traceparent.h"
#include "session/journal_taken.h"
#include "shared/claim.h"

PG_FUNCTION_INFO_V1(wf_received_traceparent);

/* ----- what is sent ----- */

/* That of the workflow that this session executes; empty: it has none */
static bool own_is_known = false;
static char own[DWF_TRACEPARENT_MAX + 1];

/* Keep that of the session's workflow */
static void
keep_own(const text *traceparent)
{
	own[0] = '\0';
	if (traceparent && VARSIZE_ANY_EXHDR(traceparent) <= DWF_TRACEPARENT_MAX)
		text_to_cstring_buffer(traceparent, own, sizeof(own));
	own_is_known = true;
}

/* That of the workflow that this session executes; empty if there is none */
static const char *
find_own(void)
{
	text	   *workflow_id;

	if (!dwf_claim_executes(&workflow_id))
		return "";
	if (!own_is_known)
		keep_own(dwf_store_traceparent(workflow_id));
	return own;
}

/* What is sent now takes this along; NULL: nothing.  See trace.h. */
text *
dwf_trace_find(void)
{
	const char *value = dwf_setting_traceparent;

	if (*value == '\0')
		value = find_own();
	if (*value != '\0')
		return cstring_to_text(value);
	dwf_setting_may_trace = false;
	return NULL;
}

/* What the setting shows */
static const char *
show(void)
{
	if (*dwf_setting_traceparent != '\0' || !IsTransactionState())
		return dwf_setting_traceparent;
	return find_own();
}

/*
 * This session begins to execute a workflow, with this trace context or NULL,
 * if that is known
 */
void
dwf_trace_begin(bool is_known, const text *traceparent)
{
	own_is_known = false;
	if (is_known)
		keep_own(traceparent);
	dwf_setting_may_trace = *dwf_setting_traceparent != '\0' || !is_known ||
		*own != '\0';
	dwf_trace_forget();
}

/* Set up what the setting shows; at load */
void
dwf_trace_init(void)
{
	dwf_setting_show_traceparent = show;
}

/* ----- what was received ----- */

/* A received item that has a trace context */
typedef struct Received
{
	int64		message_id;
	char	   *traceparent;
} Received;

/* Of the last call that has received, in the order of the items */
static MemoryContext context = NULL;
static Received *received = NULL;
static int	nreceived = 0;
static bool last_has_one = false;

/* The step of a replay that has received, which is to be read; 0: none */
static int	replayed_step = 0;

/* A call begins that may receive, or a step: nothing was received yet */
void
dwf_trace_forget(void)
{
	replayed_step = 0;
	if (nreceived == 0)
		return;
	nreceived = 0;
	MemoryContextReset(context);
}

/* A replay returns what this step has received */
void
dwf_trace_note_replayed(int step_no)
{
	dwf_trace_forget();
	replayed_step = step_no;
}

/* Keep the trace context of a received item */
static void
keep(int64 message_id, const text *traceparent, int room)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext,
										"durable_wf received traces",
										ALLOCSET_SMALL_SIZES);
	if (nreceived == 0)
		received = MemoryContextAllocHuge(context, room * sizeof(Received));
	received[nreceived].message_id = message_id;
	received[nreceived].traceparent =
		MemoryContextStrdup(context, text_to_cstring(traceparent));
	nreceived++;
}

/* A call has taken items, the last of which it returns last */
void
dwf_trace_note_taken(const DwfItem *items, int count)
{
	dwf_trace_forget();
	for (int i = 0; i < count; i++)
		if (items[i].traceparent)
			keep(items[i].message_id, items[i].traceparent, count);
	last_has_one = count > 0 && items[count - 1].traceparent;
}

/* Read what the replayed step has received */
static void
read_replayed(void)
{
	text	   *workflow_id;
	DwfValue	taken;
	Datum	   *ids;
	Datum	   *traceparents;
	int			count;
	int			step_no = replayed_step;

	replayed_step = 0;
	if (!dwf_claim_executes(&workflow_id))
		return;
	taken = dwf_store_taken(workflow_id, step_no);
	count = dwf_journal_taken_traces(taken, &ids, &traceparents);
	last_has_one = count > 0 && traceparents[count - 1] != (Datum) 0;
	for (int i = 0; i < count; i++)
		if (traceparents[i] != (Datum) 0)
			keep(pg_strtoint64(TextDatumGetCString(ids[i])),
				 DatumGetTextPP(traceparents[i]), count);
}

/* wf_received_traceparent(message_id) → text, or null */
Datum
wf_received_traceparent(PG_FUNCTION_ARGS)
{
	dwf_restricted_refuse("wf_received_traceparent");
	if (replayed_step != 0)
		read_replayed();
	if (PG_ARGISNULL(0))
	{
		if (nreceived == 0 || !last_has_one)
			PG_RETURN_NULL();
		PG_RETURN_TEXT_P(cstring_to_text(received[nreceived - 1].traceparent));
	}
	for (int i = 0; i < nreceived; i++)
		if (received[i].message_id == PG_GETARG_INT64(0))
			PG_RETURN_TEXT_P(cstring_to_text(received[i].traceparent));
	PG_RETURN_NULL();
}
