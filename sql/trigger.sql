-- wf_trigger_send, wf_trigger_set_event, wf_trigger_notify: which row they
-- send, what becomes of their templates, as whom they act, and what is said
-- when an argument is wrong.

SET client_min_messages = warning;
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
CREATE SCHEMA trigger_test;
SET search_path = trigger_test, public;

SELECT wf_start('trg-1'), wf_start('trg-2');

-- Takes what lies in our mailboxes, in order.
CREATE FUNCTION mail(OUT workflow_id text, OUT door "char", OUT key text,
                     OUT payload jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
    WITH taken AS (
        DELETE FROM durable_wf.message m WHERE m.workflow_id LIKE 'trg-%'
        RETURNING m.*)
    SELECT t.workflow_id, t.door, t.key, t.payload FROM taken t
     ORDER BY t.message_id;
$$;

-- ----- which row: NEW, or OLD on DELETE

CREATE TABLE orders (id int PRIMARY KEY, state text, note jsonb);
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON orders
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'order {state}');

INSERT INTO orders VALUES (1, 'new', '{"a": [1, null]}'), (2, 'new', NULL);
UPDATE orders SET state = 'paid' WHERE id = 1;
UPDATE orders SET id = 2 - id + 1, state = 'x' WHERE false;
DELETE FROM orders WHERE id = 2;
SELECT * FROM mail();

-- what is rolled back was not sent
BEGIN;
INSERT INTO orders VALUES (2, 'new');
SAVEPOINT s;
UPDATE orders SET state = 'paid';
ROLLBACK TO s;
COMMIT;
SELECT * FROM mail();

-- by every way to change a row; wf_recv takes it
INSERT INTO orders VALUES (2, 'again') ON CONFLICT DO NOTHING;
INSERT INTO orders VALUES (2, 'again')
    ON CONFLICT (id) DO UPDATE SET state = EXCLUDED.state;
WITH gone AS (DELETE FROM orders WHERE id = 2 RETURNING *)
INSERT INTO orders SELECT 1 + 10 * id, 'x' FROM gone WHERE false;
COPY orders FROM stdin;
2	copied	\N
\.
TRUNCATE orders;
SELECT * FROM mail();
INSERT INTO orders VALUES (1, 'received');
SELECT wf_recv('order received', '0', 'trg-1'), wf_recv('order received', '0', 'trg-1');

-- WHEN, UPDATE OF, and several triggers of a table
DROP TRIGGER tell ON orders;
CREATE TRIGGER b_paid AFTER UPDATE OF state ON orders
    FOR EACH ROW WHEN (NEW.state = 'paid' AND OLD.state <> NEW.state)
    EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'paid');
CREATE TRIGGER a_all AFTER UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}');
UPDATE orders SET state = 'paid';
UPDATE orders SET state = 'paid';
SELECT * FROM mail();
DROP TABLE orders;

-- ----- events and notifications

CREATE TABLE prices (id int, cents int);
CREATE TRIGGER publish AFTER INSERT OR UPDATE OR DELETE ON prices
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('trg-1', 'price of {id}');
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON prices
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('price-{id}', 'trg-{id}');
INSERT INTO prices VALUES (1, 100), (2, 200);
SELECT wf_get_event('trg-1', 'price of 1', '0'), wf_get_event('trg-1', 'price of 2', '0');
UPDATE prices SET cents = 250 WHERE id = 2;
DELETE FROM prices WHERE id = 1;
SELECT wf_get_event('trg-1', 'price of 1', '0'), wf_get_event('trg-1', 'price of 2', '0');
SELECT * FROM wf_wait_for_event('price-1', '0', 'trg-1');
SELECT * FROM mail();

-- the value last written in one statement wins
CREATE TABLE latest (n int);
CREATE TRIGGER publish AFTER INSERT ON latest
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('trg-1', 'latest');
INSERT INTO latest SELECT generate_series(1, 100);
SELECT wf_get_event('trg-1', 'latest', '0');

