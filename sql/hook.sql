-- Hooks, in one session.
\pset null '(null)'
CREATE FUNCTION test.strip(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT jsonb_strip_nulls(payload)';
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('hook'), wf_start('hook2');
SELECT test.try($$SELECT wf_create_hook('t')$$);
SET durable_wf.workflow_id = 'hook';

-- a token is made up, or given; a live one is unique
SELECT wf_create_hook() ~ '^[A-Za-z0-9_-]{32}$' AS made_up, wf_create_hook() <> wf_create_hook() AS random;
SELECT wf_create_hook('t', '{"for": "alice"}');
SELECT wf_create_hook('t'), wf_create_hook('t', '{"for": "alice"}');
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_create_hook('t', '{"for": "bob"}')$$,
  $$SELECT wf_create_hook('t', validator => 'test.strip')$$,
  $$SELECT wf_create_hook('t', workflow_id => 'hook2')$$,
  $$SELECT wf_create_hook('u', workflow_id => 'no such')$$
]) call;
SELECT workflow_id, metadata, is_webhook, created_at <= now() AS created FROM wf_get_hook('t');
SELECT * FROM wf_get_hook('no such');
-- of bob she is not told who holds the token, and can resume all the same
RESET SESSION AUTHORIZATION;
RESET durable_wf.workflow_id;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_start('hook-bob'), wf_create_hook('bob''s', workflow_id => 'hook-bob');
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_create_hook('t', workflow_id => 'hook-bob')$$,
  $$SELECT wf_create_hook('u', workflow_id => 'hook')$$,
  $$SELECT wf_await_hook('t', '0')$$,
  $$SELECT wf_dispose_hook('t')$$,
  $$SELECT metadata FROM wf_get_hook('t')$$,
  $$SELECT wf_resume_hook('t', '"from bob"')$$,
  $$SELECT count(*) FROM durable_wf.hook WHERE token = 't'$$,
  $$SELECT count(*) FROM wf_mailbox WHERE door = 'hook'$$,
  $$DELETE FROM durable_wf.hook$$,
  $$SELECT * FROM durable_wf.take_answers()$$,
  $$SELECT durable_wf.resume_held('t', '{}')$$
]) call;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_alice;
SET durable_wf.workflow_id = 'hook';

-- payloads: kept, first in first out, a JSON null is one
SELECT wf_resume_hook('t', '2'), wf_resume_hook('t', NULL), wf_resume_hook('t', '[3]');
SELECT key, depth FROM wf_mailbox WHERE door = 'hook';
SELECT wf_await_hook('t', '0') AS a, wf_await_hook('t', '0') AS b,
       wf_await_hook('t', '0') AS c, wf_await_hook('t', '0') AS d, wf_await_hook('t', '0') AS e;
CALL wf_await_hook('t', '1 ms', NULL);
-- what is rolled back was not sent, or is back
BEGIN;
SELECT wf_resume_hook('t', '"not sent"');
ROLLBACK;
SELECT wf_resume_hook('t', '"sent"');
BEGIN;
SELECT wf_await_hook('t');
ROLLBACK;
SELECT wf_await_hook('t');
-- an idempotency key, of this hook
SELECT wf_create_hook('t2');
SELECT wf_resume_hook('t', '1', 'k'), wf_resume_hook('t', '2', 'k'), wf_resume_hook('t2', '3', 'k'),
       wf_send('hook', '4', 'k', 'k') IS NOT NULL AS sent;
SELECT wf_await_hook('t', '0'), wf_await_hook('t', '0') AS none, wf_await_hook('t2', '0');
SELECT wf_resume_hook('t', '5', 'k'), wf_await_hook('t', '0') AS none;
-- a topic, an event id and a token of one name are three things
SELECT wf_send('hook', '"message"', 't') IS NOT NULL AS sent;
SELECT count(*) FROM wf_notify('t', '"notified"', 'hook');
SELECT wf_await_hook('t', '0') AS none, wf_recv('t', '0'), event_data FROM wf_wait_for_event('t', '0');

