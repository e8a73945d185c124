-- Attached sessions: wf_attach, wf_detach, wf_attach_next, wf_retry; who
-- executes what, until when, and who may.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- arguments and limits
\a \t
SELECT test.try($$SELECT wf_attach(NULL)$$);
SELECT test.try($$SELECT wf_attach('')$$);
SELECT test.try($$SELECT wf_attach(repeat('x', 257))$$);
SELECT test.try($$SELECT wf_attach('at', NULL)$$);
SELECT test.try($$SELECT wf_attach('at-no')$$);
SELECT test.try($$SELECT wf_attach_next(NULL)$$);
SELECT test.try($$SELECT wf_attach_next('')$$);
SELECT test.try($$SELECT wf_attach_next(repeat('x', 513))$$);
SELECT test.try($$SELECT wf_attach_next('at-q', '-1 s')$$);
SELECT test.try($$SELECT wf_attach_next('at-q')$$);
SELECT test.try($$SELECT wf_attach_next('at-q', '10 ms')$$);
SELECT test.try($$SELECT wf_retry(NULL)$$);
SELECT test.try($$SELECT wf_retry('at-no')$$);
SELECT test.try($$SELECT wf_continue_as_new('1')$$);
SELECT test.try($$SELECT wf_list_steps('at-no')$$);
SELECT test.try($$SELECT wf_start('at-x', queue => '')$$);
SELECT test.try($$SELECT wf_start('at-x', queue => repeat('x', 513))$$);
SELECT test.try($$SELECT wf_start('at-x', start_after => NULL)$$);
SELECT test.try($$SELECT wf_start('at-x', start_after => '-1 s')$$);
SELECT test.try($$SELECT wf_start('at-x', timeout => '-1 s')$$);
-- what only an attached session can do
SELECT test.try(format('SELECT %s', call))
  FROM unnest(ARRAY[$$wf_step('s', 'SELECT 1')$$, $$wf_get_step('s')$$,
                    $$wf_save_step('s', '1')$$, $$wf_sleep('0')$$, 'wf_now()',
                    'wf_random()', 'wf_uuid()', $$wf_patched('p')$$]) call;
\a \t

-- attached: it is the current workflow, before the setting, and RUNNING
SELECT wf_start('at'), wf_start('at-2'), wf_start('at-setting');
SET durable_wf.workflow_id = 'at-setting';
SELECT wf_attach('at'), wf_current();
SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'at';
SELECT wf_attach('at') AS again, wf_attach('at', takeover => true) AS again;
SELECT test.try($$SELECT wf_attach('at-2')$$);
SELECT test.try($$SELECT wf_attach_next('at-q')$$);
SELECT test.try($$SELECT wf_attach('at-no')$$);
SELECT wf_detach();
SELECT wf_current(), wf_status('at'), wf_detach();
RESET durable_wf.workflow_id;
SELECT wf_current();

-- what a pool sends ends it: DISCARD ALL, RESET ALL, by itself or among others;
-- not the rest of what pools send, and not RESET ALL in a function
SELECT wf_attach('at');
DISCARD PLANS; DISCARD SEQUENCES; DISCARD TEMP; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL;
SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET SESSION AUTHORIZATION; RESET search_path;
SELECT pg_advisory_unlock_all();
CREATE FUNCTION test.reset_all() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RESET ALL;
    RETURN 'reset';
END$$;
SELECT test.reset_all();
DO 'BEGIN RESET ALL; END';
SELECT wf_current();
DISCARD ALL;
SELECT wf_current();
SELECT wf_attach('at');
RESET ALL;
SELECT wf_current();
SELECT wf_attach('at');
SELECT pg_advisory_unlock_all()\; CLOSE ALL\; UNLISTEN *\; RESET ALL;
SELECT wf_current();
SELECT wf_attach('at');
BEGIN;
RESET ALL;
SELECT wf_current();
ROLLBACK;
SELECT wf_current();
BEGIN;
SAVEPOINT s;
RESET ALL;
ROLLBACK TO s;
COMMIT;
SELECT wf_current();
BEGIN;
RESET ALL;
COMMIT;
SELECT wf_current();
DROP FUNCTION test.reset_all();
SELECT wf_attach('at');
SELECT attempts FROM wf_workflows WHERE workflow_id = 'at';
SELECT wf_detach();

