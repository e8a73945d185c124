-- Durable steps, executed: wf_step, wf_get_step, wf_save_step, wf_sleep,
-- wf_now, wf_random, wf_uuid, wf_list_steps.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
CREATE TABLE stock (sku text PRIMARY KEY, reserved int DEFAULT 0);
INSERT INTO stock VALUES ('A1');
SELECT wf_start('st'), wf_attach('st');

-- arguments and limits
\a \t
SELECT test.try($$SELECT wf_step(NULL, 'SELECT 1')$$);
SELECT test.try($$SELECT wf_step('', 'SELECT 1')$$);
SELECT test.try($$SELECT wf_step(repeat('x', 513), 'SELECT 1')$$);
SELECT test.try($$SELECT wf_step('s', NULL)$$);
SELECT test.try($$SELECT wf_step('s', 'SELECT 1', max_attempts => NULL)$$);
SELECT test.try($$SELECT wf_step('s', 'SELECT 1', max_attempts => 0)$$);
SELECT test.try($$SELECT wf_step('s', 'SELECT 1', max_attempts => 1000001)$$);
SELECT test.try($$SELECT wf_step('s', 'SELECT 1', retry_delay => NULL)$$);
SELECT test.try($$SELECT wf_step('s', 'SELECT 1', retry_delay => '-1 s')$$);
SELECT test.try($$SELECT wf_get_step(NULL)$$);
SELECT test.try($$SELECT wf_save_step('', '1')$$);
SELECT test.try($$SELECT wf_sleep(NULL)$$);
SELECT test.try($$SELECT wf_sleep('-1 s')$$);
SELECT test.try($$SELECT wf_patched(NULL)$$);
SELECT test.try($$SELECT wf_patched(repeat('x', 513))$$);

