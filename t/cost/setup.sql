-- What the scripts work on: workflows, and plain tables like ours.
CREATE EXTENSION durable_wf;
SELECT wf_start(id) FROM unnest('{send,recv,held,event,ping,pong}'::text[]) id;

CREATE SEQUENCE plain_id;
CREATE TABLE plain_message (
    message_id  bigint NOT NULL DEFAULT nextval('plain_id'),
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    payload     jsonb NOT NULL,
    wait_id     bigint,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, door, key, message_id)
);
CREATE UNIQUE INDEX ON plain_message (workflow_id, wait_id) WHERE wait_id IS NOT NULL;
CREATE TABLE plain_queue (LIKE plain_message INCLUDING ALL);
CREATE TABLE plain_event (
    workflow_id text COLLATE "C" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    value       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, key)
) WITH (fillfactor = 85);
CREATE TABLE plain_item (
    workflow_id text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    item_no     bigint NOT NULL DEFAULT nextval('plain_id'),
    value       jsonb NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, stream, item_no)
);
CREATE TABLE plain_workflow (LIKE durable_wf.workflow INCLUDING DEFAULTS INCLUDING INDEXES) WITH (fillfactor = 85);

-- backlogs
INSERT INTO plain_queue (workflow_id, door, key, payload)
SELECT 'recv', 'm', 'topic', '{"a": 1}' FROM generate_series(1, 10000);
SELECT count(wf_send_many(array_fill(id, ARRAY[10000]), array_fill('{"a": 1}'::jsonb, ARRAY[10000]), 'topic'))
  FROM unnest('{recv,held}'::text[]) id;

-- events, among others
INSERT INTO plain_event SELECT 'event', 'key ' || i, '1' FROM generate_series(1, 1000) i;
SELECT count(wf_set_event('key ' || i, '1', 'event')) FROM generate_series(1, 1000) i;

VACUUM ANALYZE;