-- who executes it now: RUNNING alone does not tell
SELECT wf_start('at-seen'), wf_start('at-left');
SELECT wf_attach('at-left');
SELECT wf_detach();
SELECT wf_attach('at-seen');
SELECT workflow_id, pid = pg_backend_pid() AS pid, kind, application_name, since <= now() AS since, step_no, step_name
  FROM wf_executions;
SELECT wf_step('first', 'SELECT 1'), wf_set_event('seen', '1');
SELECT step_no, step_name FROM wf_executions;
SELECT workflow_id, status FROM wf_workflows w
 WHERE workflow_id LIKE 'at-%' AND status = 'RUNNING' AND
       NOT EXISTS (SELECT FROM wf_executions e WHERE e.workflow_id = w.workflow_id);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT count(*) AS of_others FROM wf_executions;
SELECT count(*) AS of_others FROM durable_wf.executions();
RESET SESSION AUTHORIZATION;
SELECT wf_detach();
SELECT count(*) AS nobody FROM wf_executions;

-- attach and detach go with their transaction
BEGIN;
SELECT wf_attach('at');
ROLLBACK;
SELECT wf_current();
BEGIN;
SAVEPOINT a;
SELECT wf_attach('at');
ROLLBACK TO a;
SELECT wf_current();
SELECT wf_attach('at-2');
SAVEPOINT b;
SELECT wf_detach();
SELECT wf_current();
ROLLBACK TO b;
SELECT wf_current();
COMMIT;
SELECT wf_current();
BEGIN;
SELECT wf_detach();
ROLLBACK;
SELECT wf_current();
-- nested: the outer one counts
BEGIN;
SELECT wf_detach();
SAVEPOINT a;
SELECT wf_detach();
ROLLBACK TO a;
SELECT wf_current();
-- not both in one transaction
SELECT wf_attach('at');
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT wf_current();
DO $$
BEGIN
    PERFORM wf_detach();
    COMMIT;
    PERFORM wf_attach('at');
    BEGIN
        PERFORM wf_detach();
        RAISE EXCEPTION 'stay';
    EXCEPTION WHEN raise_exception THEN
        NULL;
    END;
END$$;
SELECT wf_current();

-- no transactions that could not go on in another session, or not see it
BEGIN;
SELECT wf_now() IS NOT NULL AS now;
PREPARE TRANSACTION 'attached';
BEGIN;
SELECT wf_detach();
PREPARE TRANSACTION 'attached';
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_now();
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT wf_send('at', '1');
ROLLBACK;
SELECT wf_detach();
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_attach('at');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_attach_next('at');
ROLLBACK;
BEGIN READ ONLY;
SELECT wf_attach('at');
ROLLBACK;
BEGIN;
SELECT wf_attach('at');
PREPARE TRANSACTION 'attached';
\echo :LAST_ERROR_SQLSTATE
SELECT wf_current();

-- one holder: another session is refused, and may take over
SELECT wf_attach('at');
\c -
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_attach('at', takeover => true);

-- another role: SET ROLE does not lend the attachment
RESET SESSION AUTHORIZATION;
SET ROLE regress_dwf_bob;
SELECT wf_current();
\a \t
SELECT test.try(format('SELECT %s', call))
  FROM unnest(ARRAY[$$wf_step('s', 'SELECT 1')$$, $$wf_get_step('s')$$,
                    $$wf_save_step('s', '1')$$, 'wf_now()', $$wf_patched('p')$$,
                    $$wf_recv(timeout => '0')$$, 'wf_complete()', $$wf_fail('f')$$,
                    $$wf_continue_as_new('1')$$, $$wf_list_steps('at')$$,
                    $$wf_attach('at-2')$$, $$wf_retry('at-2')$$]) call;
\a \t
SELECT count(*) FROM durable_wf.step;
RESET ROLE;
SET SESSION AUTHORIZATION regress_dwf_alice;
-- each had its number
SELECT wf_now() IS NOT NULL AS now;
SELECT step_no, name, error FROM wf_list_steps('at');
SELECT wf_detach();

