\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.3.0'" to load this file. \quit

-- workflow: bodies, queues of clients, delays and timeouts

ALTER TABLE durable_wf.workflow
    ADD COLUMN due_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    ADD COLUMN timeout_at timestamptz,
    ADD COLUMN error_state text,
    ADD COLUMN error_context text;
COMMENT ON COLUMN durable_wf.workflow.error_state IS 'the SQLSTATE of what its body raised';
COMMENT ON COLUMN durable_wf.workflow.error_context IS 'its detail and hint, and where its body raised it';
COMMENT ON COLUMN durable_wf.workflow.due_at IS 'when it may begin to be executed';
COMMENT ON COLUMN durable_wf.workflow.timeout_at IS 'when it is cancelled if it has not ended; null: never';

CREATE INDEX workflow_queue_idx ON durable_wf.workflow (queue, due_at, workflow_id)
    WHERE queue IS NOT NULL AND finished_at IS NULL;
CREATE INDEX workflow_body_idx ON durable_wf.workflow ((owner::pg_catalog.oid), due_at, workflow_id)
    WHERE body IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
CREATE INDEX workflow_timeout_at_idx ON durable_wf.workflow (timeout_at)
    WHERE timeout_at IS NOT NULL AND finished_at IS NULL;

COMMENT ON FUNCTION @extschema@.wf_start(text, text, jsonb, text, interval, interval) IS
'Start a workflow, owned by the current user, and return its id.
workflow_id: its name, 1 to 256 bytes; null: one is made up. A workflow that exists already is returned as it is (start as often as you like).
input: any JSON, kept with the workflow. queue: client processes that call wf_attach_next() for this queue execute it. start_after: not before this is over. timeout: it is cancelled when this is over.
body: a PL/pgSQL procedure with one argument, (input jsonb), found with the caller''s search_path: background workers run it, as its owner, suspend it while it waits in a CALL, and go on after a crash. It must not have a SET clause nor be SECURITY DEFINER; its owner must be able to log in.
Takes effect at commit. Blocks only while another transaction is starting the same id.
Errors: 22023 bad argument; 42501 the id belongs to another role, or the owner of a body cannot log in; 42710 it exists with another body, input or queue; 42883 no such procedure; 0A000 it cannot be a body.';

COMMENT ON FUNCTION @extschema@.wf_current() IS
'The workflow that this session acts as when a call names none: the attached one, or else the setting durable_wf.workflow_id; null when there is none.';

-- step: sessions that execute workflows, and the journal

CREATE TABLE durable_wf.step (
    workflow_id  text COLLATE "C" NOT NULL,
    step_no      integer NOT NULL,
    function     text COLLATE "C" NOT NULL,
    name         text COLLATE "C",
    result       text[],
    error        text[],
    undone       boolean NOT NULL DEFAULT false,
    deadline     timestamptz,
    started_at   timestamptz NOT NULL,
    completed_at timestamptz,
    CONSTRAINT step_pkey PRIMARY KEY (workflow_id, step_no)
);
COMMENT ON TABLE durable_wf.step IS
'the journal: what each call of an attached session returned, so that a later session that makes the same calls gets the same, and nothing happens twice';
COMMENT ON COLUMN durable_wf.step.workflow_id IS 'whose journal';
COMMENT ON COLUMN durable_wf.step.step_no IS 'its place in the order of the calls, from 1';
COMMENT ON COLUMN durable_wf.step.function IS 'what was called';
COMMENT ON COLUMN durable_wf.step.name IS 'the argument that names it: step, topic, key, event id or destination';
COMMENT ON COLUMN durable_wf.step.result IS 'what it returned, column by column as text; null while it waits';
COMMENT ON COLUMN durable_wf.step.error IS 'what it raised: SQLSTATE, message, detail, hint';
COMMENT ON COLUMN durable_wf.step.undone IS 'its effect was rolled back; a replay returns the same, again without effect';
COMMENT ON COLUMN durable_wf.step.deadline IS 'when the wait ends, whoever continues it';
COMMENT ON COLUMN durable_wf.step.started_at IS 'when it was called';
COMMENT ON COLUMN durable_wf.step.completed_at IS 'when it returned';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.step', '');

ALTER TABLE durable_wf.step ENABLE ROW LEVEL SECURITY;
CREATE POLICY step_owner ON durable_wf.step
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY step_owner ON durable_wf.step IS
'the journals of the workflows that one may see';
GRANT SELECT ON durable_wf.step TO PUBLIC;