-- disposed of: unknown, with what it had, and free
SELECT wf_resume_hook('t', '"stale"');
SELECT wf_dispose_hook('t'), wf_dispose_hook('t') AS again, wf_dispose_hook('no such');
SELECT count(*) FROM wf_mailbox WHERE key = 't';
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_resume_hook('t', '1')$$, $$SELECT wf_resume_hook('no such', '1')$$,
  $$SELECT wf_await_hook('t', '0')$$, $$CALL wf_await_hook('t', '0', NULL)$$,
  $$SELECT count(*) FROM wf_get_hook('t')$$
]) call;
SELECT wf_create_hook('t', workflow_id => 'hook2'), wf_await_hook('t', '0') AS none;
BEGIN;
SELECT wf_dispose_hook('t'), wf_create_hook('t'), wf_resume_hook('t', '"new"'), wf_await_hook('t', '0');
SELECT wf_resume_hook('t', '"gone"'), wf_dispose_hook('t'), wf_create_hook('t'), wf_await_hook('t', '0') AS none;
ROLLBACK;
SELECT workflow_id FROM wf_get_hook('t');

-- every end releases them
SELECT wf_start(id), wf_create_hook('end-' || id, workflow_id => id), wf_resume_hook('end-' || id, '"left"', 'k')
  FROM unnest('{hook-complete,hook-fail,hook-cancel,hook-update,hook-in-one}'::text[]) id;
BEGIN;
SET LOCAL durable_wf.workflow_id = 'hook-complete';
SELECT wf_complete();
SET LOCAL durable_wf.workflow_id = 'hook-fail';
SELECT wf_fail('failed');
SELECT wf_cancel('hook-cancel');
SET LOCAL durable_wf.workflow_id = 'hook-in-one';
SELECT wf_create_hook('mine'), wf_resume_hook('mine', '1'), wf_complete();
SELECT test.try($$SELECT wf_resume_hook('mine', '1')$$);
COMMIT;
RESET SESSION AUTHORIZATION;
UPDATE durable_wf.workflow SET status = 'ERROR', finished_at = now() WHERE workflow_id = 'hook-update';
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT token FROM durable_wf.hook WHERE token LIKE 'end-%' OR token = 'mine';
SELECT id, test.try(format('SELECT wf_resume_hook(%L, ''1'')', 'end-' || id)) AS resumed,
       test.state(format('SELECT wf_create_hook(%L)', 'end-' || id)) AS claimed
  FROM unnest('{hook-complete,hook-fail,hook-cancel,hook-update,hook-in-one}'::text[]) id;
SELECT workflow_id, key FROM wf_mailbox WHERE door = 'hook' ORDER BY 1, 2;
SELECT test.try($$SELECT wf_create_hook('u', workflow_id => 'hook-complete')$$),
       test.try($$SELECT wf_create_hook('u', workflow_id => 'hook-cancel')$$);
-- an end that is rolled back is none
BEGIN;
SELECT wf_complete();
ROLLBACK;
SELECT wf_resume_hook('end-hook-fail', '1'), wf_await_hook('end-hook-fail');
-- wf_retry: they are back, with what had come to them; not while another
-- workflow has a token (who may not see that one is not told which), and again
-- when it has given that back
SELECT test.try($$SELECT wf_retry('hook-fail')$$), wf_status('hook-fail');
RESET SESSION AUTHORIZATION;
RESET durable_wf.workflow_id;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.state($$SELECT wf_create_hook('end-hook-cancel', workflow_id => 'hook-bob')$$);
RESET SESSION AUTHORIZATION;
SELECT wf_dispose_hook('end-hook-cancel');
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_create_hook('end-hook-cancel', workflow_id => 'hook-bob');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_alice;
SET durable_wf.workflow_id = 'hook';
SELECT test.try($$SELECT wf_retry('hook-cancel')$$), wf_status('hook-cancel');
SELECT wf_dispose_hook('end-hook-fail'), wf_retry('hook-fail');
SELECT wf_create_hook('end-hook-fail', workflow_id => 'hook-fail'), wf_await_hook('end-hook-fail', '0'),
       wf_resume_hook('end-hook-fail', '"new"'), wf_await_hook('end-hook-fail', '0');
