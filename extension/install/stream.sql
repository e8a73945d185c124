-- stream: what a workflow appends for any number of readers

CREATE TABLE durable_wf.stream (
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
CREATE POLICY stream_owner ON durable_wf.stream
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream.workflow_id));
COMMENT ON POLICY stream_owner ON durable_wf.stream IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream TO PUBLIC;

CREATE TABLE durable_wf.stream_item (
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
CREATE POLICY stream_item_owner ON durable_wf.stream_item
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_item.workflow_id));
COMMENT ON POLICY stream_item_owner ON durable_wf.stream_item IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_item TO PUBLIC;

CREATE TABLE durable_wf.stream_url (
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
CREATE INDEX stream_url_workflow_idx ON durable_wf.stream_url (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream_url', '');
ALTER TABLE durable_wf.stream_url ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_url_owner ON durable_wf.stream_url
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_url.workflow_id));
COMMENT ON POLICY stream_url_owner ON durable_wf.stream_url IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_url TO PUBLIC;

-- Whoever reads has to know of an item, and that there will be none any more.
CREATE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.stream_item
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('stream_item');
CREATE TRIGGER note_close BEFORE INSERT OR UPDATE ON durable_wf.stream
    FOR EACH ROW WHEN (NEW.closed_at IS NOT NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('stream');
ALTER TABLE durable_wf.stream_item ENABLE ALWAYS TRIGGER note_arrival;
ALTER TABLE durable_wf.stream ENABLE ALWAYS TRIGGER note_close;

CREATE FUNCTION @extschema@.wf_write_stream(
    stream text, value jsonb, workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream(text, jsonb, text) IS
'Append an item to a stream of a workflow and return its number: 1, 2, 3, ... without gaps, in the order in which items become visible. At commit everyone waiting for it wakes; after a rollback nothing was written. The first write makes the stream.
stream: 1 to 512 bytes. value: any JSON; SQL null is written as JSON null. workflow_id: null means the current workflow.
Blocks while another transaction that writes to the same stream has not ended: writers take turns until they commit.
Errors: 22023 bad argument; 55000 the stream is closed; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_write_stream_many(
    stream text, items jsonb[], workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream_many(text, jsonb[], text) IS
'wf_write_stream() of each element, all or none; returns the number of the last. Their numbers follow one another.
items: one element at least; an element that is SQL null is written as JSON null.
Errors: 22023 bad argument; otherwise as for wf_write_stream().';

CREATE FUNCTION @extschema@.wf_close_stream(
    stream text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_close_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_close_stream(text, text) IS
'Say that nothing more will be written to a stream: later writes raise 55000, and who has read all of it is told that it has ended. One that is closed already stays as it is. Blocks as wf_write_stream() does.
stream: 1 to 512 bytes; it need not have been written. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE TYPE @extschema@.wf_stream_item AS (item_no bigint, value jsonb, ended boolean);
COMMENT ON TYPE @extschema@.wf_stream_item IS 'an item of a stream, or its end';
COMMENT ON COLUMN @extschema@.wf_stream_item.item_no IS
'its number in the stream; NULL: the stream has ended';
COMMENT ON COLUMN @extschema@.wf_stream_item.value IS
'what was written; SQL NULL when the stream has ended only';
COMMENT ON COLUMN @extschema@.wf_stream_item.ended IS
'true: all was read, and nothing can come any more';

CREATE FUNCTION @extschema@.wf_read_stream(
    workflow_id text, stream text, after bigint DEFAULT 0,
    max_items integer DEFAULT 100, timeout interval DEFAULT '60 s')
    RETURNS SETOF @extschema@.wf_stream_item
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.wf_read_stream(text, text, bigint, integer, interval) IS
'The items of a stream after a number, in order; waits for the first of them. Takes nothing away: any number of readers can read, from any place, again and again. When all was read and nothing can come any more, since the stream is closed or its workflow has ended: one row at once, with ended true and nulls. No row on timeout. The workflow and the stream need not exist yet.
after: the number of the last item that the caller has; 0 for all. max_items: at least 1. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_read_stream(...) does not.
Errors: 22023 bad argument; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_read_stream(
    IN workflow_id text, IN stream text, IN after bigint,
    IN max_items integer, IN timeout interval,
    INOUT items jsonb, INOUT last_item bigint, INOUT ended boolean)
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_read_stream(text, text, bigint, integer, interval, jsonb, bigint, boolean) IS
'wf_read_stream() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last three arguments.
items: an array of values, null when there are none. last_item: the number of the last of them, or else the argument after: what to pass as after next time. ended: nothing can come any more; false on timeout.';

CREATE FUNCTION @extschema@.wf_create_stream_url(
    stream text, workflow_id text DEFAULT NULL) RETURNS @extschema@.wf_webhook
    AS 'MODULE_PATHNAME', 'wf_create_stream_url' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_stream_url(text, text) IS
'Create a random token that lets its holder read this stream, and nothing else; return it and the URL that has it. It lives as long as the rows of the workflow, also after its end; wf_dispose_hook() takes it back. The URL begins with durable_wf.http_base_url. Does not block.
stream: 1 to 512 bytes; it need not exist yet. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; 42501 it belongs to another role.';

CREATE VIEW @extschema@.wf_streams WITH (security_invoker = true) AS
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
