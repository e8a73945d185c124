\echo Use "CREATE EXTENSION durable_wf" to load this file. \quit
-- schema: where the tables live, and the type of their owners

CREATE SCHEMA durable_wf;
COMMENT ON SCHEMA durable_wf IS
'Tables of durable_wf. Read them through the views wf_*; write them through the functions wf_*.';
GRANT USAGE ON SCHEMA durable_wf TO PUBLIC;

-- An owner is a role: kept by OID, so that a rename does not matter; dumped
-- by name, so that a restore does not matter; a dropped role is dumped as '',
-- nobody, and never becomes another role.
CREATE TYPE durable_wf.owner;

CREATE FUNCTION durable_wf.owner_in(cstring) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_in' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_in(cstring) IS 'I/O';

CREATE FUNCTION durable_wf.owner_out(durable_wf.owner) RETURNS cstring
    AS 'MODULE_PATHNAME', 'dwf_owner_out' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_out(durable_wf.owner) IS 'I/O';

CREATE FUNCTION durable_wf.owner_recv(internal) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_recv' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_recv(internal) IS 'I/O';

CREATE FUNCTION durable_wf.owner_send(durable_wf.owner) RETURNS bytea
    AS 'MODULE_PATHNAME', 'dwf_owner_send' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_send(durable_wf.owner) IS 'I/O';

