\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit

-- what a proxy that pools transactions does to attached and listening sessions

COMMENT ON FUNCTION @extschema@.wf_attach(text, boolean) IS
'Make this session the one execution of a workflow. From now on each of its wf_* calls is a step: numbered, recorded with its result in the transaction of its effect, and answered from the record when a later session makes the same calls after a crash. Returns RUNNING, or the final status of a workflow that has ended, to which it does not attach.
takeover: if another session executes it, end that session and wait until it is gone; else that is an error that names its process.
Undone if the transaction rolls back; ends with wf_detach(), wf_complete(), wf_fail(), wf_continue_as_new(), DISCARD ALL, RESET ALL and the session. It wants a server session of its own: behind a proxy that pools transactions, other clients get the attached session, and what they send is taken for steps of this workflow and may not be sent. Transactions of the session cannot be REPEATABLE READ or SERIALIZABLE, nor PREPAREd.
Errors: WF001 no such workflow; 42501 it belongs to another role; WF007 executed elsewhere; 25001 wrong isolation level; 55000 attached to another workflow, or the library is not preloaded.';

COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session. It wants a server session of its own: behind a proxy that pools transactions, the news go to whichever client has that session then, or to nobody.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 the role listens for too many; 55000 the library is not preloaded.';

-- who executes what now

CREATE FUNCTION durable_wf.executions(
    OUT workflow_id text, OUT pid integer, OUT kind text, OUT since timestamptz)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_executions' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION durable_wf.executions() IS
'what the view wf_executions knows from shared memory, of workflows that the caller may see';

CREATE VIEW @extschema@.wf_executions WITH (security_invoker = true) AS
SELECT e.workflow_id, e.pid, e.kind, a.application_name, a.client_addr, e.since,
       s.step_no,
       CASE WHEN s.function OPERATOR(pg_catalog.=) 'wf_step' OR s.function OPERATOR(pg_catalog.=) 'wf_save_step' THEN s.name
            WHEN s.name IS NULL THEN s.function
            ELSE pg_catalog.concat(s.function, '(', s.name, ')') END AS step_name
  FROM durable_wf.executions() e
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) e.pid
  LEFT JOIN LATERAL (
      SELECT j.step_no, j.function, j.name
        FROM durable_wf.step j
       WHERE j.workflow_id OPERATOR(pg_catalog.=) e.workflow_id
       ORDER BY j.step_no DESC LIMIT 1) s ON true;
COMMENT ON VIEW @extschema@.wf_executions IS
'who executes which workflow now, of those whose owner''s privileges you have: a workflow that is RUNNING and not here is executed by nobody, since its session has died or has detached';
GRANT SELECT ON @extschema@.wf_executions TO PUBLIC;

COMMENT ON COLUMN @extschema@.wf_executions.workflow_id IS
'the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.pid IS
'the server process, as in pg_stat_activity';
COMMENT ON COLUMN @extschema@.wf_executions.kind IS
'executor: one of our processes runs its body; client: a session is attached';
COMMENT ON COLUMN @extschema@.wf_executions.application_name IS
'of that session; NULL if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.client_addr IS
'of that session; NULL for a socket of the same host, or if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.since IS
'when it took the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.step_no IS
'the last step in the journal, done or waiting; NULL: none yet';
COMMENT ON COLUMN @extschema@.wf_executions.step_name IS
'its name, as in wf_list_steps';