-- a broadcast that nobody waits for leaves nothing
DROP TRIGGER tell ON prices;
CREATE TRIGGER tell AFTER UPDATE ON prices
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('price-{id}');
UPDATE prices SET cents = 0;
SELECT * FROM mail();
DROP TABLE prices, latest;

-- ----- the payload is what to_jsonb() makes of the row

CREATE TYPE pair AS (a int, "B c" text);
CREATE DOMAIN percent AS int CHECK (VALUE <= 100);
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE TABLE everything (
    n numeric, f float8, t text, c char(5), d date, at timestamptz, i interval,
    b bytea, js json, jb jsonb, arr int[], texts text[], p pair, ps pair[],
    pc percent, m mood, r int4range, u uuid, empty text, big text);
ALTER TABLE everything ALTER big SET STORAGE EXTERNAL;
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON everything
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1');
INSERT INTO everything VALUES (
    1.50, 'NaN', E'a "quote"\n\\ é 列', 'ab', 'infinity', '2024-02-29 12:00+02',
    '1 mon 2 days', '\x00ff', '{"k": 1, "k": 2}', '{"k": [1, {}]}', '{1,NULL,3}',
    '{"a b",NULL,"NULL"}', (1, 'x'), ARRAY[(2, NULL)::pair, NULL], 99, 'happy',
    '[1,5)', '00000000-0000-0000-0000-000000000001', '', repeat('long ', 100000));
SELECT count(*), bool_and(payload = to_jsonb(e)), max(length(payload ->> 'big'))
  FROM mail(), everything e;
-- toasted and not touched
UPDATE everything SET empty = 'no more';
SELECT count(*), bool_and(payload = to_jsonb(e)), max(length(payload ->> 'big'))
  FROM mail(), everything e;
DELETE FROM everything;
SELECT payload - 'big' AS payload, length(payload ->> 'big') FROM mail();
-- nothing but NULL; and no column at all
INSERT INTO everything DEFAULT VALUES;
SELECT payload ? 'big', jsonb_strip_nulls(payload) FROM mail();
CREATE TABLE nothing ();
CREATE TRIGGER tell AFTER INSERT ON nothing
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1');
INSERT INTO nothing DEFAULT VALUES;
SELECT payload FROM mail();
DROP TABLE everything, nothing;

-- ----- what a session has set is nowhere in what it sends

CREATE TYPE slot AS (at timestamptz, "where" regclass);
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE booking (
    day date, at timestamp, tz timestamptz, tm timetz, i interval, f float8, r real,
    b bytea, m money, rel regclass, proc regprocedure, slot slot, slots slot[],
    days daterange, moments tstzmultirange, moment moment, floats float8[], x xml);
CREATE FUNCTION book() RETURNS void LANGUAGE sql AS $$
    INSERT INTO trigger_test.booking VALUES (
        date '2026-11-27', timestamp '2026-11-27 10:00', timestamptz '2026-11-27 10:00+00',
        timetz '10:00+02', make_interval(1, 2, 0, 3, 4, 5, 6.5), float8 '0.1' + float8 '0.2',
        real '0.1' + real '0.2', decode('00ff41', 'hex'), 12.5::numeric::money,
        'trigger_test.booking'::regclass, 'trigger_test.book()'::regprocedure,
        ROW (timestamptz '2026-11-27 10:00+00', 'trigger_test.booking'::regclass)::trigger_test.slot,
        ARRAY[ROW (timestamptz '2026-11-27 10:00+00', NULL)::trigger_test.slot],
        daterange(date '2026-11-27', date '2026-12-01'),
        tstzmultirange(tstzrange(timestamptz '2026-11-27 10:00+00', NULL)),
        timestamptz '2026-11-27 10:00+00', ARRAY[float8 '0.1' + float8 '0.2'], '<a/>')
$$;
DO $$
DECLARE
    template text;
BEGIN
    SELECT string_agg(attname || '={' || attname || '}', E'\n' ORDER BY attnum) INTO template
      FROM pg_attribute WHERE attrelid = 'booking'::regclass AND attnum > 0;
    EXECUTE format('CREATE TRIGGER tell AFTER INSERT ON booking
                    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send(''trg-1'', %L)',
                   template);
END$$;

