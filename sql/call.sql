-- The procedure forms: CALL commits what came before and then waits; where it
-- cannot commit it waits like the function and says so.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('call'), wf_start('call-done');
SET durable_wf.workflow_id = 'call-done';
SELECT wf_complete('"out"');
RESET durable_wf.workflow_id;

-- each of them, with something there, by position
SELECT wf_send('call', '1') < wf_send('call', '2', 't') AS sent;
SELECT wf_set_event('k', '3', 'call');
SELECT count(*) FROM wf_notify('e', '4', 'call');
CALL wf_recv(NULL, '60 s', 'call', NULL);
CALL wf_recv_any('{t,u}', '60 s', 'call', NULL, NULL);
CALL wf_get_event('call', 'k', '60 s', NULL);
CALL wf_wait_for_event('e', '60 s', 'call', NULL, NULL);
CALL wf_result('call-done', '60 s', NULL, NULL, NULL);
-- with nothing there, for no time and for some, by name, what is passed for
-- the INOUT arguments does not matter
CALL wf_recv(topic => 't', timeout => '0', workflow_id => 'call', message => '"in"');
CALL wf_recv(topic => 't', timeout => '10 ms', workflow_id => 'call', message => '"in"');
CALL wf_recv_any(topics => '{t,NULL}', timeout => '0', workflow_id => 'call', topic => 'in', message => '"in"');
CALL wf_recv_any(topics => '{t,NULL}', timeout => '10 ms', workflow_id => 'call', topic => 'in', message => '"in"');
CALL wf_get_event(workflow_id => 'call', key => 'none', timeout => '0', value => '"in"');
CALL wf_get_event(workflow_id => 'call', key => 'none', timeout => '10 ms', value => '"in"');
CALL wf_get_event('call-no', 'none', '10 ms', NULL);
CALL wf_wait_for_event(event_id => 'e', timeout => '0', workflow_id => 'call', event_data => '"in"', timed_out => NULL);
CALL wf_wait_for_event(event_id => 'e', timeout => '10 ms', workflow_id => 'call', event_data => '"in"', timed_out => false);
CALL wf_result(workflow_id => 'call', timeout => '0', status => 'in', output => '"in"', error => 'in');
CALL wf_result(workflow_id => 'call', timeout => '10 ms', status => 'in', output => '"in"', error => 'in');
-- JSON null, and no topic
SELECT wf_send('call', 'null') IS NOT NULL AS sent;
CALL wf_recv_any('{t,NULL}', '60 s', 'call', NULL, NULL);
-- as the current workflow
SET durable_wf.workflow_id = 'call';
CALL wf_recv(NULL, '10 ms', NULL, NULL);
CALL wf_recv_any('{t,NULL}', '10 ms', NULL, NULL, NULL);
CALL wf_wait_for_event('e', '10 ms', NULL, NULL, NULL);

-- the function is not called, the procedure not selected
\set VERBOSITY sqlstate
CALL wf_recv('t', '0', 'call');
SELECT wf_recv('t', '0', 'call', NULL);
-- the same errors
RESET durable_wf.workflow_id;
CALL wf_recv(NULL, '0', NULL, NULL);
CALL wf_recv_any('{t,u}', '0', NULL, NULL, NULL);
CALL wf_wait_for_event('e', '0', NULL, NULL, NULL);
CALL wf_recv(NULL, '0', 'call-no', NULL);
CALL wf_recv(NULL, NULL, 'call-no', NULL);
CALL wf_recv_any('{t,u}', NULL, 'call-no', NULL, NULL);
CALL wf_wait_for_event('e', NULL, 'call-no', NULL, NULL);
CALL wf_result('call-no', NULL, NULL, NULL, NULL);
CALL wf_recv(NULL, NULL, 'call-done', NULL);
CALL wf_recv_any('{t,u}', NULL, 'call-done', NULL, NULL);
CALL wf_wait_for_event('e', NULL, 'call-done', NULL, NULL);
CALL wf_recv(NULL, NULL, '', NULL);
CALL wf_recv_any(NULL, NULL, 'call', NULL, NULL);
CALL wf_recv_any('{}', NULL, 'call', NULL, NULL);
CALL wf_get_event(NULL, 'k', NULL, NULL);
CALL wf_get_event('call', NULL, NULL, NULL);
CALL wf_wait_for_event(NULL, NULL, 'call', NULL, NULL);
CALL wf_result(NULL, NULL, NULL, NULL, NULL);
\set VERBOSITY default

