-- Back to a step: what its records held is gone, what it received is in its
-- queue again.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- What lies in a mailbox, as it was sent; and the journal.
CREATE VIEW lies AS
SELECT m.workflow_id, m.message_id, m.door, m.key, m.payload, m.created_at
  FROM durable_wf.message m WHERE m.workflow_id LIKE 'back%';
CREATE TABLE sent AS TABLE lies WITH NO DATA;
CREATE FUNCTION steps(id text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat(step_no, ' ', name), ', ' ORDER BY step_no) FROM wf_list_steps(id)
$$;
-- In which of the mailboxes it is not as it was.
CREATE FUNCTION differs() RETURNS TABLE (missing bigint, other bigint) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM (TABLE sent EXCEPT TABLE lies) s),
           (SELECT count(*) FROM (TABLE lies EXCEPT TABLE sent) l)
$$;

-- each way to receive
SELECT wf_start('back'), wf_start('back-other');
SELECT wf_create_hook('back-hook', workflow_id => 'back');
SELECT count(wf_send('back', to_jsonb(n), 't')) FROM generate_series(1, 6) n;
SELECT count(wf_send('back', to_jsonb(n))) FROM generate_series(1, 2) n;
SELECT wf_send('back', 'null', 'null') IS NOT NULL AS sent, wf_send('back', '"ä \\ \" {}"', 'odd ''"{},') IS NOT NULL AS sent,
       wf_send('back', '"in a step"', 'step') IS NOT NULL AS sent, wf_send('back-other', '"other"', 'o') IS NOT NULL AS sent;
SELECT count(*) FROM wf_notify('e', '{"n": 1}', 'back');
SELECT wf_resume_hook('back-hook', '{"paid": 1.50}');
INSERT INTO sent TABLE lies;
SELECT wf_attach('back');
SELECT wf_step('before', 'SELECT 1');
SELECT wf_recv('t', '0');
SELECT * FROM wf_recv_any('{t,NULL}', '0');
SELECT message FROM wf_recv_many('t', 3, '0');
SELECT wf_recv(timeout => '0'), wf_recv('none', '0'), wf_recv('null', '0');
SELECT wf_recv('odd ''"{},', '0');
SELECT * FROM wf_wait_for_event('e', '0');
SELECT * FROM wf_wait_for_event('e', '0');
SELECT wf_await_hook('back-hook', '0');
SELECT wf_recv('o', '0', 'back-other');
SELECT wf_step('receives', $$SELECT to_jsonb(array[wf_recv('step', '0'), wf_recv('t', '0')])$$);
BEGIN; SAVEPOINT s; SELECT wf_recv('t', '0'); ROLLBACK TO s; SELECT wf_recv(timeout => '0'); COMMIT;
SELECT wf_complete('"done"');
SELECT steps('back');
SELECT key, payload FROM lies ORDER BY message_id;

