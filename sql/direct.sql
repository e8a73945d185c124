-- Items are written, read and taken without statements while their table is as
-- our script has made it; else the statement does it, and so it has to be with
-- whatever somebody adds to the table.  This file says the same with
-- durable_wf.debug_direct = off, where each access is a statement.

CREATE SCHEMA direct_test;
SET search_path = direct_test, public;
SET client_min_messages = error;

SELECT wf_start('direct');

-- what was seen of the table's rows
CREATE TABLE seen (n serial, what text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (what)
    SELECT concat_ws(' ', lower(TG_WHEN), lower(TG_OP), lower(TG_LEVEL),
                     CASE WHEN TG_LEVEL = 'ROW' THEN
                         CASE TG_OP WHEN 'DELETE' THEN OLD.payload ELSE NEW.payload END
                     END);
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END$$;
CREATE FUNCTION seen() RETURNS text LANGUAGE sql AS
    $$SELECT string_agg(what, ', ' ORDER BY n) FROM seen$$;

-- send one message, and two at a time; receive one
CREATE FUNCTION trip(OUT sent text, OUT sent_many text, OUT queue jsonb,
                     OUT received text, OUT left_over jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    sent := test.state($q$SELECT 'sent' FROM wf_send('direct', '1', 't')$q$);
    sent_many := test.state($q$SELECT 'sent' FROM wf_send_many('{direct,direct}', '{2,3}', 't')$q$);
    queue := test.peek('direct', 't');
    received := test.state($q$SELECT wf_recv('t', '0', 'direct')$q$);
    left_over := test.peek('direct', 't');
END$$;

-- ----- the table as it is

BEGIN;
SELECT * FROM trip();
-- a statement would have opened each index to write
SELECT (count(*) = 0) = current_setting('durable_wf.debug_direct')::boolean AS as_set
  FROM pg_locks
 WHERE relation = 'durable_wf.message_wait_id_key'::regclass AND pid = pg_backend_pid()
   AND mode = 'RowExclusiveLock';
SELECT pg_stat_get_xact_tuples_inserted('durable_wf.message'::regclass) AS inserted,
       pg_stat_get_xact_tuples_deleted('durable_wf.message'::regclass) AS deleted;
SELECT wf_recv('t', '0', 'direct'), wf_recv('t', '0', 'direct'), wf_recv('t', '0', 'direct');
SELECT message FROM wf_recv_many('t', 10, '0', 'direct');
ROLLBACK;

-- all that is asked for, in its order, and what is left
BEGIN;
SELECT count(wf_send('direct', to_jsonb(i), 't')) FROM generate_series(1, 500) i;
SELECT count(*), min(message::int), max(message::int),
       bool_and(message::int = n) AS in_order
  FROM wf_recv_many('t', 200, '0', 'direct') WITH ORDINALITY AS m (id, message, n);
SELECT count(wf_recv('t', '0', 'direct')) FROM generate_series(1, 100);
SELECT * FROM wf_recv_any('{u,t,NULL}', '0', 'direct');
SELECT wf_send('direct', '"older"', 'u') > 0 AS sent, wf_send('direct', '"newer"', 'v') > 0 AS sent;
SELECT count(*) FROM wf_recv_many('t', 1000, '0', 'direct');
SELECT (wf_recv_any('{v,u,t}', '0', 'direct')).* FROM generate_series(1, 3);
ROLLBACK;

-- a gap in the ids of a queue, longer than the gaps before
BEGIN;
SELECT count(wf_send('direct', to_jsonb(i), 't')) FROM generate_series(1, 40) i;
SELECT nextval('durable_wf.message_id_seq') > 0 AS gap FROM generate_series(1, 500) i OFFSET 499;
SELECT count(wf_send('direct', to_jsonb(i), 't')) FROM generate_series(41, 80) i;
SELECT string_agg(wf_recv('t', '0', 'direct')::text, ' ') FROM generate_series(1, 81);
ROLLBACK;

-- a large payload, which is kept in a table of its own, sent as it is there
CREATE TABLE large (payload jsonb);
ALTER TABLE large ALTER payload SET STORAGE EXTERNAL;
INSERT INTO large SELECT to_jsonb(string_agg(md5(i::text), '')) FROM generate_series(1, 1000) i;
SELECT wf_send('direct', payload, 't') > 0 AS sent FROM large;
SELECT wf_recv('t', '0', 'direct') = payload AS same FROM large;

-- a query that has begun does not see what is sent, the next one does
BEGIN;
DECLARE before CURSOR FOR SELECT payload FROM durable_wf.message WHERE workflow_id = 'direct';
SELECT wf_send('direct', '1') > 0 AS sent;
FETCH before;
SELECT payload FROM durable_wf.message WHERE workflow_id = 'direct';
SAVEPOINT s;
SELECT wf_recv(NULL, '0', 'direct');
SELECT wf_recv(NULL, '0', 'direct');
ROLLBACK TO s;
SELECT wf_recv(NULL, '0', 'direct');
ROLLBACK;

-- a row that this transaction has locked, or written
BEGIN;
SELECT wf_send('direct', '1') > 0 AS sent;
SELECT payload FROM durable_wf.message WHERE workflow_id = 'direct' FOR UPDATE;
SAVEPOINT s;
SELECT payload FROM durable_wf.message WHERE workflow_id = 'direct' FOR KEY SHARE;
SELECT wf_recv(NULL, '0', 'direct');
ROLLBACK TO s;
UPDATE durable_wf.message SET payload = '2' WHERE workflow_id = 'direct';
SELECT wf_recv(NULL, '0', 'direct');
ROLLBACK;

-- one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM trip();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM trip();
ROLLBACK;

-- counts of deliveries do not matter while they are not limited
CREATE FUNCTION count_as_given_back(count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO durable_wf.delivery
    SELECT workflow_id, door, key, message_id, count
      FROM durable_wf.message WHERE workflow_id = 'direct' AND payload = '1'
$$;
BEGIN;
SELECT count(wf_send('direct', to_jsonb(i))) FROM generate_series(1, 2) i;
SELECT count_as_given_back(1000);
SELECT wf_recv(NULL, '0', 'direct');
ROLLBACK;

-- ----- what the executor does beside writing the row

-- triggers
BEGIN;
CREATE TRIGGER a AFTER INSERT OR DELETE ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION see();
SELECT * FROM trip();
SELECT seen();
ROLLBACK;
BEGIN;
CREATE TRIGGER a BEFORE DELETE ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION see();
SELECT * FROM trip();
SELECT seen();
ROLLBACK;
BEGIN;
CREATE TRIGGER a AFTER INSERT OR DELETE ON durable_wf.message EXECUTE FUNCTION see();
SELECT * FROM trip();
SELECT seen();
ROLLBACK;
BEGIN;
CREATE FUNCTION turn_over() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN NEW.payload := to_jsonb(- NEW.payload::int); RETURN NEW; END$$;
CREATE TRIGGER a BEFORE INSERT ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION turn_over();
SELECT * FROM trip();
DROP TRIGGER a ON durable_wf.message;
SELECT * FROM trip();
ROLLBACK;
BEGIN;
CREATE FUNCTION drop_all() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE TRIGGER a BEFORE INSERT ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION drop_all();
SELECT * FROM trip();
ROLLBACK;

-- our trigger, changed
BEGIN;
ALTER TABLE durable_wf.message DISABLE TRIGGER note_arrival;
SELECT * FROM trip();
ROLLBACK;
BEGIN;
DROP TRIGGER note_arrival ON durable_wf.message;
CREATE TRIGGER note_arrival BEFORE INSERT ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION see();
ALTER TABLE durable_wf.message ENABLE ALWAYS TRIGGER note_arrival;
SELECT * FROM trip();
SELECT seen();
ROLLBACK;

-- a function of that name which is not ours
BEGIN;
CREATE OR REPLACE FUNCTION durable_wf.note_arrival() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO direct_test.seen (what) VALUES ('replaced'); RETURN NEW; END$$;
SELECT * FROM trip();
SELECT seen();
ROLLBACK;

-- foreign keys
BEGIN;
CREATE TABLE reader (
    workflow_id text COLLATE "C", door "char", key text COLLATE "C", message_id bigint,
    FOREIGN KEY (workflow_id, door, key, message_id) REFERENCES durable_wf.message);
SELECT wf_send('direct', '0', 't') > 0 AS sent;
INSERT INTO reader SELECT workflow_id, door, key, message_id
  FROM durable_wf.message WHERE workflow_id = 'direct';
SELECT * FROM trip();
ROLLBACK;

-- rules
BEGIN;
CREATE RULE a AS ON INSERT TO durable_wf.message DO ALSO
    INSERT INTO direct_test.seen (what) VALUES ('rule insert');
CREATE RULE b AS ON DELETE TO durable_wf.message DO ALSO
    INSERT INTO direct_test.seen (what) VALUES ('rule delete');
SELECT * FROM trip();
SELECT seen();
ROLLBACK;

-- constraints
BEGIN;
ALTER TABLE durable_wf.message ADD CHECK (payload <> '3');
SELECT * FROM trip();
ROLLBACK;
BEGIN;
DELETE FROM durable_wf.message WHERE workflow_id <> 'direct';
ALTER TABLE durable_wf.message ALTER wait_id SET NOT NULL;
SELECT * FROM trip();
ROLLBACK;

-- columns and defaults
BEGIN;
ALTER TABLE durable_wf.message ADD COLUMN more text DEFAULT 'more';
SELECT * FROM trip();
SELECT payload, more FROM durable_wf.message WHERE workflow_id = 'direct' ORDER BY message_id;
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message ADD COLUMN more text GENERATED ALWAYS AS (payload #>> '{}') STORED;
SELECT * FROM trip();
SELECT payload, more FROM durable_wf.message WHERE workflow_id = 'direct' ORDER BY message_id;
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message ALTER created_at SET DEFAULT '2001-02-03';
SELECT * FROM trip();
SELECT payload, created_at::date FROM durable_wf.message WHERE workflow_id = 'direct' ORDER BY message_id;
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message ALTER created_at DROP DEFAULT;
SELECT * FROM trip();
ROLLBACK;

-- indexes
BEGIN;
CREATE UNIQUE INDEX more ON durable_wf.message (payload) WHERE workflow_id = 'direct';
SELECT * FROM trip();
SELECT test.state($$SELECT wf_send('direct', '2', 't')$$);
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT payload FROM durable_wf.message WHERE payload = '3' AND workflow_id = 'direct';
ROLLBACK;
BEGIN;
DROP INDEX durable_wf.message_wait_id_key;
CREATE INDEX more ON durable_wf.message (workflow_id) WHERE wait_id IS NULL;
SELECT * FROM trip();
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT payload FROM durable_wf.message WHERE workflow_id = 'direct' AND wait_id IS NULL ORDER BY message_id;
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message DROP CONSTRAINT message_pkey;
SELECT * FROM trip();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message DROP CONSTRAINT message_pkey,
    ADD PRIMARY KEY (message_id, workflow_id, door, key);
SELECT * FROM trip();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message DROP CONSTRAINT message_pkey,
    ADD PRIMARY KEY (workflow_id, door, key, message_id) DEFERRABLE;
SELECT * FROM trip();
ROLLBACK;

-- partitions and children
BEGIN;
DELETE FROM durable_wf.message WHERE workflow_id <> 'direct';
CREATE TABLE parted (LIKE durable_wf.message) PARTITION BY LIST (door);
ALTER TABLE parted ATTACH PARTITION durable_wf.message FOR VALUES IN ('m');
SELECT * FROM trip();
SELECT test.state($$SELECT wf_send('direct', '1')$$);
ROLLBACK;
BEGIN;
CREATE TABLE child () INHERITS (durable_wf.message);
SELECT * FROM trip();
ROLLBACK;

-- another access method
BEGIN;
CREATE ACCESS METHOD more TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE durable_wf.message SET ACCESS METHOD more;
SELECT * FROM trip();
ROLLBACK;

-- row security, owner, privileges
BEGIN;
ALTER TABLE durable_wf.message FORCE ROW LEVEL SECURITY;
SELECT * FROM trip();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.message OWNER TO regress_dwf_alice;
SELECT * FROM trip();
ROLLBACK;

-- a publication that needs to know which row is deleted
BEGIN;
CREATE PUBLICATION more FOR TABLE durable_wf.message;
SELECT * FROM trip();
ALTER TABLE durable_wf.message REPLICA IDENTITY NOTHING;
SELECT * FROM trip();
ROLLBACK;

-- ----- events

-- publish one event twice, and another one; read them
CREATE FUNCTION publish(OUT first text, OUT again text, OUT other text,
                        OUT "read" jsonb, OUT other_read jsonb)
LANGUAGE plpgsql AS $$
BEGIN
    first := test.state($q$SELECT 'set' FROM wf_set_event('k', '1', 'direct')$q$);
    again := test.state($q$SELECT 'set' FROM wf_set_event('k', '2', 'direct')$q$);
    other := test.state($q$SELECT 'set' FROM wf_set_event('o', '3', 'direct')$q$);
    "read" := wf_get_event('direct', 'k', '0');
    other_read := wf_get_event('direct', 'o', '0');
END$$;

BEGIN;
SELECT * FROM publish();
SELECT pg_stat_get_xact_tuples_inserted('durable_wf.event'::regclass) AS inserted,
       pg_stat_get_xact_tuples_updated('durable_wf.event'::regclass) AS updated,
       pg_stat_get_xact_tuples_hot_updated('durable_wf.event'::regclass) AS hot;
SELECT updated_at = now() AS now FROM durable_wf.event WHERE workflow_id = 'direct';
SAVEPOINT s;
SELECT wf_set_event('k', '4', 'direct'), wf_set_event('new', '5', 'direct');
SELECT wf_get_event('direct', 'k', '0'), wf_get_event('direct', 'new', '0');
ROLLBACK TO s;
SELECT wf_get_event('direct', 'k', '0'), wf_get_event('direct', 'new', '0');
-- a row that this transaction has locked, or removed
SELECT value FROM durable_wf.event WHERE workflow_id = 'direct' AND key = 'k' FOR UPDATE;
SELECT wf_set_event('k', '6', 'direct'), wf_get_event('direct', 'k', '0');
DELETE FROM durable_wf.event WHERE workflow_id = 'direct';
SELECT wf_get_event('direct', 'k', '0');
SELECT * FROM publish();
-- a workflow that is not there, or has ended
SELECT test.state($$SELECT wf_set_event('k', '1', 'direct-none')$$),
       wf_get_event('direct-none', 'k', '0');
SELECT wf_cancel('direct');
SELECT test.state($$SELECT wf_set_event('k', '1', 'direct')$$),
       wf_get_event('direct', 'k', '0'), wf_get_event('direct', 'none');
ROLLBACK;

-- an event that outgrows its page, and has its index entries made anew
BEGIN;
SELECT count(wf_set_event('k' || i % 20, to_jsonb(repeat('x', i)), 'direct'))
  FROM generate_series(1, 1000) i;
SELECT count(*), count(DISTINCT key), bool_and(wf_get_event('direct', key, '0') = value) AS same
  FROM durable_wf.event WHERE workflow_id = 'direct';
ROLLBACK;

-- a large value, sent as it is in a table
BEGIN;
SELECT wf_set_event('k', payload, 'direct'), wf_set_event('k', payload, 'direct') FROM large;
SELECT wf_get_event('direct', 'k', '0') = payload AS same FROM large;
ROLLBACK;

-- one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM publish();
ROLLBACK;

-- what the executor does beside writing the row
CREATE FUNCTION see_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen (what) SELECT concat_ws(' ', lower(TG_WHEN), lower(TG_OP), NEW.value);
    RETURN NEW;
END$$;
BEGIN;
CREATE TRIGGER a AFTER INSERT OR UPDATE ON durable_wf.event FOR EACH ROW EXECUTE FUNCTION see_event();
SELECT * FROM publish();
SELECT seen();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.event DISABLE TRIGGER note_arrival;
SELECT * FROM publish();
ROLLBACK;
BEGIN;
CREATE RULE a AS ON UPDATE TO durable_wf.event DO ALSO
    INSERT INTO direct_test.seen (what) VALUES ('rule update');
SELECT * FROM publish();
SELECT seen();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.event ADD CHECK (value <> '2');
SELECT * FROM publish();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.event ADD COLUMN more text GENERATED ALWAYS AS (value #>> '{}') STORED;
SELECT * FROM publish();
SELECT value, more FROM durable_wf.event WHERE workflow_id = 'direct' ORDER BY key;
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.event ALTER updated_at SET DEFAULT '2001-02-03';
SELECT * FROM publish();
SELECT value, updated_at::date FROM durable_wf.event WHERE workflow_id = 'direct' ORDER BY key;
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX more ON durable_wf.event (value) WHERE workflow_id = 'direct';
SELECT * FROM publish();
SELECT test.state($$SELECT wf_set_event('o', '2', 'direct')$$);
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT value FROM durable_wf.event WHERE value = '3' AND workflow_id = 'direct';
ROLLBACK;
BEGIN;
CREATE TABLE child () INHERITS (durable_wf.event);
SELECT * FROM publish();
ROLLBACK;
BEGIN;
CREATE ACCESS METHOD more TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE durable_wf.event SET ACCESS METHOD more;
SELECT * FROM publish();
ROLLBACK;
-- the table that is asked whether a workflow has ended
BEGIN;
CREATE ACCESS METHOD more TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE durable_wf.workflow SET ACCESS METHOD more;
SELECT * FROM publish();
SELECT * FROM trip();
ROLLBACK;

-- a transaction that only reads
CREATE TEMP TABLE changes (id int);
CREATE TRIGGER publish AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('direct', 'k');
BEGIN READ ONLY;
\set VERBOSITY sqlstate
INSERT INTO changes VALUES (1);
\set VERBOSITY default
ROLLBACK;
DROP TABLE changes;

-- a publication that needs to know which row is updated
BEGIN;
CREATE PUBLICATION more FOR TABLE durable_wf.event;
SELECT * FROM publish();
ALTER TABLE durable_wf.event REPLICA IDENTITY NOTHING;
SELECT * FROM publish();
ROLLBACK;

-- ----- streams

-- append one item, and two at a time; read them
CREATE FUNCTION append(OUT one text, OUT two text, OUT items jsonb) LANGUAGE plpgsql AS $$
BEGIN
    one := test.state($q$SELECT wf_write_stream('s', '1', 'direct')$q$);
    two := test.state($q$SELECT wf_write_stream_many('s', '{2,3}', 'direct')$q$);
    items := jsonb_agg(jsonb_build_array(i.item_no, i.value) ORDER BY i.item_no)
        FROM durable_wf.stream_item i WHERE i.workflow_id = 'direct';
END$$;

BEGIN;
SELECT * FROM append();
SELECT * FROM append();
SELECT pg_stat_get_xact_tuples_inserted('durable_wf.stream_item'::regclass) AS inserted;
SELECT DISTINCT written_at = now() AS now FROM durable_wf.stream_item WHERE workflow_id = 'direct';
-- numbers that were undone are given again
SAVEPOINT s;
SELECT wf_write_stream_many('s', '{4,5}', 'direct'), wf_write_stream('other', '6', 'direct');
ROLLBACK TO s;
SELECT wf_write_stream('s', '7', 'direct'), wf_write_stream('other', '8', 'direct');
SELECT wf_write_stream('s', '9', 'direct'), wf_write_stream('other', '10', 'direct');
SELECT * FROM wf_read_stream('direct', 's', 0, 10, '0');
SELECT count(wf_write_stream('s', to_jsonb(i), 'direct')) FROM generate_series(1, 1000) i;
SELECT max(item_no), count(*) FROM durable_wf.stream_item WHERE workflow_id = 'direct' AND stream = 's';
SELECT wf_cancel('direct');
SELECT test.state($$SELECT wf_write_stream('s', '1', 'direct')$$);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM append();
ROLLBACK;

-- what the executor does beside writing the row
BEGIN;
CREATE TRIGGER a AFTER INSERT ON durable_wf.stream_item FOR EACH ROW EXECUTE FUNCTION see_event();
SELECT * FROM append();
SELECT seen();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item ADD CHECK (value <> '2');
SELECT * FROM append();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item ADD COLUMN more text DEFAULT 'more';
SELECT * FROM append();
SELECT DISTINCT more FROM durable_wf.stream_item WHERE workflow_id = 'direct';
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX more ON durable_wf.stream_item (value) WHERE workflow_id = 'direct';
SELECT * FROM append();
SELECT * FROM append();
ROLLBACK;

-- after all of that
SELECT * FROM trip();
SELECT * FROM publish();
SELECT * FROM append();
SELECT wf_recv('t', '0', 'direct'), wf_recv('t', '0', 'direct'), wf_recv('t', '0', 'direct');

-- ----- items of streams

SELECT wf_start('items');

CREATE FUNCTION append_one(OUT written text, OUT items text) LANGUAGE plpgsql AS $$
BEGIN
    written := test.state($q$SELECT wf_write_stream('s', '1', 'items'), wf_write_stream('s', '{"a": 2}', 'items')$q$);
    items := (SELECT string_agg(concat_ws(' ', item_no, value), ', ' ORDER BY n)
                FROM wf_read_stream('items', 's', timeout => '0') WITH ORDINALITY AS r (item_no, value, ended, n));
END$$;

BEGIN;
SELECT * FROM append_one();
SAVEPOINT s;
SELECT * FROM append_one();
ROLLBACK TO s;
SELECT * FROM append_one();
SELECT item_no FROM wf_read_stream('items', 's', 1, 2);
ROLLBACK;
SELECT * FROM append_one();

-- a number that this session has written is gone, and so are those before it
BEGIN;
TRUNCATE durable_wf.stream_item;
SELECT * FROM append_one();
ROLLBACK;
BEGIN;
DELETE FROM durable_wf.stream_item WHERE item_no = 2;
SELECT * FROM append_one();
ROLLBACK;

-- a query that has begun does not see what is written, the next one does
BEGIN;
DECLARE before CURSOR FOR SELECT item_no FROM durable_wf.stream_item WHERE workflow_id = 'items';
SELECT wf_write_stream('s', '3', 'items');
FETCH ALL before;
SELECT max(item_no) FROM durable_wf.stream_item WHERE workflow_id = 'items';
ROLLBACK;

-- large values, as they are kept in a table of their own
SELECT wf_write_stream('large', payload, 'items') FROM large;
SELECT value = payload AS same FROM large, wf_read_stream('items', 'large');

-- one snapshot
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM append_one();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM append_one();
ROLLBACK;

-- what the executor does beside writing the row
CREATE FUNCTION see_item() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO direct_test.seen (what) VALUES (NEW.value);
    NEW.value := to_jsonb(ARRAY[NEW.value]);
    RETURN NEW;
END$$;
BEGIN;
CREATE TRIGGER a BEFORE INSERT ON durable_wf.stream_item FOR EACH ROW EXECUTE FUNCTION see_item();
SELECT * FROM append_one();
SELECT seen();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item DISABLE TRIGGER note_arrival;
SELECT * FROM append_one();
ROLLBACK;
BEGIN;
CREATE RULE a AS ON INSERT TO durable_wf.stream_item DO ALSO INSERT INTO direct_test.seen (what) VALUES ('rule insert');
SELECT * FROM append_one();
SELECT seen();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item ADD CHECK (value <> '{"a": 2}') NOT VALID;
SELECT * FROM append_one();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item ADD COLUMN more text DEFAULT 'more', ALTER written_at SET DEFAULT '2001-02-03';
SELECT * FROM append_one();
SELECT item_no, more, written_at::date < '2002-01-01' AS by_default FROM durable_wf.stream_item
 WHERE workflow_id = 'items' AND stream = 's' ORDER BY 1;
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX more ON durable_wf.stream_item (value) WHERE workflow_id = 'items' AND stream = 's';
SELECT * FROM append_one();
ROLLBACK;
BEGIN;
CREATE TABLE more_items () INHERITS (durable_wf.stream_item);
SELECT * FROM append_one();
ROLLBACK;
BEGIN;
ALTER TABLE durable_wf.stream_item FORCE ROW LEVEL SECURITY;
SELECT * FROM append_one();
ROLLBACK;
SELECT * FROM append_one();

-- the stream is made anew under its name, and in one that goes on
SELECT * FROM append_one();
BEGIN;
DELETE FROM durable_wf.stream_item WHERE workflow_id = 'items';
DELETE FROM durable_wf.stream WHERE workflow_id = 'items';
SELECT * FROM append_one();
SELECT * FROM append_one();
SAVEPOINT s;
SELECT wf_write_stream('s', '5', 'items');
SAVEPOINT t;
SELECT wf_write_stream('s', '6', 'items');
RELEASE t;
ROLLBACK TO s;
SELECT wf_write_stream('s', '5', 'items'), wf_write_stream_many('s', '{6,7}', 'items'), wf_write_stream('s', '8', 'items');
ROLLBACK;
SELECT item_no FROM wf_read_stream('items', 's', 2);
SELECT wf_write_stream('s', '5', 'items');

SELECT wf_cancel('items');
SELECT wf_cancel('direct');
DROP SCHEMA direct_test CASCADE;
