-- trigger: functions for triggers on users' tables

CREATE FUNCTION @extschema@.wf_trigger_send() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_send' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_send() IS
'Row trigger function (destination [, topic]): send the row to a workflow, as wf_send() does.
Arguments are templates: ''order-{id}'' puts the column id in the place of {id}; {{ and }} are braces. The message is the row as jsonb: NEW, or OLD on DELETE. Both are the same in each session, whatever it has set: dates in ISO, times in UTC. BEFORE or AFTER, INSERT, UPDATE or DELETE, FOR EACH ROW.
Acts as the current user. Does not block.
Errors: those of wf_send(); 42703 a column that the table does not have; 22023 a column that is null, an unmatched brace, a wrong number of arguments; 39P01 not a row trigger.';

CREATE FUNCTION @extschema@.wf_trigger_set_event() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_set_event' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_set_event() IS
'Row trigger function (workflow_id, key): publish the row as an event of a workflow, as wf_set_event() does. Templates, payload and errors as for wf_trigger_send().';

CREATE FUNCTION @extschema@.wf_trigger_notify() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_notify' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_notify() IS
'Row trigger function (event_id [, workflow_id]): notify who waits for an event id, or one workflow, with the row, as wf_notify() does. Templates, payload and errors as for wf_trigger_send().';
