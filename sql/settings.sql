-- What a session has set changes neither what a call means nor whether it
-- works.  (Templates and payloads of triggers: trigger.sql; names that shadow
-- ours: search_path.sql; all settings at once, in our processes too:
-- t/035_settings.pl.)
SET client_min_messages = warning;
CREATE SCHEMA settings_test;
SET search_path = settings_test, public;

-- ----- the names of bodies and validators are kept in one way

CREATE PROCEDURE "some Body"(input jsonb) LANGUAGE plpgsql AS 'BEGIN END';
CREATE PROCEDURE body(input jsonb) LANGUAGE plpgsql AS 'BEGIN END';
CREATE FUNCTION check_it(payload jsonb) RETURNS jsonb LANGUAGE sql AS 'SELECT payload';
SELECT wf_start('set-1', 'body', start_after => '1 h'), wf_start('set-2', '"some Body"', start_after => '1 h'),
       wf_create_hook('set-hook', validator => 'check_it', workflow_id => 'set-1');
SET quote_all_identifiers = on;
SELECT wf_start('set-1', 'body'), wf_start('set-2', '"some Body"'),
       wf_create_hook('set-hook', validator => 'check_it', workflow_id => 'set-1');
SELECT wf_start('set-3', 'body', start_after => '1 h'), wf_start('set-4', '"some Body"', start_after => '1 h'),
       wf_create_hook('set-hook-2', validator => 'check_it', workflow_id => 'set-1');
SET search_path = public;
SELECT wf_start('set-3', 'settings_test.body'), wf_start('set-4', 'settings_test."some Body"');
RESET quote_all_identifiers;
SET search_path = settings_test, public;
SELECT wf_start('set-3', 'body'), wf_start('set-4', '"some Body"'),
       wf_create_hook('set-hook-2', validator => 'check_it', workflow_id => 'set-1');
SELECT workflow_id, body FROM wf_workflows WHERE workflow_id LIKE 'set-%' ORDER BY 1;
SELECT token, validator FROM durable_wf.hook WHERE token LIKE 'set-%' ORDER BY 1;

-- Call the command of a retention's job until it has removed these: it leaves
-- what some open transaction, the server's own too, may have seen unfinished.
CREATE PROCEDURE prune_until_gone(older_than interval, pattern text) LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        CALL durable_wf.prune_all(older_than);
        EXIT WHEN NOT EXISTS (SELECT FROM wf_workflows WHERE workflow_id LIKE pattern);
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE WARNING '% left', (SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE pattern);
END $$;

-- ----- a day has 24 hours in each time zone: here is one whose clocks are set
-- back by ten hours twelve hours from now

CREATE FUNCTION in_year(moment timestamp) RETURNS text LANGUAGE sql AS $$
    SELECT to_char(moment, 'DDD')::int - 1 || to_char(moment, '/HH24:MI:SS')
$$;
CREATE FUNCTION odd_zone() RETURNS text LANGUAGE sql AS $$
    SELECT concat('<A>0<B>-10,', in_year(now() AT TIME ZONE 'UTC' - interval '12 h'), ',',
                  in_year(now() AT TIME ZONE 'UTC' + interval '22 h'))
$$;
SELECT set_config('timezone', odd_zone(), false) IS NOT NULL AS set;
SELECT now() + interval '1 day' <> now() + interval '24 h' AS it_is_odd;
BEGIN;
SELECT wf_start('set-day', start_after => '1 day', timeout => '2 days');
SELECT due_at - now() = '24 h' AS due, timeout_at - now() = '48 h' AS timeout
  FROM durable_wf.workflow WHERE workflow_id = 'set-day';
UPDATE durable_wf.workflow SET status = 'SUCCESS', finished_at = now() - interval '24 h 1 min'
 WHERE workflow_id = 'set-day';
COMMIT;
CALL prune_until_gone('1 day', 'set-day');
SELECT wf_start('set-attached'), wf_attach('set-attached');
-- (the recorded deadline of a wait that is given up)
SET statement_timeout = '1s';
CALL wf_sleep('1 day', NULL);
RESET statement_timeout;
SELECT deadline - started_at BETWEEN '24 h' AND '24 h 1 min' AS a_day
  FROM durable_wf.step WHERE workflow_id = 'set-attached';
RESET timezone;

-- ----- what is recorded