-- in each way that differs, one at a time and all at once
BEGIN;
SELECT book();
SET LOCAL datestyle = 'German';
SELECT book();
SET LOCAL datestyle = 'SQL, DMY';
SELECT book();
SET LOCAL timezone = 'Asia/Kathmandu';
SELECT book();
SET LOCAL timezone = '-3:30';
SELECT book();
SET LOCAL intervalstyle = 'sql_standard';
SELECT book();
SET LOCAL intervalstyle = 'iso_8601';
SELECT book();
SET LOCAL extra_float_digits = -15;
SELECT book();
SET LOCAL bytea_output = 'escape';
SELECT book();
SET LOCAL lc_monetary = 'C.UTF-8';
SELECT book();
SET LOCAL quote_all_identifiers = on;
SELECT book();
SET LOCAL search_path = trigger_test, pg_catalog, public;
SELECT book();
SET LOCAL search_path = '';
SELECT trigger_test.book();
SET LOCAL array_nulls = off;
SELECT trigger_test.book();
-- the settings are as they were, for the statements that follow
SHOW datestyle;
SHOW timezone;
SHOW intervalstyle;
SHOW extra_float_digits;
SHOW bytea_output;
SHOW quote_all_identifiers;
SHOW search_path;
COMMIT;
WITH mail AS MATERIALIZED (SELECT * FROM mail())
SELECT count(*), count(DISTINCT key) AS names, count(DISTINCT payload::text) AS payloads FROM mail;
SELECT book();
SELECT key, jsonb_pretty(payload) AS payload FROM mail();
-- after an error, too
SET datestyle = 'German';
DO $$
BEGIN
    CREATE TRIGGER wrong AFTER INSERT ON booking
        FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('{tz}', '{day}');
    PERFORM book();
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING '% % %', SQLERRM, current_setting('datestyle'), date '2026-11-27';
END$$;
RESET datestyle;
DROP FUNCTION book();
DROP TABLE booking;

-- ----- templates

CREATE TABLE odd (
    gone text, id int, "Id" text, "with space" text, "q""uo'te" text,
    "größe 列" text, "a{b" text, "a}b" text, "pg.dot" text, "_63_______________________________________________________bytes" text,
    nothing text, braces text, num numeric, yes boolean, at timestamptz, p pair,
    arr text[], jb jsonb, long text);
ALTER TABLE odd DROP gone;

-- The topic that a template gives, or what is said.
CREATE FUNCTION topic(template text, long int DEFAULT 1) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
    topic text;
BEGIN
    EXECUTE format('CREATE TRIGGER "the ""trigger""" AFTER INSERT ON odd
                    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send(%L, %L)',
                   'trg-{id}', template);
    INSERT INTO odd VALUES (
        1, 'big I', 'sp ace', '"''', 'ü', 'open', 'close', 'dot', '63', NULL,
        '{id} }} {', 1.50, true, '2024-02-29 12:00+02', (1, 'x y'), '{a,"b c",NULL}',
        '{"k": 1}', repeat('ä', long));
    DROP TRIGGER "the ""trigger""" ON odd;
    SELECT coalesce('"' || m.key || '"', 'nothing sent') INTO topic FROM mail() m;
    RETURN CASE WHEN octet_length(topic) < 100 THEN topic
                ELSE octet_length(topic) - 2 || ' bytes' END;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

SELECT template, topic(template) FROM (VALUES
    (''), ('plain'), ('{id}'), ('a{id}b{id}c'), ('{id}{Id}'), ('{Id}'),
    ('{with space}'), ('{q"uo''te}'), ('{größe 列}/ß'), ('{a{b}'), ('{pg.dot}'),
    ('{_63_______________________________________________________bytes}'),
    ('{{'), ('}}'), ('{{}}'), ('{{id}}'), ('{{{id}}}'), ('{{{{{id}}}}}'), ('{id}}}'),
    ('{{ {id} }}'), ('{braces}'), ('{num}'), ('{yes}'), ('{at}'), ('{p}'), ('{arr}'),
    ('{jb}'), ('\{id}\n%s%%')) AS v (template);

