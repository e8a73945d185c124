-- views: what is there, what waits, what happened

CREATE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output,
       CASE WHEN w.body IS NOT NULL AND w.status IN ('PENDING', 'RUNNING')
                 AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
            THEN durable_wf.waits_for(w.workflow_id) COLLATE pg_catalog."default"
            ELSE w.error END AS error,
       w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context,
       w.queue, a.attributes, w.parent_id, w.due_at, w.timeout_at, w.traceparent
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid
  LEFT JOIN durable_wf.attributes a ON a.workflow_id OPERATOR(pg_catalog.=) w.workflow_id;
COMMENT ON VIEW @extschema@.wf_workflows IS
'the workflows whose owner''s privileges you have; owner is null when that role was dropped; of a body that has failed, error_state is its SQLSTATE and error_context has detail, hint and where it was';
GRANT SELECT ON @extschema@.wf_workflows TO PUBLIC;

CREATE VIEW @extschema@.wf_mailbox WITH (security_invoker = true) AS
SELECT m.workflow_id,
       CASE m.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN m.door OPERATOR(pg_catalog.<>) 'd' THEN m.key END AS key,
       pg_catalog.count(*) AS depth,
       pg_catalog.min(m.created_at) AS oldest_at,
       COALESCE((SELECT d.deliveries
                   FROM durable_wf.delivery d
                  WHERE d.workflow_id OPERATOR(pg_catalog.=) m.workflow_id
                    AND d.door OPERATOR(pg_catalog.=) m.door
                    AND d.key OPERATOR(pg_catalog.=) m.key
                    AND d.message_id OPERATOR(pg_catalog.=) pg_catalog.min(m.message_id)), 0) AS deliveries
  FROM durable_wf.message m
 GROUP BY m.workflow_id, m.door, m.key;
COMMENT ON VIEW @extschema@.wf_mailbox IS
'what lies in the mailboxes of your workflows and was not taken yet, per queue; key is the topic (null: none), event id or token';
GRANT SELECT ON @extschema@.wf_mailbox TO PUBLIC;

CREATE FUNCTION durable_wf.waiters(
    OUT workflow_id text, OUT door text, OUT key text, OUT pid integer,
    OUT suspended boolean, OUT waiting_since timestamptz, OUT deadline timestamptz)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_waiters' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION durable_wf.waiters() IS
'the rows of the view wf_waiters: those of workflows and of sessions that the caller may see';

CREATE VIEW @extschema@.wf_waiters WITH (security_invoker = true) AS
SELECT workflow_id, door, key, pid, suspended, waiting_since, deadline
  FROM durable_wf.waiters()
 UNION ALL
SELECT a.target_id COLLATE pg_catalog."default",
       CASE a.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' WHEN 'r' THEN 'hook' WHEN 'e' THEN 'event'
                   WHEN 'w' THEN 'result' WHEN 't' THEN 'timer' WHEN 's' THEN 'stream' ELSE 'message' END,
       CASE WHEN a.door NOT IN ('d', 'w', 't') THEN a.key COLLATE pg_catalog."default" END,
       NULL, true, a.since, a.deadline
  FROM durable_wf.wait a
 WHERE a.door NOT IN ('w', 'u') OR a.position OPERATOR(pg_catalog.=) 0;
COMMENT ON VIEW @extschema@.wf_waiters IS
'who waits now, and for what: one row per session, or suspended workflow, and topic; workflow_id is the workflow that waits or, for the doors event, stream and result, the one that is waited for; a null deadline waits for ever';
GRANT SELECT ON @extschema@.wf_waiters TO PUBLIC;

CREATE FUNCTION durable_wf.executions(
    OUT workflow_id text, OUT pid integer, OUT kind text, OUT since timestamptz,
    OUT step_no integer, OUT step_name text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_executions' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION durable_wf.executions() IS
'what the view wf_executions knows from shared memory, of workflows that the caller may see';

CREATE VIEW @extschema@.wf_executions WITH (security_invoker = true) AS
SELECT e.workflow_id, e.pid, e.kind, a.application_name, a.client_addr, e.since,
       e.step_no, e.step_name
  FROM durable_wf.executions() e
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) e.pid;
COMMENT ON VIEW @extschema@.wf_executions IS
'who executes which workflow now, of those whose owner''s privileges you have: a workflow that is RUNNING and not here is executed by nobody, since its session has died or has detached';
GRANT SELECT ON @extschema@.wf_executions TO PUBLIC;

CREATE FUNCTION durable_wf.counters(
    OUT door text, OUT sends bigint, OUT receives bigint, OUT waits bigint,
    OUT timeouts bigint, OUT wakes bigint, OUT spurious_wakes bigint,
    OUT passed_on bigint, OUT notifications bigint, OUT resyncs bigint,
    OUT reconciles bigint)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_stat' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 6;
COMMENT ON FUNCTION durable_wf.counters() IS 'the rows of the view wf_stat';

CREATE FUNCTION durable_wf.listens() RETURNS bigint
    AS 'MODULE_PATHNAME', 'dwf_listens' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.listens() IS 'the column listens of the view wf_stat';

CREATE VIEW @extschema@.wf_stat WITH (security_invoker = true) AS
SELECT door, sends, receives, waits, timeouts, wakes, spurious_wakes, passed_on,
       notifications, resyncs, reconciles,
       CASE WHEN door IS NULL THEN durable_wf.listens() END AS listens
  FROM durable_wf.counters();
COMMENT ON VIEW @extschema@.wf_stat IS
'counters of this server since it started, all databases together, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left; notifications to listeners. The row without a door has what concerns all: resyncs (listeners told to look at everything), reconciles (all waiters of a database woken to look, after COMMIT or ROLLBACK PREPARED), and how many wf_listen() are in force now';
GRANT SELECT ON @extschema@.wf_stat TO PUBLIC;

-- Default privileges may have given more on the tables than we want: who can
-- put a trigger on them has the rights of their owner at the next call.
DO $$
DECLARE
    relation pg_catalog.regclass;
    role pg_catalog.regrole;
BEGIN
    FOR relation, role IN
        SELECT c.oid, a.grantee
          FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
         WHERE c.relnamespace OPERATOR(pg_catalog.=) 'durable_wf'::pg_catalog.regnamespace
           AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
           AND a.grantee OPERATOR(pg_catalog.<>) 0
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', relation, role);
    END LOOP;
    REVOKE ALL ON ALL TABLES IN SCHEMA durable_wf FROM PUBLIC;
    GRANT SELECT ON ALL TABLES IN SCHEMA durable_wf TO PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA durable_wf FROM PUBLIC;
END $$;
