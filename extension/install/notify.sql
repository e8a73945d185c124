-- notify: data for whoever waits for an event id

CREATE TYPE @extschema@.wf_event_wait AS (event_data jsonb, timed_out boolean);
COMMENT ON TYPE @extschema@.wf_event_wait IS
'what a wait for an event id ended with: the data of the notification, or timed_out';

CREATE FUNCTION @extschema@.wf_wait_for_event(
    event_id text,
    timeout interval DEFAULT '7 d',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_event_wait
    AS 'MODULE_PATHNAME', 'wf_wait_for_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_wait_for_event(text, interval, text) IS
'Wait for a notification of this event id and return its data; one row always, with timed_out saying which.
event_id: 1 to 512 bytes. timeout: null waits for ever, ''0'' never waits. workflow_id: who waits; null means the current workflow.
Takes first what was sent before to this workflow by wf_notify(..., workflow_id => ...). Holds a snapshot while it waits; CALL wf_wait_for_event(...) does not.
Errors: as for wf_recv().';

CREATE PROCEDURE @extschema@.wf_wait_for_event(
    IN event_id text, IN timeout interval, IN workflow_id text,
    INOUT event_data jsonb, INOUT timed_out boolean)
    AS 'MODULE_PATHNAME', 'wf_wait_for_event' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_wait_for_event(text, interval, text, jsonb, boolean) IS
'wf_wait_for_event() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';

CREATE FUNCTION @extschema@.wf_notify(
    event_id text,
    event_data jsonb DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS TABLE (workflow_id text, message_id bigint,
                 waiting_since timestamptz, deadline timestamptz)
    AS 'MODULE_PATHNAME', 'wf_notify' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.wf_notify(text, jsonb, text) IS
'Give data to who waits for an event id.
Without workflow_id: to every workflow that waits for it now and that the caller may act on, once per workflow; the rows list them; with nobody waiting there is no row and nothing is kept. Who is listed gets the data when this commits: from this wait or, if that has just timed out, from its next wait for the event id.
With workflow_id: to that workflow, waiting or not; kept until it waits for the event id. One row; waiting_since and deadline are null if it is not waiting, deadline also if it waits for ever.
event_data: any JSON; SQL null is sent as JSON null. Blocks only while another transaction notifies the same waiter.
Errors: 22023 bad argument; without workflow_id 55000 the library is not preloaded and 25001 in REPEATABLE READ or SERIALIZABLE; with workflow_id WF001, WF002, WF003 and 42501 as for wf_send().';

CREATE FUNCTION @extschema@.wf_event_waiters(event_id text)
    RETURNS TABLE (workflow_id text, message_id bigint,
                   waiting_since timestamptz, deadline timestamptz)
    AS 'MODULE_PATHNAME', 'wf_event_waiters' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.wf_event_waiters(text) IS
'Who would get a wf_notify(event_id) now: the same rows, with a null message_id. Does not wait.
Errors: 22023 bad argument; 55000 the library is not preloaded.';