-- what is wrong
\pset format unaligned
SELECT template, topic(template) FROM (VALUES
    ('{'), ('}'), ('{id'), ('id}'), ('{id}}'), ('{{id}'), ('}{'), ('{id}{'), ('{{{id}}'),
    ('{}'), ('{missing}'), ('{ID}'), ('{"Id"}'), ('{ id }'), ('{gone}'), ('{ctid}'),
    ('{tableoid}'), ('{........pg.dropped.1........}'), ('{a}b}'), ('{odd}'), ('{odd.id}'),
    ('{NEW.id}'), ('{_63_______________________________________________________bytes_and_more}'),
    ('{nothing}'), ('a {nothing} b'), ('{nothing}{missing}')) AS v (template);
\pset format aligned

-- too long, by what it expands to; nothing is cut off
SELECT topic('{long}', 256), topic(repeat('x', 512));
SELECT topic('{long}', 257);
SELECT topic(repeat('x', 513));
SELECT topic('{long}', 1000000);

-- each argument is held to the rule of the function that it stands for
CREATE TABLE args (name text);
CREATE FUNCTION try(call text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    detail text;
    hint text;
BEGIN
    EXECUTE 'CREATE TRIGGER t AFTER INSERT ON args FOR EACH ROW EXECUTE FUNCTION ' || call;
    INSERT INTO args VALUES (name);
    DROP TRIGGER t ON args;
    RETURN 'sent ' || (SELECT count(*) FROM mail());
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n', SQLSTATE || ' ' || SQLERRM, nullif(detail, ''), nullif(hint, ''));
END $$;

\pset format unaligned
SELECT call, length(name), try(call, name) FROM (VALUES
    ('wf_trigger_send(''{name}'')', 'trg-1'),
    ('wf_trigger_send(''{name}'')', ''),
    ('wf_trigger_send(''{name}'')', NULL),
    ('wf_trigger_send(''{name}'')', repeat('x', 257)),
    ('wf_trigger_send(''trg-1'', ''{name}'')', ''),
    ('wf_trigger_send(''trg-1'', ''{name}'')', NULL),
    ('wf_trigger_set_event(''{name}'', ''k'')', ''),
    ('wf_trigger_set_event(''{name}'', ''k'')', NULL),
    ('wf_trigger_set_event(''{name}'', ''k'')', repeat('x', 257)),
    ('wf_trigger_set_event(''trg-1'', ''{name}'')', ''),
    ('wf_trigger_set_event(''trg-1'', ''{name}'')', NULL),
    ('wf_trigger_set_event(''trg-1'', ''{name}'')', repeat('x', 513)),
    ('wf_trigger_notify(''{name}'', ''trg-1'')', 'e'),
    ('wf_trigger_notify(''{name}'', ''trg-1'')', ''),
    ('wf_trigger_notify(''{name}'')', NULL),
    ('wf_trigger_notify(''{name}'')', repeat('x', 513)),
    ('wf_trigger_notify(''e'', ''{name}'')', ''),
    ('wf_trigger_notify(''e'', ''{name}'')', NULL),
    ('wf_trigger_notify(''e'', ''{name}'')', repeat('x', 257)),
    -- how many
    ('wf_trigger_send()', 'x'),
    ('wf_trigger_send(''trg-1'', ''t'', ''more'')', 'x'),
    ('wf_trigger_set_event()', 'x'),
    ('wf_trigger_set_event(''trg-1'')', 'x'),
    ('wf_trigger_set_event(''trg-1'', ''k'', ''more'')', 'x'),
    ('wf_trigger_notify()', 'x'),
    ('wf_trigger_notify(''e'', ''trg-1'', ''more'')', 'x')) AS v (call, name);
\pset format aligned

-- ----- not as a row trigger

SELECT wf_trigger_send();
\echo :SQLSTATE
SELECT wf_trigger_set_event();
SELECT wf_trigger_notify();
CREATE TRIGGER t AFTER INSERT ON args EXECUTE FUNCTION wf_trigger_send('trg-1');
INSERT INTO args VALUES ('x');
\echo :SQLSTATE
DROP TRIGGER t ON args;
CREATE TRIGGER t BEFORE UPDATE ON args FOR EACH STATEMENT
    EXECUTE FUNCTION wf_trigger_set_event('trg-1', 'k');
UPDATE args SET name = 'y' WHERE false;
DROP TRIGGER t ON args;
CREATE TRIGGER t AFTER TRUNCATE ON args EXECUTE FUNCTION wf_trigger_notify('e');
TRUNCATE args;
DROP TRIGGER t ON args;

-- a mistake shows at the first row, and not before
CREATE TRIGGER t AFTER INSERT ON args
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', '{nam}');
INSERT INTO args SELECT 'x' WHERE false;
INSERT INTO args VALUES ('x');
\echo :SQLSTATE
DROP TABLE args;

-- ----- BEFORE triggers let the row pass as it is

CREATE TABLE before_test (id int, t text, big text);
ALTER TABLE before_test ALTER big SET STORAGE EXTERNAL;
CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON before_test
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', 'a');
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON before_test
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('trg-1', 'b');
CREATE TRIGGER c BEFORE INSERT OR UPDATE OR DELETE ON before_test
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('c', 'trg-1');
INSERT INTO before_test VALUES (1, 'one', repeat('x', 10000)), (2, NULL, NULL)
    RETURNING id, t, length(big);
UPDATE before_test SET t = t || '!' RETURNING id, t, length(big);
DELETE FROM before_test WHERE id = 2 RETURNING id, t, length(big);
SELECT id, t, length(big) FROM before_test;
SELECT workflow_id, door, key, payload - 'big' AS payload FROM mail();
SELECT wf_get_event('trg-1', 'b', '0');

-- each trigger sends the row that it is given: others may change it before
-- and after, or skip it
CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.t = 'skip' THEN
        RETURN NULL;
    END IF;
    NEW.t := upper(NEW.t);
    RETURN NEW;
END $$;
DROP TRIGGER c ON before_test;
DROP TRIGGER b ON before_test;
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON before_test
    FOR EACH ROW EXECUTE FUNCTION change();
CREATE TRIGGER c BEFORE INSERT OR UPDATE ON before_test
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', 'c');
CREATE TRIGGER d AFTER INSERT OR UPDATE ON before_test
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', 'd');
UPDATE before_test SET t = 'two' RETURNING id, t, length(big);
INSERT INTO before_test VALUES (3, 'skip');
SELECT key, payload - 'big' AS payload FROM mail();
DROP TABLE before_test;

-- ----- generated columns: there is no value yet before the row is written,
-- for an UPDATE neither (a trigger in PL/pgSQL sees NULL, too)

CREATE TABLE generated (id int, double int GENERATED ALWAYS AS (id * 2) STORED,
                        ident int GENERATED ALWAYS AS IDENTITY);
CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON generated
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', 'before');
CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON generated
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', 'after {double} {ident}');
INSERT INTO generated VALUES (1);
UPDATE generated SET id = 2;
DELETE FROM generated;
SELECT key, payload FROM mail();
CREATE TRIGGER c BEFORE INSERT OR UPDATE ON generated
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', '{double}');
INSERT INTO generated VALUES (1);
ALTER TABLE generated DISABLE TRIGGER c;
INSERT INTO generated VALUES (1);
ALTER TABLE generated ENABLE TRIGGER c;
UPDATE generated SET id = 2;
SELECT key, payload FROM mail();
DROP TABLE generated;

-- ----- views, INSTEAD OF

CREATE TABLE base (id int, t text);
CREATE VIEW looking AS SELECT id, t, 'view' AS "From" FROM base;
CREATE TRIGGER tell INSTEAD OF INSERT OR UPDATE OR DELETE ON looking
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'looking {From}');
INSERT INTO looking VALUES (1, 'one', 'x') RETURNING *;
INSERT INTO base VALUES (1, 'one'), (2, 'two');
UPDATE looking SET t = 'changed' WHERE id = 1 RETURNING *;
DELETE FROM looking WHERE id = 2;
SELECT * FROM mail();
SELECT * FROM looking ORDER BY id;
DROP VIEW looking;
DROP TABLE base;