-- the ends: attaching to what has ended changes nothing
SELECT wf_start('at-end-' || n) FROM generate_series(1, 4) n;
SELECT wf_attach('at-end-1');
SELECT wf_complete('"out"');
SELECT wf_current(), * FROM wf_result('at-end-1');
SELECT wf_attach('at-end-2');
SELECT wf_fail('why');
SELECT wf_current(), * FROM wf_result('at-end-2');
SELECT wf_attach('at-end-3');
SELECT wf_cancel('at-end-3'), wf_cancel('at-end-3') AS again;
SELECT wf_current(), * FROM wf_result('at-end-3');
SELECT wf_attach('at');
SELECT wf_attach('at-end-1'), wf_attach('at-end-2'), wf_attach('at-end-3'), wf_current();
SELECT wf_detach();
-- to end another one is a step, and is not repeated; to name its own is the end
SELECT wf_start('at-names'), wf_start('at-named-1'), wf_start('at-named-2');
SELECT wf_attach('at-names');
SELECT wf_complete('1', 'at-named-1'), wf_fail('no', 'at-named-2'), wf_current();
SELECT wf_cancel('at-named-2', 'too late') AS cancelled;
SELECT wf_detach();
SELECT wf_retry('at-named-2'), wf_attach('at-names');
SELECT wf_complete('1', 'at-named-1'), wf_fail('no', 'at-named-2'), wf_cancel('at-named-2', 'too late') AS cancelled;
SELECT wf_detach(), wf_status('at-named-2');
SELECT wf_attach('at-names');
SELECT test.try($$SELECT wf_complete('1', 'at-named-2')$$);
SELECT wf_detach();
SELECT wf_attach('at-names');
SELECT wf_complete('1', 'at-named-1'), wf_fail('no', 'at-named-2'), wf_cancel('at-named-2');
SELECT wf_complete('2', workflow_id => 'at-names'), wf_current();
SELECT step_no, name FROM wf_list_steps('at-names');
SELECT wf_current(), * FROM wf_result('at-names');
-- in a transaction: what comes after belongs to nobody
BEGIN;
SELECT wf_attach('at-end-4');
SELECT wf_complete();
SELECT wf_current();
SELECT test.try($$SELECT wf_now()$$), test.try($$SELECT wf_recv(timeout => '0')$$);
SELECT wf_send('at', '1', 'after') IS NOT NULL AS sent;
COMMIT;
SELECT wf_current(), wf_status('at-end-4'), wf_recv('after', '0', 'at');
SELECT count(*) FROM wf_list_steps('at-end-4');
-- what others have ended does not hinder the next wf_attach
SELECT wf_start('at-end-5'), wf_attach('at-end-5');
SET durable_wf.workflow_id = 'at-end-5';
UPDATE durable_wf.workflow SET status = 'CANCELLED';
RESET SESSION AUTHORIZATION;
UPDATE durable_wf.workflow SET status = 'CANCELLED', finished_at = now()
 WHERE workflow_id = 'at-end-5';
SET SESSION AUTHORIZATION regress_dwf_alice;
RESET durable_wf.workflow_id;
\a \t
SELECT wf_current();
SELECT test.try($$SELECT wf_now()$$);
SELECT test.try($$SELECT wf_send('at', '1')$$);
SELECT test.try($$SELECT wf_complete()$$);
\a \t
SELECT wf_attach('at'), wf_detach();

-- wf_attach_next: the oldest that is due, each once
SELECT wf_start('at-q' || n, queue => 'at-q') FROM generate_series(1, 3) n;
SELECT wf_start('at-late', queue => 'at-q', start_after => '1 day');
SELECT wf_start('at-other', queue => 'AT-Q');
SELECT wf_attach_next('at-q');
SELECT wf_complete();
BEGIN;
SELECT wf_attach_next('at-q');
ROLLBACK;
CALL wf_attach_next('at-q', '0', NULL);
SELECT wf_detach();
SELECT wf_attach_next('at-q', '60 s');
SELECT wf_fail('x');
SELECT wf_attach_next(queue => 'at-q', timeout => NULL);
SELECT wf_complete();
SELECT wf_attach_next('at-q', '20 ms');
CALL wf_attach_next('at-q', '20 ms', NULL);
BEGIN;
CALL wf_attach_next('at-q', '20 ms', NULL);
COMMIT;
SELECT door, waits > 0 AS waits FROM wf_stat WHERE door = 'queue';
-- a delayed start becomes due; a pool in PL/pgSQL
SELECT wf_start('at-soon-' || n, queue => 'at-pool', start_after => n * interval '30 ms')
  FROM generate_series(0, 3) n;
