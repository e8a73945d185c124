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
'counters of this database since the server has started, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left; notifications to listeners. The row without a door has what concerns all: resyncs (listeners told to look at everything), reconciles (all waiters of a database woken to look, after COMMIT or ROLLBACK PREPARED), and how many wf_listen() are in force now, in all databases';
GRANT SELECT ON @extschema@.wf_stat TO PUBLIC;

CREATE FUNCTION durable_wf.stat_workflows(
    OUT owner name, OUT body text, OUT queue text, OUT status text, OUT workflows bigint,
    OUT overdue bigint, OUT oldest_at timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, w.body, w.queue, w.status, count(*),
       count(*) FILTER (WHERE w.status = 'PENDING' AND w.due_at <= clock_timestamp()
                          AND (w.body IS NOT NULL OR w.queue IS NOT NULL)),
       min(coalesce(w.finished_at, w.created_at))
  FROM durable_wf.workflow w LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 GROUP BY r.rolname, w.body, w.queue, w.status
$$;
COMMENT ON FUNCTION durable_wf.stat_workflows() IS 'the rows of the view wf_stat_workflows';
REVOKE ALL ON FUNCTION durable_wf.stat_workflows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_workflows() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_workflows WITH (security_invoker = true) AS
SELECT owner, body, queue, status, workflows, overdue, oldest_at
  FROM durable_wf.stat_workflows();
COMMENT ON VIEW @extschema@.wf_stat_workflows IS
'for members of pg_monitor: how many workflows there are, of all owners, by what executes them and status; how many of these are due and not begun; when the oldest was started, or has ended';
GRANT SELECT ON @extschema@.wf_stat_workflows TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_workflows.owner IS
'the role that they belong to; NULL: one that was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.body IS
'the procedure that executors run; NULL: clients execute them';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.queue IS
'the queue that clients take them from; NULL: none';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.status IS
'PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.workflows IS
'how many';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.overdue IS
'how many of them are PENDING although they are due: nothing has taken them yet';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.oldest_at IS
'when the first of them was started; of those that have ended, when the first has ended';

CREATE FUNCTION durable_wf.stat_waits(
    OUT owner name, OUT door text, OUT sessions bigint, OUT suspended bigint, OUT oldest_since timestamptz)
    RETURNS SETOF record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, a.door, count(*) FILTER (WHERE NOT a.suspended),
       count(*) FILTER (WHERE a.suspended), min(a.waiting_since)
  FROM @extschema@.wf_waiters a
  LEFT JOIN durable_wf.workflow w USING (workflow_id)
  LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 GROUP BY r.rolname, a.door
$$;
COMMENT ON FUNCTION durable_wf.stat_waits() IS 'the rows of the view wf_stat_waits';
REVOKE ALL ON FUNCTION durable_wf.stat_waits() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_waits() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_waits WITH (security_invoker = true) AS
SELECT owner, door, sessions, suspended, oldest_since FROM durable_wf.stat_waits();
COMMENT ON VIEW @extschema@.wf_stat_waits IS
'for members of pg_monitor: how many wait now, for workflows of all owners, by door: the rows of wf_waiters, counted';
GRANT SELECT ON @extschema@.wf_stat_waits TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_waits.owner IS
'the role of the workflow that waits, or is waited for; NULL: there is none, as for wf_attach_next, or the role was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_waits.door IS
'as in wf_waiters';
COMMENT ON COLUMN @extschema@.wf_stat_waits.sessions IS
'waits of sessions, and of bodies that have an executor';
COMMENT ON COLUMN @extschema@.wf_stat_waits.suspended IS
'waits of workflows that are suspended';
COMMENT ON COLUMN @extschema@.wf_stat_waits.oldest_since IS
'since when the one that has waited longest waits';

CREATE FUNCTION durable_wf.stat_mailboxes(
    OUT owner name, OUT door text, OUT items bigint, OUT dead_letters bigint, OUT oldest_at timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, i.door, count(*) FILTER (WHERE NOT i.is_dead), count(*) FILTER (WHERE i.is_dead),
       min(i.created_at) FILTER (WHERE NOT i.is_dead)
  FROM (SELECT m.workflow_id, CASE m.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
               false AS is_dead, m.created_at FROM durable_wf.message m
         UNION ALL
        SELECT l.workflow_id, CASE l.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END,
               true, l.created_at FROM durable_wf.dead_letter l) i
  JOIN durable_wf.workflow w USING (workflow_id)
  LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 WHERE w.finished_at IS NULL
 GROUP BY r.rolname, i.door
$$;
COMMENT ON FUNCTION durable_wf.stat_mailboxes() IS 'the rows of the view wf_stat_mailboxes';
REVOKE ALL ON FUNCTION durable_wf.stat_mailboxes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_mailboxes() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_mailboxes WITH (security_invoker = true) AS
SELECT owner, door, items, dead_letters, oldest_at FROM durable_wf.stat_mailboxes();
COMMENT ON VIEW @extschema@.wf_stat_mailboxes IS
'for members of pg_monitor: how much lies in the mailboxes of workflows that have not ended, of all owners, by door';
GRANT SELECT ON @extschema@.wf_stat_mailboxes TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.owner IS
'the role that the workflows belong to; NULL: one that was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.items IS
'how many were not taken yet';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.dead_letters IS
'how many have left their queues, since receivers gave them back too often';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.oldest_at IS
'when the oldest that was not taken yet was sent';

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
