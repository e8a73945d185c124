\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit

-- What a body waits for that is due and cannot be run.

CREATE FUNCTION durable_wf.waits_for(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_waits_for' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.waits_for(text) IS
'what a body that is due waits for, because its owner may not log in, say; null if for nothing, or if it is not the caller''s';

CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output,
       CASE WHEN w.body IS NOT NULL AND w.status IN ('PENDING', 'RUNNING')
                 AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
            THEN durable_wf.waits_for(w.workflow_id) COLLATE pg_catalog."default"
            ELSE w.error END AS error,
       w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid;
COMMENT ON COLUMN durable_wf.workflow.attempts IS 'how often a session has attached to it; of a body that was run, 1 and its crashes since it last got further';
COMMENT ON COLUMN @extschema@.wf_workflows.error IS
'what wf_fail was given, or what its body has raised; of a body that is due and cannot be run, what it waits for';
COMMENT ON COLUMN @extschema@.wf_workflows.attempts IS
'how often a session has attached to it; of a body that was run, 1 and the times that it has crashed, or was undone by the server, since it last got further';