CREATE PROCEDURE at_pool(n int) LANGUAGE plpgsql AS $$
DECLARE
    id text;
BEGIN
    FOR i IN 1 .. n LOOP
        CALL wf_attach_next('at-pool', '60 s', id);
        PERFORM wf_step('s', 'SELECT $1', to_jsonb(i));
        PERFORM wf_complete(to_jsonb(i));
    END LOOP;
END$$;
CALL at_pool(4);
SELECT workflow_id, status, output, attempts FROM wf_workflows
 WHERE workflow_id LIKE 'at-soon-%' ORDER BY 1;
-- of another role's queue of that name one sees nothing
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_start('at-bob', queue => 'at-q');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_attach_next('at-q');
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_attach_next('at-q');
SELECT wf_detach();
SET SESSION AUTHORIZATION regress_dwf_alice;
-- the id of a queue's workflow can be attached before it is due
SELECT wf_attach('at-late');
SELECT wf_detach();
-- starting again does not change the queue
\a \t
SELECT wf_start('at-late');
SELECT wf_start('at-late', queue => 'at-q');
SELECT test.try($$SELECT wf_start('at-late', queue => 'other')$$);
\a \t

-- wf_retry: what ended badly goes on
SELECT wf_start('at-retry', queue => 'at-retry', timeout => '1 day');
SELECT wf_attach_next('at-retry');
SELECT wf_step('one', 'SELECT 1');
\a \t
SELECT test.try($$SELECT wf_retry('at-retry')$$);
SELECT wf_fail('bad');
SELECT wf_retry('at-retry');
\a \t
SELECT w.status, w.error, w.finished_at, t.timeout_at FROM wf_workflows w
  JOIN durable_wf.workflow t USING (workflow_id) WHERE workflow_id = 'at-retry';
SELECT wf_attach_next('at-retry');
SELECT wf_step('one', 'SELECT 2') AS replayed, wf_step('two', 'SELECT 2') AS executed;
SELECT wf_cancel('at-retry');
SELECT wf_retry('at-retry');
SELECT wf_attach('at-retry');
SELECT wf_step('one', 'SELECT 3'), wf_step('two', 'SELECT 3'), wf_cancel('at-retry') AS replayed,
       wf_step('three', 'SELECT 3');
