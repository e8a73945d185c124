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
SET statement_timeout = '20 ms';
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
  FROM wf_list_steps('st') WHERE name NOT IN ('timestamp', 'wf_now', 'wf_sleep') AND coalesce(length(output::text), 0) < 1000;
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
