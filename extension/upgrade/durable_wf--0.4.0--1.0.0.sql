\echo Use "ALTER EXTENSION durable_wf UPDATE TO '1.0.0'" to load this file. \quit

-- 0.4.0 was never released: what a database has of it depends on which day's
-- sources it was made from.  This makes of each of them what an install is.

-- The library has to be of this version.
DO $check$
BEGIN
    CREATE OR REPLACE FUNCTION durable_wf.library_version() RETURNS text
        AS 'MODULE_PATHNAME', 'dwf_library_version' LANGUAGE C STABLE PARALLEL SAFE;
    PERFORM durable_wf.library_version();
EXCEPTION WHEN undefined_function THEN
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = 'this version of durable_wf needs its library, and the server has loaded that of an earlier version',
        HINT = 'Restart the server.';
END $check$;

-- ----- what some of them have, and 1.0.0 does not -----

DROP FUNCTION IF EXISTS @extschema@.wf_cancel(text);
DROP FUNCTION IF EXISTS @extschema@.wf_complete(jsonb);
DROP FUNCTION IF EXISTS @extschema@.wf_detach();
DROP FUNCTION IF EXISTS @extschema@.wf_fail(text);
DROP FUNCTION IF EXISTS @extschema@.wf_retry(text);
DROP FUNCTION IF EXISTS @extschema@.wf_start(text, text, jsonb, text, interval, interval);
DO $results$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_proc
                WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure('@extschema@.wf_respond(bigint, integer, jsonb, text)')
                  AND prorettype OPERATOR(pg_catalog.=) 'pg_catalog.void'::pg_catalog.regtype) THEN
        DROP FUNCTION @extschema@.wf_respond(bigint, integer, jsonb, text);
    END IF;
    IF EXISTS (SELECT FROM pg_catalog.pg_proc
                WHERE oid OPERATOR(pg_catalog.=) pg_catalog.to_regprocedure('durable_wf.executions()')
                  AND NOT 'step_no' OPERATOR(pg_catalog.=) ANY (proargnames)) THEN
        DROP VIEW @extschema@.wf_executions;
        DROP FUNCTION durable_wf.executions();
    END IF;
END $results$;
ALTER TABLE durable_wf.workflow
    DROP CONSTRAINT IF EXISTS workflow_workflow_id_check,
    DROP CONSTRAINT IF EXISTS workflow_status_check,
    DROP CONSTRAINT IF EXISTS workflow_finished_at_check;
DROP INDEX IF EXISTS durable_wf.request_expires_at_idx;
DROP INDEX IF EXISTS durable_wf.workflow_queue_idx;

-- ----- columns that some of them lack -----

ALTER TABLE durable_wf.workflow ADD COLUMN IF NOT EXISTS parent_id text COLLATE "C";
ALTER TABLE durable_wf.workflow ADD COLUMN IF NOT EXISTS traceparent text;
ALTER TABLE durable_wf.message ADD COLUMN IF NOT EXISTS traceparent text;
ALTER TABLE IF EXISTS durable_wf.dead_letter ADD COLUMN IF NOT EXISTS traceparent text;
ALTER TABLE durable_wf.step ADD COLUMN IF NOT EXISTS taken text[];

-- attempts were counted at each attach
UPDATE durable_wf.workflow SET attempts = 1
 WHERE body IS NULL AND finished_at IS NULL AND attempts OPERATOR(pg_catalog.>) 1;

-- ----- all that 1.0.0 has; what is there already stays -----

COMMENT ON SCHEMA durable_wf IS
'Tables of durable_wf. Read them through the views wf_*; write them through the functions wf_*.';
GRANT USAGE ON SCHEMA durable_wf TO PUBLIC;
COMMENT ON FUNCTION durable_wf.library_version() IS
'The version of the library that this session uses; that of the objects is in pg_extension.
Errors: 55000 the objects in this database are of a later version than the library.';
CREATE OR REPLACE FUNCTION durable_wf.owner_in(cstring) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_in' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_in(cstring) IS 'I/O';
CREATE OR REPLACE FUNCTION durable_wf.owner_out(durable_wf.owner) RETURNS cstring
    AS 'MODULE_PATHNAME', 'dwf_owner_out' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_out(durable_wf.owner) IS 'I/O';
CREATE OR REPLACE FUNCTION durable_wf.owner_recv(internal) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_recv' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_recv(internal) IS 'I/O';
CREATE OR REPLACE FUNCTION durable_wf.owner_send(durable_wf.owner) RETURNS bytea
    AS 'MODULE_PATHNAME', 'dwf_owner_send' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_send(durable_wf.owner) IS 'I/O';