-- inside a transaction block: a notice, but only if it waits
SET durable_wf.workflow_id = 'call';
BEGIN;
SELECT wf_send('call', '1') IS NOT NULL AS sent;
CALL wf_recv(NULL, NULL, NULL, NULL);
CALL wf_recv(NULL, '0', NULL, NULL);
CALL wf_recv(NULL, '10 ms', NULL, NULL);
CALL wf_recv_any('{t,u}', '10 ms', NULL, NULL, NULL);
CALL wf_get_event('call', 'none', '10 ms', NULL);
CALL wf_wait_for_event('e', '10 ms', NULL, NULL, NULL);
CALL wf_result('call', '10 ms', NULL, NULL, NULL);
ROLLBACK;
-- nothing was committed
CALL wf_recv(NULL, '0', NULL, NULL);
-- statements that are sent together are a block, too
SELECT wf_send('call', '1') IS NOT NULL AS sent\; CALL wf_recv('t', '10 ms', NULL, NULL)\; SELECT 1 / 0 AS fails;
CALL wf_recv(NULL, '0', NULL, NULL);

-- in DO, and in a procedure: it commits what came before
CREATE TABLE note (n int GENERATED ALWAYS AS IDENTITY, said text);
DO $$
DECLARE
    m jsonb := '"in"';
    topic text;
    timed_out boolean;
    status text;
    error text;
BEGIN
    INSERT INTO note (said) VALUES ('before recv');
    PERFORM wf_send('call', '"mine"');
    CALL wf_recv(NULL, '60 s', 'call', m);
    INSERT INTO note (said) VALUES (format('recv: %s', m));
    CALL wf_recv_any('{t,NULL}', '10 ms', 'call', topic, m);
    INSERT INTO note (said) VALUES (format('recv_any: %s', m IS NULL AND topic IS NULL));
    CALL wf_get_event('call', 'k', '10 ms', m);
    INSERT INTO note (said) VALUES (format('get_event: %s', m));
    CALL wf_wait_for_event('e', '10 ms', 'call', m, timed_out);
    INSERT INTO note (said) VALUES (format('wait_for_event: %s', timed_out));
    CALL wf_result('call', '10 ms', status, m, error);
    INSERT INTO note (said) VALUES (format('result: %s', status));
    CALL wf_recv(NULL, '0', 'call', m);
    INSERT INTO note (said) VALUES ('undone');
    RAISE EXCEPTION 'the end';
END$$;
SELECT said FROM note ORDER BY n;
TRUNCATE note;

-- without having committed it takes nothing: what the error undoes is back
SELECT wf_send('call', '"back"') IS NOT NULL AS sent;
DO $$
DECLARE
    m jsonb;
BEGIN
    CALL wf_recv(NULL, '60 s', 'call', m);
    RAISE EXCEPTION 'received %', m;
END$$;
CALL wf_recv(NULL, '0', 'call', NULL);

-- inside an EXCEPTION block it cannot commit
DO $$
DECLARE
    m jsonb;
BEGIN
    INSERT INTO note (said) VALUES ('undone');
    BEGIN
        CALL wf_recv(NULL, '10 ms', 'call', m);
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE 'not reached: %', SQLERRM;
    END;
    RAISE EXCEPTION 'the end';
END$$;
SELECT said FROM note ORDER BY n;
-- nor in DO inside a block, in a function, behind EXECUTE, in a procedure
-- that is SECURITY DEFINER or has a SET clause
BEGIN;
DO $$DECLARE m jsonb; BEGIN CALL wf_recv(NULL, '10 ms', 'call', m); END$$;
COMMIT;
CREATE FUNCTION call_in_function() RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    m jsonb;
BEGIN
    CALL wf_recv(NULL, '10 ms', 'call', m);
    RETURN m;
END$$;
SELECT call_in_function();
CREATE PROCEDURE call_in_procedure(INOUT m jsonb) LANGUAGE plpgsql AS $$
BEGIN
    CALL wf_recv(NULL, '10 ms', 'call', m);
END$$;
CALL call_in_procedure(NULL);
ALTER PROCEDURE call_in_procedure SECURITY DEFINER;
CALL call_in_procedure(NULL);
ALTER PROCEDURE call_in_procedure SECURITY INVOKER SET work_mem = '1MB';
CALL call_in_procedure(NULL);
DO $$BEGIN EXECUTE $q$CALL wf_recv(NULL, '10 ms', 'call', NULL)$q$; END$$;

-- SET LOCAL ends with the commit, but the wait that commits still acts as it
SELECT wf_send('call', '"local"') IS NOT NULL AS sent;
RESET durable_wf.workflow_id;
DO $$
DECLARE
    m jsonb;
BEGIN
    SET LOCAL durable_wf.workflow_id = 'call';
    CALL wf_recv(NULL, '60 s', NULL, m);
    RAISE NOTICE 'received %, then %', m, wf_current();