-- ----- partitions: each has its own columns

CREATE TABLE parent (id int, t text) PARTITION BY LIST (id);
CREATE TABLE leaf_1 PARTITION OF parent FOR VALUES IN (1);
CREATE TABLE leaf_2 (gone int, t text, gone_too int, id int);
ALTER TABLE leaf_2 DROP gone, DROP gone_too;
ALTER TABLE parent ATTACH PARTITION leaf_2 FOR VALUES IN (2);
CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON parent
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', '{t} {id}');
CREATE TRIGGER publish BEFORE INSERT OR UPDATE ON parent
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('trg-{id}', 'before');
INSERT INTO parent VALUES (1, 'by parent'), (2, 'by parent'), (1, 'again');
INSERT INTO leaf_1 VALUES (1, 'by leaf');
INSERT INTO leaf_2 VALUES ('by leaf', 2);
COPY parent FROM stdin;
1	copied
2	copied
\.
COPY leaf_2 (id, t) FROM stdin;
2	copied to leaf
\.
SELECT * FROM mail();
SELECT wf_get_event('trg-1', 'before', '0'), wf_get_event('trg-2', 'before', '0');
-- a row that moves is deleted here and inserted there
DELETE FROM parent WHERE t <> 'again';
SELECT count(*) FROM mail();
UPDATE parent SET id = 2, t = 'moved';
SELECT * FROM mail();
DROP TABLE parent;

