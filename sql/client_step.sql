-- Steps of a client, done outside of the database: wf_begin_step, wf_save_step,
-- wf_fail_step; several open at a time, undone, replayed, retried.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- arguments, and who can call them
\a \t
SELECT test.try($$SELECT wf_begin_step('s')$$);
SELECT test.try($$SELECT wf_fail_step('s', 'e')$$);
SELECT wf_start('cs'), wf_attach('cs');
SELECT test.try($$SELECT wf_begin_step(NULL)$$);
SELECT test.try($$SELECT wf_begin_step('')$$);
SELECT test.try($$SELECT wf_begin_step(repeat('x', 513))$$);
SELECT test.try($$SELECT wf_fail_step(NULL, 'e')$$);
SELECT test.try($$SELECT wf_fail_step('s', NULL)$$);
\a \t

-- one after the other; JSON null is done, and is told from nothing
SELECT * FROM wf_begin_step('first');
SELECT count(*) AS written FROM wf_list_steps('cs');
SELECT wf_save_step('first', '{"n": 1}');
SELECT * FROM wf_begin_step('nothing');
SELECT wf_save_step('nothing', NULL);
SELECT * FROM wf_begin_step('failing');
SELECT wf_fail_step('failing', 'card declined');
SELECT wf_now() IS NOT NULL AS now;
-- several at a time, saved in any order; of one name, the oldest first
SELECT * FROM wf_begin_step('a');
SELECT * FROM wf_begin_step('b');
SELECT * FROM wf_begin_step('c');
SELECT * FROM wf_begin_step('b');
SELECT wf_save_step('c', '"c"');
SELECT wf_save_step('b', '"b 1"');
SELECT wf_save_step('b', '"b 2"');
SELECT step_no, step_name FROM wf_executions;
-- (a is open still)
SELECT step_no, name, CASE WHEN name <> 'wf_now' THEN output END AS output, error,
       started_at <= completed_at AS timed FROM wf_list_steps('cs');
-- one without a begin takes the next number, and so does one more of a name
SELECT wf_save_step('b', '"b 3"');
SELECT wf_fail_step('alone', 'by itself');
SELECT wf_detach();