CREATE FUNCTION @extschema@.wf_attach(workflow_id text, takeover boolean DEFAULT false)
    RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach(text, boolean) IS
'Make this session the one execution of a workflow. From now on each of its wf_* calls is a step: numbered, recorded with its result in the transaction of its effect, and answered from the record when a later session makes the same calls after a crash. Returns RUNNING, or the final status of a workflow that has ended, to which it does not attach.
takeover: if another session executes it, end that session and wait until it is gone; else that is an error that names its process.
Undone if the transaction rolls back; ends with wf_detach(), wf_complete(), wf_fail(), wf_continue_as_new(), DISCARD ALL and the session, not with RESET ALL. Transactions of the session cannot be REPEATABLE READ or SERIALIZABLE, nor PREPAREd.
Errors: WF001 no such workflow; 42501 it belongs to another role; WF007 executed elsewhere; 25001 wrong isolation level; 55000 attached to another workflow, or the library is not preloaded.';

CREATE FUNCTION @extschema@.wf_detach() RETURNS void
    AS 'MODULE_PATHNAME', 'wf_detach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_detach() IS
'Leave the attached workflow unfinished, at commit: another session can go on with it at once. Does nothing in a session that is not attached.';

CREATE FUNCTION @extschema@.wf_attach_next(queue text, timeout interval DEFAULT '0') RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach_next(text, interval) IS
'Wait for the oldest workflow of a queue (wf_start(queue => ...)) that is due and that no session executes, one whose session has died included; attach to it and return its id; null on timeout. Many processes can share a queue: each workflow goes to one of them.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_next(...) does not.
Errors: 22023 bad argument; 55000 attached already, or the library is not preloaded; 25001 wrong isolation level.';

CREATE PROCEDURE @extschema@.wf_attach_next(IN queue text, IN timeout interval, INOUT workflow_id text)
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_attach_next(text, interval, text) IS
'wf_attach_next() that commits what came before and then waits holding no snapshot and no lock. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_step(
    name text, command text, args jsonb DEFAULT NULL,
    max_attempts integer DEFAULT 1, retry_delay interval DEFAULT '1 s')
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_step(text, text, jsonb, integer, interval) IS
'Run an SQL command exactly once in the life of a workflow: its writes and its record commit together. Returns the first column of its first row as jsonb, JSON null when there is none; a replay returns the record.
args: what $1 is in the command. It runs with the caller''s rights; wf_* calls in it are part of the step and may not wait.
max_attempts: how often to try when it raises, each attempt undone by itself; retry_delay: the pause between. With pauses, CALL it: the function form waits in its transaction.
Errors: what the command raises; 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

