-- workflow: identity and life

CREATE TABLE durable_wf.workflow (
    workflow_id text COLLATE "C" NOT NULL,
    owner       durable_wf.owner NOT NULL,
    status      text COLLATE "C" NOT NULL DEFAULT 'PENDING',
    body        text,
    queue       text,
    input       jsonb,
    output      jsonb,
    error       text,
    attempts    integer NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    finished_at timestamptz,
    due_at      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    timeout_at  timestamptz,
    error_state text,
    error_context text,
    parent_id   text COLLATE "C",
    traceparent text,
    CONSTRAINT workflow_pkey PRIMARY KEY (workflow_id)
) WITH (fillfactor = 85);

COMMENT ON TABLE durable_wf.workflow IS
'one row per workflow: who owns it, how far it is, what came out of it';
COMMENT ON COLUMN durable_wf.workflow.workflow_id IS 'its name, unique in this database, at most 256 bytes';
COMMENT ON COLUMN durable_wf.workflow.owner IS 'the role it belongs to';
COMMENT ON COLUMN durable_wf.workflow.status IS 'PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED';
COMMENT ON COLUMN durable_wf.workflow.body IS 'the procedure that workers run, by its qualified name; null: a client runs it';
COMMENT ON COLUMN durable_wf.workflow.queue IS 'the queue whose client processes run it';
COMMENT ON COLUMN durable_wf.workflow.input IS 'what it was started with';
COMMENT ON COLUMN durable_wf.workflow.output IS 'what wf_complete() was given';
COMMENT ON COLUMN durable_wf.workflow.error IS 'what wf_fail() was given; of a cancelled one, who has cancelled it, and why';
COMMENT ON COLUMN durable_wf.workflow.attempts IS '0 before it was executed; then 1 and the crashes of its body, or its sessions, since it last got further';
COMMENT ON COLUMN durable_wf.workflow.created_at IS 'when it was started';
COMMENT ON COLUMN durable_wf.workflow.updated_at IS 'when this row last changed';
COMMENT ON COLUMN durable_wf.workflow.finished_at IS 'when it ended; null while it has not';
COMMENT ON COLUMN durable_wf.workflow.error_state IS 'the SQLSTATE of what its body raised';
COMMENT ON COLUMN durable_wf.workflow.error_context IS 'its detail and hint, and where its body raised it';
COMMENT ON COLUMN durable_wf.workflow.due_at IS 'when it may begin to be executed';
COMMENT ON COLUMN durable_wf.workflow.timeout_at IS 'when it is cancelled if it has not ended; null: never';
COMMENT ON COLUMN durable_wf.workflow.parent_id IS 'the workflow whose body, or attached session, has started it; null: none. That one may be removed by now';
COMMENT ON COLUMN durable_wf.workflow.traceparent IS 'the trace context that it was started with; null: none';

CREATE INDEX workflow_queue_idx ON durable_wf.workflow (queue, due_at, workflow_id)
    WHERE queue IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
CREATE INDEX workflow_body_idx ON durable_wf.workflow ((owner::pg_catalog.oid), due_at, workflow_id)
    WHERE body IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
CREATE INDEX workflow_timeout_at_idx ON durable_wf.workflow (timeout_at)
    WHERE timeout_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX workflow_parent_idx ON durable_wf.workflow (parent_id, workflow_id)
    WHERE parent_id IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.workflow', '');