-- ----- inheritance: a trigger is of one table

CREATE TABLE mother (id int);
CREATE TABLE child (extra text) INHERITS (mother);
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON mother
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'mother');
INSERT INTO mother VALUES (1);
INSERT INTO child VALUES (1, 'x');
SELECT key, payload FROM mail();
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON child
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'child {extra}');
UPDATE mother SET id = 2;
SELECT * FROM mail();
DROP TABLE mother CASCADE;

-- ----- a table that changes between two statements of a session

CREATE TABLE changing (gone int, id int, t text);
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON changing
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', '{t}');
PREPARE add(int) AS INSERT INTO changing (id, t) VALUES ($1, 'x');
PREPARE touch AS UPDATE changing SET t = t;
EXECUTE add(1);
ALTER TABLE changing DROP gone;
EXECUTE add(2);
ALTER TABLE changing ADD added text DEFAULT 'was not there';
EXECUTE add(3);
EXECUTE touch;
ALTER TABLE changing ALTER id TYPE numeric(5, 2);
EXECUTE add(4);
ALTER TABLE changing RENAME t TO u;
ALTER TABLE changing ADD t int DEFAULT 7;
INSERT INTO changing (id) VALUES (5);
SELECT key, payload FROM mail();
ALTER TABLE changing RENAME t TO v;
INSERT INTO changing (id) VALUES (6);
-- and the arguments of its trigger
CREATE OR REPLACE TRIGGER tell AFTER INSERT OR UPDATE ON changing
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-1', '{v}');
INSERT INTO changing (id) VALUES (7);
SELECT key, payload FROM mail();
DEALLOCATE ALL;
DROP TABLE changing;

-- ----- when a trigger fires is PostgreSQL's to decide

CREATE TABLE fires (id int);
CREATE TRIGGER tell AFTER INSERT ON fires
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}');
SET session_replication_role = replica;
INSERT INTO fires VALUES (1);
SELECT * FROM mail();
ALTER TABLE fires ENABLE ALWAYS TRIGGER tell;
INSERT INTO fires VALUES (1);
SELECT * FROM mail();
RESET session_replication_role;
ALTER TABLE fires DISABLE TRIGGER tell;
INSERT INTO fires VALUES (1);
SELECT * FROM mail();