COMMENT ON TYPE durable_wf.owner IS
'the role that a workflow belongs to: stored by OID, printed by name, '''' when that role was dropped';
CREATE OR REPLACE FUNCTION durable_wf.note_arrival() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_arrival' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_arrival() IS
'trigger function of the tables of durable_wf: whoever waits for this row is woken when it commits';
REVOKE ALL ON FUNCTION durable_wf.note_arrival() FROM PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.workflow (
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
CREATE INDEX IF NOT EXISTS workflow_queue_idx ON durable_wf.workflow (queue, due_at, workflow_id)
    WHERE queue IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
CREATE INDEX IF NOT EXISTS workflow_body_idx ON durable_wf.workflow ((owner::pg_catalog.oid), due_at, workflow_id)
    WHERE body IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
CREATE INDEX IF NOT EXISTS workflow_timeout_at_idx ON durable_wf.workflow (timeout_at)
    WHERE timeout_at IS NOT NULL AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS workflow_parent_idx ON durable_wf.workflow (parent_id, workflow_id)
    WHERE parent_id IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.workflow', '');
ALTER TABLE durable_wf.workflow ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS workflow_owner ON durable_wf.workflow;
CREATE POLICY workflow_owner ON durable_wf.workflow
    USING (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'));
COMMENT ON POLICY workflow_owner ON durable_wf.workflow IS
'the workflows whose owner''s privileges one has';
GRANT SELECT ON durable_wf.workflow TO PUBLIC;
CREATE OR REPLACE TRIGGER note_life BEFORE INSERT OR DELETE ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
CREATE OR REPLACE TRIGGER note_change BEFORE UPDATE OF workflow_id, owner, status, finished_at
    ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_life;
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_change;
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_outcome') IS NULL THEN
        CREATE TYPE @extschema@.wf_outcome AS (status text, output jsonb, error text);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_outcome IS
'how a workflow ended: its status, what wf_complete() was given, what wf_fail() was given or who has cancelled it';
CREATE OR REPLACE FUNCTION @extschema@.wf_start(
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
CREATE OR REPLACE FUNCTION @extschema@.wf_status(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_status(text) IS
'The status of a workflow: PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED. Does not wait.
Errors: WF001 no such workflow; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_current() RETURNS text
    AS 'MODULE_PATHNAME', 'wf_current' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_current() IS
'The workflow that this session acts as when a call names none: the attached one, or else the setting durable_wf.workflow_id; null when there is none.';
CREATE OR REPLACE FUNCTION @extschema@.wf_complete(
    output jsonb DEFAULT NULL, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_complete(jsonb, text) IS
'End a workflow with SUCCESS and this output (any JSON, or null). workflow_id: null means the current workflow.
At commit everyone awaiting its result or its events wakes, and whoever waits in it gets WF003. Blocks only while another transaction is ending it.
Errors: WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 already finished; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_fail(
    error text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail(text, text) IS
'End a workflow with ERROR and this text, which must not be null.
Otherwise like wf_complete().';
CREATE OR REPLACE FUNCTION @extschema@.wf_cancel(
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
CREATE OR REPLACE FUNCTION @extschema@.wf_set_owner(workflow_id text, owner text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_set_owner' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_owner(text, text) IS
'Give a workflow to another role, with its mailbox and its events. The caller must have the privileges of the present owner and of the new one.
owner: the exact name of a role.
Errors: WF001 no such workflow; 42704 no such role; 42501 either role''s privileges are missing.';
CREATE OR REPLACE FUNCTION @extschema@.wf_reassign_owned(old_owner text, new_owner text) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_reassign_owned' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_reassign_owned(text, text) IS
'Give all workflows of a role in this database to another role, finished ones included, and return how many: what REASSIGN OWNED, which knows objects only, does not do. Their hooks, validators and streams go along.
old_owner: null means all roles that were dropped; only superusers may act on these. new_owner: it must be able to run the bodies of those that have not ended. The caller must have the privileges of both.
Blocks while another transaction has changed one of them, or executes it in a step.
Errors: 22023 bad argument; 42704 no such role; 42501 no privilege.';
CREATE OR REPLACE FUNCTION @extschema@.wf_result(workflow_id text, timeout interval DEFAULT '60 s')
    RETURNS @extschema@.wf_outcome
    AS 'MODULE_PATHNAME', 'wf_result' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_result(text, interval) IS
'Wait for the end of a workflow and return its outcome; on timeout the status is still an unfinished one.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_result(...) does not.
Errors: WF001 no such workflow; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_result(
    IN workflow_id text, IN timeout interval,
    INOUT status text, INOUT output jsonb, INOUT error text)
    AS 'MODULE_PATHNAME', 'wf_result' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_result(text, interval, text, jsonb, text) IS
'wf_result() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last three arguments.';
CREATE TABLE IF NOT EXISTS durable_wf.attributes (
    workflow_id text COLLATE "C" NOT NULL,
    attributes  jsonb NOT NULL,
    CONSTRAINT attributes_pkey PRIMARY KEY (workflow_id),
    CONSTRAINT attributes_attributes_check
        CHECK (pg_catalog.jsonb_typeof(attributes) = 'object')
) WITH (fillfactor = 85);
COMMENT ON TABLE durable_wf.attributes IS
'one row per workflow that was given attributes; apart from durable_wf.workflow, so that to change them does not lock the workflow';
COMMENT ON COLUMN durable_wf.attributes.workflow_id IS 'the workflow';
COMMENT ON COLUMN durable_wf.attributes.attributes IS 'an object, at most 8192 bytes as text';
CREATE INDEX IF NOT EXISTS attributes_idx ON durable_wf.attributes
    USING gin (attributes pg_catalog.jsonb_path_ops);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.attributes', '');
ALTER TABLE durable_wf.attributes ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS attributes_owner ON durable_wf.attributes;
CREATE POLICY attributes_owner ON durable_wf.attributes
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) attributes.workflow_id));
COMMENT ON POLICY attributes_owner ON durable_wf.attributes IS
'the attributes of the workflows that one may see';
GRANT SELECT ON durable_wf.attributes TO PUBLIC;
CREATE OR REPLACE FUNCTION @extschema@.wf_set_attributes(
    attributes jsonb, workflow_id text DEFAULT NULL) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_set_attributes' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_attributes(jsonb, text) IS
'Merge an object into the attributes of a workflow and return all of them: a key that is given replaces the one of that name, and a JSON null removes it. They are to search by: wf_workflows WHERE attributes @> ''{"customer": 7}'' uses an index.
workflow_id: null means the current workflow. All attributes of a workflow have at most 8192 bytes as text.
Blocks only while another transaction sets attributes of the same workflow.
Errors: 22023 bad argument, or too long; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
CREATE SEQUENCE IF NOT EXISTS durable_wf.message_id_seq AS bigint CACHE 1;
COMMENT ON SEQUENCE durable_wf.message_id_seq IS
'ids of mailbox items, in the order in which they were sent';
SELECT pg_catalog.pg_extension_config_dump('durable_wf.message_id_seq', '');
CREATE TABLE IF NOT EXISTS durable_wf.message (
    message_id  bigint NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    payload     jsonb NOT NULL,
    wait_id     bigint,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    traceparent text,
    CONSTRAINT message_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
CREATE UNIQUE INDEX IF NOT EXISTS message_wait_id_key ON durable_wf.message (workflow_id, wait_id)
    WHERE wait_id IS NOT NULL;
COMMENT ON TABLE durable_wf.message IS
'one row per mailbox item that nobody has taken yet: messages, addressed notifications, hook payloads';
COMMENT ON COLUMN durable_wf.message.message_id IS 'its place in the queue: the lowest visible one is next';
COMMENT ON COLUMN durable_wf.message.workflow_id IS 'whose mailbox it is in';
COMMENT ON COLUMN durable_wf.message.door IS
'how it came: m message with a topic, d message without one, n notification, h hook payload';
COMMENT ON COLUMN durable_wf.message.key IS 'the topic, the event id or the token; '''' for door d';
COMMENT ON COLUMN durable_wf.message.payload IS 'what was sent; JSON null, never SQL null';
COMMENT ON COLUMN durable_wf.message.wait_id IS 'the wait that a broadcast answers with this item; null for all others';
COMMENT ON COLUMN durable_wf.message.created_at IS 'when the sending transaction began';
COMMENT ON COLUMN durable_wf.message.traceparent IS 'the trace context of the sender; null: none';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.message', '');
ALTER TABLE durable_wf.message ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS message_owner ON durable_wf.message;
CREATE POLICY message_owner ON durable_wf.message
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) message.workflow_id));
COMMENT ON POLICY message_owner ON durable_wf.message IS
'the mailboxes of the workflows that one may see';
GRANT SELECT ON durable_wf.message TO PUBLIC;
CREATE OR REPLACE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.message
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('message');
ALTER TABLE durable_wf.message ENABLE ALWAYS TRIGGER note_arrival;
CREATE TABLE IF NOT EXISTS durable_wf.idempotency (
    workflow_id     text COLLATE "C" NOT NULL,
    scope           text COLLATE "C" NOT NULL,
    idempotency_key text COLLATE "C" NOT NULL,
    message_id      bigint NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (workflow_id, scope, idempotency_key)
);
COMMENT ON TABLE durable_wf.idempotency IS
'the idempotency keys that a workflow''s mailbox has seen, and the message that each of them sent';
COMMENT ON COLUMN durable_wf.idempotency.workflow_id IS 'the destination';
COMMENT ON COLUMN durable_wf.idempotency.scope IS 'within what the key is unique: '''' for wf_send, the token for a hook';
COMMENT ON COLUMN durable_wf.idempotency.idempotency_key IS 'as given by the sender';
COMMENT ON COLUMN durable_wf.idempotency.message_id IS 'what the first send with this key returned';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.idempotency', '');
ALTER TABLE durable_wf.idempotency ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS idempotency_owner ON durable_wf.idempotency;
CREATE POLICY idempotency_owner ON durable_wf.idempotency
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) idempotency.workflow_id));
COMMENT ON POLICY idempotency_owner ON durable_wf.idempotency IS
'the keys of the workflows that one may see';
GRANT SELECT ON durable_wf.idempotency TO PUBLIC;
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_received') IS NULL THEN
        CREATE TYPE @extschema@.wf_received AS (topic text, message jsonb);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_received IS
'a message and the topic it came by; both null when none came in time';
CREATE OR REPLACE FUNCTION @extschema@.wf_send(
    destination_id text,
    message jsonb,
    topic text DEFAULT NULL,
    idempotency_key text DEFAULT NULL
) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_send' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_send(text, jsonb, text, text) IS
'Queue a message for a workflow and return its id. At commit one waiting receiver wakes; after a rollback nothing was sent.
message: any JSON; SQL null is sent as JSON null. topic: at most 512 bytes; null is ''no topic'', a queue of its own.
idempotency_key: 1 to 512 bytes, scoped to the destination: the same key again, even after consumption, adds nothing and returns the first id. Blocks only while another transaction sends with the same key.
Errors: 22023 bad argument; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_send_many(
    destination_ids text[],
    messages jsonb[],
    topic text DEFAULT NULL,
    idempotency_keys text[] DEFAULT NULL
) RETURNS bigint[]
    AS 'MODULE_PATHNAME', 'wf_send_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_send_many(text[], jsonb[], text, text[]) IS
'Queue many messages, all or none, and return their ids in the order given.
The arrays have one length; a null message is sent as JSON null, a null key is no key, a null destination is an error. Otherwise like wf_send().';
CREATE OR REPLACE FUNCTION @extschema@.wf_recv(
    topic text DEFAULT NULL,
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_recv' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_recv(text, interval, text) IS
'Wait for the next message of a topic, take it out of the mailbox and return it; SQL null only on timeout. If the transaction rolls back, the message is back in its place.
topic: null is the queue of messages sent without a topic. timeout: null waits for ever, ''0'' never waits. workflow_id: whose mailbox; null means the current workflow.
Several receivers share a queue, each message goes to one. Holds a snapshot while it waits; CALL wf_recv(...) does not.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled (also while waiting); WF003 finished (also while waiting); 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_recv(
    IN topic text, IN timeout interval, IN workflow_id text,
    INOUT message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_recv(text, interval, text, jsonb) IS
'wf_recv() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_recv_any(
    topics text[],
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_received
    AS 'MODULE_PATHNAME', 'wf_recv_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_recv_any(text[], interval, text) IS
'Wait for the oldest message of several topics, take it and return it with its topic; all null on timeout.
topics: at most 128 different ones, together at most 4096 bytes; a null element is ''no topic''. Otherwise like wf_recv().';
CREATE OR REPLACE PROCEDURE @extschema@.wf_recv_any(
    IN topics text[], IN timeout interval, IN workflow_id text,
    INOUT topic text, INOUT message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_recv_any(text[], interval, text, text, jsonb) IS
'wf_recv_any() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';
CREATE OR REPLACE FUNCTION @extschema@.wf_recv_many(
    topic text DEFAULT NULL,
    max_messages integer DEFAULT 100,
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS TABLE (message_id bigint, message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv_many' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.wf_recv_many(text, integer, interval, text) IS
'Wait for the first message of a topic, then take what is there, up to max_messages (at least 1), in order; no row on timeout. Otherwise like wf_recv().';
CREATE OR REPLACE FUNCTION @extschema@.wf_received_traceparent(message_id bigint DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_received_traceparent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_received_traceparent(bigint) IS
'The trace context (W3C traceparent) that the sender had of what this session has received last, by a message, a notification or a hook; null if none. A step''s command in between forgets it. A replay gives the same.
message_id: of a message of wf_recv_many(); null means the last that was received.
Errors: 42501 on behalf of another role.';
CREATE TABLE IF NOT EXISTS durable_wf.event (
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
DROP POLICY IF EXISTS event_owner ON durable_wf.event;
CREATE POLICY event_owner ON durable_wf.event
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) event.workflow_id));
COMMENT ON POLICY event_owner ON durable_wf.event IS
'the events of the workflows that one may see';
GRANT SELECT ON durable_wf.event TO PUBLIC;
CREATE OR REPLACE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.event
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('event');
ALTER TABLE durable_wf.event ENABLE ALWAYS TRIGGER note_arrival;
CREATE OR REPLACE FUNCTION @extschema@.wf_set_event(
    key text, value jsonb, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_set_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_event(text, jsonb, text) IS
'Publish a value under a key of a workflow; the latest value wins. At commit everyone waiting for it wakes.
key: 1 to 512 bytes. value: any JSON; SQL null is published as JSON null. workflow_id: null means the current workflow.
Blocks only while another transaction publishes the same key.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_get_event(
    workflow_id text, key text, timeout interval DEFAULT '60 s') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_get_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_get_event(text, text, interval) IS
'The value that a workflow has published under a key; waits for the first one. SQL null on timeout, and at once when the workflow has ended without publishing it. The workflow need not exist yet.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_get_event(...) does not.
Errors: 22023 bad argument; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_get_event(
    IN workflow_id text, IN key text, IN timeout interval,
    INOUT value jsonb)
    AS 'MODULE_PATHNAME', 'wf_get_event' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_get_event(text, text, interval, jsonb) IS
'wf_get_event() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_event_wait') IS NULL THEN
        CREATE TYPE @extschema@.wf_event_wait AS (event_data jsonb, timed_out boolean);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_event_wait IS
'what a wait for an event id ended with: the data of the notification, or timed_out';
CREATE OR REPLACE FUNCTION @extschema@.wf_wait_for_event(
    event_id text,
    timeout interval DEFAULT '7 d',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_event_wait
    AS 'MODULE_PATHNAME', 'wf_wait_for_event' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_wait_for_event(text, interval, text) IS
'Wait for a notification of this event id and return its data; one row always, with timed_out saying which.
event_id: 1 to 512 bytes. timeout: null waits for ever, ''0'' never waits. workflow_id: who waits; null means the current workflow.
Takes first what was sent before to this workflow by wf_notify(..., workflow_id => ...). Holds a snapshot while it waits; CALL wf_wait_for_event(...) does not.
Errors: as for wf_recv().';
CREATE OR REPLACE PROCEDURE @extschema@.wf_wait_for_event(
    IN event_id text, IN timeout interval, IN workflow_id text,
    INOUT event_data jsonb, INOUT timed_out boolean)
    AS 'MODULE_PATHNAME', 'wf_wait_for_event' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_wait_for_event(text, interval, text, jsonb, boolean) IS
'wf_wait_for_event() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';
CREATE OR REPLACE FUNCTION @extschema@.wf_notify(
    event_id text,
    event_data jsonb DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS TABLE (workflow_id text, message_id bigint,
                 waiting_since timestamptz, deadline timestamptz)
    AS 'MODULE_PATHNAME', 'wf_notify' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.wf_notify(text, jsonb, text) IS
'Give data to who waits for an event id.
Without workflow_id: to every workflow that waits for it now and that the caller may act on, once per workflow; the rows list them; with nobody waiting there is no row and nothing is kept. Who is listed gets the data when this commits: from this wait or, if that has just timed out, from its next wait for the event id.
With workflow_id: to that workflow, waiting or not; kept until it waits for the event id. One row; waiting_since and deadline are null if it is not waiting, deadline also if it waits for ever.
event_data: any JSON; SQL null is sent as JSON null. Blocks only while another transaction notifies the same waiter.
Errors: 22023 bad argument; without workflow_id 55000 the library is not preloaded and 25001 in REPEATABLE READ or SERIALIZABLE; with workflow_id WF001, WF002, WF003 and 42501 as for wf_send().';
CREATE OR REPLACE FUNCTION @extschema@.wf_event_waiters(event_id text)
    RETURNS TABLE (workflow_id text, message_id bigint,
                   waiting_since timestamptz, deadline timestamptz)
    AS 'MODULE_PATHNAME', 'wf_event_waiters' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.wf_event_waiters(text) IS
'Who would get a wf_notify(event_id) now: the same rows, with a null message_id. Does not wait.
Errors: 22023 bad argument; 55000 the library is not preloaded.';
CREATE TABLE IF NOT EXISTS durable_wf.step (
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
    taken        text[],
    CONSTRAINT step_pkey PRIMARY KEY (workflow_id, step_no)
);
COMMENT ON TABLE durable_wf.step IS
'the journal: what each call of an attached session returned, so that a later session that makes the same calls gets the same, and nothing happens twice';
COMMENT ON COLUMN durable_wf.step.workflow_id IS 'whose journal';
COMMENT ON COLUMN durable_wf.step.step_no IS 'its place in the order of the calls, from 1';
COMMENT ON COLUMN durable_wf.step.function IS 'what was called';
COMMENT ON COLUMN durable_wf.step.name IS 'the argument that names it: step, topic, key, event id or destination';
COMMENT ON COLUMN durable_wf.step.result IS 'what it returned, column by column as text; null while it waits';
COMMENT ON COLUMN durable_wf.step.error IS 'what it raised: SQLSTATE, message, detail, hint; of a step that is tried again, what its last attempt raised, then how many there were, and what the ones before raised';
COMMENT ON COLUMN durable_wf.step.undone IS 'its effect was rolled back; a replay returns the same, again without effect';
COMMENT ON COLUMN durable_wf.step.deadline IS 'when the wait ends, whoever continues it';
COMMENT ON COLUMN durable_wf.step.started_at IS 'when it was called';
COMMENT ON COLUMN durable_wf.step.completed_at IS 'when it returned';
COMMENT ON COLUMN durable_wf.step.taken IS 'what it received, for wf_retry() to put back: of each item the workflow (null: this one), door, key, id, moment in microseconds since 2000, and payload (null: in the result)';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.step', '');
ALTER TABLE durable_wf.step ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS step_owner ON durable_wf.step;
CREATE POLICY step_owner ON durable_wf.step
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) step.workflow_id));
COMMENT ON POLICY step_owner ON durable_wf.step IS
'the journals of the workflows that one may see';
GRANT SELECT ON durable_wf.step TO PUBLIC;
CREATE OR REPLACE FUNCTION @extschema@.wf_attach(workflow_id text, takeover boolean DEFAULT false)
    RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach(text, boolean) IS
'Make this session the one execution of a workflow. From now on each of its wf_* calls is a step: numbered, recorded with its result in the transaction of its effect, and answered from the record when a later session makes the same calls after a crash. Returns RUNNING, or the final status of a workflow that has ended, to which it does not attach.
takeover: if another session executes it, end that session and wait until it is gone; else that is an error that names its process.
Undone if the transaction rolls back; ends with wf_detach(), wf_complete(), wf_fail(), wf_continue_as_new(), DISCARD ALL, RESET ALL and the session. It wants a server session of its own: behind a proxy that pools transactions, other clients get the attached session, and what they send is taken for steps of this workflow and may not be sent. Transactions of the session cannot be REPEATABLE READ or SERIALIZABLE, nor PREPAREd.
Errors: WF001 no such workflow; 42501 it belongs to another role; WF007 executed elsewhere; 25001 wrong isolation level; 55000 attached to another workflow, or the library is not preloaded.';
CREATE OR REPLACE FUNCTION @extschema@.wf_detach(retry_after interval DEFAULT '0') RETURNS void
    AS 'MODULE_PATHNAME', 'wf_detach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_detach(interval) IS
'Leave the attached workflow unfinished, at commit: another session can go on with it at once. Does nothing in a session that is not attached.
retry_after: it is due in its queue again when this is over, and not before. Then this blocks while another transaction has the workflow''s row locked.
Errors: 22023 bad argument; 42501 with retry_after, the workflow belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_attach_next(queue text, timeout interval DEFAULT '0') RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach_next(text, interval) IS
'Wait for the oldest workflow of a queue (wf_start(queue => ...)) that is due and that no session executes, one whose session has died included; attach to it and return its id; null on timeout. Many processes can share a queue: each workflow goes to one of them.
A workflow whose sessions have died durable_wf.max_attempts times in a row without getting further ends with ERROR. With durable_wf.client_suspend_after set, a CALLed wait that lasts longer suspends the workflow, detaches the session and raises WF010: unwind, and take the next; when what it waits for has come, it is due in its queue again.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_next(...) does not.
Errors: 22023 bad argument; 55000 attached already, or the library is not preloaded; 25001 wrong isolation level.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_attach_next(IN queue text, IN timeout interval, INOUT workflow_id text)
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_attach_next(text, interval, text) IS
'wf_attach_next() that commits what came before and then waits holding no snapshot and no lock. Pass null for the last argument.';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_attached') IS NULL THEN
        CREATE TYPE @extschema@.wf_attached AS (workflow_id text, queue text, input jsonb, attempt integer);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_attached IS
'the workflow that wf_attach_any() or wf_start_attached() has attached the session to; all null when none was due in time';
CREATE OR REPLACE FUNCTION @extschema@.wf_attach_any(queues text[], timeout interval DEFAULT '0')
    RETURNS @extschema@.wf_attached
    AS 'MODULE_PATHNAME', 'wf_attach_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach_any(text[], interval) IS
'wf_attach_next() for several queues: the workflow of any of them that has been due for longest, with what a worker needs to begin: its queue, its input, and which attempt this is (1, and one more for each session that has died in it since it last got further). All null on timeout.
queues: at least one, none null. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_any(...) does not.
Errors: those of wf_attach_next().';
CREATE OR REPLACE PROCEDURE @extschema@.wf_attach_any(
    IN queues text[], IN timeout interval, INOUT workflow_id text,
    INOUT queue text, INOUT input jsonb, INOUT attempt integer)
    AS 'MODULE_PATHNAME', 'wf_attach_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_attach_any(text[], interval, text, text, jsonb, integer) IS
'wf_attach_any() that commits what came before and then waits holding no snapshot and no lock. Pass null for the last four arguments.';
CREATE OR REPLACE FUNCTION @extschema@.wf_start_attached(
    workflow_id text DEFAULT NULL,
    input jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    attributes jsonb DEFAULT NULL
) RETURNS @extschema@.wf_attached
    AS 'MODULE_PATHNAME', 'wf_start_attached' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_start_attached(text, jsonb, text, interval, jsonb) IS
'wf_start() of a workflow of a queue, and wf_attach_any() of that very one, in one: this session executes it, as if it had taken it from the queue, and no other session is woken for it. For a process that starts what it executes itself, and has a session free for it. If the session ends without the workflow, that is due in its queue.
A workflow that exists already is left as it is: its id is returned, the rest is null, and the session is not attached.
queue: not null. The other arguments are those of wf_start(). Takes effect at commit, and is undone if the transaction rolls back.
Errors: those of wf_start() and of wf_attach_any().';
CREATE OR REPLACE FUNCTION @extschema@.wf_step(
    name text, command text, args jsonb DEFAULT NULL,
    max_attempts integer DEFAULT 1, retry_delay interval DEFAULT '1 s')
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_step(text, text, jsonb, integer, interval) IS
'Run an SQL command exactly once in the life of a workflow: its writes and its record commit together. Returns the first column of its first row as jsonb, JSON null when there is none; a replay returns the record.
args: what $1 is in the command. It runs with the caller''s rights; wf_* calls in it are part of the step and may not wait. It leaves nothing in the session: a setting that is not LOCAL, a temporary object, a prepared statement or a session''s advisory lock that outlives it is an error, and what it SETs LOCAL ends with it.
max_attempts: how often to try when it raises, each attempt undone by itself; retry_delay: the pause between. With pauses, CALL it: then the attempts are recorded as they fail, and go on after a crash; the function form waits in its transaction.
Errors: what the command raises; 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached; WF009 it left something, or is inside another step.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_step(
    IN name text, IN command text, IN args jsonb, IN max_attempts integer,
    IN retry_delay interval, INOUT output jsonb)
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_step(text, text, jsonb, integer, interval, jsonb) IS
'wf_step() that commits what came before, and what each attempt said, while it waits between attempts. Pass null for the last argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_get_step(name text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_get_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_get_step(text) IS
'For work done outside of the database: what wf_save_step(name, ...) recorded at this place, or SQL null when the work is still to be done. Look, do, record. Ask whether it IS NULL in SQL: many drivers show JSON null and SQL null alike.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached.';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_begun_step') IS NULL THEN
        CREATE TYPE @extschema@.wf_begun_step AS (step_no integer, done boolean, output jsonb, error text);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_begun_step IS
'a step of work done outside of the database: whether the journal has it, and what it came to';
CREATE OR REPLACE FUNCTION @extschema@.wf_begin_step(name text) RETURNS @extschema@.wf_begun_step
    AS 'MODULE_PATHNAME', 'wf_begin_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_begin_step(text) IS
'For work done outside of the database: begin, do, wf_save_step(). Takes the next number. done: the journal has it, so it is not to be done again: output is what wf_save_step() recorded (JSON null included), error what wf_fail_step() did. Not done: the step is open until one of these; several can be open at a time, for parallel work.
Writes nothing: a step that is not saved is done again by the next session. A CALLed wait does not suspend the workflow while a step is open.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached; WF009 inside a step.';
CREATE OR REPLACE FUNCTION @extschema@.wf_save_step(name text, output jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_save_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_save_step(text, jsonb) IS
'Record the output of work done outside of the database; SQL null is recorded as JSON null. It belongs to the open step of that name (wf_begin_step), the oldest if there are several; if none is open, it takes the next number, for wf_get_step(). A save that is rolled back leaves its step open. A replay records nothing, nor does a save of what wf_begin_step() or wf_get_step() has just said to be done.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_fail_step(name text, error text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail_step(text, text) IS
'Record that work done outside of the database has failed for good: a replay sees the same error, and does not try again. Else like wf_save_step(); wf_get_step() raises the error as 38000. If no call begins after it and the workflow fails, wf_retry() has the step done anew.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_sleep(duration interval) RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_sleep(interval) IS
'Sleep, and return when it was to be over. With CALL, outside of a transaction block, that moment is committed before the sleep: after a crash only what is left is slept.
Errors: 22023 bad argument; WF002, WF003 the workflow ends meanwhile; WF008 this session is not attached; 25001 wrong isolation level.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_sleep(IN duration interval, INOUT woke_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_sleep(interval, timestamptz) IS
'wf_sleep() that commits what came before, and the moment to wake, and then sleeps holding no snapshot and no lock. Pass null for the last argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_now() RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_now' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_now() IS
'The time, recorded once: a replay gets the same. WF008 when this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_until(deadline timestamptz) RETURNS interval
    AS 'MODULE_PATHNAME', 'wf_until' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_until(timestamptz) IS
'What is left until a moment, by this server''s clock, and 0 when it is over: a timeout that ends then, and is never negative. Null for infinity and for null: no end. It is no step and is not recorded, since a wait records its own deadline; decide by wf_now().';
CREATE OR REPLACE FUNCTION @extschema@.wf_random() RETURNS double precision
    AS 'MODULE_PATHNAME', 'wf_random' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_random() IS
'A random number of at least 0 and less than 1, recorded once: a replay gets the same. WF008 when this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_uuid() RETURNS uuid
    AS 'MODULE_PATHNAME', 'wf_uuid' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_uuid() IS
'A random uuid, recorded once: a replay gets the same. WF008 when this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_patched(change text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_patched' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_patched(text) IS
'For code that changes under running workflows: true in runs that first reach this place with the changed code, false in those that had passed it before, the same each time that a run asks for this change.
Errors: 22023 bad argument; WF008 this session is not attached.';
CREATE OR REPLACE FUNCTION @extschema@.wf_retry(workflow_id text, from_step integer DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_retry(text, integer) IS
'Let a workflow that ended with ERROR or CANCELLED go on from its journal: it is PENDING again, and due. Its timeout is lifted; its hooks are there again, under their tokens and with what came to them. Blocks while another transaction claims one of these, or gives it back.
from_step: go back to that step, from 1 to one more than there are. Then the workflow may have ended in any way, or be suspended (WAITING; its timeout stays). The records from that step on are dropped, and what these steps had received, messages, notifications and payloads of hooks, lies in its queues again, in its old place. What else they did stays done: writes to tables, what they sent and published, workflows that they started, hooks that they created or disposed of. Blocks for 5 seconds at most while a session leaves the workflow that has ended.
Errors: 22023 bad argument; WF001 no such workflow; 42501 it belongs to another role; 55000 it did not end so, is executed, or was recorded by a version before 1.0.0, which did not note what a step received; WF005 another workflow has one of its tokens.';
CREATE OR REPLACE FUNCTION @extschema@.wf_continue_as_new(input jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_continue_as_new' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_continue_as_new(jsonb) IS
'End this run of the attached workflow and begin it anew with another input: at commit its journal is gone, the session is detached, and the workflow is PENDING and due. Identity, mailbox, events and hooks stay. For loops that live for years.
Errors: WF002, WF003 it has ended; WF008 this session is not attached.';
CREATE OR REPLACE FUNCTION durable_wf.check_visible(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_check_visible' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.check_visible(text) IS
'raises WF001 or 42501 unless the caller may see the workflow';
CREATE OR REPLACE FUNCTION @extschema@.wf_list_steps(workflow_id text)
    RETURNS TABLE (step_no integer, name text, output jsonb, error text,
                   started_at timestamptz, completed_at timestamptz)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET row_security = on AS
$$
#variable_conflict use_column
BEGIN
    IF NOT (@extschema@.wf_node(wf_list_steps.workflow_id)).is_here THEN
        RETURN QUERY SELECT * FROM durable_wf.list_steps_there(wf_list_steps.workflow_id);
        RETURN;
    END IF;
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
CREATE TABLE IF NOT EXISTS durable_wf.wait (
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
CREATE INDEX IF NOT EXISTS wait_target_idx ON durable_wf.wait (target_id, door, key);
CREATE INDEX IF NOT EXISTS wait_event_idx ON durable_wf.wait (key) WHERE door = 'n';
CREATE INDEX IF NOT EXISTS wait_deadline_idx ON durable_wf.wait (deadline) WHERE deadline IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.wait', '');
ALTER TABLE durable_wf.wait ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS wait_owner ON durable_wf.wait;
CREATE POLICY wait_owner ON durable_wf.wait
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) wait.workflow_id));
COMMENT ON POLICY wait_owner ON durable_wf.wait IS
'the waits of the workflows that one may see';
GRANT SELECT ON durable_wf.wait TO PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.resolve_body(body text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_resolve_body' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resolve_body(text) IS
'the qualified name of a procedure that the current user can start as a body; raises the errors of wf_start()';
CREATE OR REPLACE FUNCTION durable_wf.waits_for(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_waits_for' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.waits_for(text) IS
'what a body that is due waits for, because its owner may not log in, say; null if for nothing, or if it is not the caller''s';
CREATE TABLE IF NOT EXISTS durable_wf.hook (
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
CREATE INDEX IF NOT EXISTS hook_workflow_id_idx ON durable_wf.hook (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.hook', '');
ALTER TABLE durable_wf.hook ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS hook_owner ON durable_wf.hook;
CREATE POLICY hook_owner ON durable_wf.hook
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) hook.workflow_id));
COMMENT ON POLICY hook_owner ON durable_wf.hook IS
'the hooks of the workflows that one may see';
GRANT SELECT ON durable_wf.hook TO PUBLIC;
CREATE OR REPLACE TRIGGER note_end BEFORE DELETE ON durable_wf.hook
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('hook');
ALTER TABLE durable_wf.hook ENABLE ALWAYS TRIGGER note_end;
CREATE TABLE IF NOT EXISTS durable_wf.released_hook (
    workflow_id  text COLLATE "C" NOT NULL,
    token        text COLLATE "C" NOT NULL,
    metadata     jsonb,
    validator    text,
    is_webhook   boolean NOT NULL,
    respond_with jsonb,
    created_at   timestamptz NOT NULL,
    CONSTRAINT released_hook_pkey PRIMARY KEY (workflow_id, token)
);
COMMENT ON TABLE durable_wf.released_hook IS
'one row per hook that a workflow had when it ended: wf_retry() makes it a hook again. Its token is free meanwhile';
COMMENT ON COLUMN durable_wf.released_hook.workflow_id IS 'whose hook it was';
COMMENT ON COLUMN durable_wf.released_hook.token IS 'as in durable_wf.hook, and so are the others';
COMMENT ON COLUMN durable_wf.released_hook.metadata IS 'what its creator says of it';
COMMENT ON COLUMN durable_wf.released_hook.validator IS 'the function (jsonb) that each payload goes through; null: none';
COMMENT ON COLUMN durable_wf.released_hook.is_webhook IS 'it has a URL';
COMMENT ON COLUMN durable_wf.released_hook.respond_with IS 'of a webhook: null, a response, or "manual"';
COMMENT ON COLUMN durable_wf.released_hook.created_at IS 'when the transaction that created it began';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.released_hook', '');
ALTER TABLE durable_wf.released_hook ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS released_hook_owner ON durable_wf.released_hook;
CREATE POLICY released_hook_owner ON durable_wf.released_hook
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) released_hook.workflow_id));
COMMENT ON POLICY released_hook_owner ON durable_wf.released_hook IS
'the hooks of the workflows that one may see';
GRANT SELECT ON durable_wf.released_hook TO PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.request (
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
'one row per request to a webhook of mode "manual": of those that were answered, the latest';
COMMENT ON COLUMN durable_wf.request.workflow_id IS 'who is to respond';
COMMENT ON COLUMN durable_wf.request.request_id IS 'its id, which is that of the mailbox item';
COMMENT ON COLUMN durable_wf.request.token IS 'the webhook''s';
COMMENT ON COLUMN durable_wf.request.held_by_gateway IS 'the gateway has not fetched the response yet; false: wf_await_response() waits for it';
COMMENT ON COLUMN durable_wf.request.response IS 'what wf_respond() was given: {"status", "headers", "body"}';
COMMENT ON COLUMN durable_wf.request.received_at IS 'when the transaction that brought it began';
COMMENT ON COLUMN durable_wf.request.responded_at IS 'when it was answered, or, without a response, when it was clear that it would not be';
COMMENT ON COLUMN durable_wf.request.expires_at IS 'when it is too late for a response, or when the response is forgotten; null: not by time';
CREATE INDEX IF NOT EXISTS request_request_id_idx ON durable_wf.request (request_id);
CREATE INDEX IF NOT EXISTS request_expires_at_idx ON durable_wf.request (workflow_id, expires_at)
    WHERE expires_at IS NOT NULL AND responded_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS request_held_idx ON durable_wf.request (request_id)
    WHERE held_by_gateway AND responded_at IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.request', '');
ALTER TABLE durable_wf.request ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS request_owner ON durable_wf.request;
CREATE POLICY request_owner ON durable_wf.request
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) request.workflow_id));
COMMENT ON POLICY request_owner ON durable_wf.request IS
'the requests to the workflows that one may see';
GRANT SELECT ON durable_wf.request TO PUBLIC;
CREATE OR REPLACE TRIGGER note_answer BEFORE UPDATE ON durable_wf.request
    FOR EACH ROW WHEN (NEW.responded_at IS NOT NULL
                       AND (OLD.responded_at IS NULL
                            OR NEW.held_by_gateway AND NOT OLD.held_by_gateway))
    EXECUTE FUNCTION durable_wf.note_arrival('request');
CREATE OR REPLACE TRIGGER note_end BEFORE DELETE ON durable_wf.request
    FOR EACH ROW WHEN (OLD.responded_at IS NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('request');
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_answer;
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_end;
CREATE OR REPLACE FUNCTION durable_wf.release_hooks() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_release_hooks' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.release_hooks() IS
'trigger function of durable_wf.workflow: a workflow that ends has no hooks any more, and one that lives again has them again';
REVOKE ALL ON FUNCTION durable_wf.release_hooks() FROM PUBLIC;
CREATE OR REPLACE TRIGGER release_hooks AFTER UPDATE OF finished_at ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.release_hooks();
CREATE OR REPLACE FUNCTION @extschema@.wf_create_hook(
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
CREATE OR REPLACE FUNCTION @extschema@.wf_resume_hook(
    token text, payload jsonb, idempotency_key text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_resume_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_hook(text, jsonb, text) IS
'Send a payload to a hook and return the id of its workflow. The token is the authorisation: no privilege but EXECUTE is needed. At commit one who awaits the hook wakes; after a rollback nothing was sent.
payload: any JSON; SQL null is sent as JSON null. idempotency_key: 1 to 512 bytes, scoped to workflow and token: the same key again, even after consumption, adds nothing.
Blocks while another transaction disposes of the hook or uses the same key.
Errors: 22023 bad argument; WF006 there is no such hook (never was, disposed of, or its workflow has ended); what the validator raises; 57014 it took too long.';
CREATE OR REPLACE FUNCTION @extschema@.wf_await_hook(token text, timeout interval DEFAULT NULL) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_hook(text, interval) IS
'Wait for the next payload of a hook, take it out of the mailbox and return it; SQL null only on timeout. Payloads that came before the wait are kept; call it in a loop to get one after the other. If the transaction rolls back, the payload is back in its place.
timeout: null waits for ever, ''0'' never waits. A session that is attached to a workflow awaits that one''s hooks. Holds a snapshot while it waits; CALL wf_await_hook(...) does not.
Errors: 22023 bad argument; WF006 there is no such hook (also while waiting); WF002 its workflow was cancelled while waiting; WF003 it has finished meanwhile; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_await_hook(
    IN token text, IN timeout interval, INOUT payload jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_hook(text, interval, jsonb) IS
'wf_await_hook() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_get_hook(token text)
    RETURNS TABLE (workflow_id text, metadata jsonb, is_webhook boolean, created_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_get_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION @extschema@.wf_get_hook(text) IS
'What there is to know of a hook, for whoever knows its token; no row when there is none. Does not wait.
Errors: 22023 bad argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_dispose_hook(token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_dispose_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_dispose_hook(text) IS
'End a hook: at commit its token is free, what was not taken is gone, and whoever awaits it gets WF006. Or take back the token of a stream, also after the end of its workflow. Returns false when there is neither. Blocks while another transaction resumes the hook, or has received from it.
Errors: 22023 bad argument; 42501 its workflow belongs to another role.';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_webhook') IS NULL THEN
        CREATE TYPE @extschema@.wf_webhook AS (token text, url text);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_webhook IS 'a webhook, or a stream to read: its token, and the URL that has it';
CREATE OR REPLACE FUNCTION @extschema@.wf_create_webhook(
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
CREATE OR REPLACE FUNCTION @extschema@.wf_resume_webhook(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_resume_webhook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_webhook(text, jsonb) IS
'Deliver an HTTP request to a webhook and return the response to give, {"status", "headers", "body"}: the same door as the URL, for who takes the request by other means. The token is the authorisation.
request: {"method", "url", "path", "query", "headers", "body", "body_base64", "received_at"}, each of them optional. Of "body" and "body_base64" one is made from the other. Its header idempotency-key, if there is one, makes a repeated request the same as the first; a validator can name another one there. One with a header content-encoding gets the response 415, and is not delivered.
For a webhook of mode "manual" it returns {"status": 202, "request_id"} at once: the response is for wf_await_response().
Errors: 22023 bad argument; WF006 there is no such webhook; what the validator raises; 57014 it took too long.';
CREATE OR REPLACE FUNCTION @extschema@.wf_respond(
    request_id bigint,
    status integer DEFAULT 200,
    headers jsonb DEFAULT '{}',
    body text DEFAULT ''
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_respond' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_respond(bigint, integer, jsonb, text) IS
'Answer a request to a webhook of mode "manual", once. At commit whoever waits for it has the response. Returns false when nobody waits for it any more: its client has left, or was told that there is no answer in time.
request_id: from the payload. status: 200 to 599. headers: an object of strings. For who may act as the workflow. Blocks only while another transaction answers the same request.
Errors: 22023 bad argument; 55000 there is no such request of yours, or it was answered.';
CREATE OR REPLACE FUNCTION @extschema@.wf_await_response(
    token text, request_id bigint, timeout interval DEFAULT '60 s') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_response(text, bigint, interval) IS
'Wait for the response to a request that wf_resume_webhook() has delivered, and return it: {"status", "headers", "body"}. SQL null on timeout, and at once when there will be none: the workflow has ended, or the webhook was disposed of before the request was taken. A response is kept for ten minutes.
token: the webhook''s, which is the authorisation. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_await_response(...) does not.
Errors: 22023 bad argument; 55000 there is no such request; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_await_response(
    IN token text, IN request_id bigint, IN timeout interval, INOUT response jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_response(text, bigint, interval, jsonb) IS
'wf_await_response() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';
CREATE OR REPLACE FUNCTION @extschema@.wf_form(body text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_form' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.wf_form(text) IS
'The body of a form (application/x-www-form-urlencoded), such as a webhook gets it, as an object of strings; the values of a name that comes more than once are an array.
"+" is a space, %XX a byte of UTF-8, and what is no escape stands for itself. A value that is not text is null, a name that is none stays as it was sent. Raises no error.';
CREATE OR REPLACE FUNCTION durable_wf.resume_held(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'dwf_resume_held' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resume_held(text, jsonb) IS
'wf_resume_webhook() for the gateway: the response is for durable_wf.take_answers(), and comes within durable_wf.http_response_timeout or never';
REVOKE ALL ON FUNCTION durable_wf.resume_held(text, jsonb) FROM PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.take_answers(max_answers integer DEFAULT 1000)
    RETURNS TABLE (request_id bigint, response jsonb)
    AS 'MODULE_PATHNAME', 'dwf_take_answers' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION durable_wf.take_answers(integer) IS
'the responses to requests that the gateway holds, each once; a null response says that there will be none';
REVOKE ALL ON FUNCTION durable_wf.take_answers(integer) FROM PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.stream (
    workflow_id text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    closed_at   timestamptz,
    CONSTRAINT stream_pkey PRIMARY KEY (workflow_id, name)
);
COMMENT ON TABLE durable_wf.stream IS
'one row per stream; a writer keeps its row locked until the transaction ends, so that writers take turns';
COMMENT ON COLUMN durable_wf.stream.workflow_id IS 'the workflow that it belongs to';
COMMENT ON COLUMN durable_wf.stream.name IS 'its name within the workflow, 1 to 512 bytes';
COMMENT ON COLUMN durable_wf.stream.closed_at IS 'when the transaction that closed it began; null: it is open';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream', '');
ALTER TABLE durable_wf.stream ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS stream_owner ON durable_wf.stream;
CREATE POLICY stream_owner ON durable_wf.stream
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream.workflow_id));
COMMENT ON POLICY stream_owner ON durable_wf.stream IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream TO PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.stream_item (
    workflow_id text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    item_no     bigint NOT NULL,
    value       jsonb NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT stream_item_pkey PRIMARY KEY (workflow_id, stream, item_no)
);
COMMENT ON TABLE durable_wf.stream_item IS
'the items of streams; rows are appended, and removed with their workflow only';
COMMENT ON COLUMN durable_wf.stream_item.workflow_id IS 'the workflow that the stream belongs to';
COMMENT ON COLUMN durable_wf.stream_item.stream IS 'the name of the stream';
COMMENT ON COLUMN durable_wf.stream_item.item_no IS 'its number in the stream: 1, 2, 3, ... in the order in which items become visible';
COMMENT ON COLUMN durable_wf.stream_item.value IS 'what was written; JSON null, never SQL null';
COMMENT ON COLUMN durable_wf.stream_item.written_at IS 'when the transaction that wrote it began';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream_item', '');
ALTER TABLE durable_wf.stream_item ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS stream_item_owner ON durable_wf.stream_item;
CREATE POLICY stream_item_owner ON durable_wf.stream_item
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_item.workflow_id));
COMMENT ON POLICY stream_item_owner ON durable_wf.stream_item IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_item TO PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.stream_url (
    token       text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT stream_url_pkey PRIMARY KEY (token)
);
COMMENT ON TABLE durable_wf.stream_url IS
'one row per token that lets its holder read a stream';
COMMENT ON COLUMN durable_wf.stream_url.token IS 'the token';
COMMENT ON COLUMN durable_wf.stream_url.workflow_id IS 'the workflow that the stream belongs to';
COMMENT ON COLUMN durable_wf.stream_url.stream IS 'the name of the stream, which need not exist yet';
COMMENT ON COLUMN durable_wf.stream_url.created_at IS 'when the transaction that created it began';
CREATE INDEX IF NOT EXISTS stream_url_workflow_idx ON durable_wf.stream_url (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream_url', '');
ALTER TABLE durable_wf.stream_url ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS stream_url_owner ON durable_wf.stream_url;
CREATE POLICY stream_url_owner ON durable_wf.stream_url
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_url.workflow_id));
COMMENT ON POLICY stream_url_owner ON durable_wf.stream_url IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_url TO PUBLIC;
CREATE OR REPLACE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.stream_item
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('stream_item');
CREATE OR REPLACE TRIGGER note_close BEFORE INSERT OR UPDATE ON durable_wf.stream
    FOR EACH ROW WHEN (NEW.closed_at IS NOT NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('stream');
ALTER TABLE durable_wf.stream_item ENABLE ALWAYS TRIGGER note_arrival;
ALTER TABLE durable_wf.stream ENABLE ALWAYS TRIGGER note_close;
CREATE OR REPLACE FUNCTION @extschema@.wf_write_stream(
    stream text, value jsonb, workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream(text, jsonb, text) IS
'Append an item to a stream of a workflow and return its number: 1, 2, 3, ... without gaps, in the order in which items become visible. At commit everyone waiting for it wakes; after a rollback nothing was written. The first write makes the stream.
stream: 1 to 512 bytes. value: any JSON; SQL null is written as JSON null. workflow_id: null means the current workflow.
Blocks while another transaction that writes to the same stream has not ended: writers take turns until they commit.
Errors: 22023 bad argument; 55000 the stream is closed; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION @extschema@.wf_write_stream_many(
    stream text, items jsonb[], workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream_many(text, jsonb[], text) IS
'wf_write_stream() of each element, all or none; returns the number of the last. Their numbers follow one another.
items: one element at least; an element that is SQL null is written as JSON null.
Errors: 22023 bad argument; otherwise as for wf_write_stream().';
CREATE OR REPLACE FUNCTION @extschema@.wf_close_stream(
    stream text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_close_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_close_stream(text, text) IS
'Say that nothing more will be written to a stream: later writes raise 55000, and who has read all of it is told that it has ended. One that is closed already stays as it is. Blocks as wf_write_stream() does.
stream: 1 to 512 bytes; it need not have been written. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_stream_item') IS NULL THEN
        CREATE TYPE @extschema@.wf_stream_item AS (item_no bigint, value jsonb, ended boolean);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_stream_item IS 'an item of a stream, or its end';
COMMENT ON COLUMN @extschema@.wf_stream_item.item_no IS
'its number in the stream; NULL: the stream has ended';
COMMENT ON COLUMN @extschema@.wf_stream_item.value IS
'what was written; SQL NULL when the stream has ended only';
COMMENT ON COLUMN @extschema@.wf_stream_item.ended IS
'true: all was read, and nothing can come any more';
CREATE OR REPLACE FUNCTION @extschema@.wf_read_stream(
    workflow_id text, stream text, after bigint DEFAULT 0,
    max_items integer DEFAULT 100, timeout interval DEFAULT '60 s')
    RETURNS SETOF @extschema@.wf_stream_item
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.wf_read_stream(text, text, bigint, integer, interval) IS
'The items of a stream after a number, in order; waits for the first of them. Takes nothing away: any number of readers can read, from any place, again and again. When all was read and nothing can come any more, since the stream is closed or its workflow has ended: one row at once, with ended true and nulls. No row on timeout. The workflow and the stream need not exist yet.
after: the number of the last item that the caller has; 0 for all. max_items: at least 1. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_read_stream(...) does not.
Errors: 22023 bad argument; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_read_stream(
    IN workflow_id text, IN stream text, IN after bigint,
    IN max_items integer, IN timeout interval,
    INOUT items jsonb, INOUT last_item bigint, INOUT ended boolean)
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_read_stream(text, text, bigint, integer, interval, jsonb, bigint, boolean) IS
'wf_read_stream() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last three arguments.
items: an array of values, null when there are none. last_item: the number of the last of them, or else the argument after: what to pass as after next time. ended: nothing can come any more; false on timeout.';
CREATE OR REPLACE FUNCTION @extschema@.wf_create_stream_url(
    stream text, workflow_id text DEFAULT NULL) RETURNS @extschema@.wf_webhook
    AS 'MODULE_PATHNAME', 'wf_create_stream_url' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_stream_url(text, text) IS
'Create a random token that lets its holder read this stream, and nothing else; return it and the URL that has it. It lives as long as the rows of the workflow, also after its end; wf_dispose_hook() takes it back. The URL begins with durable_wf.http_base_url. Does not block.
stream: 1 to 512 bytes; it need not exist yet. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; 42501 it belongs to another role.';
CREATE OR REPLACE VIEW @extschema@.wf_streams WITH (security_invoker = true) AS
SELECT s.workflow_id, s.name AS stream,
       COALESCE(i.item_no, 0) AS last_item,
       s.closed_at, i.written_at
  FROM durable_wf.stream s
  LEFT JOIN LATERAL (
      SELECT j.item_no, j.written_at
        FROM durable_wf.stream_item j
       WHERE j.workflow_id OPERATOR(pg_catalog.=) s.workflow_id
         AND j.stream OPERATOR(pg_catalog.=) s.name
       ORDER BY j.item_no DESC LIMIT 1) i ON true;
COMMENT ON VIEW @extschema@.wf_streams IS
'the streams of the workflows whose owner''s privileges you have';
GRANT SELECT ON @extschema@.wf_streams TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_streams.workflow_id IS
'the workflow that it belongs to';
COMMENT ON COLUMN @extschema@.wf_streams.stream IS
'its name within the workflow';
COMMENT ON COLUMN @extschema@.wf_streams.last_item IS
'the number of its last item; 0: none was written yet';
COMMENT ON COLUMN @extschema@.wf_streams.closed_at IS
'start of the transaction that closed it; NULL: it is open, unless its workflow has ended';
COMMENT ON COLUMN @extschema@.wf_streams.written_at IS
'start of the transaction that wrote its last item; NULL: none was written yet';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_arrival') IS NULL THEN
        CREATE TYPE @extschema@.wf_arrival AS (source integer, value jsonb);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_arrival IS
'what came first of several sources: the place of its source in the list, from 1; both null when nothing came in time';
CREATE OR REPLACE FUNCTION @extschema@.wf_wait_any(
    sources jsonb,
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_arrival
    AS 'MODULE_PATHNAME', 'wf_wait_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_wait_any(jsonb, interval, text) IS
'Wait for whichever of several sources comes first, take that one and return its place in the list, from 1, with its value; both null on timeout. All others stay as they are. If several are there, the first in the list is taken.
sources: an array of 1 to 128 objects, each named by the arguments of the call that it stands for: {"topic": text or null} as wf_recv(), {"event_id"} as wf_wait_for_event(), {"token"} as wf_await_hook(), {"workflow_id", "key"} as wf_get_event(), {"workflow_id"} as wf_result(), whose value is an object with status, output and error, {"workflow_id", "stream", "after"} as wf_read_stream() for one item, whose value is an object with item_no, value and ended.
timeout: null waits for ever, ''0'' never waits. workflow_id: whose messages and event ids; null means the current workflow. Holds a snapshot while it waits; CALL wf_wait_any(...) does not.
Errors: 22023 bad argument, with the place of the source; those of the calls that the sources stand for.';
CREATE OR REPLACE PROCEDURE @extschema@.wf_wait_any(
    IN sources jsonb, IN timeout interval, IN workflow_id text,
    INOUT source integer, INOUT value jsonb)
    AS 'MODULE_PATHNAME', 'wf_wait_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_wait_any(jsonb, interval, text, integer, jsonb) IS
'wf_wait_any() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';
COMMENT ON COLUMN @extschema@.wf_arrival.source IS
'the place of the source that came first, from 1; NULL on timeout';
COMMENT ON COLUMN @extschema@.wf_arrival.value IS
'what it has; SQL NULL on timeout, and for an event that the ended workflow never published';
CREATE TABLE IF NOT EXISTS durable_wf.delivery (
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  bigint NOT NULL,
    deliveries  bigint NOT NULL,
    CONSTRAINT delivery_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
CREATE INDEX IF NOT EXISTS delivery_deliveries_idx ON durable_wf.delivery (deliveries);
COMMENT ON TABLE durable_wf.delivery IS
'how often receivers have given back a mailbox item; written by the worker only, while durable_wf.max_deliveries is set';
COMMENT ON COLUMN durable_wf.delivery.workflow_id IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.door IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.key IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.message_id IS 'the item; if it is not there any more, it was received since';
COMMENT ON COLUMN durable_wf.delivery.deliveries IS 'how often it was taken by a transaction or savepoint that was then rolled back';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.delivery', '');
ALTER TABLE durable_wf.delivery ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS delivery_owner ON durable_wf.delivery;
CREATE POLICY delivery_owner ON durable_wf.delivery
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) delivery.workflow_id));
COMMENT ON POLICY delivery_owner ON durable_wf.delivery IS
'the counts of the workflows that one may see';
GRANT SELECT ON durable_wf.delivery TO PUBLIC;
CREATE TABLE IF NOT EXISTS durable_wf.dead_letter (
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  bigint NOT NULL,
    payload     jsonb NOT NULL,
    deliveries  bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    died_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    traceparent text,
    CONSTRAINT dead_letter_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
COMMENT ON TABLE durable_wf.dead_letter IS
'one row per mailbox item that has left its queue since receivers gave it back durable_wf.max_deliveries times';
COMMENT ON COLUMN durable_wf.dead_letter.workflow_id IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.door IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.key IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.message_id IS 'its place in the queue, to which wf_redrive() sends it back';
COMMENT ON COLUMN durable_wf.dead_letter.payload IS 'what was sent';
COMMENT ON COLUMN durable_wf.dead_letter.deliveries IS 'how often receivers had given it back';
COMMENT ON COLUMN durable_wf.dead_letter.created_at IS 'when the sending transaction began';
COMMENT ON COLUMN durable_wf.dead_letter.died_at IS 'when it left its queue';
COMMENT ON COLUMN durable_wf.dead_letter.traceparent IS 'the trace context of the sender; null: none';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.dead_letter', '');
ALTER TABLE durable_wf.dead_letter ENABLE ROW LEVEL SECURITY;
DROP POLICY IF EXISTS dead_letter_owner ON durable_wf.dead_letter;
CREATE POLICY dead_letter_owner ON durable_wf.dead_letter
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) dead_letter.workflow_id));
COMMENT ON POLICY dead_letter_owner ON durable_wf.dead_letter IS
'the dead letters of the workflows that one may see';
GRANT SELECT ON durable_wf.dead_letter TO PUBLIC;
CREATE OR REPLACE VIEW @extschema@.wf_dead_letters WITH (security_invoker = true) AS
SELECT l.message_id,
       l.workflow_id,
       CASE l.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN l.door OPERATOR(pg_catalog.<>) 'd' THEN l.key END AS key,
       l.payload,
       l.deliveries,
       l.created_at AS sent_at,
       l.died_at,
       l.traceparent
  FROM durable_wf.dead_letter l;
COMMENT ON VIEW @extschema@.wf_dead_letters IS
'what has left the mailboxes of your workflows since receivers gave it back durable_wf.max_deliveries times; wf_redrive() sends it back to its place';
GRANT SELECT ON @extschema@.wf_dead_letters TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_dead_letters.message_id IS
'what wf_send returned; it is the place in the queue as well';
COMMENT ON COLUMN @extschema@.wf_dead_letters.workflow_id IS
'whose mailbox it was in';
COMMENT ON COLUMN @extschema@.wf_dead_letters.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_dead_letters.key IS
'the topic (NULL: none), token or event id';
COMMENT ON COLUMN @extschema@.wf_dead_letters.payload IS
'what was sent';
COMMENT ON COLUMN @extschema@.wf_dead_letters.deliveries IS
'how often receivers had given it back';
COMMENT ON COLUMN @extschema@.wf_dead_letters.sent_at IS
'start of the transaction that sent it';
COMMENT ON COLUMN @extschema@.wf_dead_letters.died_at IS
'start of the transaction that moved it here';
COMMENT ON COLUMN @extschema@.wf_dead_letters.traceparent IS
'the trace context of the sender; NULL: none';
CREATE OR REPLACE FUNCTION @extschema@.wf_redrive(workflow_id text, topic text DEFAULT NULL)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_redrive' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_redrive(text, text) IS
'Send the dead letters of a workflow back to their queues, each to its old place, and return how many; their deliveries begin anew. At commit receivers wake.
topic: only the messages of this topic; null means all of the workflow, with and without a topic, notifications and payloads of hooks as well. A payload whose hook is disposed of stays. Blocks only while another transaction redrives them too, or disposes of such a hook.
Errors: 22023 bad argument; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
CREATE OR REPLACE FUNCTION durable_wf.here(OUT system_identifier bigint, OUT database oid)
    AS 'MODULE_PATHNAME', 'dwf_here' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.here() IS
'this database: the server''s system identifier and the database''s OID';
CREATE TABLE IF NOT EXISTS durable_wf.home (
    system_identifier bigint NOT NULL,
    database          oid NOT NULL,
    since             timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE durable_wf.home REPLICA IDENTITY FULL;
COMMENT ON TABLE durable_wf.home IS
'the databases that the workflows were started in. A row for another database, or none for this one, means that some came from elsewhere: SQL workflows and timers wait for wf_adopt()';
COMMENT ON COLUMN durable_wf.home.system_identifier IS 'the server''s; 0: unknown, rows were written by other means than wf_start()';
COMMENT ON COLUMN durable_wf.home.database IS 'the database''s OID in that server';
COMMENT ON COLUMN durable_wf.home.since IS 'when it was created here, adopted, or noticed';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.home', '');
GRANT SELECT ON durable_wf.home TO PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.note_home() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_home' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_home() IS
'trigger function of durable_wf.home: our worker looks at it when this commits';
REVOKE ALL ON FUNCTION durable_wf.note_home() FROM PUBLIC;
CREATE OR REPLACE TRIGGER note_home AFTER INSERT OR UPDATE OR DELETE ON durable_wf.home
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_home();
ALTER TABLE durable_wf.home ENABLE ALWAYS TRIGGER note_home;
CREATE OR REPLACE FUNCTION durable_wf.is_copy() RETURNS boolean
    AS 'MODULE_PATHNAME', 'dwf_is_copy' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.is_copy() IS
'have workflows of this database come from another one, and were not adopted?';
CREATE OR REPLACE FUNCTION @extschema@.wf_adopt() RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF NOT durable_wf.is_copy() THEN
        RETURN false;
    END IF;
    -- one at a time, and after the restores that are under way
    LOCK TABLE durable_wf.home IN EXCLUSIVE MODE;
    DELETE FROM durable_wf.home;
    INSERT INTO durable_wf.home (system_identifier, database)
        SELECT h.system_identifier, h.database FROM durable_wf.here() h;
    -- a subscription brings items, and no sequence: ids go on above theirs
    PERFORM setval('durable_wf.message_id_seq', i.last)
       FROM (SELECT max(m.message_id) AS last
               FROM (SELECT max(message_id) FROM durable_wf.message
                     UNION ALL SELECT max(message_id) FROM durable_wf.dead_letter
                     UNION ALL SELECT max(message_id) FROM durable_wf.idempotency) m (message_id)) i,
            durable_wf.message_id_seq s
      WHERE i.last > s.last_value;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION @extschema@.wf_adopt() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wf_adopt() TO pg_database_owner;
COMMENT ON FUNCTION @extschema@.wf_adopt() IS
'Run the workflows of this database here, although they came from another one: by a restore, pg_upgrade, CREATE DATABASE ... TEMPLATE or a subscription. Call it when the original does not run any more; else both do the same work. Returns false, and changes nothing, if none came from elsewhere.
Takes effect at commit. Blocks while a transaction is still restoring. For the owner of the database.
Errors: 42501 not the owner of the database.';
CREATE OR REPLACE FUNCTION @extschema@.wf_trigger_send() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_send' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_send() IS
'Row trigger function (destination [, topic]): send the row to a workflow, as wf_send() does.
Arguments are templates: ''order-{id}'' puts the column id in the place of {id}; {{ and }} are braces. The message is the row as jsonb: NEW, or OLD on DELETE. Both are the same in each session, whatever it has set: dates in ISO, times in UTC. BEFORE or AFTER, INSERT, UPDATE or DELETE, FOR EACH ROW.
Acts as the current user. Does not block.
Errors: those of wf_send(); 42703 a column that the table does not have; 22023 a column that is null, an unmatched brace, a wrong number of arguments; 39P01 not a row trigger.';
CREATE OR REPLACE FUNCTION @extschema@.wf_trigger_set_event() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_set_event' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_set_event() IS
'Row trigger function (workflow_id, key): publish the row as an event of a workflow, as wf_set_event() does. Templates, payload and errors as for wf_trigger_send().';
CREATE OR REPLACE FUNCTION @extschema@.wf_trigger_notify() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_notify' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_notify() IS
'Row trigger function (event_id [, workflow_id]): notify who waits for an event id, or one workflow, with the row, as wf_notify() does. Templates, payload and errors as for wf_trigger_send().';
CREATE OR REPLACE FUNCTION @extschema@.wf_listen(workflow_id text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_listen' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, writes to a stream of, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, stream, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session. It wants a server session of its own: behind a proxy that pools transactions, the news go to whichever client has that session then, or to nobody.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 the role listens for too many; 55000 the library is not preloaded.';
CREATE OR REPLACE FUNCTION @extschema@.wf_unlisten(workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_unlisten' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_unlisten(text) IS
'End what wf_listen() with the same argument began, that for a workflow whichever role it began as; does nothing if it did not. Takes effect at commit.';
CREATE INDEX IF NOT EXISTS workflow_finished_at_idx ON durable_wf.workflow (finished_at)
    WHERE finished_at IS NOT NULL;
CREATE OR REPLACE FUNCTION @extschema@.wf_prune(
    older_than interval DEFAULT '7 d', batch integer DEFAULT 1000)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_prune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_prune(interval, integer) IS
'Remove workflows that ended longer ago than older_than, with their messages, events, streams and idempotency keys: at most batch (at least 1) of those whose owner''s privileges the caller has, the oldest first. Returns how many; call it again, each time in a transaction of its own, until it returns less than batch.
A workflow whose end some open transaction may not have seen yet is left for a later call. Can run beside everything else; does not wait.
Errors: 22023 bad argument; 25001 in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE FUNCTION @extschema@.wf_delete(workflow_id text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_delete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_delete(text) IS
'Remove a workflow that has ended, with all that belongs to it: messages, events, streams, steps, hooks, idempotency keys. Its id can be used again. False when there is no such workflow.
Blocks while a transaction is open that may not have seen its end, and could still send to it: one that has written something, or whose snapshot is older.
Errors: 22023 bad argument; 55000 it has not ended: wf_cancel() ends it; 55006 it has ended in this transaction; 42501 it belongs to another role; 25001 in REPEATABLE READ or SERIALIZABLE.';
CREATE OR REPLACE FUNCTION durable_wf.cron_database() RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_cron_database' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.cron_database() IS
'the database that pg_cron lives in, by its setting; null when it is not preloaded';
CREATE OR REPLACE FUNCTION durable_wf.require_cron(there text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    lives_in text := durable_wf.cron_database();
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RETURN;
    ELSIF lives_in IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'schedules need pg_cron, which this server has not loaded',
            HINT = format('Install pg_cron, add it to shared_preload_libraries, set cron.database_name = %L, restart, and CREATE EXTENSION pg_cron here.', current_database());
    ELSIF lives_in = current_database() THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'schedules need pg_cron, which is not in this database',
            HINT = 'CREATE EXTENSION pg_cron.';
    END IF;
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = format('pg_cron lives in database "%s"', lives_in),
        DETAIL = 'It can run jobs in this database, but they are made and ended there.',
        HINT = format('Run there: %s', there);
END $$;
COMMENT ON FUNCTION durable_wf.require_cron(text) IS
'raises 55000 unless pg_cron is in this database; the hint holds the statement to run where it is';
CREATE OR REPLACE FUNCTION durable_wf.cron_trouble(role name, OUT trouble text, OUT remedy text, OUT is_sure boolean)
    RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    host text := coalesce(current_setting('cron.host', true), 'localhost');
    is_socket boolean := host = '' OR host LIKE '/%';
    address_of_host inet;
    method text;
BEGIN
    is_sure := true;
    IF NOT pg_has_role(session_user, role, 'MEMBER') THEN
        RETURN;
    ELSIF NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.rolname = role) THEN
        trouble := format('Jobs run in sessions of role "%s", which may not log in.', role);
        remedy := format('ALTER ROLE %I LOGIN;', role);
        RETURN;
    ELSIF current_setting('cron.launch_active_jobs', true) = 'off' THEN
        trouble := 'pg_cron starts no jobs while cron.launch_active_jobs is off.';
        remedy := 'Turn it on, and reload the configuration.';
        RETURN;
    ELSIF current_setting('cron.use_background_workers', true) IS DISTINCT FROM 'off' THEN
        RETURN;
    END IF;

    is_sure := false;
    -- pg_cron is a client: the rule that it meets must not ask for a password
    FOREACH address_of_host IN ARRAY CASE WHEN is_socket THEN ARRAY[NULL::inet]
                                  WHEN host IN ('localhost', '::1', '127.0.0.1') THEN ARRAY['127.0.0.1', '::1']::inet[] END LOOP
        SELECT r.auth_method INTO method
          FROM pg_hba_file_rules() WITH ORDINALITY r
         WHERE r.error IS NULL
           AND CASE WHEN is_socket THEN r.type = 'local' ELSE r.type IN ('host', 'hostssl', 'hostnossl') END
           AND (r.database && ARRAY['all', current_database()::text]
                OR 'sameuser' = ANY (r.database) AND role = current_database())
           AND EXISTS (SELECT FROM unnest(r.user_name) u (name)
                        WHERE u.name IN ('all', role)
                           OR u.name LIKE '+%' AND EXISTS (
                               SELECT FROM pg_roles g
                                WHERE g.rolname = substr(u.name, 2) AND pg_has_role(role, g.oid, 'MEMBER')))
           AND (is_socket OR r.address IN ('all', 'samehost', 'samenet', 'localhost')
                OR CASE WHEN r.address ~ '^[0-9.]+$' AND family(address_of_host) = 4 OR r.address ~ ':' AND family(address_of_host) = 6
                        THEN (r.address::inet & r.netmask::inet) = (pg_catalog.host(address_of_host)::inet & r.netmask::inet) END)
         ORDER BY r.ordinality LIMIT 1;
        CONTINUE WHEN method = 'trust' OR method = 'peer' AND role = (SELECT r.rolname FROM pg_roles r WHERE r.oid = 10);
        trouble := CASE WHEN method IS NULL OR method = 'reject'
                        THEN format('pg_cron connects to "%s" as role "%s", which pg_hba.conf does not let in.', host, role)
                        ELSE format('pg_cron connects to "%s" as role "%s"; there, pg_hba.conf asks for method "%s".', host, role, method) END;
        remedy := 'Set cron.use_background_workers = on, and restart the server; or let pg_cron in by pg_hba.conf, or by a file .pgpass of the server''s user.';
        RETURN;
    END LOOP;
END $$;
COMMENT ON FUNCTION durable_wf.cron_trouble(name) IS
'why jobs of this role would not run in this database, and what to do; nulls if nothing is known, or the session''s user is no member of the role';
CREATE OR REPLACE FUNCTION durable_wf.cron_schedule(job text, schedule text, command text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    job_id bigint;
    name text := job;
    has_run boolean := false;
    obstacle record;
BEGIN
    -- pg_cron cuts names at 63 bytes
    IF octet_length(job) > 63 THEN
        job := concat('durable_wf: ', md5(job));
    END IF;
    -- there, jobs of several databases meet: so their names tell which
    PERFORM durable_wf.require_cron(format(
        'SELECT cron.schedule_in_database(%L, %L, %L, %L, %L)',
        concat(job, ' in ', current_database()), schedule, command,
        current_database(), current_user));
    EXECUTE 'SELECT cron.schedule($1, $2, $3)'
       INTO job_id USING job, schedule, command;

    -- say what stands in the way; but what has run will run
    SELECT * INTO obstacle FROM durable_wf.cron_trouble(current_user);
    IF NOT obstacle.is_sure THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM cron.job_run_details WHERE username = current_user AND status = ''succeeded'')'
           INTO has_run;
    END IF;
    IF obstacle.trouble IS NOT NULL AND NOT has_run THEN
        RAISE WARNING USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('job "%s" is scheduled, but pg_cron may be unable to run it', name),
            DETAIL = obstacle.trouble,
            HINT = obstacle.remedy;
    END IF;
    RETURN job_id;
END $$;
COMMENT ON FUNCTION durable_wf.cron_schedule(text, text, text) IS
'cron.schedule(), or an error, or a warning, that says what to do';
CREATE OR REPLACE FUNCTION durable_wf.start_tick(name text, body text, input jsonb) RETURNS text
    LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
SELECT @extschema@.wf_start(
    pg_catalog.concat(name, '@', pg_catalog.to_char(
        pg_catalog.timezone('UTC', pg_catalog.now()), 'YYYY-MM-DD"T"HH24:MI"Z"')),
    body, input)
$$;
COMMENT ON FUNCTION durable_wf.start_tick(text, text, jsonb) IS
'start the workflow of a schedule''s tick: its id is the name, an @ and the minute in UTC, so that the same tick starts only one';
CREATE OR REPLACE FUNCTION durable_wf.make_schedule(name text, schedule text, body text, input jsonb)
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
        -- what the role and the database have set is not for this
        format('SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL ROLE NONE; SELECT durable_wf.start_tick(%L, %L, %L)',
               make_schedule.name, make_schedule.body, make_schedule.input));
END $$;
COMMENT ON FUNCTION durable_wf.make_schedule(text, text, text, jsonb) IS
'wf_schedule() with the qualified name of the body';
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
Warns if pg_cron could not run it: the current user may not log in, or pg_cron, without cron.use_background_workers, would be asked for a password.
Errors: 22023 bad argument or schedule; 42883, 0A000 the body is none; 42501 no right to use pg_cron; 55000 pg_cron is missing, or lives in another database: the hint holds the statement to run there.';
CREATE OR REPLACE FUNCTION @extschema@.wf_unschedule(name text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    job text := concat('durable_wf: ', wf_unschedule.name);
    job_exists boolean;
BEGIN
    IF wf_unschedule.name IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'name must not be null';
    END IF;
    IF octet_length(job) > 63 THEN
        job := concat('durable_wf: ', md5(job));
    END IF;
    PERFORM durable_wf.require_cron(format('SELECT cron.unschedule(%L)',
        concat(job, ' in ', current_database())));
    EXECUTE 'SELECT EXISTS (SELECT FROM cron.job WHERE jobname = $1 AND username = current_user)'
       INTO job_exists USING job;
    IF job_exists THEN
        EXECUTE 'SELECT cron.unschedule($1)' USING job;
    END IF;
    RETURN job_exists;
END $$;
COMMENT ON FUNCTION @extschema@.wf_unschedule(text) IS
'End a schedule of the current user''s; false when there is none of that name. Workflows that it has started go on.
Errors: 22023 name is null; 42501 and 55000 as for wf_schedule().';
CREATE OR REPLACE PROCEDURE durable_wf.prune_all(older_than interval)
    LANGUAGE plpgsql AS
$$
BEGIN
    LOOP
        IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed'
           OR pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool
              AND NOT pg_catalog.pg_is_in_recovery() THEN
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        END IF;
        EXIT WHEN @extschema@.wf_prune(older_than, 1000) OPERATOR(pg_catalog.<) 1000;
        COMMIT;
    END LOOP;
END $$;
COMMENT ON PROCEDURE durable_wf.prune_all(interval) IS
'wf_prune() in batches, each in a transaction of its own, until nothing is left to prune';
CREATE OR REPLACE FUNCTION @extschema@.wf_schedule_retention(schedule text, older_than interval)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET IntervalStyle = 'postgres' AS
$$
BEGIN
    IF wf_schedule_retention.schedule IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be null';
    ELSIF older_than IS NULL OR older_than < '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'older_than must not be null or negative';
    END IF;
    RETURN durable_wf.cron_schedule('durable_wf retention', schedule,
        format('CALL durable_wf.prune_all(%L)', older_than));
END $$;
COMMENT ON FUNCTION @extschema@.wf_schedule_retention(text, interval) IS
'Have pg_cron call wf_prune() on a schedule, in batches, until nothing older than older_than is left. One per role; again replaces it; cron.unschedule(''durable_wf retention'') ends it. Returns the number of pg_cron''s job.
Arguments, time zone and errors are as for wf_schedule() and wf_prune().';
CREATE TABLE IF NOT EXISTS durable_wf.custody (
    shard_start integer NOT NULL,
    CONSTRAINT custody_pkey PRIMARY KEY (shard_start)
);
COMMENT ON TABLE durable_wf.custody IS
'on a cluster: the shards of durable_wf.shard whose workflows have their rows on this node';
COMMENT ON COLUMN durable_wf.custody.shard_start IS 'the lowest hash that belongs to the shard';
SELECT pg_catalog.pg_extension_config_dump('durable_wf.custody', '');
CREATE OR REPLACE FUNCTION durable_wf.run_here(workflow_id text, function text, arguments text[])
    RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_run_here' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.run_here(text, text, text[]) IS
'on a cluster: makes a call that another node has handed to the node of this workflow, with the privileges of the caller; returns how it went and its result as texts';
CREATE OR REPLACE FUNCTION durable_wf.has_released(workflow_id text, token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'dwf_has_released' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.has_released(text, text) IS
'on a cluster: whether a workflow of this node has ended and released its hook of this token, which another may claim then';
CREATE OR REPLACE FUNCTION durable_wf.named_tokens(workflow_id text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_named_tokens' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.named_tokens(text) IS
'on a cluster: the tokens of the hooks of a workflow of this node and of the caller''s, released ones too';
CREATE OR REPLACE FUNCTION durable_wf.cancel_family(parent_ids text[], error text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_cancel_family' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.cancel_family(text[], text) IS
'on a cluster: cancels what workflows of any nodes have started on this one, as far as the caller may; returns how many live that it may not, and the ids of the others';
CREATE OR REPLACE FUNCTION durable_wf.token_route(token text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_token_route' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.token_route(text) IS
'on a cluster, for the gateways of other nodes: what the URL of a webhook or a stream of this node begins with, and whether requests can be taken for it; empty if there is none';
DO $type$
BEGIN
    IF pg_catalog.to_regtype('@extschema@.wf_place') IS NULL THEN
        CREATE TYPE @extschema@.wf_place AS (host text, port integer, is_here boolean);
    END IF;
END $type$;
COMMENT ON TYPE @extschema@.wf_place IS
'which node of a cluster has a workflow';
CREATE OR REPLACE FUNCTION @extschema@.wf_node(workflow_id text) RETURNS @extschema@.wf_place
    AS 'MODULE_PATHNAME', 'wf_node' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_node(text) IS
'On a cluster: which node has the workflow of this id, or would have it. A session connected to that node waits there without a connection between nodes, and can attach. Without a cluster: host and port are null, is_here is true.
Errors: 22023 bad argument.';
CREATE OR REPLACE FUNCTION durable_wf.list_steps_there(workflow_id text)
    RETURNS TABLE (step_no integer, name text, output jsonb, error text,
                   started_at timestamptz, completed_at timestamptz)
    AS 'MODULE_PATHNAME', 'dwf_list_steps_there' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.list_steps_there(text) IS
'on a cluster: what wf_list_steps() returns for a workflow of another node';
CREATE OR REPLACE FUNCTION durable_wf.node_fault() RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF current_setting('max_prepared_transactions')::integer = 0 THEN
        RETURN 'max_prepared_transactions is 0';
    ELSIF current_setting('shared_preload_libraries') !~ '\mdurable_wf\M' THEN
        RETURN 'durable_wf is not in shared_preload_libraries';
    ELSIF EXISTS (SELECT FROM durable_wf.workflow) THEN
        RETURN 'it has workflows already';
    END IF;
    RETURN '';
END $$;
COMMENT ON FUNCTION durable_wf.node_fault() IS
'what keeps this node from having workflows of a cluster; empty if nothing does';
CREATE OR REPLACE FUNCTION @extschema@.wf_distribute(shard_count integer DEFAULT 32) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    tables_owner name := (SELECT relowner::regrole FROM pg_class
                           WHERE oid = 'durable_wf.workflow'::regclass);
    node record;
    shards text;
BEGIN
    -- on the coordinator of a cluster, once
    IF shard_count IS NULL OR shard_count NOT BETWEEN 1 AND 64000 THEN
        RAISE 'shard_count must be between 1 and 64000' USING ERRCODE = '22023';
    ELSIF to_regclass('pg_catalog.pg_dist_node') IS NULL THEN
        RAISE 'this database does not belong to a Citus cluster'
            USING ERRCODE = '55000', HINT = 'Create the extension citus in it, and add its nodes.';
    ELSIF to_regclass('durable_wf.shard') IS NOT NULL THEN
        RAISE 'workflows are distributed already' USING ERRCODE = '55000';
    ELSIF (SELECT groupid FROM pg_dist_local_group) <> 0 THEN
        RAISE 'wf_distribute() has to be called on the coordinator' USING ERRCODE = '55000';
    ELSIF NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0) THEN
        RAISE 'the coordinator is not known to the other nodes'
            USING ERRCODE = '55000', HINT = 'Call citus_set_coordinator_host().';
    END IF;

    -- each node is fit for it
    FOR node IN
        SELECT n.nodename, n.nodeport, r.success, r.result
          FROM run_command_on_all_nodes('SELECT durable_wf.node_fault()') r
          JOIN pg_dist_node n ON n.nodeid = r.nodeid
    LOOP
        IF NOT node.success OR node.result <> '' THEN
            RAISE 'node %:% cannot have workflows', node.nodename, node.nodeport
                USING ERRCODE = '55000', DETAIL = format('It says: %s.', node.result);
        END IF;
    END LOOP;

    -- the anchor, and the names of hooks
    CREATE TABLE durable_wf.shard (workflow_id text COLLATE "C" PRIMARY KEY);
    COMMENT ON TABLE durable_wf.shard IS
    'always empty: which node has its shard has the workflows whose ids fall into it';
    CREATE TABLE durable_wf.token (
        token       text COLLATE "C" PRIMARY KEY,
        workflow_id text COLLATE "C" NOT NULL
    );
    COMMENT ON TABLE durable_wf.token IS
    'which workflow has claimed a hook''s token last, of tokens that have names';
    EXECUTE format('ALTER TABLE durable_wf.shard OWNER TO %I', tables_owner);
    EXECUTE format('ALTER TABLE durable_wf.token OWNER TO %I', tables_owner);
    PERFORM create_distributed_table('durable_wf.shard', 'workflow_id', colocate_with => 'none',
                                     shard_count => wf_distribute.shard_count);
    PERFORM create_distributed_table('durable_wf.token', 'token', colocate_with => 'none',
                                     shard_count => wf_distribute.shard_count);
    PERFORM create_distributed_function('durable_wf.run_here(text, text, text[])', 'workflow_id',
                                        colocate_with => 'durable_wf.shard', force_delegation => true);

    -- each node notes which shards it has
    SELECT string_agg(format('(%s, %s)', s.shardminvalue, p.groupid), ', ') INTO shards
      FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
     WHERE s.logicalrelid = 'durable_wf.shard'::regclass;
    FOR node IN
        SELECT n.nodename, n.nodeport, r.success, r.result
          FROM run_command_on_all_nodes(format(
                   'WITH gone AS (DELETE FROM durable_wf.custody c WHERE NOT EXISTS'
                   ' (SELECT FROM (VALUES %1$s) v(shard, node) JOIN pg_dist_local_group l ON l.groupid = v.node'
                   '   WHERE v.shard = c.shard_start))'
                   ' INSERT INTO durable_wf.custody SELECT v.shard FROM (VALUES %1$s) v(shard, node)'
                   ' JOIN pg_dist_local_group l ON l.groupid = v.node ON CONFLICT DO NOTHING',
                   shards)) r
          JOIN pg_dist_node n ON n.nodeid = r.nodeid
    LOOP
        IF NOT node.success THEN
            RAISE 'node %:% could not note its shards', node.nodename, node.nodeport
                USING ERRCODE = '55000', DETAIL = format('It says: %s.', node.result);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION @extschema@.wf_distribute(integer) IS
'On the coordinator of a Citus cluster: from now on each workflow belongs to the node that has its shard of durable_wf.shard, and the functions can be called on all nodes. For a cluster without workflows; needs a superuser.
Errors: 22023 bad argument; 55000 not a cluster, not the coordinator, a node is not fit for it, or it was done already.';
REVOKE ALL ON FUNCTION @extschema@.wf_distribute(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION durable_wf.node_fault() FROM PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.wake(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_wake' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.wake(text) IS
'on a cluster: lets a suspended workflow of this node go on, since what it waits for on another node has come';
REVOKE ALL ON FUNCTION durable_wf.wake(text) FROM PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.give_rows(first_hash integer, last_hash integer) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_give_rows' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.give_rows(integer, integer) IS
'on a cluster: takes the rows of a shard away from this node; waits for transactions that act on its workflows';
REVOKE ALL ON FUNCTION durable_wf.give_rows(integer, integer) FROM PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.give_shard(first_hash integer, last_hash integer) RETURNS text[]
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    -- who executes a workflow of it can be in a transaction for long
    PERFORM pg_terminate_backend(e.pid, 5000) FROM @extschema@.wf_executions e
      WHERE hashtext(e.workflow_id) BETWEEN first_hash AND last_hash;
    RETURN durable_wf.give_rows(first_hash, last_hash);
END $$;
COMMENT ON FUNCTION durable_wf.give_shard(integer, integer) IS
'on a cluster: ends the executions of a shard on this node, and takes its rows away';
REVOKE ALL ON FUNCTION durable_wf.give_shard(integer, integer) FROM PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.take_rows(first_hash integer, last_hash integer, rows text[]) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_take_rows' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.take_rows(integer, integer, text[]) IS
'on a cluster: puts the rows of a shard, as durable_wf.give_shard() has returned them, into this node';
REVOKE ALL ON FUNCTION durable_wf.take_rows(integer, integer, text[]) FROM PUBLIC;
CREATE OR REPLACE FUNCTION @extschema@.wf_move_shard(shard bigint, "to" text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    source record;
    target record;
    place text;
    rows text[];
    waiting text;
BEGIN
    IF shard IS NULL OR "to" IS NULL THEN
        RAISE 'shard and to must not be null' USING ERRCODE = '22023';
    ELSIF to_regclass('durable_wf.shard') IS NULL THEN
        RAISE 'workflows are not distributed' USING ERRCODE = '55000';
    ELSIF (SELECT groupid FROM pg_dist_local_group) <> 0 THEN
        RAISE 'wf_move_shard() has to be called on the coordinator' USING ERRCODE = '55000';
    END IF;
    SELECT s.shardminvalue::integer AS first_hash, s.shardmaxvalue::integer AS last_hash,
           p.groupid, n.nodename, n.nodeport INTO source
      FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
      JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
     WHERE s.shardid = wf_move_shard.shard AND s.logicalrelid = 'durable_wf.shard'::regclass;
    IF NOT FOUND THEN
        RAISE 'durable_wf.shard has no shard %', shard USING ERRCODE = '22023',
            HINT = 'SELECT get_shard_id_for_distribution_column(''durable_wf.shard'', workflow_id) tells that of a workflow.';
    END IF;
    SELECT n.nodename, n.nodeport, n.groupid INTO target FROM pg_dist_node n
     WHERE format('%s:%s', n.nodename, n.nodeport) = "to" AND n.noderole = 'primary';
    IF NOT FOUND THEN
        RAISE 'there is no node "%"', "to" USING ERRCODE = '22023', HINT = 'Write host:port, as in pg_dist_node.';
    ELSIF source.groupid = target.groupid THEN
        RETURN;
    END IF;

    -- an id that belongs to the shard leads to the node that has it
    SELECT 'shard ' || i INTO place FROM generate_series(1, 10000000) i
     WHERE hashtext('shard ' || i) BETWEEN source.first_hash AND source.last_hash LIMIT 1;
    EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''give_shard'', %L) r',
                   place, ARRAY[source.first_hash::text, source.last_hash::text]) INTO rows;
    rows := rows[2]::text[];
    PERFORM citus_move_shard_placement(shard, source.nodename, source.nodeport, target.nodename, target.nodeport,
                                       'block_writes');
    EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''take_rows'', %L) r',
                   place, ARRAY[source.first_hash::text, source.last_hash::text, rows::text]);

    -- what waits for a workflow of it looks again
    FOR waiting IN SELECT substr(r, 6) FROM unnest(rows) r WHERE r LIKE 'wake:%' LOOP
        EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''wake'', %L) r', waiting, ARRAY[waiting]);
    END LOOP;
END $$;
COMMENT ON FUNCTION @extschema@.wf_move_shard(bigint, text) IS
'On the coordinator of a cluster: move a shard of durable_wf.shard, what is colocated with it and the rows of its workflows to another node ("host:port"), in one transaction. Calls for these workflows block meanwhile; sessions that wait in them get 40001, those that execute them are ended. Needs a superuser.
Errors: 22023 no such shard or node; 55000 not the coordinator, or workflows are not distributed.';
REVOKE ALL ON FUNCTION @extschema@.wf_move_shard(bigint, text) FROM PUBLIC;
CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
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
CREATE OR REPLACE VIEW @extschema@.wf_mailbox WITH (security_invoker = true) AS
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
CREATE OR REPLACE FUNCTION durable_wf.waiters(
    OUT workflow_id text, OUT door text, OUT key text, OUT pid integer,
    OUT suspended boolean, OUT waiting_since timestamptz, OUT deadline timestamptz)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_waiters' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION durable_wf.waiters() IS
'the rows of the view wf_waiters: those of workflows and of sessions that the caller may see';
CREATE OR REPLACE VIEW @extschema@.wf_waiters WITH (security_invoker = true) AS
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
CREATE OR REPLACE FUNCTION durable_wf.executions(
    OUT workflow_id text, OUT pid integer, OUT kind text, OUT since timestamptz,
    OUT step_no integer, OUT step_name text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_executions' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION durable_wf.executions() IS
'what the view wf_executions knows from shared memory, of workflows that the caller may see';
CREATE OR REPLACE VIEW @extschema@.wf_executions WITH (security_invoker = true) AS
SELECT e.workflow_id, e.pid, e.kind, a.application_name, a.client_addr, e.since,
       e.step_no, e.step_name
  FROM durable_wf.executions() e
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) e.pid;
COMMENT ON VIEW @extschema@.wf_executions IS
'who executes which workflow now, of those whose owner''s privileges you have: a workflow that is RUNNING and not here is executed by nobody, since its session has died or has detached';
GRANT SELECT ON @extschema@.wf_executions TO PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.counters(
    OUT door text, OUT sends bigint, OUT receives bigint, OUT waits bigint,
    OUT timeouts bigint, OUT wakes bigint, OUT spurious_wakes bigint,
    OUT passed_on bigint, OUT notifications bigint, OUT resyncs bigint,
    OUT reconciles bigint)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_stat' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 6;
COMMENT ON FUNCTION durable_wf.counters() IS 'the rows of the view wf_stat';
CREATE OR REPLACE FUNCTION durable_wf.listens() RETURNS bigint
    AS 'MODULE_PATHNAME', 'dwf_listens' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.listens() IS 'the column listens of the view wf_stat';
CREATE OR REPLACE VIEW @extschema@.wf_stat WITH (security_invoker = true) AS
SELECT door, sends, receives, waits, timeouts, wakes, spurious_wakes, passed_on,
       notifications, resyncs, reconciles,
       CASE WHEN door IS NULL THEN durable_wf.listens() END AS listens
  FROM durable_wf.counters();
COMMENT ON VIEW @extschema@.wf_stat IS
'counters of this database since the server has started, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left; notifications to listeners. The row without a door has what concerns all: resyncs (listeners told to look at everything), reconciles (all waiters of a database woken to look, after COMMIT or ROLLBACK PREPARED), and how many wf_listen() are in force now, in all databases';
GRANT SELECT ON @extschema@.wf_stat TO PUBLIC;
CREATE OR REPLACE FUNCTION durable_wf.stat_workflows(
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
CREATE OR REPLACE VIEW @extschema@.wf_stat_workflows WITH (security_invoker = true) AS
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
CREATE OR REPLACE FUNCTION durable_wf.stat_waits(
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
CREATE OR REPLACE VIEW @extschema@.wf_stat_waits WITH (security_invoker = true) AS
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
CREATE OR REPLACE FUNCTION durable_wf.stat_mailboxes(
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
CREATE OR REPLACE VIEW @extschema@.wf_stat_mailboxes WITH (security_invoker = true) AS
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
COMMENT ON COLUMN @extschema@.wf_outcome.status IS
'as in wf_status';
COMMENT ON COLUMN @extschema@.wf_outcome.output IS
'what wf_complete was given';
COMMENT ON COLUMN @extschema@.wf_outcome.error IS
'what wf_fail was given, or what its body has raised; NULL of a cancelled one: see wf_workflows';
COMMENT ON COLUMN @extschema@.wf_received.topic IS
'the topic that the message came by; NULL: none';
COMMENT ON COLUMN @extschema@.wf_received.message IS
'the message; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.event_data IS
'the data of the notification; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.timed_out IS
'true on timeout';
COMMENT ON COLUMN @extschema@.wf_webhook.token IS
'the token of the hook, or of the stream';
COMMENT ON COLUMN @extschema@.wf_webhook.url IS
'durable_wf.http_base_url and /.well-known/workflow/v1/webhook/<token>, or stream/<token>';
COMMENT ON COLUMN @extschema@.wf_attached.workflow_id IS
'the workflow that this session executes now; NULL on timeout';
COMMENT ON COLUMN @extschema@.wf_attached.queue IS
'the queue that it was taken from';
COMMENT ON COLUMN @extschema@.wf_attached.input IS
'what wf_start, or wf_continue_as_new, was given';
COMMENT ON COLUMN @extschema@.wf_attached.attempt IS
'1, and one more for each session that has died in it since it last got further';
COMMENT ON COLUMN @extschema@.wf_begun_step.step_no IS
'its place in the journal';
COMMENT ON COLUMN @extschema@.wf_begun_step.done IS
'the journal has it: do not do the work again';
COMMENT ON COLUMN @extschema@.wf_begun_step.output IS
'of a step that is done, what wf_save_step was given; SQL NULL else';
COMMENT ON COLUMN @extschema@.wf_begun_step.error IS
'of a step that has failed, what wf_fail_step was given; NULL else';
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
'what wf_fail was given, or what its body has raised; of a cancelled one, who has cancelled it, and why; of a body that is due and cannot be run, what it waits for';
COMMENT ON COLUMN @extschema@.wf_workflows.attempts IS
'0 before it was executed, then 1 and the times that its body or its session has crashed, or its body was undone by the server, since it last got further';
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
COMMENT ON COLUMN @extschema@.wf_workflows.queue IS
'the queue whose client processes execute it';
COMMENT ON COLUMN @extschema@.wf_workflows.attributes IS
'what it can be searched by; NULL if it was never given any';
COMMENT ON COLUMN @extschema@.wf_workflows.parent_id IS
'the workflow whose body, or attached session, has started it';
COMMENT ON COLUMN @extschema@.wf_workflows.due_at IS
'when it may begin to be executed';
COMMENT ON COLUMN @extschema@.wf_workflows.timeout_at IS
'when it is cancelled if it has not ended; NULL: never';
COMMENT ON COLUMN @extschema@.wf_workflows.traceparent IS
'the trace context (W3C traceparent) that it was started with; NULL: none';
COMMENT ON COLUMN @extschema@.wf_waiters.workflow_id IS
'who waits; with the doors event, stream and result, and for wf_await_response, the workflow that is waited for';
COMMENT ON COLUMN @extschema@.wf_waiters.door IS
'message (wf_recv, wf_recv_any, wf_recv_many), event (wf_get_event), stream (wf_read_stream), notify (wf_wait_for_event), hook (wf_await_hook, wf_await_response), result (wf_result), queue (wf_attach_next, wf_attach_any; no workflow yet), timer (wf_sleep, pauses of wf_step)';
COMMENT ON COLUMN @extschema@.wf_waiters.key IS
'the topic (NULL: none), key, stream, event id, token or, for wf_await_response, number of the request; NULL with the door result';
COMMENT ON COLUMN @extschema@.wf_waiters.pid IS
'the server process, as in pg_stat_activity; NULL when suspended';
COMMENT ON COLUMN @extschema@.wf_waiters.suspended IS
'a workflow that waits without a process';
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
COMMENT ON COLUMN @extschema@.wf_mailbox.deliveries IS
'how often receivers have given back the oldest of them, while durable_wf.max_deliveries is set';
COMMENT ON COLUMN @extschema@.wf_stat.door IS
'message, event, notify, hook, result, queue, timer, stream; NULL for what concerns all of them';
COMMENT ON COLUMN @extschema@.wf_stat.sends IS
'committed: messages; published values; items of streams, and their ends; notifications, one per workflow; starts, ends and changes of owner';
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
'the number of the call that it makes, or made last, replayed ones included; NULL: none yet';
COMMENT ON COLUMN @extschema@.wf_executions.step_name IS
'its name, as in wf_list_steps';
