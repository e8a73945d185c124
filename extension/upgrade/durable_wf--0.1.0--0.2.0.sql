\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.2.0'" to load this file. \quit

-- trigger: functions for triggers on users' tables

CREATE FUNCTION @extschema@.wf_trigger_send() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_send' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_send() IS
'Row trigger function (destination [, topic]): send the row to a workflow, as wf_send() does.
Arguments are templates: ''order-{id}'' puts the column id in the place of {id}; {{ and }} are braces. The message is the row as jsonb: NEW, or OLD on DELETE. BEFORE or AFTER, INSERT, UPDATE or DELETE, FOR EACH ROW.
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

-- listen: for clients that LISTEN

CREATE FUNCTION @extschema@.wf_listen(workflow_id text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_listen' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, notifies, starts or ends such a workflow: the payload is JSON with workflow_id, kind (message, event, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 too many are listened for; 55000 the library is not preloaded.';

CREATE FUNCTION @extschema@.wf_unlisten(workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_unlisten' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_unlisten(text) IS
'End what wf_listen() with the same argument began; does nothing if it did not. Takes effect at commit.';

-- upkeep: removing what has ended

CREATE INDEX workflow_finished_at_idx ON durable_wf.workflow (finished_at)
    WHERE finished_at IS NOT NULL;

CREATE FUNCTION @extschema@.wf_prune(
    older_than interval DEFAULT '7 d', batch integer DEFAULT 1000)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_prune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_prune(interval, integer) IS
'Remove workflows that ended longer ago than older_than, with their messages, events and idempotency keys: at most batch (at least 1) of those whose owner''s privileges the caller has, the oldest first. Returns how many; call it again, each time in a transaction of its own, until it returns less than batch.
A workflow whose end some open transaction may not have seen yet is left for a later call. Can run beside everything else; does not wait.
Errors: 22023 bad argument; 25001 in REPEATABLE READ or SERIALIZABLE.';