CREATE PROCEDURE @extschema@.wf_step(
    IN name text, IN command text, IN args jsonb, IN max_attempts integer,
    IN retry_delay interval, INOUT output jsonb)
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_step(text, text, jsonb, integer, interval, jsonb) IS
'wf_step() that commits what came before while it waits between attempts. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_get_step(name text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_get_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_get_step(text) IS
'For work done outside of the database: what wf_save_step(name, ...) recorded at this place, or SQL null when the work is still to be done. Look, do, record.
Errors: 22023 bad argument; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_save_step(name text, output jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_save_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_save_step(text, jsonb) IS
'Record the output of work done outside of the database, for wf_get_step(); SQL null is recorded as JSON null. A replay records nothing.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_sleep(duration interval) RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_sleep(interval) IS
'Sleep, and return when it was to be over. With CALL, outside of a transaction block, that moment is committed before the sleep: after a crash only what is left is slept.
Errors: 22023 bad argument; WF002, WF003 the workflow ends meanwhile; WF008 this session is not attached; 25001 wrong isolation level.';

CREATE PROCEDURE @extschema@.wf_sleep(IN duration interval, INOUT woke_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_sleep(interval, timestamptz) IS
'wf_sleep() that commits what came before, and the moment to wake, and then sleeps holding no snapshot and no lock. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_now() RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_now' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_now() IS
'The time, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_random() RETURNS double precision
    AS 'MODULE_PATHNAME', 'wf_random' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_random() IS
'A random number of at least 0 and less than 1, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_uuid() RETURNS uuid
    AS 'MODULE_PATHNAME', 'wf_uuid' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_uuid() IS
'A random uuid, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_patched(change text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_patched' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_patched(text) IS
'For code that changes under running workflows: true in runs that first reach this place with the changed code, false in those that had passed it before, the same each time that a run asks for this change.
Errors: 22023 bad argument; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_retry(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_retry(text) IS
'Let a workflow that ended with ERROR or CANCELLED go on from its journal: it is PENDING again, and due. Its timeout is lifted; its hooks were released and stay so.
Errors: WF001 no such workflow; 42501 it belongs to another role; 55000 it did not end so.';

CREATE FUNCTION @extschema@.wf_continue_as_new(input jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_continue_as_new' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_continue_as_new(jsonb) IS
'End this run of the attached workflow and begin it anew with another input: at commit its journal is gone, the session is detached, and the workflow is PENDING and due. Identity, mailbox, events and hooks stay. For loops that live for years.
Errors: WF002, WF003 it has ended; WF008 this session is not attached.';

CREATE FUNCTION durable_wf.check_visible(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_check_visible' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.check_visible(text) IS
'raises WF001 or 42501 unless the caller may see the workflow';

CREATE FUNCTION @extschema@.wf_list_steps(workflow_id text)
    RETURNS TABLE (step_no integer, name text, output jsonb, error text,
                   started_at timestamptz, completed_at timestamptz)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
#variable_conflict use_column
BEGIN
    PERFORM durable_wf.check_visible(wf_list_steps.workflow_id);
    RETURN QUERY
    SELECT s.step_no,
           CASE WHEN s.function IN ('wf_step', 'wf_save_step') THEN s.name
                WHEN s.name IS NULL THEN s.function
                ELSE concat(s.function, '(', s.name, ')') END,
           CASE WHEN cardinality(s.result) > 1 THEN to_jsonb(s.result)
                WHEN s.function IN ('wf_step', 'wf_save_step', 'wf_recv', 'wf_get_event', 'wf_await_hook',
                                    'wf_resume_webhook', 'wf_await_response')
                THEN s.result[1]::jsonb
                ELSE to_jsonb(s.result[1]) END,
           s.error[2], s.started_at, s.completed_at
      FROM durable_wf.step s
     WHERE s.workflow_id = wf_list_steps.workflow_id
     ORDER BY s.step_no;
END $$;
COMMENT ON FUNCTION @extschema@.wf_list_steps(text) IS
'The journal of a workflow: number and name of each step, what it returned or raised, and when; completed_at is null for one that waits.
Errors: WF001 no such workflow; 42501 it belongs to another role.';

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
'what suspended SQL workflows wait for, a row for each address';
COMMENT ON COLUMN durable_wf.wait.workflow_id IS 'who waits';
COMMENT ON COLUMN durable_wf.wait.position IS 'which of its addresses, from 0';
COMMENT ON COLUMN durable_wf.wait.step_no IS 'the step that waits';
COMMENT ON COLUMN durable_wf.wait.door IS 'm, d: message with or without topic; n: notification; h: hook; r: response to a webhook''s request; e: event; w: end of a workflow; t: time only';
COMMENT ON COLUMN durable_wf.wait.target_id IS 'the workflow whose mailbox, event or end it is';
COMMENT ON COLUMN durable_wf.wait.key IS 'topic, event id, token, request or key';
COMMENT ON COLUMN durable_wf.wait.wait_id IS 'by what a broadcast answers this wait';
COMMENT ON COLUMN durable_wf.wait.since IS 'when it was suspended';
COMMENT ON COLUMN durable_wf.wait.deadline IS 'when it goes on in any case; null: never';
CREATE INDEX wait_target_idx ON durable_wf.wait (target_id, door, key);
CREATE INDEX wait_event_idx ON durable_wf.wait (key) WHERE door = 'n';
CREATE INDEX wait_deadline_idx ON durable_wf.wait (deadline) WHERE deadline IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.wait', '');
ALTER TABLE durable_wf.wait ENABLE ROW LEVEL SECURITY;
CREATE POLICY wait_owner ON durable_wf.wait
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY wait_owner ON durable_wf.wait IS
'the waits of the workflows that one may see';
GRANT SELECT ON durable_wf.wait TO PUBLIC;

CREATE FUNCTION durable_wf.resolve_body(body text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_resolve_body' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resolve_body(text) IS
'the qualified name of a procedure that the current user can start as a body; raises the errors of wf_start()';

-- hook: tokens by which the outside world reaches workflows

CREATE TABLE durable_wf.hook (
    token        text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    metadata     jsonb,
    validator    text,
    is_webhook   boolean NOT NULL DEFAULT false,
    respond_with jsonb,
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT hook_pkey PRIMARY KEY (token)
);
COMMENT ON TABLE durable_wf.hook IS
'one row per hook. The token is unique among all workflows; the row of a workflow that has ended is no hook any more';
COMMENT ON COLUMN durable_wf.hook.token IS 'what one has to know to resume it, 1 to 512 bytes';
COMMENT ON COLUMN durable_wf.hook.workflow_id IS 'whose mailbox its payloads go to';
COMMENT ON COLUMN durable_wf.hook.metadata IS 'what its creator says of it, for wf_get_hook()';
COMMENT ON COLUMN durable_wf.hook.validator IS 'the function (jsonb) that each payload goes through, by its qualified name; null: none';
COMMENT ON COLUMN durable_wf.hook.is_webhook IS 'it has a URL';
COMMENT ON COLUMN durable_wf.hook.respond_with IS 'of a webhook: null, a response, or "manual"';
COMMENT ON COLUMN durable_wf.hook.created_at IS 'when the transaction that created it began';
CREATE INDEX hook_workflow_id_idx ON durable_wf.hook (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.hook', '');
ALTER TABLE durable_wf.hook ENABLE ROW LEVEL SECURITY;
CREATE POLICY hook_owner ON durable_wf.hook
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY hook_owner ON durable_wf.hook IS
'the hooks of the workflows that one may see';
GRANT SELECT ON durable_wf.hook TO PUBLIC;

-- Whoever waits for a hook that is deleted has to know.
CREATE TRIGGER note_end BEFORE DELETE ON durable_wf.hook
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('hook');
ALTER TABLE durable_wf.hook ENABLE ALWAYS TRIGGER note_end;

CREATE TABLE durable_wf.request (
    workflow_id     text COLLATE "C" NOT NULL,
    request_id      bigint NOT NULL,
    token           text COLLATE "C" NOT NULL,
    held_by_gateway boolean NOT NULL DEFAULT false,
    response        jsonb,
    received_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    responded_at    timestamptz,
    expires_at      timestamptz,
    CONSTRAINT request_pkey PRIMARY KEY (workflow_id, request_id)
);
COMMENT ON TABLE durable_wf.request IS
'one row per request to a webhook of mode "manual" that waits for its response, or had it not long ago';
COMMENT ON COLUMN durable_wf.request.workflow_id IS 'who is to respond';
COMMENT ON COLUMN durable_wf.request.request_id IS 'its id, which is that of the mailbox item';
COMMENT ON COLUMN durable_wf.request.token IS 'the webhook''s';
COMMENT ON COLUMN durable_wf.request.held_by_gateway IS 'the gateway has not fetched the response yet; false: wf_await_response() waits for it';
COMMENT ON COLUMN durable_wf.request.response IS 'what wf_respond() was given: {"status", "headers", "body"}';
COMMENT ON COLUMN durable_wf.request.received_at IS 'when the transaction that brought it began';
COMMENT ON COLUMN durable_wf.request.responded_at IS 'when it was answered, or, without a response, when it was clear that it would not be';
COMMENT ON COLUMN durable_wf.request.expires_at IS 'when it is too late for a response, or when that is forgotten; null: not by time';
CREATE INDEX request_request_id_idx ON durable_wf.request (request_id);
CREATE INDEX request_expires_at_idx ON durable_wf.request (workflow_id, expires_at)
    WHERE expires_at IS NOT NULL;
CREATE INDEX request_held_idx ON durable_wf.request (request_id)
    WHERE held_by_gateway AND responded_at IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.request', '');
ALTER TABLE durable_wf.request ENABLE ROW LEVEL SECURITY;
CREATE POLICY request_owner ON durable_wf.request
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY request_owner ON durable_wf.request IS
'the requests to the workflows that one may see';
GRANT SELECT ON durable_wf.request TO PUBLIC;

-- Whoever waits for the response has to know of it, or that there is none.
CREATE TRIGGER note_answer BEFORE UPDATE ON durable_wf.request
    FOR EACH ROW WHEN (NEW.responded_at IS NOT NULL
                       AND (OLD.responded_at IS NULL
                            OR NEW.held_by_gateway AND NOT OLD.held_by_gateway))
    EXECUTE FUNCTION durable_wf.note_arrival('request');
CREATE TRIGGER note_end BEFORE DELETE ON durable_wf.request
    FOR EACH ROW WHEN (OLD.responded_at IS NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('request');
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_answer;
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_end;

-- A workflow's hooks end with it, by whatever road, in the same transaction.
CREATE FUNCTION durable_wf.release_hooks() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_release_hooks' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.release_hooks() IS
'trigger function of durable_wf.workflow: a workflow that ends has no hooks any more';
REVOKE ALL ON FUNCTION durable_wf.release_hooks() FROM PUBLIC;
CREATE TRIGGER release_hooks AFTER UPDATE ON durable_wf.workflow
    FOR EACH ROW WHEN ((OLD.finished_at IS NULL) OPERATOR(pg_catalog.<>) (NEW.finished_at IS NULL))
    EXECUTE FUNCTION durable_wf.release_hooks();

CREATE FUNCTION @extschema@.wf_create_hook(
    token text DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    validator text DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_create_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_hook(text, jsonb, text, text) IS
'Create a hook of a workflow and return its token: whoever knows it can send payloads with wf_resume_hook().
token: 1 to 512 bytes; null: 192 random bits, fit for a URL. While the hook lives no other workflow can have the token; the same workflow creates it as often as it likes. metadata: any JSON, for wf_get_hook(). workflow_id: null means the current workflow.
validator: a function (jsonb) that returns jsonb, found with the caller''s search_path. Each payload goes through it before it is delivered, as the workflow''s owner, with search_path pg_catalog, pg_temp unless it sets its own, for at most durable_wf.validator_timeout: what it returns is delivered, what it raises is the sender''s error.
The hook ends with wf_dispose_hook() or the workflow. Blocks while another transaction claims the token or gives it back.
Errors: 22023 bad argument; WF005 another workflow has the token; 42710 the hook exists with other metadata or another validator; 42883, 42809, 42501 about the validator; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_resume_hook(
    token text, payload jsonb, idempotency_key text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_resume_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_hook(text, jsonb, text) IS
'Send a payload to a hook and return the id of its workflow. The token is the authorisation: no privilege but EXECUTE is needed. At commit one who awaits the hook wakes; after a rollback nothing was sent.
payload: any JSON; SQL null is sent as JSON null. idempotency_key: 1 to 512 bytes, scoped to workflow and token: the same key again, even after consumption, adds nothing.
Blocks while another transaction disposes of the hook or uses the same key.
Errors: 22023 bad argument; WF006 there is no such hook (never was, disposed of, or its workflow has ended); what the validator raises; 57014 it took too long.';

CREATE FUNCTION @extschema@.wf_await_hook(token text, timeout interval DEFAULT NULL) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_hook(text, interval) IS
'Wait for the next payload of a hook, take it out of the mailbox and return it; SQL null only on timeout. Payloads that came before the wait are kept; call it in a loop to get one after the other. If the transaction rolls back, the payload is back in its place.
timeout: null waits for ever, ''0'' never waits. A session that is attached to a workflow awaits that one''s hooks. Holds a snapshot while it waits; CALL wf_await_hook(...) does not.
Errors: 22023 bad argument; WF006 there is no such hook (also while waiting); WF002 its workflow was cancelled while waiting; WF003 it has finished meanwhile; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_await_hook(
    IN token text, IN timeout interval, INOUT payload jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_hook(text, interval, jsonb) IS
'wf_await_hook() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_get_hook(token text)
    RETURNS TABLE (workflow_id text, metadata jsonb, is_webhook boolean, created_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_get_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION @extschema@.wf_get_hook(text) IS
'What there is to know of a hook, for whoever knows its token; no row when there is none. Does not wait.
Errors: 22023 bad argument.';

CREATE FUNCTION @extschema@.wf_dispose_hook(token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_dispose_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_dispose_hook(text) IS
'End a hook: at commit its token is free, what was not taken is gone, and whoever awaits it gets WF006. Returns false when there is none. Blocks while another transaction resumes the hook, or has received from it.
Errors: 22023 bad argument; 42501 its workflow belongs to another role.';

CREATE TYPE @extschema@.wf_webhook AS (token text, url text);
COMMENT ON TYPE @extschema@.wf_webhook IS 'a webhook: its token, and the URL that has it';

CREATE FUNCTION @extschema@.wf_create_webhook(
    respond_with jsonb DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    validator text DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_webhook
    AS 'MODULE_PATHNAME', 'wf_create_webhook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_webhook(jsonb, jsonb, text, text) IS
'Create a hook with a random token and return that and its URL: each HTTP request to it is a payload, for wf_await_hook().
respond_with: what the client gets. null: 202, empty. An object {"status", "headers", "body"}, each of them optional: that, for every request. "manual": the client is held until wf_respond().
metadata, validator, workflow_id: as for wf_create_hook(). The URL begins with durable_wf.http_base_url.
Errors: 22023 bad argument; otherwise as for wf_create_hook().';

CREATE FUNCTION @extschema@.wf_resume_webhook(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_resume_webhook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_webhook(text, jsonb) IS
'Deliver an HTTP request to a webhook and return the response to give, {"status", "headers", "body"}: the same door as the URL, for who takes the request by other means. The token is the authorisation.
request: {"method", "url", "path", "query", "headers", "body", "body_base64", "received_at"}, each of them optional. Of "body" and "body_base64" one is made from the other. Its header idempotency-key, if there is one, makes a repeated request the same as the first.
For a webhook of mode "manual" it returns {"status": 202, "request_id"} at once: the response is for wf_await_response().
Errors: 22023 bad argument; WF006 there is no such webhook; what the validator raises; 57014 it took too long.';

CREATE FUNCTION @extschema@.wf_respond(
    request_id bigint,
    status integer DEFAULT 200,
    headers jsonb DEFAULT '{}',
    body text DEFAULT ''
) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_respond' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_respond(bigint, integer, jsonb, text) IS
'Answer a request to a webhook of mode "manual", once. At commit whoever waits for it has the response.
request_id: from the payload. status: 200 to 599. headers: an object of strings. For who may act as the workflow. Blocks only while another transaction answers the same request.
Errors: 22023 bad argument; 55000 there is no such request of yours, it was answered, or nobody waits for it any more.';

CREATE FUNCTION @extschema@.wf_await_response(
    token text, request_id bigint, timeout interval DEFAULT '60 s') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_response(text, bigint, interval) IS
'Wait for the response to a request that wf_resume_webhook() has delivered, and return it: {"status", "headers", "body"}. SQL null on timeout, and at once when there will be none: the workflow has ended, or the webhook was disposed of before the request was taken. A response is kept for ten minutes.
token: the webhook''s, which is the authorisation. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_await_response(...) does not.
Errors: 22023 bad argument; 55000 there is no such request; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_await_response(
    IN token text, IN request_id bigint, IN timeout interval, INOUT response jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_response(text, bigint, interval, jsonb) IS
'wf_await_response() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';

-- For the gateway, which answers many requests from one session.
CREATE FUNCTION durable_wf.resume_held(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'dwf_resume_held' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resume_held(text, jsonb) IS
'wf_resume_webhook() for the gateway: the response is for durable_wf.take_answers(), and comes within durable_wf.http_response_timeout or never';
REVOKE ALL ON FUNCTION durable_wf.resume_held(text, jsonb) FROM PUBLIC;

CREATE FUNCTION durable_wf.take_answers(max_answers integer DEFAULT 1000)
    RETURNS TABLE (request_id bigint, response jsonb)
    AS 'MODULE_PATHNAME', 'dwf_take_answers' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION durable_wf.take_answers(integer) IS
'the responses to requests that the gateway holds, each once; a null response says that there will be none';
REVOKE ALL ON FUNCTION durable_wf.take_answers(integer) FROM PUBLIC;

-- schedule: bodies

CREATE FUNCTION durable_wf.make_schedule(name text, schedule text, body text, input jsonb)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF make_schedule.name IS NULL OR octet_length(make_schedule.name) NOT BETWEEN 1 AND 200 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'name must be of 1 to 200 bytes';
    ELSIF make_schedule.schedule IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be null';
    ELSIF make_schedule.schedule ~* 'second' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('invalid schedule: %s', make_schedule.schedule),
            DETAIL = 'The tick in a workflow''s id is a minute.',
            HINT = 'Use cron''s five fields.';
    END IF;
    RETURN durable_wf.cron_schedule(
        concat('durable_wf: ', make_schedule.name), make_schedule.schedule,
        format('SELECT durable_wf.start_tick(%L, %L, %L)',
               make_schedule.name, make_schedule.body, make_schedule.input));
END $$;
COMMENT ON FUNCTION durable_wf.make_schedule(text, text, text, jsonb) IS
'wf_schedule() with the qualified name of the body';

-- Without a SET clause, so that the body is found by the caller's search_path.
CREATE OR REPLACE FUNCTION @extschema@.wf_schedule(name text, schedule text, body text, input jsonb)
    RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
SELECT durable_wf.make_schedule($1, $2, durable_wf.resolve_body($3), $4)
$$;
COMMENT ON FUNCTION @extschema@.wf_schedule(text, text, text, jsonb) IS
'Start a workflow at each tick of a schedule, through pg_cron in the same database. Returns the number of pg_cron''s job, which is named durable_wf: <name>; the same name again replaces it. The workflows belong to the current user.
name: 1 to 200 bytes. schedule: the five fields of cron, in the time zone that pg_cron uses (UTC unless told otherwise). body: a procedure as for wf_start(), found now, or null. input: what each workflow is started with, or null.
A workflow''s id is the name, an @ and its tick in UTC, as nightly@2026-11-20T03:00Z: a tick that is run twice starts one workflow.
Takes effect at commit; pg_cron notices within a minute. Does not block.
Errors: 22023 bad argument or schedule; 42883, 0A000 the body is none; 42501 no right to use pg_cron; 55000 pg_cron is missing, or lives in another database: the hint holds the statement to run there.';

-- views: suspended workflows, how a body has failed

CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output, w.error, w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid;
COMMENT ON VIEW @extschema@.wf_workflows IS
'the workflows whose owner''s privileges you have; owner is null when that role was dropped; of a body that has failed, error_state is its SQLSTATE and error_context has detail, hint and where it was';

CREATE OR REPLACE VIEW @extschema@.wf_waiters WITH (security_invoker = true) AS
SELECT workflow_id, door, key, pid, suspended, waiting_since, deadline
  FROM durable_wf.waiters()
 UNION ALL
SELECT a.target_id COLLATE pg_catalog."default",
       CASE a.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' WHEN 'r' THEN 'hook' WHEN 'e' THEN 'event'
                   WHEN 'w' THEN 'result' WHEN 't' THEN 'timer' ELSE 'message' END,
       CASE WHEN a.door NOT IN ('d', 'w', 't') THEN a.key COLLATE pg_catalog."default" END,
       NULL, true, a.since, a.deadline
  FROM durable_wf.wait a
 WHERE a.door OPERATOR(pg_catalog.<>) 'w' OR a.position OPERATOR(pg_catalog.=) 0;
COMMENT ON VIEW @extschema@.wf_waiters IS
'who waits now, and for what: one row per session, or suspended workflow, and topic; workflow_id is the workflow that waits or, for the doors event and result, the one that is waited for; a null deadline waits for ever';

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

-- What the columns of views and results mean, for \d+

COMMENT ON COLUMN @extschema@.wf_outcome.status IS
'as in wf_status';
COMMENT ON COLUMN @extschema@.wf_outcome.output IS
'what wf_complete was given';
COMMENT ON COLUMN @extschema@.wf_outcome.error IS
'what wf_fail was given, or what its body has raised';
COMMENT ON COLUMN @extschema@.wf_received.topic IS
'the topic that the message came by; NULL: none';
COMMENT ON COLUMN @extschema@.wf_received.message IS
'the message; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.event_data IS
'the data of the notification; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.timed_out IS
'true on timeout';
COMMENT ON COLUMN @extschema@.wf_webhook.token IS
'the hook''s token';
COMMENT ON COLUMN @extschema@.wf_webhook.url IS
'durable_wf.http_base_url and /.well-known/workflow/v1/webhook/<token>';
COMMENT ON COLUMN @extschema@.wf_workflows.workflow_id IS
'the workflow';
COMMENT ON COLUMN @extschema@.wf_workflows.owner IS
'the role it belongs to; NULL if that was dropped';
COMMENT ON COLUMN @extschema@.wf_workflows.status IS
'PENDING, RUNNING, WAITING, SUCCESS, ERROR, CANCELLED';
COMMENT ON COLUMN @extschema@.wf_workflows.body IS
'its procedure; NULL: a client executes it';
COMMENT ON COLUMN @extschema@.wf_workflows.input IS
'what wf_start was given';
COMMENT ON COLUMN @extschema@.wf_workflows.output IS
'what wf_complete was given';
COMMENT ON COLUMN @extschema@.wf_workflows.error IS
'what wf_fail was given, or what its body has raised';
COMMENT ON COLUMN @extschema@.wf_workflows.attempts IS
'how often a session has attached to it, or its body was run since it last made progress';
COMMENT ON COLUMN @extschema@.wf_workflows.created_at IS
'start of the transaction that started it';
COMMENT ON COLUMN @extschema@.wf_workflows.updated_at IS
'start of the transaction that last changed its status or owner';
COMMENT ON COLUMN @extschema@.wf_workflows.finished_at IS
'start of the transaction that ended it; NULL while it has not ended';
COMMENT ON COLUMN @extschema@.wf_workflows.error_state IS
'the SQLSTATE of what its body has raised';
COMMENT ON COLUMN @extschema@.wf_workflows.error_context IS
'its detail, its hint (for WF009, the line as it should be) and where it was';
COMMENT ON COLUMN @extschema@.wf_waiters.workflow_id IS
'who waits; with the doors event and result, and for wf_await_response, the workflow that is waited for';
COMMENT ON COLUMN @extschema@.wf_waiters.door IS
'message (wf_recv, wf_recv_any, wf_recv_many), event (wf_get_event), notify (wf_wait_for_event), hook (wf_await_hook, wf_await_response), result (wf_result), queue (wf_attach_next; no workflow yet), timer (wf_sleep, pauses of wf_step)';
COMMENT ON COLUMN @extschema@.wf_waiters.key IS
'the topic (NULL: none), key, event id, token or, for wf_await_response, number of the request; NULL with the door result';
COMMENT ON COLUMN @extschema@.wf_waiters.pid IS
'the server process, as in pg_stat_activity; NULL when suspended';
COMMENT ON COLUMN @extschema@.wf_waiters.suspended IS
'a SQL workflow that waits without a process';
COMMENT ON COLUMN @extschema@.wf_waiters.waiting_since IS
'when it began to wait';
COMMENT ON COLUMN @extschema@.wf_waiters.deadline IS
'when it will time out; NULL: never';
COMMENT ON COLUMN @extschema@.wf_mailbox.workflow_id IS
'whose mailbox';
COMMENT ON COLUMN @extschema@.wf_mailbox.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_mailbox.key IS
'the topic (NULL: none), token or event id';
COMMENT ON COLUMN @extschema@.wf_mailbox.depth IS
'how many';
COMMENT ON COLUMN @extschema@.wf_mailbox.oldest_at IS
'start of the transaction that sent the oldest of them';
COMMENT ON COLUMN @extschema@.wf_stat.door IS
'message, event, notify, hook, result, queue, timer; NULL for what concerns all of them';
COMMENT ON COLUMN @extschema@.wf_stat.sends IS
'committed: messages; published values; notifications, one per workflow; starts, ends and changes of owner';
COMMENT ON COLUMN @extschema@.wf_stat.receives IS
'committed: messages and notifications that were received';
COMMENT ON COLUMN @extschema@.wf_stat.waits IS
'calls that had to wait';
COMMENT ON COLUMN @extschema@.wf_stat.timeouts IS
'those that ended at their timeout';
COMMENT ON COLUMN @extschema@.wf_stat.wakes IS
'waiters woken, by a commit or by the rollback of a receiver';
COMMENT ON COLUMN @extschema@.wf_stat.spurious_wakes IS
'of these, those that found nothing to take and slept on: another receiver was faster';
COMMENT ON COLUMN @extschema@.wf_stat.passed_on IS
'wakes that a waiter handed on to the next one as it left';
COMMENT ON COLUMN @extschema@.wf_stat.notifications IS
'NOTIFYs that were sent to sessions that wf_listen';
COMMENT ON COLUMN @extschema@.wf_stat.resyncs IS
'without a door: times that these were told to look at everything';
COMMENT ON COLUMN @extschema@.wf_stat.reconciles IS
'without a door: times that all who wait in a database were woken to look, after COMMIT or ROLLBACK PREPARED';
COMMENT ON COLUMN @extschema@.wf_stat.listens IS
'without a door: how many wf_listen of all sessions are in force now';
