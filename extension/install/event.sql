-- event: what a workflow publishes

CREATE TABLE durable_wf.event (
    workflow_id text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    value       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT event_pkey PRIMARY KEY (workflow_id, key)
) WITH (fillfactor = 85);
COMMENT ON TABLE durable_wf.event IS
'one row per key that a workflow has published, with its latest value';
COMMENT ON COLUMN durable_wf.event.workflow_id IS 'who published it';
COMMENT ON COLUMN durable_wf.event.key IS 'its name within the workflow, 1 to 512 bytes';
COMMENT ON COLUMN durable_wf.event.value IS 'the latest value; JSON null, never SQL null';
COMMENT ON COLUMN durable_wf.event.updated_at IS 'when the transaction that published it began';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.event', '');

ALTER TABLE durable_wf.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY event_owner ON durable_wf.event
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) event.workflow_id));
COMMENT ON POLICY event_owner ON durable_wf.event IS
'the events of the workflows that one may see';
GRANT SELECT ON durable_wf.event TO PUBLIC;

CREATE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.event
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('event');
ALTER TABLE durable_wf.event ENABLE ALWAYS TRIGGER note_arrival;

CREATE FUNCTION @extschema@.wf_set_event(
    key text, value jsonb, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_set_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_event(text, jsonb, text) IS
'Publish a value under a key of a workflow; the latest value wins. At commit everyone waiting for it wakes.
key: 1 to 512 bytes. value: any JSON; SQL null is published as JSON null. workflow_id: null means the current workflow.
Blocks only while another transaction publishes the same key.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_get_event(
    workflow_id text, key text, timeout interval DEFAULT '60 s') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_get_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_get_event(text, text, interval) IS
'The value that a workflow has published under a key; waits for the first one. SQL null on timeout, and at once when the workflow has ended without publishing it. The workflow need not exist yet.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_get_event(...) does not.
Errors: 22023 bad argument; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_get_event(
    IN workflow_id text, IN key text, IN timeout interval,
    INOUT value jsonb)
    AS 'MODULE_PATHNAME', 'wf_get_event' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_get_event(text, text, interval, jsonb) IS
'wf_get_event() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';
