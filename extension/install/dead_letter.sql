-- dead_letter: messages that receivers have given back too often

CREATE TABLE durable_wf.delivery (
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  bigint NOT NULL,
    deliveries  bigint NOT NULL,
    CONSTRAINT delivery_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
CREATE INDEX delivery_deliveries_idx ON durable_wf.delivery (deliveries);
COMMENT ON TABLE durable_wf.delivery IS
'how often receivers have given back a mailbox item; written by the worker only, while durable_wf.max_deliveries is set';
COMMENT ON COLUMN durable_wf.delivery.workflow_id IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.door IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.key IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.message_id IS 'the item; if it is not there any more, it was received since';
COMMENT ON COLUMN durable_wf.delivery.deliveries IS 'how often it was taken by a transaction or savepoint that was then rolled back';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.delivery', '');

ALTER TABLE durable_wf.delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY delivery_owner ON durable_wf.delivery
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) delivery.workflow_id));
COMMENT ON POLICY delivery_owner ON durable_wf.delivery IS
'the counts of the workflows that one may see';
GRANT SELECT ON durable_wf.delivery TO PUBLIC;

CREATE TABLE durable_wf.dead_letter (
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
CREATE POLICY dead_letter_owner ON durable_wf.dead_letter
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) dead_letter.workflow_id));
COMMENT ON POLICY dead_letter_owner ON durable_wf.dead_letter IS
'the dead letters of the workflows that one may see';
GRANT SELECT ON durable_wf.dead_letter TO PUBLIC;

CREATE VIEW @extschema@.wf_dead_letters WITH (security_invoker = true) AS
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

CREATE FUNCTION @extschema@.wf_redrive(workflow_id text, topic text DEFAULT NULL)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_redrive' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_redrive(text, text) IS
'Send the dead letters of a workflow back to their queues, each to its old place, and return how many; their deliveries begin anew. At commit receivers wake.
topic: only the messages of this topic; null means all of the workflow, with and without a topic, notifications and payloads of hooks as well. A payload whose hook is disposed of stays. Blocks only while another transaction redrives them too, or disposes of such a hook.
Errors: 22023 bad argument; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';