END$$;

-- loops, with commits around, a query that stays open over them, large
-- payloads, nested procedures
CREATE PROCEDURE call_loop(n int, filler text) LANGUAGE plpgsql AS $$
DECLARE
    m jsonb;
    topic text;
    r record;
BEGIN
    FOR r IN SELECT g FROM generate_series(1, n) g LOOP
        PERFORM wf_send('call', to_jsonb(r.g || filler), 'loop');
        COMMIT;
        CALL wf_recv('loop', '60 s', 'call', m);
        COMMIT;
        PERFORM wf_set_event('loop-' || r.g, m, 'call');
        CALL wf_recv('loop', '1 ms', 'call', m);
        ASSERT m IS NULL;
        CALL wf_get_event('call', 'loop-' || r.g, '60 s', m);
        ASSERT m #>> '{}' = r.g || filler;
        PERFORM wf_send('call', m, 'loop');
        CALL wf_recv_any(ARRAY['t', 'loop'], '60 s', 'call', topic, m);
        ASSERT m #>> '{}' = r.g || filler AND topic = 'loop';
        PERFORM wf_notify('loop', m, 'call');
        CALL call_inner(m, filler);
        INSERT INTO note (said) VALUES ('rolled back');
        ROLLBACK;
    END LOOP;
END$$;
CREATE PROCEDURE call_inner(message jsonb, filler text) LANGUAGE plpgsql AS $$
DECLARE
    m jsonb;
    timed_out boolean;
BEGIN
    CALL wf_wait_for_event('loop', '60 s', 'call', m, timed_out);
    ASSERT m = message AND NOT timed_out;
    COMMIT;
    CALL wf_wait_for_event('loop', '1 ms', 'call', m, timed_out);
    ASSERT m IS NULL AND timed_out;
END$$;
CALL call_loop(100, '');
CALL call_loop(3, repeat('0123456789', 100000));
CREATE TEMP TABLE large AS
SELECT string_agg(md5(g::text), '') AS filler FROM generate_series(1, 30000) g;
DO $$
DECLARE
    filler text;
BEGIN
    SELECT large.filler INTO filler FROM large;
    CALL call_loop(3, filler);
END$$;
SELECT said FROM note;
SELECT key, depth FROM wf_mailbox WHERE workflow_id = 'call';
-- the result of what has a large output
SELECT wf_start('call-large');
SET durable_wf.workflow_id = 'call-large';
SELECT wf_complete(to_jsonb(filler)) FROM large;
RESET durable_wf.workflow_id;
DO $$
DECLARE
    status text;
    output jsonb;
    error text;
BEGIN
    CALL wf_result('call-large', NULL, status, output, error);
    RAISE NOTICE '% % %', status, octet_length(output #>> '{}'), error;
END$$;

-- where COMMIT is refused in a loop, so is this; the session goes on
DO $$
DECLARE
    m jsonb;
    r record;
BEGIN
    FOR r IN INSERT INTO note (said) VALUES ('refused') RETURNING said LOOP
        CALL wf_recv(NULL, '60 s', 'call', m);
    END LOOP;
END$$;

-- an error in the middle: the session goes on
DO $$
DECLARE
    m jsonb;
BEGIN
    INSERT INTO note (said) VALUES ('committed');
    CALL wf_recv(NULL, '10 ms', 'call', m);
    CALL wf_recv(NULL, '10 ms', 'call-done', m);
END$$;
SELECT said FROM note;
CALL wf_recv(NULL, '10 ms', 'call', NULL);
SELECT count(*) FROM wf_waiters;

-- with durable_wf.wait_in_transaction off, a call that would have to wait in a
-- transaction block is an error; one that has something, or a timeout of 0, or
-- is the only statement, is not
SET durable_wf.wait_in_transaction = off;
SELECT wf_send('call', '"there"', 'now') > 0 AS sent;
BEGIN;
CALL wf_recv('now', '10 ms', 'call', NULL);
CALL wf_recv('now', '0', 'call', NULL);
CALL wf_recv('now', '10 ms', 'call', NULL);
ROLLBACK;
BEGIN;
SELECT wf_recv('later', '10 ms', 'call');
ROLLBACK;
SELECT wf_recv('later', '10 ms', 'call') IS NULL AS timed_out;
CALL wf_recv('later', '10 ms', 'call', NULL);
DO $$
DECLARE
    m jsonb;
BEGIN
    CALL wf_recv('later', '10 ms', 'call', m);
    BEGIN
        CALL wf_recv('later', '10 ms', 'call', m);
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
END$$;
RESET durable_wf.wait_in_transaction;