-- what a command returns
SELECT wf_step('name', 'SELECT $1', '{"a": 1}');
SELECT wf_step(name => 'first', command => 'SELECT 1, 2 UNION ALL SELECT 3, 4 ORDER BY 1', args => NULL, max_attempts => 1, retry_delay => '0');
SELECT wf_step('no row', 'SELECT 1 WHERE false');
SELECT wf_step('no column', 'SELECT');
SELECT wf_step('null', 'SELECT NULL::int'), wf_step('args', 'SELECT $1 IS NULL');
SELECT wf_step('void', $$SELECT wf_set_event('k', '1')$$);
SELECT wf_step('text', $$SELECT 'a "quoted" text'$$);
SELECT wf_step('row', 'SELECT s FROM stock s'), wf_step('array', 'SELECT ARRAY[1, NULL]');
SELECT wf_step('update', 'UPDATE stock SET reserved = reserved + 1 WHERE sku = $1->>''sku''', '{"sku": "A1"}');
SELECT wf_step('returning', 'UPDATE stock SET reserved = reserved + 1 RETURNING reserved');
SELECT wf_step('several', 'UPDATE stock SET reserved = 10; SELECT reserved FROM stock');
SELECT wf_step('empty', ''), wf_step('utility', 'CREATE TABLE made (); SHOW DateStyle');
SELECT wf_step('timestamp', $$SELECT timestamptz '2000-01-01 00:00+00'$$)::text ~ '^"2000|^"1999';
SELECT octet_length(wf_step('large', $$SELECT repeat('x', 1000000)$$) #>> '{}');

-- what it raises undoes it, and nothing else
SELECT test.try($$SELECT wf_step('fails', 'UPDATE stock SET reserved = 99; SELECT 1 / 0')$$);
SELECT test.try($$SELECT wf_step('syntax', 'SELEKT')$$);
SELECT test.try($$SELECT wf_step('parameter', 'SELECT $2')$$);
SELECT test.try($$SELECT wf_step('detail', $c$DO $d$BEGIN RAISE EXCEPTION 'message' USING DETAIL = 'detail', HINT = 'hint', ERRCODE = 'XX123'; END $d$ $c$)$$);
SELECT test.try($$SELECT wf_step('commit', 'COMMIT')$$);
SELECT test.try($$SELECT wf_step('savepoint', 'SAVEPOINT s')$$);
SELECT test.try($$SELECT wf_step('copy', 'COPY stock FROM STDIN')$$);
SELECT test.try($$SELECT wf_step('commit in DO', 'DO $d$BEGIN COMMIT; END $d$')$$);
SELECT reserved FROM stock;

-- what a command may not do: wait, begin another step, change the attachment
SELECT test.try($$SELECT wf_step('wait', 'SELECT wf_recv()')$$);
SELECT test.try($$SELECT wf_step('wait', 'CALL wf_recv(NULL, NULL, NULL, NULL)')$$);
SELECT test.try($$SELECT wf_step('sleep', 'SELECT wf_sleep(''1 s'')')$$);
SELECT test.try($$SELECT wf_step('nested', $c$SELECT wf_step('inner', 'SELECT 1')$c$)$$);
SELECT test.try($$SELECT wf_step('patched', $c$SELECT wf_patched('p')$c$)$$);
SELECT test.try($$SELECT wf_step('detach', 'SELECT wf_detach()')$$);
SELECT test.try($$SELECT wf_step('attach', $c$SELECT wf_start('st-2'), wf_attach('st-2')$c$)$$);
SELECT test.try($$SELECT wf_step('attach', $c$SELECT wf_attach_next('q')$c$)$$);
SELECT test.try($$SELECT wf_step('anew', $c$SELECT wf_continue_as_new('1')$c$)$$);
-- after the error the session is not in the command any more
SELECT wf_recv(timeout => '1 ms'), wf_sleep('1 ms') IS NOT NULL AS slept;
-- what it may: calls are part of the step, without a number
SELECT wf_step('inner', $$SELECT wf_send('st', '1') > 0$$);
SELECT wf_step('inner', $$SELECT wf_recv(timeout => '0') || to_jsonb(wf_now() IS NULL)$$);
SELECT name, output FROM wf_list_steps('st') ORDER BY step_no DESC LIMIT 2;

-- attempts: each undone by itself
CREATE SEQUENCE attempt;
CREATE FUNCTION attempt(succeeds int, state text DEFAULT 'P0001') RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    n int := nextval('attempt');
BEGIN
    INSERT INTO stock VALUES ('attempt ' || n);
    IF n < succeeds THEN
        RAISE EXCEPTION 'attempt %', n USING ERRCODE = state;
    END IF;
    RETURN n;
END$$;
SELECT wf_step('attempts', 'SELECT attempt(3)', NULL, 3, '1 ms');
SELECT sku FROM stock ORDER BY 1;
CALL wf_step('attempts', 'SELECT attempt(6)', NULL, 10, '1 ms', NULL);
CALL wf_step('large attempts', $$SELECT repeat(md5(attempt(9)::text), 100000)$$, NULL, 10, '0', NULL) \g /dev/null
CREATE TABLE large (t text);
ALTER TABLE large ALTER t SET STORAGE EXTERNAL;
INSERT INTO large VALUES (repeat('x', 10000));
DO $$
DECLARE
    o jsonb;
BEGIN
    CALL wf_step('toasted', 'SELECT t FROM large WHERE attempt(12) > 0', NULL, 10, '0', o);
    RAISE NOTICE '%', length(o #>> '{}');
END$$;
BEGIN;
CALL wf_step('attempts', 'SELECT attempt(14)', NULL, 10, '1 ms', NULL);
COMMIT;
SELECT test.try($$SELECT wf_step('too few', 'SELECT attempt(100)', NULL, 2, '0')$$);
-- not after a cancellation
SET statement_timeout = '500 ms';
SELECT wf_step('timeout', 'SELECT pg_sleep(60)', NULL, 100, '0');
CALL wf_step('timeout', 'SELECT attempt(1000)', NULL, 100, '1 day', NULL);
CALL wf_recv(NULL, '1 day', NULL, NULL);
RESET statement_timeout;
SELECT wf_now() IS NOT NULL AS goes_on;
SELECT count(*) FROM wf_waiters;

-- steps in EXCEPTION blocks and savepoints
DO $$
BEGIN
    BEGIN
        PERFORM wf_step('undone', $c$INSERT INTO stock VALUES ('undone')$c$);
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        PERFORM wf_step('handler', $c$INSERT INTO stock VALUES ('handler')$c$);
    END;
END$$;
BEGIN;
SAVEPOINT s;
SELECT wf_step('undone', $c$INSERT INTO stock VALUES ('undone')$c$);
ROLLBACK TO s;
SELECT wf_step('done', $c$INSERT INTO stock VALUES ('done')$c$);
ROLLBACK;
SELECT sku FROM stock WHERE sku !~ 'attempt' ORDER BY 1;

-- what a command would leave in the session, where a replay does not find it:
-- settings
SELECT test.try($$SELECT wf_step('set', 'SET search_path = elsewhere, public')$$);
SELECT test.try($$SELECT wf_step('set', $c$SET work_mem = '7MB'; SELECT 1$c$)$$);
SELECT test.try($$SELECT wf_step('set', $c$SELECT set_config('TimeZone', 'Asia/Tokyo', false)$c$)$$);
SELECT test.try($$SELECT wf_step('set', $c$SELECT set_config('my.own', 'x', false)$c$)$$);
SELECT test.try($$SELECT wf_step('set', $c$DO $d$BEGIN SET enable_seqscan = off; END $d$ $c$)$$);
SELECT test.try($$SELECT wf_step('set', 'SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY')$$);
SELECT test.try($$SELECT wf_step('set', 'SET work_mem = 65; SET LOCAL work_mem = 66')$$);
SELECT test.try($$SELECT wf_step('set', 'SET LOCAL work_mem = 66; SET work_mem = 65')$$);
SELECT test.try($$SELECT wf_step('set', $c$SET search_path = ''$c$)$$);
SELECT test.try($$SELECT wf_step('set', 'SET ROLE NONE; SET extra_float_digits = 0')$$);
SELECT test.try($$SELECT wf_step('set', 'SET SESSION AUTHORIZATION regress_dwf_bob')$$);
SELECT test.try($$SELECT wf_step('set', $c$SET durable_wf.workflow_id = 'other'$c$)$$);
SELECT test.try($$SELECT wf_step('set', 'RESET ALL')$$);
SET work_mem = '9MB';
SELECT test.try($$SELECT wf_step('reset', 'RESET work_mem')$$);
CREATE FUNCTION sets() RETURNS text LANGUAGE plpgsql SET work_mem = '5MB' AS $$
BEGIN
    SET LOCAL enable_seqscan = off;
    RETURN current_setting('work_mem') || current_setting('enable_seqscan');
END$$;
CREATE FUNCTION sets_too() RETURNS text LANGUAGE plpgsql SET work_mem = '5MB' AS $$
BEGIN
    SET enable_seqscan = off;
    RETURN 1;
END$$;
SELECT test.try('SELECT wf_step(''set'', ''SELECT sets_too()'')');
SELECT current_setting('work_mem'), current_setting('enable_seqscan'), current_setting('search_path'), current_user;
-- ... what ends with the command is no matter
SELECT wf_step('local', $$SET LOCAL search_path = elsewhere; SELECT current_setting('search_path')$$), current_setting('search_path');
SELECT wf_step('local', 'SELECT sets()'), current_setting('work_mem'), current_setting('enable_seqscan');
SELECT wf_step('back', $$SET enable_seqscan = off; SELECT current_setting('enable_seqscan'); RESET enable_seqscan$$);
SELECT wf_step('undone', $c$DO $d$BEGIN SET enable_seqscan = off; RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN END $d$ $c$);
BEGIN;
SELECT wf_step('local', 'SET LOCAL work_mem = 66');
SELECT current_setting('work_mem');
SET LOCAL work_mem = 67;
SELECT wf_step('local', 'SET LOCAL work_mem = 66');
SELECT current_setting('work_mem');
COMMIT;
SHOW work_mem;
RESET work_mem;
-- temporary objects
SELECT test.try($$SELECT wf_step('temp', 'CREATE TEMP TABLE t (i serial PRIMARY KEY, t text)')$$);
SELECT test.try($$SELECT wf_step('temp', 'CREATE TABLE pg_temp.t AS SELECT 1 AS i')$$);
SELECT test.try($$SELECT wf_step('temp', 'SELECT 1 AS i INTO TEMP t')$$);
SELECT test.try($$SELECT wf_step('temp', 'CREATE TEMP VIEW v AS SELECT 1')$$);
SELECT test.try($$SELECT wf_step('temp', 'CREATE TEMP SEQUENCE s')$$);
SELECT regexp_replace(test.try($$SELECT wf_step('temp function', 'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql RETURN 1')$$), 'pg_temp_\d+', 'pg_temp');
SELECT test.try($$SELECT wf_step('temp', 'CREATE TYPE pg_temp.y AS (i int)')$$);
SELECT test.try($$SELECT wf_step('temp', 'CREATE DOMAIN pg_temp.d AS int')$$);
SELECT test.try($$SELECT wf_step('temp', $c$DO $d$BEGIN CREATE TEMP TABLE t (i int) ON COMMIT DELETE ROWS; END $d$ $c$)$$);
SELECT wf_step('dropped', 'CREATE TEMP TABLE t (i serial); INSERT INTO t VALUES (7); SELECT i FROM t'
                          || '; DROP TABLE t; SELECT count(*) FROM pg_class WHERE relname = ''t''');
BEGIN;
SELECT wf_step('on commit', 'CREATE TEMP TABLE t (i serial, t text) ON COMMIT DROP; INSERT INTO t VALUES (7, 8) RETURNING i');
SELECT wf_step('on commit', 'CREATE TEMP TABLE t ON COMMIT DROP AS SELECT 9 AS i; TRUNCATE t; ALTER TABLE t ADD j int; SELECT count(*) FROM t');
SELECT to_regclass('t');
COMMIT;
CREATE TEMP TABLE mine (i int);
CREATE TEMP VIEW view AS SELECT i FROM mine;
INSERT INTO mine VALUES (1);
SELECT test.try($$SELECT wf_step('writes', 'INSERT INTO mine VALUES (2)')$$);
SELECT test.try($$SELECT wf_step('writes', 'INSERT INTO view VALUES (2)')$$);
SELECT test.try($$SELECT wf_step('writes', 'WITH w AS (DELETE FROM mine) SELECT 1')$$);
SELECT test.try($$SELECT wf_step('writes', 'UPDATE mine SET i = 2')$$);
SELECT test.try($$SELECT wf_step('writes', 'TRUNCATE mine')$$);
SELECT test.try($$SELECT wf_step('writes', 'DROP TABLE mine CASCADE')$$);
SELECT test.try($$SELECT wf_step('writes', 'ALTER TABLE mine ADD j int')$$);
SELECT test.try($$SELECT wf_step('writes', 'CREATE INDEX ON mine (i)')$$);
SELECT wf_step('reads', 'SELECT i FROM view');
DROP TABLE mine CASCADE;
-- prepared statements
PREPARE mine AS SELECT 3;
SELECT test.try($$SELECT wf_step('prepare', 'PREPARE p AS SELECT 1')$$);
SELECT test.try($$SELECT wf_step('prepare', 'PREPARE p AS SELECT 1; SELECT 1 / 0')$$);
SELECT test.try($$SELECT wf_step('prepare', 'DEALLOCATE mine')$$);
SELECT test.try($$SELECT wf_step('prepare', 'DEALLOCATE ALL')$$);
SELECT wf_step('prepare', 'PREPARE p AS SELECT 2; EXECUTE p; DEALLOCATE p; EXECUTE mine');
SELECT name FROM pg_prepared_statements;
DEALLOCATE mine;
-- advisory locks
CREATE VIEW lock AS SELECT objid, count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() GROUP BY objid ORDER BY objid;
SELECT test.try($$SELECT wf_step('lock', 'SELECT pg_advisory_lock(71)')$$);
SELECT test.try($$SELECT wf_step('lock', 'SELECT pg_try_advisory_lock_shared(0, 71)')$$);
SELECT test.try($$SELECT wf_step('lock', 'SELECT pg_advisory_lock(71), 1 / 0')$$);
TABLE lock;
SELECT wf_step('lock', 'SELECT pg_advisory_lock(71), pg_advisory_unlock(71)'), wf_step('lock', 'SELECT pg_advisory_xact_lock(71)');
SELECT pg_advisory_lock(71), pg_advisory_lock(72);
SELECT test.try($$SELECT wf_step('lock', 'SELECT pg_advisory_lock(71)')$$);
SELECT test.try($$SELECT wf_step('lock', 'SELECT pg_advisory_unlock(72)')$$);
SELECT wf_step('lock', 'SELECT pg_advisory_xact_lock(71), pg_advisory_lock(71), pg_advisory_unlock(71)');
TABLE lock;
SELECT pg_advisory_unlock(71), pg_advisory_unlock(72);
-- others
SELECT test.try($$SELECT wf_step('listen', 'LISTEN c')$$);
SELECT test.try($$SELECT wf_step('listen', 'UNLISTEN *')$$);
SELECT test.try($$SELECT wf_step('listen', 'SELECT wf_listen()')$$);
SELECT test.try($$SELECT wf_step('listen', 'SELECT wf_unlisten()')$$);
SELECT test.try($$SELECT wf_step('discard', 'DISCARD TEMP')$$);
SELECT test.try($$SELECT wf_step('discard', 'DISCARD SEQUENCES')$$);
SELECT test.try($$SELECT wf_step('load', $c$LOAD 'plpgsql'$c$)$$);
SELECT wf_step('discard', 'DISCARD PLANS'), wf_step('notify', 'NOTIFY c');
-- a retry does not help
SELECT test.try($$SELECT wf_step('retry', 'SET work_mem = 65', NULL, 3, '1 day')$$);
SELECT test.try($$SELECT wf_step('retry', 'SELEKT', NULL, 3, '1 day')$$);
SELECT test.try($$SELECT wf_step('retry', 'COMMIT', NULL, 3, '1 day')$$);

-- of several statements the last one counts, with or without rows
SELECT wf_step('rows', 'SELECT i FROM generate_series(1, 3) i'), wf_step('rows', 'SELECT 1; UPDATE stock SET sku = sku WHERE false');
SELECT wf_step('rows', 'SELECT 1; SELECT 2 WHERE false'), wf_step('rows', 'SELECT 1; CREATE TABLE made_too ()'), wf_step('rows', 'SELECT 1; SELECT');
SELECT wf_step('rows', 'DELETE FROM stock RETURNING 5'), wf_step('rows', 'EXPLAIN (COSTS OFF) SELECT 1'), wf_step('rows', 'VALUES (NULL), (1)');
CREATE PROCEDURE gives(INOUT i int) LANGUAGE plpgsql AS 'BEGIN i := i + 1; PERFORM 9; END';
SELECT wf_step('rows', 'CALL gives(4)'), wf_step('rows', 'SELECT (SELECT count(*) FROM stock), 8');

-- for work elsewhere
SELECT wf_get_step('outside');
SELECT wf_save_step('outside', '{"answer": 42}');
SELECT wf_save_step('outside', NULL);

-- in a read-only transaction
BEGIN READ ONLY;
SELECT test.try($$SELECT wf_step('s', 'SELECT 1')$$);
SELECT test.try($$SELECT wf_now()$$);
COMMIT;

-- with the caller's rights, not those of the tables' owner, nor with more in a
-- function of another's
SELECT wf_step('who', 'SELECT current_user');
SELECT test.try($$SELECT wf_step('rights', 'SELECT count(*) FROM pg_authid')$$);
SELECT test.try($$SELECT wf_step('rights', 'DELETE FROM durable_wf.step')$$);
CREATE FUNCTION as_alice() RETURNS jsonb LANGUAGE sql SECURITY DEFINER
  RETURN wf_step('as alice', 'SELECT current_user');
GRANT USAGE ON SCHEMA regress_dwf_alice TO regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try($$SELECT regress_dwf_alice.as_alice()$$);
SELECT test.try($$SELECT wf_now()$$);
SET SESSION AUTHORIZATION regress_dwf_alice;

-- the journal
SELECT step_no, left(name, 20), output, error, completed_at >= started_at AS done
  FROM wf_list_steps('st') WHERE name NOT IN ('timestamp', 'wf_now', 'wf_sleep', 'temp function') AND coalesce(length(output::text), 0) < 1000;
SELECT count(*), max(step_no) FROM durable_wf.step WHERE workflow_id = 'st';
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT count(*) FROM durable_wf.step;
SELECT test.state('INSERT INTO durable_wf.step DEFAULT VALUES');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_complete();

-- a step that ends its workflow is recorded, as it may be retried
SELECT wf_start('st-end'), wf_attach('st-end');
SELECT wf_step('ends', $$INSERT INTO stock VALUES ('ends'); SELECT wf_fail('in step')$$);
SELECT wf_status('st-end'), wf_current(), name, output FROM wf_list_steps('st-end');
SELECT wf_retry('st-end'), wf_attach('st-end');
SELECT wf_step('ends', $$INSERT INTO stock VALUES ('ends'); SELECT wf_fail('in step')$$);
SELECT wf_step('ends too', $$SELECT wf_complete('"in step"')$$);
SELECT wf_current(), * FROM wf_result('st-end');
SELECT count(*) FROM stock WHERE sku = 'ends';
