/*-------------------------------------------------------------------------
 *
 * event.c
 *	  What a workflow publishes: wf_set_event, wf_get_event.
 *
 * An event is read, not taken, so publishing it wakes all waiters for it.
 * One look reads, in one snapshot, whether the workflow has ended and
 * what it has published: a value that was published just before the end is
 * never missed.
 *
 *-------------------------------------------------------------------------
 */
#include "mailbox/event.h"

#include "base/args.h"
#include "mailbox/publish.h"
#include "session/identity.h"
#include "session/journal.h"
#include "session/wait.h"
#include "shared/waiter.h"
#include "store/direct.h"
#include "store/store.h"

/* wf_set_event(key, value, workflow_id) → void */
DWF_JOURNALLED(wf_set_event, 0, DWF_AT_WORKFLOW(2));
static Datum
do_wf_set_event(PG_FUNCTION_ARGS)
{
	text	   *key = dwf_args_name(fcinfo, 0, "key", DWF_KEY_MAX);
	text	   *workflow_id = dwf_identity_argument(fcinfo, 2);
	Datum		value = dwf_args_payload(fcinfo, 1);

	dwf_store_require_writable("wf_set_event");
	dwf_publish_event(workflow_id, key, value);
	PG_RETURN_VOID();
}

/* What wf_get_event waits for, and what it found */
typedef struct EventWait
{
	text	   *workflow_id;
	text	   *key;
	DwfValue	value;
} EventWait;

/*
 * Read an event, without waiting, as this role: true for a value, or if the
 * workflow has ended without one.  False also if there is no such workflow.
 * Raises 42501.
 */
bool
dwf_event_look(text *workflow_id, text *key, DwfValue * value, Oid role)
{
	DwfLife		life;
	DwfDirectResult result;

	value->isnull = true;
	result = dwf_direct_event(workflow_id, key, value, &life);
	if (result == DWF_DIRECT_ASIDE)
		result = dwf_store_event(workflow_id, key, value, &life) ?
			DWF_DIRECT_DONE : DWF_DIRECT_NOTHING;
	if (result == DWF_DIRECT_NOTHING)
		return false;
	dwf_identity_check_owner(workflow_id, &life, role);
	return !value->isnull || life.finished;
}

/* The look of wf_get_event */
static bool
look_for_event(DwfWait *wait)
{
	EventWait  *event = wait->arg;

	return dwf_event_look(event->workflow_id, event->key, &event->value,
						  wait->role);
}

/* wf_get_event(workflow_id, key, timeout) → jsonb; also a CALL */
DWF_JOURNALLED(wf_get_event, 1, DWF_WAITS_AT(0, 2));
static Datum
do_wf_get_event(PG_FUNCTION_ARGS)
{
	EventWait	event = {0};
	DwfWait		wait;

	/* Read the arguments */
	dwf_wait_init(&wait, fcinfo, "wf_get_event");
	event.workflow_id = dwf_args_name(fcinfo, 0, "workflow_id",
									  DWF_WORKFLOW_ID_MAX);
	event.key = dwf_args_name(fcinfo, 1, "key", DWF_KEY_MAX);
	wait.deadline = dwf_args_deadline(fcinfo, 2, "timeout");

	/* Wait for the event, or for the end of the workflow */
	dwf_wait_at(&wait, DWF_DOOR_EVENT, event.workflow_id, event.key);
	wait.look = look_for_event;
	wait.arg = &event;
	(void) dwf_wait(&wait);

	return dwf_args_return_value(fcinfo, event.value.value,
								 event.value.isnull);
}