ALTER TABLE durable_wf.workflow ENABLE ROW LEVEL SECURITY;
CREATE POLICY workflow_owner ON durable_wf.workflow
    USING (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'));
COMMENT ON POLICY workflow_owner ON durable_wf.workflow IS
'the workflows whose owner''s privileges one has';
GRANT SELECT ON durable_wf.workflow TO PUBLIC;

-- A start and an end, a change of owner and a removal wake who awaits them.
-- The function checks the row, too: the server would parse the text of a CHECK,
-- and that of a WHEN, anew for each statement.
CREATE TRIGGER note_life BEFORE INSERT OR DELETE ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
CREATE TRIGGER note_change BEFORE UPDATE OF workflow_id, owner, status, finished_at
    ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_life;
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_change;

CREATE TYPE @extschema@.wf_outcome AS (status text, output jsonb, error text);
COMMENT ON TYPE @extschema@.wf_outcome IS
'how a workflow ended: its status, what wf_complete() was given, what wf_fail() was given or who has cancelled it';

CREATE FUNCTION @extschema@.wf_start(
    workflow_id text DEFAULT NULL,
    body text DEFAULT NULL,
    input jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    start_after interval DEFAULT '0',
    timeout interval DEFAULT NULL,
    attributes jsonb DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_start(text, text, jsonb, text, interval, interval, jsonb) IS
'Start a workflow, owned by the current user, and return its id.
workflow_id: its name, 1 to 256 bytes; null: one is made up. A workflow that exists already is returned as it is (start as often as you like).
input: any JSON, kept with the workflow. queue: client processes that call wf_attach_next() for this queue execute it. start_after: not before this is over. timeout: it is cancelled when this is over. attributes: an object to search it by, as for wf_set_attributes(); those of a workflow that exists stay as they are.
body: a PL/pgSQL procedure with one argument, (input jsonb), found with the caller''s search_path: background workers run it, as its owner, suspend it while it waits in a CALL, and go on after a crash. It must not have a SET clause nor be SECURITY DEFINER; its owner must be able to log in.
What a body or an attached session starts is its child: wf_cancel(children => true) cancels it, too, and its start fails with WF002 or WF003 if its parent has ended by the time that it commits.
Takes effect at commit. Blocks only while another transaction is starting the same id.
Errors: 22023 bad argument; 42501 the id belongs to another role, or the owner of a body cannot log in; 42710 it exists with another body, input or queue; 42883 no such procedure; 0A000 it cannot be a body.';

CREATE FUNCTION @extschema@.wf_status(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_status(text) IS
'The status of a workflow: PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED. Does not wait.
Errors: WF001 no such workflow; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_current() RETURNS text
    AS 'MODULE_PATHNAME', 'wf_current' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_current() IS
'The workflow that this session acts as when a call names none: the attached one, or else the setting durable_wf.workflow_id; null when there is none.';

CREATE FUNCTION @extschema@.wf_complete(
    output jsonb DEFAULT NULL, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_complete(jsonb, text) IS
'End a workflow with SUCCESS and this output (any JSON, or null). workflow_id: null means the current workflow.
At commit everyone awaiting its result or its events wakes, and whoever waits in it gets WF003. Blocks only while another transaction is ending it.
Errors: WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 already finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_fail(
    error text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail(text, text) IS
'End a workflow with ERROR and this text, which must not be null.
Otherwise like wf_complete().';

CREATE FUNCTION @extschema@.wf_cancel(
    workflow_id text,
    reason text DEFAULT NULL,
    children boolean DEFAULT false
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_cancel(text, text, boolean) IS
'End a workflow with CANCELLED. At commit whoever waits in it gets WF002 at once. Returns false, and does not change it, when it has ended already. Blocks only while another transaction is ending it or changing its owner.
reason: kept as its error, after the name of the current user: cancelled by <role>: <reason>.
children: also what its body, or the sessions attached to it, have started and that has not ended, and what those have started, all in this transaction; also when the workflow itself has ended already.
Errors: WF001 no such workflow; 42501 it, or one of those that are to be cancelled, belongs to another role: then nothing is cancelled; 25001 with children in REPEATABLE READ or SERIALIZABLE.';

CREATE FUNCTION @extschema@.wf_set_owner(workflow_id text, owner text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_set_owner' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_owner(text, text) IS
'Give a workflow to another role, with its mailbox and its events. The caller must have the privileges of the present owner and of the new one.
owner: the exact name of a role.
Errors: WF001 no such workflow; 42704 no such role; 42501 either role''s privileges are missing.';

CREATE FUNCTION @extschema@.wf_reassign_owned(old_owner text, new_owner text) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_reassign_owned' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_reassign_owned(text, text) IS
'Give all workflows of a role in this database to another role, finished ones included, and return how many: what REASSIGN OWNED, which knows objects only, does not do. Their hooks, validators and streams go along.
old_owner: null means all roles that were dropped; only superusers may act on these. new_owner: it must be able to run the bodies of those that have not ended. The caller must have the privileges of both.
Blocks while another transaction has changed one of them, or executes it in a step.
Errors: 22023 bad argument; 42704 no such role; 42501 no privilege.';

CREATE FUNCTION @extschema@.wf_result(workflow_id text, timeout interval DEFAULT '60 s')
    RETURNS @extschema@.wf_outcome
    AS 'MODULE_PATHNAME', 'wf_result' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_result(text, interval) IS
'Wait for the end of a workflow and return its outcome; on timeout the status is still an unfinished one.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_result(...) does not.
Errors: WF001 no such workflow; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_result(
    IN workflow_id text, IN timeout interval,
    INOUT status text, INOUT output jsonb, INOUT error text)
    AS 'MODULE_PATHNAME', 'wf_result' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_result(text, interval, text, jsonb, text) IS
'wf_result() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last three arguments.';