SELECT wf_complete();
\a \t
SELECT test.try($$SELECT wf_retry('at-retry')$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try($$SELECT wf_retry('at-end-2')$$);
SELECT test.try($$SELECT wf_attach('at-end-2')$$);
SELECT test.try($$SELECT wf_attach('at')$$);
SELECT test.try($$SELECT wf_list_steps('at')$$);
SET SESSION AUTHORIZATION regress_dwf_alice;

-- wf_continue_as_new: the same workflow, from the top
\a \t
SELECT wf_start('at-loop', input => '1', queue => 'at-loop');
SELECT wf_attach_next('at-loop');
SELECT wf_step('count', 'SELECT 1'), wf_set_event('k', '1');
SELECT wf_send('at-loop', '"kept"') IS NOT NULL AS sent;
BEGIN;
SELECT wf_continue_as_new('2');
SELECT wf_current(), count(*) FROM wf_list_steps('at-loop');
ROLLBACK;
SELECT wf_current(), input FROM wf_workflows WHERE workflow_id = 'at-loop';
SELECT count(*) FROM wf_list_steps('at-loop');
SELECT wf_continue_as_new('2');
SELECT wf_current(), status, input, attempts FROM wf_workflows WHERE workflow_id = 'at-loop';
SELECT count(*) FROM wf_list_steps('at-loop');
SELECT wf_attach_next('at-loop');
SELECT wf_step('count', 'SELECT 2'), wf_recv(timeout => '0'), wf_get_event('at-loop', 'k');
SELECT wf_continue_as_new(NULL);
SELECT input, wf_attach_next('at-loop') FROM wf_workflows WHERE workflow_id = 'at-loop';
SELECT wf_cancel('at-loop');
SELECT test.state($$SELECT wf_continue_as_new('1')$$);

-- timers do not depend on who looks, but on what is due
SELECT workflow_id, door, key FROM wf_waiters;
SELECT wf_start('at-timeout', timeout => '1 day');
SELECT timeout_at - created_at AS timeout, due_at = created_at AS due FROM durable_wf.workflow
 WHERE workflow_id = 'at-timeout';
-- what others would see
RESET SESSION AUTHORIZATION;
DELETE FROM durable_wf.workflow WHERE workflow_id = 'at-bob';

-- wf_attach_any: several queues, and what a worker needs
SET SESSION AUTHORIZATION regress_dwf_alice;
\a \t
SELECT test.try($$SELECT wf_attach_any(NULL)$$);
SELECT test.try($$SELECT wf_attach_any('{}')$$);
SELECT test.try($$SELECT wf_attach_any('{a,NULL}')$$);
SELECT test.try($$SELECT wf_attach_any('{{a},{b}}')$$);
SELECT test.try($$SELECT wf_attach_any('{a,""}')$$);
SELECT test.try($$SELECT wf_attach_any(ARRAY[repeat('x', 513)])$$);
SELECT test.try($$SELECT wf_attach_any('{a}', '-1 s')$$);
SELECT test.try($$SELECT wf_attach_any((SELECT array_agg('q' || n) FROM generate_series(1, 129) n))$$);
SELECT test.try($$SELECT wf_attach_any((SELECT array_agg('q' || n) || '{q1,q2}'::text[] FROM generate_series(1, 128) n))$$);
SELECT test.try($$SELECT wf_detach(NULL)$$);
SELECT test.try($$SELECT wf_detach('-1 s')$$);
\a \t
SELECT * FROM wf_attach_any('{at-x,at-y}');
SELECT * FROM wf_attach_any('{at-x,at-y}', '10 ms');
CALL wf_attach_any('{at-x,at-y}', '10 ms', NULL, NULL, NULL, NULL);
SELECT wf_start('any-1', queue => 'at-x', input => '{"n": 1}');
SELECT wf_start('any-2', queue => 'at-y');
SELECT wf_start('any-3', queue => 'at-x', input => 'null');
SELECT wf_start('any-4', queue => 'at-y', start_after => '1 day');
-- the oldest of all, whatever the order of the queues
SELECT * FROM wf_attach_any('{at-y,at-x,at-y}');
SELECT wf_current();
SELECT wf_complete();
CALL wf_attach_any('{at-x,at-y}', '0', NULL, NULL, NULL, NULL);
SELECT wf_complete();
SELECT * FROM wf_attach_any('{at-x,at-y}');
SELECT wf_complete();
SELECT * FROM wf_attach_any('{at-x,at-y}');

-- detached for a while: not due before that
SELECT wf_start('later', queue => 'at-x', input => '1'), wf_detach('1 hour');
SELECT wf_attach_next('at-x');
BEGIN;
SELECT wf_detach('1 hour');
ROLLBACK;
SELECT wf_current();
SELECT wf_detach('1 hour');
SELECT status, attempts, due_at - updated_at AS after FROM wf_workflows WHERE workflow_id = 'later';
SELECT * FROM wf_attach_any('{at-x}');
SELECT wf_attach('later');
SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'later';
SELECT wf_detach('10 ms');
CALL wf_attach_any('{at-x,at-y}', '60 s', NULL, NULL, NULL, NULL);
-- one that has ended is left
RESET SESSION AUTHORIZATION;
SELECT wf_cancel('later') AS cancelled;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_detach('1 hour');
SELECT wf_status('later'), wf_current();
-- another role may not say when
SELECT wf_start('later-2', queue => 'at-x');
SELECT wf_attach_next('at-x');
RESET SESSION AUTHORIZATION;
SET ROLE regress_dwf_bob;
SELECT test.try($$SELECT wf_detach('1 hour')$$);
RESET ROLE;
SET SESSION AUTHORIZATION regress_dwf_alice;

-- attempts: a session that has gone counts, unless it has brought it further;
-- one that detaches does not, and a pool that cleans up is one that has gone
SELECT wf_detach();
SELECT attempt FROM wf_attach_any('{at-x}');
DISCARD ALL;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT attempt FROM wf_attach_any('{at-x}');
RESET ALL;
SELECT attempt FROM wf_attach_any('{at-x}');
SELECT wf_detach();
SELECT attempt FROM wf_attach_any('{at-x}');
SELECT (wf_begin_step('no progress')).done;
BEGIN;
SELECT wf_save_step('no progress', '1');
ROLLBACK;
SELECT wf_detach('1 ms');
CALL wf_attach_any('{at-x}', '60 s', NULL, NULL, NULL, NULL);
SELECT (wf_begin_step('progress')).done;
SELECT wf_save_step('progress', '1');
RESET ALL;
SELECT attempt FROM wf_attach_any('{at-x}');
RESET ALL;
SELECT attempt FROM wf_attach_any('{at-x}');
RESET ALL;
SELECT attempt FROM wf_attach_any('{at-x}');
BEGIN;
RESET ALL;
ROLLBACK;
BEGIN;
SELECT wf_detach();
RESET ALL;
COMMIT;
SELECT attempt FROM wf_attach_any('{at-x}');
RESET ALL;
-- that was the last one
SELECT * FROM wf_attach_any('{at-x}');
SELECT status, error, attempts FROM wf_workflows WHERE workflow_id = 'later-2';
SELECT wf_retry('later-2');
SELECT attempt FROM wf_attach_any('{at-x}');
SELECT wf_complete();
-- one that names the workflow is not refused
SELECT wf_start('named');
SELECT wf_attach('named');
RESET ALL;
SELECT wf_attach('named');
RESET ALL;
SELECT wf_attach('named');
RESET ALL;
SELECT wf_attach('named');
RESET ALL;
SELECT wf_attach('named');
SELECT status, attempts FROM wf_workflows WHERE workflow_id = 'named';
SELECT wf_complete();

-- wf_start_attached: start what this session executes
SELECT test.try($$SELECT wf_start_attached()$$);
SELECT test.try($$SELECT wf_start_attached(queue => '')$$);
SELECT test.try($$SELECT wf_start_attached(queue => 'at-h', timeout => '-1 s')$$);
SELECT test.try($$SELECT wf_start_attached(queue => 'at-h', attributes => '[]')$$);
SELECT * FROM wf_start_attached('at-h1', '{"b": 1, "aa": 2}', 'at-h', '1 h', '{"k": 1}');
SELECT status, queue, attempts, timeout_at > now() AS has_timeout, attributes
  FROM wf_workflows WHERE workflow_id = 'at-h1';
SELECT test.try($$SELECT wf_start_attached('at-h2', NULL, 'at-h')$$);
SELECT wf_save_step('s', '1');
SELECT wf_detach();
SELECT * FROM wf_attach_any('{at-h}');
SELECT step_no, done, output FROM wf_begin_step('s');
SELECT wf_complete('2');
-- what exists is left as it is
SELECT * FROM wf_start_attached('at-h1', '{"aa": 2, "b": 1}', 'at-h');
SELECT test.try($$SELECT wf_start_attached('at-h1', '3', 'at-h')$$);
SELECT wf_current() IS NULL AS detached;
SELECT wf_start('at-h3', queue => 'at-h');
SELECT * FROM wf_start_attached('at-h3', NULL, 'at-h');
SELECT workflow_id, attempt FROM wf_attach_any('{at-h}');
SELECT wf_complete();
-- undone with its transaction
BEGIN;
SELECT workflow_id FROM wf_start_attached('at-h4', NULL, 'at-h');
ROLLBACK;
SELECT wf_current() IS NULL AS detached;
SELECT count(*) FROM wf_workflows WHERE workflow_id = 'at-h4';
BEGIN;
SAVEPOINT a;
SELECT workflow_id FROM wf_start_attached('at-h4', NULL, 'at-h');
ROLLBACK TO a;
SELECT workflow_id FROM wf_start_attached('at-h5', NULL, 'at-h');
SELECT wf_save_step('s', '5'), wf_complete('5');
COMMIT;
SELECT workflow_id, status FROM wf_workflows WHERE workflow_id IN ('at-h4', 'at-h5');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT test.try($$SELECT wf_start_attached('at-h6', NULL, 'at-h')$$);
ROLLBACK;
-- made up, each time another
SELECT length(workflow_id), queue, input IS NULL AS no_input, attempt FROM wf_start_attached(queue => 'at-h');
SELECT wf_fail('so');
SELECT count(*), count(DISTINCT workflow_id) FROM wf_workflows WHERE queue = 'at-h' AND status = 'ERROR';