SELECT wf_cancel('set-attached');
SELECT wf_start('set-steps'), wf_attach('set-steps');
SET datestyle = 'SQL, DMY';
SET timezone = 'Asia/Kathmandu';
SET intervalstyle = 'sql_standard';
SET extra_float_digits = -15;
SET bytea_output = 'escape';
SELECT wf_step('moment', $$SELECT timestamptz '2026-11-27 10:00+00'$$),
       wf_step('interval', $$SELECT make_interval(1, 2, 0, 3, 4)$$),
       wf_step('float', $$SELECT 0.1::float8 + 0.2::float8$$),
       wf_step('bytes', $$SELECT decode('00ff41', 'hex')$$),
       wf_step('row', $$SELECT ROW (make_interval(days => 1), 'settings_test.body'::regproc)$$);
CREATE TABLE recorded AS SELECT wf_now() AS now, wf_random() AS random, wf_uuid() AS uuid;
RESET datestyle;
RESET timezone;
RESET intervalstyle;
RESET extra_float_digits;
RESET bytea_output;
SELECT wf_detach();
SELECT wf_attach('set-steps');
SET timezone = 'UTC';
SELECT wf_step('moment', $$SELECT timestamptz '2026-11-27 10:00+00'$$),
       wf_step('interval', $$SELECT make_interval(1, 2, 0, 3, 4)$$),
       wf_step('float', $$SELECT 0.1::float8 + 0.2::float8$$),
       wf_step('bytes', $$SELECT decode('00ff41', 'hex')$$),
       wf_step('row', $$SELECT ROW (make_interval(days => 1), 'settings_test.body'::regproc)$$);
SELECT now = wf_now() AS now, random = wf_random() AS random, uuid = wf_uuid() AS uuid FROM recorded;
SELECT output #>> '{}' LIKE '%+00' AS in_utc FROM wf_list_steps('set-steps') WHERE name = 'wf_now';
RESET timezone;
SELECT wf_complete();

-- ----- our triggers fire, and our policies do not stand in the way

SELECT wf_start('set-hooks'), wf_create_hook('set-hook-3', workflow_id => 'set-hooks');
SET session_replication_role = replica;
SELECT wf_cancel('set-hooks');
SELECT count(*) FROM durable_wf.hook WHERE token = 'set-hook-3';
SHOW session_replication_role;
RESET session_replication_role;

SET SESSION AUTHORIZATION regress_dwf_alice;
SET row_security = off;
SELECT wf_start('set-alice'), wf_send('set-alice', '1') IS NOT NULL AS sent, wf_attach('set-alice');
SELECT wf_recv();
SELECT step_no, name, output FROM wf_list_steps('set-alice');
SELECT wf_complete();
RESET row_security;
RESET SESSION AUTHORIZATION;

-- ----- what needs READ COMMITTED, and may commit, sees to it; what may not
-- commit says how

SELECT wf_start('set-prune-' || n), wf_cancel('set-prune-' || n) FROM generate_series(1, 2) n;
SET default_transaction_isolation = 'serializable';
SELECT test.try('SELECT wf_prune(''0'')');
SELECT test.try('SELECT wf_attach(''set-1'')');
SET default_transaction_read_only = on;
CALL prune_until_gone('0', 'set-prune-%');
SHOW transaction_isolation;
SHOW transaction_read_only;
RESET default_transaction_isolation;
CALL durable_wf.prune_all('0');
SET default_transaction_read_only = off;
-- more than a batch
SELECT count(wf_start('set-prune-' || n)), count(wf_cancel('set-prune-' || n)) FROM generate_series(1, 1002) n;
SET default_transaction_isolation = 'repeatable read';
CALL prune_until_gone('0', 'set-prune-%');
RESET default_transaction_isolation;
BEGIN;
CALL durable_wf.prune_all('0');
COMMIT;

-- ----- a session that ends on any error does not end for what is no error

SELECT wf_start('set-json');
SELECT token FROM wf_create_webhook(workflow_id => 'set-json') \gset
SET exit_on_error = on;
SELECT wf_resume_webhook(:'token', '{"headers": {"content-type": "application/json"}, "body_base64": "ew=="}');
RESET exit_on_error;
SELECT wf_await_hook(:'token', '0') -> 'body' AS body;

SELECT count(wf_cancel(workflow_id)) FROM wf_workflows WHERE workflow_id LIKE 'set-%';
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'set-%';
DROP SCHEMA settings_test CASCADE;
