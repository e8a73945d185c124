-- body: SQL workflows, and what they wait for while no process runs them

CREATE TABLE durable_wf.wait (
    workflow_id text COLLATE "C" NOT NULL,
    position    integer NOT NULL,
    step_no     integer NOT NULL,
    door        "char" NOT NULL,
    target_id   text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    wait_id     bigint,
    since       timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    deadline    timestamptz,
    CONSTRAINT wait_pkey PRIMARY KEY (workflow_id, position)
);
COMMENT ON TABLE durable_wf.wait IS
'what suspended workflows wait for, a row for each address';
COMMENT ON COLUMN durable_wf.wait.workflow_id IS 'who waits';
COMMENT ON COLUMN durable_wf.wait.position IS 'which of its addresses, from 0';
COMMENT ON COLUMN durable_wf.wait.step_no IS 'the step that waits';
COMMENT ON COLUMN durable_wf.wait.door IS 'm, d: message with or without topic; n: notification; h: hook; r: response to a webhook''s request; e: event; s: item of a stream, or its end; u: a writer of a stream that has gone; w: end of a workflow; t: time only';
COMMENT ON COLUMN durable_wf.wait.target_id IS 'the workflow whose mailbox, event, stream or end it is';
COMMENT ON COLUMN durable_wf.wait.key IS 'topic, event id, token, request, stream or key';
COMMENT ON COLUMN durable_wf.wait.wait_id IS 'by what a broadcast answers this wait';
COMMENT ON COLUMN durable_wf.wait.since IS 'when it was suspended';
COMMENT ON COLUMN durable_wf.wait.deadline IS 'when it goes on in any case; null: never';
CREATE INDEX wait_target_idx ON durable_wf.wait (target_id, door, key);
CREATE INDEX wait_event_idx ON durable_wf.wait (key) WHERE door = 'n';
CREATE INDEX wait_deadline_idx ON durable_wf.wait (deadline) WHERE deadline IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.wait', '');
ALTER TABLE durable_wf.wait ENABLE ROW LEVEL SECURITY;
CREATE POLICY wait_owner ON durable_wf.wait
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) wait.workflow_id));
COMMENT ON POLICY wait_owner ON durable_wf.wait IS
'the waits of the workflows that one may see';
GRANT SELECT ON durable_wf.wait TO PUBLIC;

CREATE FUNCTION durable_wf.resolve_body(body text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_resolve_body' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resolve_body(text) IS
'the qualified name of a procedure that the current user can start as a body; raises the errors of wf_start()';

CREATE FUNCTION durable_wf.waits_for(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_waits_for' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.waits_for(text) IS
'what a body that is due waits for, because its owner may not log in, say; null if for nothing, or if it is not the caller''s';