-- a key that was used is not used again
SELECT wf_resume_hook('end-hook-fail', '"again"', 'k'), wf_await_hook('end-hook-fail', '0') AS none;
-- what was disposed of before the end stays so; what belongs to it stays with it
SELECT wf_start('hook-many');
SELECT token AS web FROM wf_create_webhook('{"status": 201}', '{"m": 1}', 'test.strip', 'hook-many') \gset
SELECT wf_create_hook('many-' || n, to_jsonb(n), workflow_id => 'hook-many') FROM generate_series(1, 3) n;
SELECT wf_dispose_hook('many-2'), wf_cancel('hook-many');
SELECT wf_create_hook('many-1');
SELECT workflow_id, token, metadata FROM durable_wf.released_hook WHERE token LIKE 'many%' ORDER BY token;
SELECT wf_start('hook-brief');
SELECT wf_create_hook('many-3', workflow_id => 'hook-brief');
SELECT wf_cancel('hook-brief'), wf_dispose_hook('many-1');
SELECT wf_retry('hook-many');
SELECT replace(token, :'web', '<web>') AS token, metadata, validator, is_webhook, respond_with, created_at < now() AS old
  FROM durable_wf.hook WHERE workflow_id = 'hook-many' ORDER BY metadata;
SELECT wf_resume_webhook(:'web', '{"body": null}'), wf_await_hook(:'web', '0') ? 'request_id' AS comes;
SELECT workflow_id, token FROM durable_wf.released_hook WHERE token LIKE 'many%' ORDER BY token;
-- once more, and rolled back
BEGIN;
SELECT wf_cancel('hook-many');
ROLLBACK;
SELECT wf_cancel('hook-many');
SELECT wf_retry('hook-many');
SELECT wf_resume_hook('many-1', '1'), wf_await_hook('many-1');
-- a row that an end has left behind, as it was in use, is no hook
RESET SESSION AUTHORIZATION;
INSERT INTO durable_wf.hook (token, workflow_id) VALUES ('dead', 'hook-cancel'), ('dead2', 'hook-cancel'), ('orphan', 'never was');
INSERT INTO durable_wf.message (message_id, workflow_id, door, key, payload)
SELECT nextval('durable_wf.message_id_seq'), 'hook-cancel', 'h', 'dead2', '"stale"';
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.state(format(call, token)) FROM unnest('{dead,orphan}'::text[]) token, unnest(ARRAY[
  'SELECT wf_resume_hook(%L, ''1'')', 'SELECT wf_await_hook(%L, ''0'')', 'SELECT wf_dispose_hook(%L)',
  'SELECT count(*) FROM wf_get_hook(%L)', 'SELECT wf_create_hook(%L)', 'SELECT wf_resume_hook(%L, ''1'')'
]) WITH ORDINALITY AS c (call, n) ORDER BY token, n;
-- ... until its workflow lives again
RESET SESSION AUTHORIZATION;
SELECT wf_dispose_hook('dead'), wf_dispose_hook('end-hook-cancel');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_retry('hook-cancel');
SELECT token FROM durable_wf.hook WHERE workflow_id = 'hook-cancel' ORDER BY token;
SELECT token FROM durable_wf.released_hook WHERE workflow_id = 'hook-cancel';
SELECT wf_create_hook('dead2', workflow_id => 'hook-cancel'), wf_await_hook('dead2', '0');
-- pruned with all else
SELECT wf_complete();
RESET SESSION AUTHORIZATION;
INSERT INTO durable_wf.hook (token, workflow_id) VALUES ('left', 'hook');
INSERT INTO durable_wf.request (workflow_id, request_id, token) VALUES ('hook', 1, 'left');
SELECT count(*) > 0 AS released FROM durable_wf.released_hook WHERE workflow_id = 'hook';
-- (the server itself may be at work, so it may take a while)
DO $$
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        PERFORM wf_prune('0');
        EXIT WHEN NOT EXISTS (SELECT FROM durable_wf.workflow WHERE workflow_id = 'hook');
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
SELECT count(*) FROM durable_wf.hook WHERE token = 'left';
SELECT count(*) FROM durable_wf.request WHERE token = 'left';
SELECT count(*) FROM durable_wf.released_hook WHERE workflow_id = 'hook';
SET SESSION AUTHORIZATION regress_dwf_alice;