CREATE TYPE durable_wf.owner (
    INPUT = durable_wf.owner_in,
    OUTPUT = durable_wf.owner_out,
    RECEIVE = durable_wf.owner_recv,
    SEND = durable_wf.owner_send,
    LIKE = pg_catalog.oid
);
COMMENT ON TYPE durable_wf.owner IS
'the role that a workflow belongs to: stored by OID, printed by name, '''' when that role was dropped';

CREATE CAST (durable_wf.owner AS pg_catalog.oid) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.oid AS durable_wf.owner) WITHOUT FUNCTION AS ASSIGNMENT;

-- Notes, at each row that is written, whom the commit must wake.
CREATE FUNCTION durable_wf.note_arrival() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_arrival' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_arrival() IS
'trigger function of the tables of durable_wf: whoever waits for this row is woken when it commits';
REVOKE ALL ON FUNCTION durable_wf.note_arrival() FROM PUBLIC;
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
    CONSTRAINT workflow_pkey PRIMARY KEY (workflow_id),
    CONSTRAINT workflow_workflow_id_check
        CHECK (octet_length(workflow_id) BETWEEN 1 AND 256),
    CONSTRAINT workflow_status_check
        CHECK (status IN ('PENDING', 'RUNNING', 'WAITING', 'SUCCESS', 'ERROR', 'CANCELLED')),
    CONSTRAINT workflow_finished_at_check
        CHECK ((finished_at IS NOT NULL) = (status IN ('SUCCESS', 'ERROR', 'CANCELLED')))
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
COMMENT ON COLUMN durable_wf.workflow.error IS 'what wf_fail() was given';
COMMENT ON COLUMN durable_wf.workflow.attempts IS 'how often its body was run from the top';
COMMENT ON COLUMN durable_wf.workflow.created_at IS 'when it was started';
COMMENT ON COLUMN durable_wf.workflow.updated_at IS 'when this row last changed';
COMMENT ON COLUMN durable_wf.workflow.finished_at IS 'when it ended; null while it has not';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.workflow', '');

ALTER TABLE durable_wf.workflow ENABLE ROW LEVEL SECURITY;
CREATE POLICY workflow_owner ON durable_wf.workflow
    USING (pg_catalog.pg_has_role(owner::pg_catalog.oid, 'USAGE'));
COMMENT ON POLICY workflow_owner ON durable_wf.workflow IS
'the workflows whose owner''s privileges one has';
GRANT SELECT ON durable_wf.workflow TO PUBLIC;

-- A start and an end, a change of owner and a removal wake who awaits them.
CREATE TRIGGER note_life BEFORE INSERT OR DELETE ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
CREATE TRIGGER note_change BEFORE UPDATE ON durable_wf.workflow
    FOR EACH ROW WHEN (OLD.finished_at IS DISTINCT FROM NEW.finished_at
                       OR OLD.owner::pg_catalog.oid IS DISTINCT FROM NEW.owner::pg_catalog.oid)
    EXECUTE FUNCTION durable_wf.note_arrival('workflow');
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_life;
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_change;

CREATE TYPE @extschema@.wf_outcome AS (status text, output jsonb, error text);
COMMENT ON TYPE @extschema@.wf_outcome IS
'how a workflow ended: its status, what wf_complete() was given, what wf_fail() was given';

CREATE FUNCTION @extschema@.wf_start(
    workflow_id text DEFAULT NULL,
    body text DEFAULT NULL,
    input jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    start_after interval DEFAULT '0',
    timeout interval DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_start(text, text, jsonb, text, interval, interval) IS
'Start a workflow, owned by the current user, and return its id.
workflow_id: its name, 1 to 256 bytes; null: one is made up. A workflow that exists already is returned as it is (start as often as you like).
input: any JSON, kept with the workflow. body, queue, start_after, timeout: not supported in this version, leave them out.
Takes effect at commit. Blocks only while another transaction is starting the same id.
Errors: 22023 bad argument; 42501 the id belongs to another role; 42710 it exists with another input; 0A000 body, queue, start_after or timeout given.';

CREATE FUNCTION @extschema@.wf_status(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_status' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_status(text) IS
'The status of a workflow: PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED. Does not wait.
Errors: WF001 no such workflow; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_current() RETURNS text
    AS 'MODULE_PATHNAME', 'wf_current' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_current() IS
'The workflow that this session acts as when a call names none: the setting durable_wf.workflow_id; null when there is none.';

CREATE FUNCTION @extschema@.wf_complete(output jsonb DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_complete(jsonb) IS
'End the current workflow with SUCCESS and this output (any JSON, or null).
At commit everyone awaiting its result or its events wakes, and whoever waits in it gets WF003. Blocks only while another transaction is ending it.
Errors: WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 already finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_fail(error text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail(text) IS
'End the current workflow with ERROR and this text, which must not be null.
Otherwise like wf_complete().';

CREATE FUNCTION @extschema@.wf_cancel(workflow_id text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_cancel(text) IS
'End a workflow with CANCELLED. At commit whoever waits in it gets WF002 at once. Returns false, and changes nothing, when it has ended already. Blocks only while another transaction is ending it or changing its owner.
Errors: WF001 no such workflow; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_set_owner(workflow_id text, owner text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_set_owner' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_owner(text, text) IS
'Give a workflow to another role, with its mailbox and its events. The caller must have the privileges of the present owner and of the new one.
owner: the exact name of a role.
Errors: WF001 no such workflow; 42704 no such role; 42501 either role''s privileges are missing.';

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
-- message: the mailbox

-- CACHE 1, and an id is taken only by who has a transaction id already: what
-- is visible below an id that old transactions cannot touch stays as it is.
CREATE SEQUENCE durable_wf.message_id_seq AS bigint CACHE 1;
COMMENT ON SEQUENCE durable_wf.message_id_seq IS
'ids of mailbox items, in the order in which they were sent';
SELECT pg_catalog.pg_extension_config_dump('durable_wf.message_id_seq', '');

CREATE TABLE durable_wf.message (
    message_id  bigint NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    payload     jsonb NOT NULL,
    wait_id     bigint,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT message_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);

-- There is no CHECK on this table: the executor parses one anew for each
-- statement, which would make a send a third more expensive.

-- A wait is answered by one broadcast.
CREATE UNIQUE INDEX message_wait_id_key ON durable_wf.message (workflow_id, wait_id)
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

SELECT pg_catalog.pg_extension_config_dump('durable_wf.message', '');

ALTER TABLE durable_wf.message ENABLE ROW LEVEL SECURITY;
CREATE POLICY message_owner ON durable_wf.message
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY message_owner ON durable_wf.message IS
'the mailboxes of the workflows that one may see';
GRANT SELECT ON durable_wf.message TO PUBLIC;

CREATE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.message
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('message');
ALTER TABLE durable_wf.message ENABLE ALWAYS TRIGGER note_arrival;

-- Kept as long as the workflow: a key protects after its message was consumed.
CREATE TABLE durable_wf.idempotency (
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
CREATE POLICY idempotency_owner ON durable_wf.idempotency
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
COMMENT ON POLICY idempotency_owner ON durable_wf.idempotency IS
'the keys of the workflows that one may see';
GRANT SELECT ON durable_wf.idempotency TO PUBLIC;

CREATE TYPE @extschema@.wf_received AS (topic text, message jsonb);
COMMENT ON TYPE @extschema@.wf_received IS
'a message and the topic it came by; both null when none came in time';

CREATE FUNCTION @extschema@.wf_send(
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

CREATE FUNCTION @extschema@.wf_send_many(
    destination_ids text[],
    messages jsonb[],
    topic text DEFAULT NULL,
    idempotency_keys text[] DEFAULT NULL
) RETURNS bigint[]
    AS 'MODULE_PATHNAME', 'wf_send_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_send_many(text[], jsonb[], text, text[]) IS
'Queue many messages, all or none, and return their ids in the order given.
The arrays have one length; a null message is sent as JSON null, a null key is no key, a null destination is an error. Otherwise like wf_send().';

CREATE FUNCTION @extschema@.wf_recv(
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

CREATE PROCEDURE @extschema@.wf_recv(
    IN topic text, IN timeout interval, IN workflow_id text,
    INOUT message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_recv(text, interval, text, jsonb) IS
'wf_recv() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_recv_any(
    topics text[],
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_received
    AS 'MODULE_PATHNAME', 'wf_recv_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_recv_any(text[], interval, text) IS
'Wait for the oldest message of several topics, take it and return it with its topic; all null on timeout.
topics: at most 128 different ones, together at most 4096 bytes; a null element is ''no topic''. Otherwise like wf_recv().';

CREATE PROCEDURE @extschema@.wf_recv_any(
    IN topics text[], IN timeout interval, IN workflow_id text,
    INOUT topic text, INOUT message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_recv_any(text[], interval, text, text, jsonb) IS
'wf_recv_any() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';

CREATE FUNCTION @extschema@.wf_recv_many(
    topic text DEFAULT NULL,
    max_messages integer DEFAULT 100,
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS TABLE (message_id bigint, message jsonb)
    AS 'MODULE_PATHNAME', 'wf_recv_many' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.wf_recv_many(text, integer, interval, text) IS
'Wait for the first message of a topic, then take what is there, up to max_messages (at least 1), in order; no row on timeout. Otherwise like wf_recv().';
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
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
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
-- notify: data for whoever waits for an event id

CREATE TYPE @extschema@.wf_event_wait AS (event_data jsonb, timed_out boolean);
COMMENT ON TYPE @extschema@.wf_event_wait IS
'what a wait for an event id ended with: the data of the notification, or timed_out';

CREATE FUNCTION @extschema@.wf_wait_for_event(
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

CREATE PROCEDURE @extschema@.wf_wait_for_event(
    IN event_id text, IN timeout interval, IN workflow_id text,
    INOUT event_data jsonb, INOUT timed_out boolean)
    AS 'MODULE_PATHNAME', 'wf_wait_for_event' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_wait_for_event(text, interval, text, jsonb, boolean) IS
'wf_wait_for_event() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';

CREATE FUNCTION @extschema@.wf_notify(
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

CREATE FUNCTION @extschema@.wf_event_waiters(event_id text)
    RETURNS TABLE (workflow_id text, message_id bigint,
                   waiting_since timestamptz, deadline timestamptz)
    AS 'MODULE_PATHNAME', 'wf_event_waiters' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION @extschema@.wf_event_waiters(text) IS
'Who would get a wf_notify(event_id) now: the same rows, with a null message_id. Does not wait.
Errors: 22023 bad argument; 55000 the library is not preloaded.';
-- views: what is there, what waits, what happened

CREATE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output, w.error, w.attempts,
       w.created_at, w.updated_at, w.finished_at
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid;
COMMENT ON VIEW @extschema@.wf_workflows IS
'the workflows whose owner''s privileges you have; owner is null when that role was dropped';
GRANT SELECT ON @extschema@.wf_workflows TO PUBLIC;

CREATE VIEW @extschema@.wf_mailbox WITH (security_invoker = true) AS
SELECT m.workflow_id,
       CASE m.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN m.door OPERATOR(pg_catalog.<>) 'd' THEN m.key END AS key,
       pg_catalog.count(*) AS depth,
       pg_catalog.min(m.created_at) AS oldest_at
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
  FROM durable_wf.waiters();
COMMENT ON VIEW @extschema@.wf_waiters IS
'who waits now, and for what: one row per session and topic; workflow_id is the workflow that waits or, for the doors event and result, the one that is waited for; a null deadline waits for ever';
GRANT SELECT ON @extschema@.wf_waiters TO PUBLIC;

CREATE FUNCTION durable_wf.stat(
    OUT door text, OUT sends bigint, OUT receives bigint, OUT waits bigint,
    OUT timeouts bigint, OUT wakes bigint, OUT spurious_wakes bigint,
    OUT passed_on bigint)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_stat' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 5;
COMMENT ON FUNCTION durable_wf.stat() IS 'the rows of the view wf_stat';

CREATE VIEW @extschema@.wf_stat WITH (security_invoker = true) AS
SELECT door, sends, receives, waits, timeouts, wakes, spurious_wakes, passed_on
  FROM durable_wf.stat();
COMMENT ON VIEW @extschema@.wf_stat IS
'counters of this server since it started, all databases together, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left';
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
    REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER
        ON ALL TABLES IN SCHEMA durable_wf FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA durable_wf FROM PUBLIC;
END $$;