-- deferred to the end of the transaction: then it is sent
CREATE CONSTRAINT TRIGGER later AFTER INSERT OR UPDATE ON fires
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}', 'later');
BEGIN;
INSERT INTO fires VALUES (1), (2);
SELECT wf_recv('later', '0', 'trg-2');
SET CONSTRAINTS later IMMEDIATE;
SELECT wf_recv('later', '0', 'trg-2');
SET CONSTRAINTS later DEFERRED;
UPDATE fires SET id = 2 WHERE id = 2;
COMMIT;
SELECT * FROM mail();
INSERT INTO fires VALUES (3);
\echo :SQLSTATE
SELECT count(*) FROM fires WHERE id = 3;
DROP TABLE fires;

-- ----- whom it is for

SELECT wf_start('trg-done'), wf_start('trg-cancelled');
SET durable_wf.workflow_id = 'trg-done';
SELECT wf_complete();
RESET durable_wf.workflow_id;
SELECT wf_cancel('trg-cancelled');
CREATE TABLE dest (id text);
CREATE TRIGGER tell AFTER INSERT ON dest
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-{id}');
INSERT INTO dest VALUES ('nobody');
\echo :SQLSTATE
INSERT INTO dest VALUES ('done');
\echo :SQLSTATE
INSERT INTO dest VALUES ('cancelled');
\echo :SQLSTATE
DROP TRIGGER tell ON dest;
CREATE TRIGGER tell AFTER INSERT ON dest
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_set_event('trg-{id}', 'k');
INSERT INTO dest VALUES ('nobody');
\echo :SQLSTATE
INSERT INTO dest VALUES ('done');
\echo :SQLSTATE
DROP TRIGGER tell ON dest;
CREATE TRIGGER tell AFTER INSERT ON dest
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('e', 'trg-{id}');
INSERT INTO dest VALUES ('cancelled');
\echo :SQLSTATE
-- the statement fails as a whole
INSERT INTO dest VALUES ('1'), ('done'), ('2');
SELECT * FROM mail();
TABLE dest;
DROP TABLE dest;

-- ----- as whom it acts: the current user

CREATE ROLE regress_wf_trigger_owner;
CREATE ROLE regress_wf_trigger_clerk;
GRANT ALL ON SCHEMA trigger_test TO regress_wf_trigger_owner;
GRANT USAGE ON SCHEMA trigger_test TO regress_wf_trigger_clerk;
SET ROLE regress_wf_trigger_owner;
SELECT wf_start('trg-owned');
CREATE TABLE desk (id int);
CREATE TRIGGER tell AFTER INSERT ON desk
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-owned');
CREATE TRIGGER broadcast AFTER INSERT ON desk
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_notify('desk');
CREATE VIEW desk_view AS SELECT * FROM desk;
CREATE FUNCTION hand_in(id int) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS 'INSERT INTO trigger_test.desk VALUES (id)';
GRANT INSERT ON desk, desk_view TO regress_wf_trigger_clerk;
INSERT INTO desk VALUES (1);
SET ROLE regress_wf_trigger_clerk;
INSERT INTO desk VALUES (2);
\echo :SQLSTATE
INSERT INTO desk_view VALUES (3);
\echo :SQLSTATE
SELECT hand_in(4);
-- what it is not allowed to use it cannot make a trigger of
RESET ROLE;
BEGIN;
REVOKE EXECUTE ON FUNCTION wf_trigger_send() FROM PUBLIC;
SET LOCAL ROLE regress_wf_trigger_owner;
CREATE TRIGGER again AFTER INSERT ON desk
    FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('trg-owned');
ROLLBACK;
SELECT * FROM mail();

-- a caller's search_path and operators do not matter
SET ROLE regress_wf_trigger_owner;
CREATE FUNCTION hostile(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN RAISE 'called'; END$$;
CREATE OPERATOR trigger_test.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile);
SET search_path = trigger_test, pg_catalog, public;
INSERT INTO desk VALUES (5);
SET search_path = '';
INSERT INTO trigger_test.desk VALUES (6);
RESET ROLE;
SET search_path = trigger_test, public;
DROP OPERATOR trigger_test.= (text, text);
SELECT * FROM mail();

DROP SCHEMA trigger_test CASCADE;
DELETE FROM durable_wf.event WHERE workflow_id LIKE 'trg-%';
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'trg-%';
DROP ROLE regress_wf_trigger_owner, regress_wf_trigger_clerk;