-- arguments
SET durable_wf.workflow_id = 'hook2';
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_create_hook('')$$,
  $$SELECT length(wf_create_hook(repeat('x', 512)))$$,
  $$SELECT wf_create_hook(repeat('x', 513))$$,
  $$SELECT wf_create_hook(repeat('é', 257))$$,
  $$SELECT length(wf_create_hook(repeat('é', 256)))$$,
  $$SELECT wf_create_hook('u', workflow_id => '')$$,
  $$SELECT wf_create_hook('u', workflow_id => repeat('x', 257))$$,
  $$SELECT wf_create_hook('u', validator => '')$$,
  $$SELECT wf_resume_hook(NULL, '1')$$,
  $$SELECT wf_resume_hook('', '1')$$,
  $$SELECT wf_resume_hook(repeat('x', 513), '1')$$,
  $$SELECT wf_resume_hook(repeat('x', 512), '1', repeat('k', 512))$$,
  $$SELECT wf_resume_hook(repeat('x', 512), '1', repeat('k', 513))$$,
  $$SELECT wf_resume_hook(repeat('x', 512), '1', '')$$,
  $$SELECT wf_await_hook(repeat('x', 512))$$,
  $$SELECT wf_await_hook(NULL)$$,
  $$SELECT wf_await_hook('t', '-1 s')$$,
  $$SELECT count(*) FROM wf_get_hook(NULL)$$,
  $$SELECT count(*) FROM wf_get_hook(repeat('x', 512))$$,
  $$SELECT wf_dispose_hook(NULL)$$,
  $$SELECT wf_dispose_hook(repeat('x', 512))$$
]) call;
-- where nothing can be written, or waited for
BEGIN READ ONLY;
SELECT test.state(call) FROM unnest(ARRAY[
  $$SELECT wf_create_hook('u')$$, $$SELECT wf_resume_hook('t', '1')$$, $$SELECT wf_await_hook('t', '0')$$,
  $$SELECT wf_dispose_hook('t')$$, $$SELECT workflow_id FROM wf_get_hook('t')$$
]) call;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_resume_hook('t', '1'), wf_await_hook('t');
SELECT test.state($$SELECT wf_await_hook('t')$$), test.state($$SELECT wf_await_hook('t', '0')$$);
ROLLBACK;

