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
    traceparent text,
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
COMMENT ON COLUMN durable_wf.message.traceparent IS 'the trace context of the sender; null: none';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.message', '');

ALTER TABLE durable_wf.message ENABLE ROW LEVEL SECURITY;
CREATE POLICY message_owner ON durable_wf.message
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) message.workflow_id));
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
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) idempotency.workflow_id));
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

CREATE FUNCTION @extschema@.wf_received_traceparent(message_id bigint DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_received_traceparent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_received_traceparent(bigint) IS
'The trace context (W3C traceparent) that the sender had of what this session has received last, by a message, a notification or a hook; null if none. A step''s command in between forgets it. A replay gives the same.
message_id: of a message of wf_recv_many(); null means the last that was received.
Errors: 42501 on behalf of another role.';