-- only one that has ended, or is suspended; from a step that there is
SELECT test.try($$SELECT wf_retry('back')$$);
SELECT test.try($$SELECT wf_retry('back', 0)$$);
SELECT test.try($$SELECT wf_retry('back', -1)$$);
SELECT test.try($$SELECT wf_retry('back', 17)$$);
SELECT test.try($$SELECT wf_retry('back-no', 1)$$);
SELECT test.try($$SELECT wf_retry('back-other', 1)$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try($$SELECT wf_retry('back', 1)$$);
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT steps('back'), wf_status('back'), count(*) FROM lies;

-- nothing, if it rolls back
BEGIN;
SELECT wf_retry('back', 2);
SELECT * FROM differs();
ROLLBACK;
SELECT wf_status('back'), count(*) FROM lies;

-- all of it
SELECT wf_retry('back', 2);
SELECT steps('back'), status, output, error, timeout_at, attempts FROM durable_wf.workflow WHERE workflow_id = 'back';
SELECT * FROM differs();
SELECT wf_attach('back');
SELECT wf_step('before', 'SELECT 2');
SELECT wf_recv('t', '0'), wf_recv('t', '0'), wf_await_hook('back-hook', '0');
SELECT test.try($$SELECT wf_retry('back', 1)$$);
SELECT wf_detach();
SELECT test.try($$SELECT wf_retry('back', 1)$$);

-- a part of it, after each kind of end; as often as one likes
SELECT wf_cancel('back');
SELECT wf_retry('back', 3), steps('back');
SELECT payload FROM lies WHERE workflow_id = 'back' AND key = 't' ORDER BY message_id;
SELECT wf_attach('back');
SELECT wf_step('before', 'SELECT 2'), wf_recv('t', '0'), wf_recv('t', '0');
SELECT wf_fail('failed');
SELECT wf_retry('back', 4), steps('back'), wf_cancel('back');
SELECT wf_retry('back', 1), steps('back'), wf_cancel('back');
SELECT * FROM differs();

-- what it did stays done
SELECT wf_start('back-does');
SELECT wf_attach('back-does');
CREATE TABLE back_log (n int);
SELECT wf_step('log', 'INSERT INTO back_log VALUES (1)'), wf_set_event('k', '1'), wf_create_hook('back-made'),
       wf_send('back-other', '"from a step"', 'from', 'key') IS NOT NULL AS sent, wf_start('back-child');
SELECT wf_complete();
SELECT wf_retry('back-does', 1);
SELECT count(*), wf_get_event('back-does', 'k', '0'), wf_status('back-child') FROM back_log;
SELECT wf_resume_hook('back-made', '2');
SELECT wf_attach('back-does');
SELECT wf_step('log', 'INSERT INTO back_log VALUES (1)'), wf_set_event('k', '2'), wf_create_hook('back-made'),
       wf_send('back-other', '"from a step"', 'from', 'key') IS NOT NULL AS sent, wf_start('back-child');
SELECT wf_await_hook('back-made', '0'), wf_complete();
SELECT count(*), (SELECT count(*) FROM lies WHERE key = 'from') AS sent_once FROM back_log;

-- a token that another workflow has taken meanwhile
SELECT wf_create_hook('back-made', workflow_id => 'back-other');
SELECT test.try($$SELECT wf_retry('back-does', 7)$$);
SELECT wf_status('back-does'), steps('back-does');

-- what another role has by now is not taken back to it
SELECT wf_start('back-lends');
SELECT wf_send('back-child', '1') IS NOT NULL AS sent, wf_attach('back-lends');
SELECT wf_recv(NULL, '0', 'back-child'), wf_complete();
RESET SESSION AUTHORIZATION;
SELECT wf_set_owner('back-child', 'regress_dwf_bob');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.try($$SELECT wf_retry('back-lends', 1)$$);
RESET SESSION AUTHORIZATION;
DELETE FROM durable_wf.workflow WHERE workflow_id = 'back-child';
SET SESSION AUTHORIZATION regress_dwf_alice;
-- and goes with its mailbox
SELECT wf_retry('back-lends', 1), steps('back-lends');
SELECT count(*) FROM lies WHERE workflow_id = 'back-child';

-- a record of an earlier version
SELECT wf_start('back-old');
SELECT wf_send('back-old', '1') IS NOT NULL AS sent, wf_attach('back-old');
SELECT wf_recv('none', '0'), wf_recv(), wf_step('after', 'SELECT 1'), wf_complete();
RESET SESSION AUTHORIZATION;
UPDATE durable_wf.step SET taken = NULL WHERE workflow_id = 'back-old';
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.try($$SELECT wf_retry('back-old', 1)$$);
SELECT test.try($$SELECT wf_retry('back-old', 2)$$);
SELECT wf_status('back-old');
SELECT wf_retry('back-old', 3), steps('back-old');

-- many items, far below the head of their queue
SELECT wf_start('back-many');
SELECT count(wf_send('back-many', to_jsonb(n), 't')) FROM generate_series(1, 500) n;
SELECT wf_attach('back-many');
SELECT count(*) FROM generate_series(1, 5), wf_recv_many('t', 50, '0');
SELECT count(*) FROM wf_recv_many('t', 1, '0');
SELECT count(wf_recv('t', '0')) FROM generate_series(1, 200);
SELECT wf_complete();
SELECT wf_retry('back-many', 1);
SELECT count(*), min(payload::int), max(payload::int) FROM lies WHERE workflow_id = 'back-many';
SELECT wf_recv('t', '0', 'back-many'), wf_recv('t', '0', 'back-many');

SELECT wf_cancel(workflow_id) FROM wf_workflows WHERE workflow_id LIKE 'back%' AND finished_at IS NULL;
SELECT wf_prune('0') > 0 AS pruned;
DROP TABLE sent, back_log;
DROP FUNCTION steps, differs;
DROP VIEW lies;