-- validators: found with the creator's search_path, kept by their full name
SET search_path = regress_dwf_alice;
CREATE FUNCTION "check %s"(jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT $1 || '{"checked": true}' $$;
CREATE FUNCTION who(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    RETURN jsonb_build_array(current_user, current_setting('search_path'),
                             current_setting('durable_wf.workflow_id'), $1);
END $$;
CREATE FUNCTION who_set(jsonb) RETURNS jsonb LANGUAGE plpgsql SET search_path = regress_dwf_alice AS $$
BEGIN
    RETURN who($1);
END $$;
CREATE FUNCTION nothing(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb';
CREATE FUNCTION odd(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF ($1->>0)::int % 2 = 0 THEN
        RAISE EXCEPTION 'it is even: %', $1 USING ERRCODE = 'ZZ001', DETAIL = 'Or nearly so.', HINT = 'Add one.';
    END IF;
    RETURN $1;
END $$;
CREATE FUNCTION a_set(jsonb) RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION as_text(jsonb) RETURNS text LANGUAGE sql AS 'SELECT $1::text';
CREATE FUNCTION of_text(text) RETURNS jsonb LANGUAGE sql AS 'SELECT $1::jsonb';
CREATE PROCEDURE proc(jsonb) LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION closed(jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT $1';
SELECT public.wf_create_hook(token, validator => validator)
  FROM (VALUES ('v-check', '"check %s"'), ('v-who', 'regress_dwf_alice.who'), ('v-set', 'who_set'), ('v-none', 'nothing'),
               ('v-odd', 'odd'), ('v-closed', 'closed')) v (token, validator);
SELECT public.wf_create_hook('v-odd', validator => 'odd') AS same;
RESET search_path;
SELECT token, validator FROM durable_wf.hook WHERE token LIKE 'v-%' ORDER BY token;
SELECT test.try(format('SELECT wf_create_hook(''u'', validator => %L)', 'regress_dwf_alice.' || f))
  FROM unnest('{odd_one,a_set,as_text,of_text,proc,"a.b.c"}'::text[]) f;
SELECT test.try($$SELECT wf_create_hook('u', validator => 'odd')$$),
       test.try($$SELECT wf_create_hook('u', validator => 'count')$$),
       test.try($$SELECT wf_create_hook('u', validator => 'no_schema.odd')$$);
SELECT test.state($$SELECT wf_create_hook('v-odd', validator => 'regress_dwf_alice.who')$$) AS another;

-- they run as the owner, whoever resumes; what they return is delivered
RESET SESSION AUTHORIZATION;
RESET durable_wf.workflow_id;
SET SESSION AUTHORIZATION regress_dwf_bob;
SET durable_wf.workflow_id = 'hook-bob';
SELECT wf_resume_hook(token, '{"a": 1}') FROM unnest('{v-check,v-who,v-set,v-none}'::text[]) token;
SHOW search_path;
SHOW durable_wf.workflow_id;
SELECT current_user;
-- what they raise is the sender's, and nothing is delivered
SELECT test.try($$SELECT wf_resume_hook('v-odd', '[1]')$$), test.try($$SELECT wf_resume_hook('v-odd', '[2]')$$);
BEGIN;
SELECT wf_resume_hook('v-odd', '[3]', 'k');
SAVEPOINT s;
SELECT wf_resume_hook('v-odd', '[4]', 'k4');
ROLLBACK TO s;
-- a key that has failed is not used up; who repeats one that was used is
-- validated, and nothing is delivered
SELECT wf_resume_hook('v-odd', '[5]', 'k4'), wf_resume_hook('v-odd', '[7]', 'k');
SAVEPOINT s;
SELECT wf_resume_hook('v-odd', '[6]', 'k');
ROLLBACK TO s;
COMMIT;
RESET SESSION AUTHORIZATION;
RESET durable_wf.workflow_id;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT token, wf_await_hook(token, '0') FROM unnest('{v-check,v-who,v-set,v-none,v-odd,v-odd,v-odd,v-odd}'::text[]) token;

-- a function that is not there any more, or not for the owner
DROP FUNCTION regress_dwf_alice.odd;
REVOKE EXECUTE ON FUNCTION regress_dwf_alice.closed(jsonb) FROM PUBLIC, regress_dwf_alice;
DROP FUNCTION regress_dwf_alice.nothing;
CREATE FUNCTION regress_dwf_alice.nothing(jsonb) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT token, test.try(format('SELECT wf_resume_hook(%L, ''1'')', token))
  FROM unnest('{v-odd,v-closed,v-none}'::text[]) token;
SELECT count(*) FROM wf_mailbox WHERE key LIKE 'v-%';

-- with the workflow, hook and validator go to another owner
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA regress_dwf_alice TO regress_dwf_bob;
SELECT wf_set_owner('hook2', 'regress_dwf_bob');
SELECT wf_resume_hook('v-who', '1');
SELECT test.try($$SELECT wf_resume_hook('v-closed', '1')$$);
REVOKE USAGE ON SCHEMA regress_dwf_alice FROM regress_dwf_bob;
SELECT test.try($$SELECT wf_resume_hook('v-who', '1')$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_await_hook('v-who', '0');
RESET SESSION AUTHORIZATION;
-- of nobody's workflow no validator runs
BEGIN;
UPDATE durable_wf.workflow SET owner = 0::oid WHERE workflow_id = 'hook2';
SELECT test.try($$SELECT wf_resume_hook('v-who', '1')$$), test.try($$SELECT wf_resume_hook('t', '1')$$);
ROLLBACK;

-- what a validator cannot do in the session of whom it serves
GRANT CREATE, TEMPORARY ON DATABASE :DBNAME TO regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE TABLE regress_dwf_bob.parent (i int PRIMARY KEY);
CREATE TABLE regress_dwf_bob.trap (command text);
CREATE TABLE regress_dwf_bob.log (who text, says jsonb);
CREATE FUNCTION regress_dwf_bob.spring() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO regress_dwf_bob.log VALUES (current_user, '"sprung"');
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON regress_dwf_bob.trap
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regress_dwf_bob.spring();
CREATE FUNCTION regress_dwf_bob.runs(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE payload->>0;
    RETURN jsonb_build_array(current_user, payload->>0);
END $$;
SELECT wf_create_hook('runs', validator => 'regress_dwf_bob.runs', workflow_id => 'hook-bob');
RESET SESSION AUTHORIZATION;
CREATE TABLE secret (i int);
SELECT wf_start('hook-super');
SELECT command, test.try(format('SELECT wf_resume_hook(''runs'', %L)', jsonb_build_array(command))) AS result
  FROM unnest(ARRAY[
  'INSERT INTO regress_dwf_bob.trap VALUES (''x'')',
  'INSERT INTO public.secret VALUES (1)',
  'RESET ROLE', 'SET ROLE postgres', 'SET SESSION AUTHORIZATION DEFAULT', 'SET LOCAL ROLE none',
  'SELECT set_config(''role'', ''none'', false)',
  'CREATE TEMP TABLE t (i int)', 'CREATE TABLE regress_dwf_bob.t (i int)', 'SELECT 1 INTO TEMP t',
  'CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS ''SELECT 1''',
  'CREATE DOMAIN pg_temp.int4 AS pg_catalog.int4', 'CREATE TYPE pg_temp.int4 AS ENUM ()',
  'CREATE TEMP VIEW pg_class AS SELECT 1', 'CREATE TEMP SEQUENCE s',
  'SET CONSTRAINTS ALL DEFERRED', 'SET CONSTRAINTS ALL IMMEDIATE',
  'PREPARE p AS SELECT 1', 'DEALLOCATE ALL', 'DISCARD ALL', 'DISCARD PLANS', 'DISCARD SEQUENCES',
  'LISTEN x', 'UNLISTEN *', 'LOAD ''plpgsql''', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s',
  'ALTER ROLE regress_dwf_bob SET search_path = x', 'GRANT SELECT ON regress_dwf_bob.log TO PUBLIC',
  'DECLARE c CURSOR WITH HOLD FOR SELECT 1', 'COPY regress_dwf_bob.log TO STDOUT',
  'SELECT public.wf_attach(''hook-bob'')', 'SELECT public.wf_detach()',
  'SELECT public.wf_send(''hook-super'', ''1'')', 'SELECT public.wf_complete()', 'SELECT public.wf_cancel(''hook-super'')',
  'SELECT public.wf_recv(workflow_id => ''hook-bob'')', 'SELECT public.wf_await_hook(''runs'')'
  ]) command;
-- what it may, and what is undone of it
SET durable_wf.workflow_id = 'hook-super';
BEGIN READ WRITE;
SELECT command, test.try(format('SELECT wf_resume_hook(''runs'', %L)', jsonb_build_array(command))) AS result
  FROM unnest(ARRAY[
  'INSERT INTO regress_dwf_bob.log VALUES (current_user, ''1'')',
  'SET search_path = regress_dwf_bob', 'SET LOCAL search_path = regress_dwf_bob',
  'SELECT set_config(''durable_wf.workflow_id'', ''hook-bob'', false)',
  'SET transaction_read_only = on', 'SET default_transaction_read_only = on',
  'SET datestyle = german', 'SET statement_timeout = 1', 'SET regress_dwf.own = 1',
  'DO ''BEGIN PERFORM 1; END''', 'EXPLAIN SELECT 1', 'NOTIFY x',
  'SELECT public.wf_send(''hook-bob'', ''1'')', 'SELECT public.wf_set_event(''k'', ''1'', ''hook-bob'')'
  ]) command;
SELECT name, current_setting(name, true) AS now FROM unnest('{search_path,durable_wf.workflow_id,
  transaction_read_only,default_transaction_read_only,datestyle,regress_dwf.own}'::text[]) name;
CREATE TEMP TABLE writes (i int);
COMMIT;
TABLE regress_dwf_bob.log;
SELECT count(*) FROM secret;
RESET durable_wf.workflow_id;
-- one that resumes its own hook goes round, not for ever
SET durable_wf.validator_timeout = '200 ms';
SET max_stack_depth = '200 kB';
SELECT test.state(format('SELECT wf_resume_hook(''runs'', %L)',
  jsonb_build_array('SELECT public.wf_resume_hook(''runs'', ''["SELECT pg_sleep(60)"]'')')));
RESET max_stack_depth;
-- and time is up, also for one that catches it
SELECT test.try(format('SELECT wf_resume_hook(''runs'', %L)', jsonb_build_array('SELECT pg_sleep(60)')));
SELECT test.try(format('SELECT wf_resume_hook(''runs'', %L)', jsonb_build_array(
  $$DO 'BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN PERFORM 1; END'$$))) AS caught;
RESET durable_wf.validator_timeout;
SELECT pg_sleep(0.3);
SET SESSION AUTHORIZATION regress_dwf_bob;
SET durable_wf.validator_timeout = 0;
SELECT wf_resume_hook('runs', '["SELECT 1"]');
RESET SESSION AUTHORIZATION;

-- attached, each call is a step
SELECT wf_start('hook-steps'), wf_attach('hook-steps');
SELECT wf_create_hook('step', '1') AS created, wf_create_hook() AS random \gset
SELECT wf_resume_hook('step', '"one"'), wf_resume_hook(:'random', '"two"');
SELECT wf_await_hook('step'), wf_await_hook(:'random'), wf_await_hook('step', '1 ms') AS none;
SELECT test.state($$SELECT wf_await_hook('t', '0')$$) AS not_its_own;
SELECT workflow_id FROM wf_get_hook('step');
SELECT wf_dispose_hook('step'), wf_dispose_hook('step') AS again;
SELECT test.state($$SELECT wf_await_hook('step', '0')$$);
SELECT wf_resume_hook(:'random', '"later"');
SELECT wf_detach();
SELECT wf_create_hook('step', workflow_id => 'hook-steps'), wf_resume_hook('step', '"nothing of the replay"');
SELECT wf_attach('hook-steps');
SELECT wf_create_hook('step', '1') AS created, wf_create_hook() = :'random' AS same;
SELECT wf_resume_hook('step', '"one"'), wf_resume_hook(:'random', '"two"');
SELECT wf_await_hook('step'), wf_await_hook(:'random'), wf_await_hook('step', '1 ms') AS none;
SELECT test.state($$SELECT wf_await_hook('t', '0')$$) AS not_its_own;
SELECT workflow_id FROM wf_get_hook('step');
SELECT wf_dispose_hook('step'), wf_dispose_hook('step') AS again;
SELECT test.state($$SELECT wf_await_hook('step', '0')$$);
SELECT wf_resume_hook(:'random', '"later"');
SELECT wf_await_hook('step'), wf_await_hook(:'random'), wf_await_hook(:'random', '0') AS none;
SELECT wf_complete();
SELECT step_no, replace(name, :'random', 'random') AS name,
       CASE WHEN name = 'wf_create_hook' THEN '"random"' WHEN name LIKE 'wf_get%' THEN output - 3 ELSE output END AS output, error
  FROM wf_list_steps('hook-steps') ORDER BY 1;
-- a replay that names another token, and undone ones
SELECT wf_start('hook-replay'), wf_attach('hook-replay');
BEGIN;
SELECT wf_create_hook('undone');
ROLLBACK;
SELECT wf_create_hook('done');
SELECT wf_detach();
SELECT wf_attach('hook-replay');
SELECT wf_create_hook('undone');
SELECT wf_detach();
SELECT count(*) FROM wf_get_hook('undone');
SELECT wf_attach('hook-replay');
SELECT wf_create_hook('undone');
SELECT test.try($$SELECT wf_create_hook('another')$$);
SELECT wf_detach();

DROP TABLE secret;
REVOKE CREATE, TEMPORARY ON DATABASE :DBNAME FROM regress_dwf_bob;
DROP OWNED BY regress_dwf_bob;
CREATE SCHEMA AUTHORIZATION regress_dwf_bob;
DROP FUNCTION test.strip;
SELECT bool_and(wf_cancel(workflow_id)) FROM wf_workflows WHERE workflow_id LIKE 'hook%' AND finished_at IS NULL;
SELECT count(*) FROM durable_wf.hook;
DO $$
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        PERFORM wf_prune('0');
        EXIT WHEN NOT EXISTS (SELECT FROM durable_wf.workflow WHERE workflow_id LIKE 'hook%');
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
