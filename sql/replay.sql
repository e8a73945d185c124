-- Replay: the same calls again, and nothing happens; other calls, and WF004.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
\a \t

-- Run statements as one run of a workflow, each caught for itself, and return
-- what each gave.
CREATE FUNCTION replay(workflow_id text, statements text[]) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    statement text;
BEGIN
    PERFORM wf_attach(workflow_id);
    FOREACH statement IN ARRAY statements LOOP
        RETURN NEXT test.try(statement);
    END LOOP;
    PERFORM wf_detach();
END$$;
CREATE TABLE log (t text);
-- All that calls could have changed.
CREATE FUNCTION state_of_all() RETURNS jsonb LANGUAGE sql AS $$
    SELECT jsonb_build_array(
      (SELECT jsonb_agg(to_jsonb(w) - '{attempts,updated_at}'::text[] ORDER BY w.workflow_id) FROM durable_wf.workflow w),
      (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.message_id) FROM durable_wf.message m),
      (SELECT jsonb_agg(to_jsonb(e) ORDER BY e.workflow_id, e.key) FROM durable_wf.event e),
      (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.workflow_id, s.step_no) FROM durable_wf.step s),
      (SELECT jsonb_agg(to_jsonb(l) ORDER BY l) FROM log l))
$$;
CREATE FUNCTION log(t text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO log VALUES (t) RETURNING t
$$;

-- every function, in all its forms
SELECT wf_start('re'), wf_start('re-2'), wf_start('re-3'), wf_start('re-4'), wf_start('re-5');
SET durable_wf.workflow_id = 're-5';
SELECT wf_fail('failed');
RESET durable_wf.workflow_id;
CREATE TABLE body (n int GENERATED ALWAYS AS IDENTITY, statement text);
INSERT INTO body (statement) VALUES
 ($$SELECT wf_start()$$),
 ($$SELECT wf_start('re-6', input => '{"a": 1}', queue => 'q', start_after => '1 h', timeout => '2 h')$$),
 ($$SELECT wf_start('re-6', queue => 'other')$$),
 ($$SELECT wf_send('re', '1')$$),
 ($$SELECT wf_send('re-2', '1', 't', 'key')$$),
 ($$SELECT wf_send('re-2', '1', 't', 'key')$$),
 ($$SELECT wf_send('re-no', '1')$$),
 ($$SELECT wf_send_many('{re,re-2,re}', '{"1","2",null}')$$),
 ($$SELECT wf_send_many('{}', '{}')$$),
 ($$SELECT wf_recv(timeout => '0')$$),
 ($$SELECT jsonb_typeof(m) || (m IS NULL) FROM wf_recv(timeout => '0') m$$),
 ($$SELECT * FROM wf_recv(timeout => '0')$$),
 ($$SELECT wf_recv('none', '0')$$),
 ($$SELECT wf_recv('none', '1 ms')$$),
 ($$SELECT wf_recv(timeout => '-1 s')$$),
 ($$SELECT count(wf_send('re', to_jsonb(g), 't')) FROM generate_series(1, 3) g$$),
 ($$SELECT wf_send('re', NULL, 't')$$),
 ($$SELECT wf_recv_any('{t,u,NULL}', '0')$$),
 ($$SELECT r.topic || r.message FROM wf_recv_any('{t}', '0') r$$),
 ($$SELECT jsonb_agg(r) FROM wf_recv_many('t', 2, '0') r$$),
 ($$SELECT jsonb_agg(r) FROM wf_recv_many('t', 2, '0') r$$),
 ($$SELECT jsonb_agg(r) FROM (SELECT wf_recv_many('none', 2, '0') OFFSET 0) r$$),
 ($$SELECT wf_recv_any('{none}', '0')$$),
 ($$SELECT wf_set_event('k', 'null')$$),
 ($$SELECT v IS NULL FROM wf_set_event('k', '{"v": [1, "ä", 1e-7]}', 're-2') v$$),
 ($$SELECT wf_get_event('re', 'k', '0')$$),
 ($$SELECT wf_get_event('re-2', 'k')$$),
 ($$SELECT wf_get_event('re', 'none', '0')$$),
 ($$SELECT jsonb_agg(r) FROM wf_notify('e', '"data"', 're') r$$),
 ($$SELECT jsonb_agg(r) FROM wf_notify('e', '"data"') r$$),
 ($$SELECT wf_wait_for_event('e', '0')$$),
 ($$SELECT event_data || to_jsonb(timed_out) FROM wf_wait_for_event('e', '0')$$),
 ($$SELECT jsonb_agg(r) FROM wf_event_waiters('e') r$$),
 ($$SELECT wf_status('re'), wf_current()$$),
 ($$SELECT wf_status('re-3')$$),
 ($$SELECT wf_result('re-3', '0')$$),
 ($$SELECT wf_cancel('re-3')$$),
 ($$SELECT wf_result('re-3', '0')$$),
 ($$SELECT status FROM wf_result('re-3')$$),
 ($$SELECT wf_set_owner('re-4', 'regress_dwf_alice')$$),
 ($$SELECT wf_set_owner('re-4', 'regress_dwf_bob')$$),
 ($$SELECT wf_retry('re-5')$$),
 ($$SELECT wf_retry('re-5')$$),
 ($$SELECT wf_now()$$),
 ($$SELECT * FROM wf_now()$$),
 ($$SELECT wf_random()$$),
 ($$SELECT wf_uuid()$$),
 ($$SELECT wf_sleep('1 ms')$$),
 ($$SELECT wf_sleep('0')$$),
 ($$SELECT wf_step('log', $c$SELECT log($1 ->> 'text')$c$, '{"text": "once"}')$$),
 ($$SELECT * FROM wf_step('log', $c$SELECT log('from')$c$)$$),
 ($$SELECT wf_step('null', $c$SELECT log(NULL)$c$)$$),
 ($$SELECT wf_step('error', $c$SELECT 1 / 0$c$)$$),
 ($$SELECT wf_step('error', $c$DO $d$BEGIN RAISE EXCEPTION 'say "%%"' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'XX123'; END $d$ $c$)$$),
 ($$SELECT coalesce(wf_get_step('saved'), (SELECT '"done"'::jsonb FROM wf_save_step('saved', '"done"')))$$),
 ($$SELECT wf_save_step('null', NULL)$$),
 ($$SELECT wf_patched('change')$$),
 ($$SELECT 'plain SQL is not replayed'$$);
SELECT array_agg(statement ORDER BY n) AS statements FROM body \gset
CREATE TABLE first_run AS
SELECT result, n FROM replay('re', :'statements') WITH ORDINALITY AS r (result, n);
SELECT state_of_all() AS before \gset
SELECT regexp_replace(replace(format('%s', result), E'\n', ' '), '("message_id": )\d+', '\1n', 'g')
  FROM first_run
 WHERE result !~ '^[0-9a-f]{8}-|^\d+$|^[{[]\d|^0\.|^.?\d{4}-\d\d-\d\d|\+00:00|^(Mon|Tue|Wed|Thu|Fri|Sat|Sun) '
 ORDER BY n;

-- ... the same again, also under settings that change how some are shown
SET DateStyle = 'German';
SET TimeZone = 'Asia/Kathmandu';
SET extra_float_digits = -15;
SET IntervalStyle = 'sql_standard';
CREATE TABLE second_run AS
SELECT result, n FROM replay('re', :'statements') WITH ORDINALITY AS r (result, n);
RESET DateStyle;
RESET TimeZone;
RESET extra_float_digits;
RESET IntervalStyle;
CREATE TABLE third_run AS
SELECT result, n FROM replay('re', :'statements') WITH ORDINALITY AS r (result, n);
SELECT b.statement, f.result AS first, t.result AS third FROM first_run f JOIN third_run t USING (n)
  JOIN body b USING (n) WHERE f.result <> t.result;
SELECT b.statement FROM first_run f JOIN second_run s USING (n)
  JOIN body b USING (n) WHERE f.result <> s.result;
SELECT state_of_all() = :'before' AS nothing_has_happened;
SELECT count(*) FROM log;
SELECT count(*), max(step_no) FROM wf_list_steps('re');
SELECT DISTINCT function COLLATE "C" FROM durable_wf.step WHERE workflow_id = 're' ORDER BY 1;

-- the CALL forms replay what the functions recorded, and the reverse
SELECT wf_start('re-call');
SELECT wf_send('re-call', to_jsonb(n), 't') > 0 FROM generate_series(1, 3) n;
CREATE PROCEDURE re_call(timeout interval) LANGUAGE plpgsql AS $$
DECLARE
    m jsonb; topic text; timed_out boolean; at timestamptz;
BEGIN
    CALL wf_recv('t', timeout, NULL, m);
    RAISE NOTICE 'recv %', m;
    CALL wf_recv_any('{t,u}', timeout, NULL, topic, m);
    RAISE NOTICE 'recv_any % %', topic, m;
    CALL wf_get_event('re-call', 'k', '1 ms', m);
    RAISE NOTICE 'get_event %', m;
    CALL wf_wait_for_event('e', '1 ms', NULL, m, timed_out);
    RAISE NOTICE 'wait_for_event % %', m, timed_out;
    CALL wf_recv('none', '1 ms', NULL, m);
    RAISE NOTICE 'recv %', m;
    CALL wf_sleep('1 ms', at);
    CALL wf_step('log', $s$SELECT log('call')$s$, NULL, 2, '0', m);
    RAISE NOTICE 'step %', m;
END$$;
SELECT wf_attach('re-call');
CALL re_call('60 s');
SELECT wf_detach();
SELECT wf_attach('re-call');
CALL re_call('1 ms');
SELECT wf_detach();
SELECT wf_attach('re-call');
SELECT wf_recv('t', '60 s'), wf_recv_any('{t,u}'), wf_get_event('re-call', 'k'),
       wf_wait_for_event('e'), wf_recv('none'), wf_sleep('1 day') IS NOT NULL,
       wf_step('log', 'SELECT 1');
SELECT wf_recv('t', '0') AS executed;
SELECT wf_detach();

-- a recorded timeout stays one, whatever arrived since
SELECT wf_start('re-timeout'), wf_attach('re-timeout');
SELECT wf_recv('t', '1 ms');
SELECT wf_detach();
SELECT wf_send('re-timeout', '"late"', 't') > 0;
SELECT wf_attach('re-timeout');
SELECT wf_recv('t', NULL) AS recorded, wf_recv('t', NULL) AS next;
SELECT wf_detach();

-- divergence: the function, and the argument that names the call
SELECT wf_start('re-div'), wf_attach('re-div');
SELECT wf_step('a', 'SELECT 1'), wf_send('re-div', '1', 't') > 0, wf_recv('t'),
       wf_recv_any('{t,u}', '0'), wf_now() IS NOT NULL, wf_set_event('k', '1');
SELECT wf_detach();
CREATE FUNCTION diverge(n int, call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
BEGIN
    PERFORM wf_attach('re-div');
    FOR i IN 1 .. n - 1 LOOP
        EXECUTE (ARRAY[$q$SELECT wf_step('a', 'SELECT 2')$q$, $q$SELECT wf_send('re-div', '2')$q$,
                       $q$SELECT wf_recv('t')$q$, $q$SELECT wf_recv_any('{t,u}')$q$,
                       $q$SELECT wf_now()$q$, $q$SELECT wf_set_event('k', '2')$q$])[i];
    END LOOP;
    said := test.try('SELECT ' || call);
    PERFORM wf_detach();
    RETURN said;
END$$;
SELECT diverge(1, $$wf_step('b', 'SELECT 1')$$);
SELECT diverge(1, $$wf_save_step('a', '1')$$);
SELECT diverge(1, 'wf_now()');
SELECT diverge(2, $$wf_send('re-2', '1')$$);
SELECT diverge(2, $$wf_send('re-div', '"payload"', 'topic', 'key') > 0$$);
SELECT diverge(3, 'wf_recv()');
SELECT diverge(3, $$wf_recv('T')$$);
SELECT diverge(4, $$wf_recv_any('{t}')$$);
SELECT diverge(4, $$wf_recv_any('{t,NULL}')$$);
SELECT diverge(5, 'wf_uuid()');
SELECT diverge(6, $$wf_set_event('l', '1')$$);
SELECT diverge(6, $$wf_step(E'%s "\n', 'SELECT 1')$$);
-- once off the path it stays off it, and records nothing
SELECT wf_attach('re-div');
SELECT test.try($$SELECT wf_step('b', 'SELECT 1')$$);
SELECT test.try($$SELECT wf_send('re-div', '1', 't')$$);
SELECT test.try($$SELECT wf_step('new', 'SELECT 1') FROM generate_series(1, 9)$$);
SELECT wf_detach();
SELECT count(*), max(step_no) FROM wf_list_steps('re-div');
-- but it can be ended, at any place
SELECT wf_attach('re-div');
SELECT test.state($$SELECT wf_step('b', 'SELECT 1')$$);
SELECT wf_fail('diverged');
SELECT wf_retry('re-div'), wf_attach('re-div');
SELECT wf_step('a', 'SELECT 2');
SELECT wf_complete('"early"');
SELECT wf_status('re-div'), wf_current();

-- numbers never go back: what was undone replays as what its caller saw
SELECT wf_start('re-undo');
CREATE PROCEDURE re_undo() LANGUAGE plpgsql AS $$
DECLARE
    m jsonb;
    n bigint;
BEGIN
    m := wf_step('one', $s$SELECT log('one')$s$);
    RAISE NOTICE '1 %', m;
    BEGIN
        m := wf_step('undone', $s$SELECT log('undone')$s$);
        n := wf_send('re-undo', '"undone"', 't');
        PERFORM wf_set_event('undone', '1');
        RAISE NOTICE '2 % %', m, n > 0;
        BEGIN
            PERFORM wf_complete('"undone"');
            PERFORM wf_send('re-2', '"after the end"', 'end');
            RAISE EXCEPTION 'undo the end';
        EXCEPTION WHEN raise_exception THEN
            RAISE NOTICE '3 % %', SQLERRM, wf_current();
        END;
        PERFORM 1 / (wf_random() * 0);
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE '4 %', SQLERRM;
    END;
    BEGIN
        PERFORM wf_step('fails', $s$SELECT log('fails'), 1 / 0$s$);
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE '5 % %', SQLSTATE, SQLERRM;
    END;
    BEGIN
        PERFORM wf_recv(timeout => '-1 s');
    EXCEPTION WHEN OTHERS THEN
        RAISE NOTICE '6 % %', SQLSTATE, SQLERRM;
    END;
    m := wf_step('last', $s$SELECT log('last')$s$);
    RAISE NOTICE '7 % %', m, wf_recv('t', '0');
END$$;
TRUNCATE log;
SELECT wf_attach('re-undo');
CALL re_undo();
SELECT wf_detach();
SELECT wf_attach('re-undo');
CALL re_undo();
SELECT wf_detach();
SELECT t FROM log;
SELECT wf_status('re-undo'), test.peek('re-undo', 't'), wf_get_event('re-undo', 'undone', '0');
SELECT test.peek('re-2', 'end');
SELECT step_no, function, name, undone, error[1] FROM durable_wf.step WHERE workflow_id = 're-undo' ORDER BY 1;

-- the same with savepoints and transactions of a client
TRUNCATE log;
SELECT wf_start('re-client');
CREATE FUNCTION step(name text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT wf_step(name, $s$SELECT log($1 #>> '{}')$s$, to_jsonb(name))
$$;
SELECT wf_attach('re-client');
BEGIN;
SELECT step('a');
SAVEPOINT s;
SELECT step('b');
SAVEPOINT t;
SELECT step('c');
RELEASE t;
SELECT step('d');
ROLLBACK TO s;
SELECT step('e');
COMMIT;
BEGIN;
SELECT step('f');
ROLLBACK;
BEGIN;
SELECT step('g');
SELECT 1 / 0;
ROLLBACK;
SELECT step('h');
BEGIN;
SAVEPOINT s;
SELECT step('i');
ROLLBACK TO s;
SELECT step('j');
ROLLBACK TO s;
SELECT step('k');
COMMIT;
SELECT t FROM log;
SELECT step_no, name, undone FROM durable_wf.step WHERE workflow_id = 're-client' ORDER BY 1;
-- a new session, which may make the transactions otherwise
\c -
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_attach('re-client', takeover => true);
SELECT step('a'), step('b'), step('c'), step('d'), step('e'), step('f'), step('g');
SELECT step('h'), step('i'), step('j'), step('k'), step('l');
SELECT t FROM log;
SELECT wf_detach();

-- what was undone at the end, and not written, is done
TRUNCATE log;
SELECT wf_start('re-tail'), wf_attach('re-tail');
SELECT step('a');
BEGIN;
SELECT step('b');
ROLLBACK;
SELECT wf_detach();
SELECT wf_attach('re-tail');
SELECT step('a'), step('b');
SELECT t FROM log;
SELECT wf_detach();

-- commits that fail, of a block, of a CALL before its wait, of the end
CREATE TABLE parent (i int PRIMARY KEY);
CREATE TABLE child (i int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
SELECT wf_start('re-commit'), wf_attach('re-commit');
CREATE PROCEDURE fails_to_commit() LANGUAGE plpgsql AS $$
DECLARE
    m jsonb;
BEGIN
    PERFORM wf_now();
    INSERT INTO child VALUES (1);
    CALL wf_recv('t', '1 day', NULL, m);
END$$;
CALL fails_to_commit();
BEGIN;
SELECT wf_step('undone', 'INSERT INTO child VALUES (2)');
COMMIT;
BEGIN;
INSERT INTO child VALUES (3);
SELECT wf_complete('"undone"');
COMMIT;
SELECT wf_current(), wf_step('done', 'SELECT 1');
SELECT step_no, function, name, undone, error[1] FROM durable_wf.step WHERE workflow_id = 're-commit' ORDER BY 1;
SELECT wf_detach();
SELECT wf_attach('re-commit');
CALL fails_to_commit();
SELECT wf_step('undone', 'SELECT 2'), wf_complete('"undone"'), wf_step('done', 'SELECT 2'), wf_current();
SELECT wf_complete();

-- wf_get_step: look, do, record
SELECT wf_start('re-get'), wf_attach('re-get');
SELECT wf_get_step('a'), wf_save_step('a', '1'), wf_get_step('b'), wf_save_step('b', NULL);
SELECT wf_detach();
SELECT wf_attach('re-get');
SELECT wf_get_step('a'), wf_get_step('b'), wf_get_step('a') AS no_more, wf_get_step('c');
SELECT wf_detach();
SELECT wf_attach('re-get');
SELECT wf_save_step('a', '2'), wf_get_step('b');
SELECT name, output FROM wf_list_steps('re-get');
SELECT wf_detach();
-- at a place where another call is recorded it says so, before the work is
-- done again; and what comes after that is not done either
SELECT wf_start('re-look'), wf_attach('re-look');
SELECT wf_get_step('a'), wf_save_step('a', '1'), wf_get_step('b'), wf_save_step('b', '2');
SELECT wf_set_event('k', '1'), wf_now() IS NULL, wf_step('s', 'SELECT 1'), wf_sleep('0') IS NULL;
SELECT wf_detach();
CREATE FUNCTION looks(calls text[]) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT replay('re-look', calls)
$$;
SELECT looks('{"SELECT wf_get_step(''b'')"}');
SELECT looks('{"SELECT wf_get_step(''c'')", "SELECT wf_get_step(''a'')", "SELECT wf_save_step(''c'', ''1'')", "SELECT wf_patched(''p'')"}');
SELECT looks('{"SELECT wf_get_step(''a'')", "SELECT wf_get_step(''b'')", "SELECT wf_get_step(''k'')"}');
SELECT looks('{"SELECT wf_get_step(''a'')", "SELECT wf_get_step(''b'')", "SELECT wf_set_event(''k'', ''1'')", "SELECT wf_get_step(''c'')"}');
SELECT looks('{"SELECT wf_get_step(''a'')", "SELECT wf_get_step(''b'')", "SELECT wf_set_event(''k'', ''1'')", "SELECT wf_now() IS NULL", "SELECT wf_get_step(''s'')"}');
SELECT looks('{"SELECT wf_get_step(''a'')", "SELECT wf_step(''s'', ''SELECT 1'')", "SELECT wf_get_step(''new'') FROM generate_series(1, 9)"}');
SELECT wf_attach('re-look');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_get_step('a');
ROLLBACK;
SELECT wf_detach();
SELECT count(*) FROM wf_list_steps('re-look');
-- a client that takes JSON null for nothing yet, does it again and says so,
-- writes no further step; nor do several at a time
SELECT wf_start('re-null'), wf_attach('re-null');
SELECT wf_get_step('a'), wf_get_step('b');
SELECT wf_save_step('a', NULL), wf_save_step('b', NULL);
SELECT wf_detach();
SELECT wf_attach('re-null');
SELECT wf_get_step('a'), wf_save_step('a', NULL);
SELECT wf_get_step('b'), wf_save_step('b', NULL);
SELECT wf_get_step('c'), wf_save_step('c', NULL);
SELECT wf_detach();
SELECT wf_attach('re-null');
SELECT wf_get_step('a'), wf_get_step('b'), wf_get_step('c');
SELECT wf_save_step('c', NULL), wf_save_step('a', NULL), wf_save_step('b', '2');
SELECT wf_detach();
SELECT step_no, name, output FROM wf_list_steps('re-null');
-- ... but a further step is one, by the same name, too
SELECT wf_attach('re-null');
SELECT wf_get_step('a'), wf_get_step('b'), wf_get_step('c');
SELECT wf_get_step('c'), wf_save_step('c', '4'), wf_save_step('c', '5'), wf_now() IS NULL, wf_save_step('c', '6');
SELECT wf_detach();
SELECT wf_attach('re-null');
SELECT wf_get_step('a'), wf_get_step('b'), wf_get_step('c');
SELECT wf_get_step('c'), wf_save_step('c', '5'), wf_now() IS NULL, wf_save_step('c', '6');
SELECT wf_detach();
SELECT step_no, name, output FROM wf_list_steps('re-null') WHERE name <> 'wf_now';

-- in a loop, too, where all have one name, null or not
SELECT wf_start('re-loop'), wf_attach('re-loop');
SELECT wf_get_step('page'), wf_save_step('page', to_jsonb(nullif(page, 2))) FROM generate_series(1, 3) page;
SELECT wf_detach();
SELECT wf_attach('re-loop');
SELECT wf_get_step('page') FROM generate_series(1, 3);
SELECT wf_get_step('page'), wf_save_step('page', to_jsonb(page)) FROM generate_series(4, 5) page;
SELECT wf_detach();
SELECT step_no, name, output FROM wf_list_steps('re-loop');
-- what had a value is not done again: it is a further step
SELECT wf_start('re-value'), wf_attach('re-value');
SELECT wf_get_step('a'), wf_save_step('a', '1');
SELECT wf_detach();
SELECT wf_attach('re-value');
SELECT wf_get_step('a'), wf_save_step('a', '2');
SELECT wf_detach();
SELECT step_no, name, output FROM wf_list_steps('re-value');

-- wf_patched: old runs go the old way, in a loop too; new runs the new way
SELECT wf_start('re-old'), wf_start('re-new'), wf_start('re-between');
CREATE FUNCTION old_code(n int) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg((wf_step('old', 'SELECT $1', to_jsonb(g))) #>> '{}', ' ') FROM generate_series(1, n) g
$$;
CREATE FUNCTION new_code(n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text := '';
BEGIN
    FOR i IN 1 .. n LOOP
        IF wf_patched('better') THEN
            said := concat(said, ' ', wf_step('new', 'SELECT $1', to_jsonb(-i)));
        ELSE
            said := concat(said, ' ', wf_step('old', 'SELECT $1', to_jsonb(i)));
        END IF;
    END LOOP;
    RETURN said;
END$$;
SELECT wf_attach('re-old'), old_code(2), wf_detach();
SELECT wf_attach('re-new'), wf_now() IS NULL, wf_detach();
SELECT wf_attach('re-old'), new_code(4), wf_detach();
SELECT wf_attach('re-old'), new_code(5), wf_detach();
SELECT wf_attach('re-new'), wf_now() IS NULL, new_code(2), wf_detach();
SELECT wf_attach('re-new'), wf_now() IS NULL, new_code(3), wf_detach();
SELECT name FROM wf_list_steps('re-new');
-- rolled back, it stays what was said
SELECT wf_attach('re-between');
BEGIN;
SELECT wf_patched('p');
ROLLBACK;
SELECT wf_patched('p'), wf_patched('q');
SELECT wf_step('s', 'SELECT 1');
SELECT wf_detach();
SELECT wf_attach('re-between');
SELECT wf_patched('p'), wf_patched('p'), wf_patched('q'), wf_step('s', 'SELECT 2');
SELECT wf_detach();

-- long transactions
SELECT wf_start('re-long'), wf_attach('re-long');
SELECT count(wf_send('re-long', to_jsonb(g))) FROM generate_series(1, 20000) g;
SELECT wf_detach();
SELECT wf_attach('re-long');
SELECT count(DISTINCT wf_send('re-long', to_jsonb(g))) FROM generate_series(1, 20000) g;
SELECT count(*) FROM durable_wf.message WHERE workflow_id = 're-long';
SELECT wf_complete();