-- a replay: what is done is not done again, and what is not saved is open
SELECT wf_attach('cs');
SELECT step_no, step_name FROM wf_executions;
SELECT * FROM wf_begin_step('first');
SELECT * FROM wf_begin_step('nothing');
SELECT * FROM wf_begin_step('failing');
SELECT wf_now() IS NOT NULL AS now;
SELECT * FROM wf_begin_step('a');
SELECT * FROM wf_begin_step('b');
SELECT * FROM wf_begin_step('c');
SELECT * FROM wf_begin_step('b');
SELECT * FROM wf_begin_step('b');
SELECT wf_fail_step('alone', 'by itself');
SELECT wf_save_step('a', '"a"');
SELECT wf_detach();
-- ... by the short form, which raises what has failed
SELECT wf_attach('cs');
SELECT wf_get_step('first'), wf_get_step('nothing');
SELECT wf_get_step('failing');
\echo :LAST_ERROR_SQLSTATE
SELECT wf_now() IS NOT NULL AS now;
SELECT wf_get_step('a'), wf_get_step('b'), wf_get_step('c');
SELECT wf_detach();
-- another call: WF004 at once, before any work is done; and from then on
SELECT wf_attach('cs');
SELECT * FROM wf_begin_step('first');
SELECT * FROM wf_begin_step('something');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM wf_begin_step('failing');
\echo :LAST_ERROR_SQLSTATE
SELECT wf_save_step('first', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT wf_detach();
SELECT wf_attach('cs');
SELECT * FROM wf_begin_step('first');
SELECT * FROM wf_begin_step('nothing');
SELECT * FROM wf_begin_step('failing');
SELECT * FROM wf_begin_step('now');
SELECT wf_complete('"done"');

-- rolled back: a begin keeps its number, a save leaves its step open
SELECT wf_start('cs-undone'), wf_attach('cs-undone');
BEGIN;
SELECT * FROM wf_begin_step('one');
ROLLBACK;
BEGIN;
SELECT wf_save_step('one', '1');
ROLLBACK;
BEGIN;
SELECT * FROM wf_begin_step('two');
SAVEPOINT s;
SELECT wf_save_step('one', '11');
SELECT wf_save_step('two', '2');
SAVEPOINT t;
SELECT wf_save_step('two', '3');
ROLLBACK TO s;
SELECT wf_save_step('two', '22');
COMMIT;
SELECT wf_save_step('one', '111');
SELECT wf_now() IS NOT NULL AS now;
SELECT step_no, name, CASE WHEN name <> 'wf_now' THEN output END AS output FROM wf_list_steps('cs-undone');
SELECT wf_detach();

-- not inside another step, and not as another role
SELECT wf_attach('cs-undone');
SELECT * FROM wf_begin_step('one');
SELECT * FROM wf_begin_step('two');
SELECT * FROM wf_begin_step('two');
SELECT wf_now() IS NOT NULL AS now;
SELECT wf_step('inside', $$SELECT (wf_begin_step('x')).step_no$$);
SELECT wf_step('inside', $$SELECT wf_fail_step('x', 'e')$$);
RESET SESSION AUTHORIZATION;
SET ROLE regress_dwf_bob;
SELECT test.try($$SELECT wf_begin_step('s')$$);
SELECT test.try($$SELECT wf_fail_step('s', 'e')$$);
RESET ROLE;
SET SESSION AUTHORIZATION regress_dwf_alice;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_begin_step('s');
ROLLBACK;
BEGIN READ ONLY;
SELECT wf_begin_step('s');
ROLLBACK;
-- what the workflow's end leaves open is gone with it
SELECT * FROM wf_begin_step('open');
SELECT wf_cancel('cs-undone') AS cancelled;
SELECT wf_save_step('open', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT wf_detach();

-- retry: a step that has failed for good is done anew, if the workflow did not
-- go on after it
SELECT wf_start('cs-retry'), wf_attach('cs-retry');
SELECT (wf_begin_step('caught')).done;
SELECT wf_fail_step('caught', 'first');
SELECT (wf_begin_step('slow')).done;
SELECT (wf_begin_step('charge')).done;
SELECT (wf_begin_step('mail')).done;
SELECT wf_fail_step('charge', 'second');
SELECT wf_save_step('mail', '"sent"');
SELECT wf_fail('charge failed');
SELECT wf_retry('cs-retry');
SELECT step_no, name, output, error FROM wf_list_steps('cs-retry');
SELECT wf_attach('cs-retry');
SELECT * FROM wf_begin_step('caught');
SELECT * FROM wf_begin_step('slow');
SELECT * FROM wf_begin_step('charge');
SELECT * FROM wf_begin_step('mail');
SELECT wf_save_step('charge', '"paid"');
SELECT wf_complete();
SELECT step_no, name, output, error FROM wf_list_steps('cs-retry');
-- ... and from a step
SELECT wf_retry('cs-retry', 3);
SELECT step_no, name, output, error FROM wf_list_steps('cs-retry');
SELECT wf_cancel('cs-retry') AS cancelled;

-- who executes what, at which step; other roles do not see it
SELECT wf_start('cs-seen'), wf_attach('cs-seen');
SELECT step_no, step_name FROM wf_executions;
SELECT (wf_begin_step('charge')).step_no;
SELECT step_no, step_name FROM wf_executions;
SELECT wf_set_event('key', '1');
SELECT step_no, step_name FROM wf_executions;
SELECT * FROM wf_wait_any((SELECT jsonb_agg(jsonb_build_object('topic', repeat('ä', n))) FROM generate_series(100, 110) n), '0');
SELECT step_no, octet_length(step_name) FROM wf_executions;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT count(*) AS of_others FROM wf_executions;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_complete();
