-- Identity and life: wf_start, wf_status, wf_current, wf_complete, wf_fail,
-- wf_cancel, wf_set_owner, wf_result.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- a name is given, or made up
SELECT wf_start('wf-named');
SELECT wf_start() AS id \gset
SELECT :'id' ~ '^[0-9a-f-]{36}$' AS is_random, wf_status(:'id'),
       :'id' <> wf_start() AS is_new;
SELECT wf_start(NULL) <> wf_start(NULL) AS each_is_new;
SELECT wf_status(workflow_id => 'wf-named');

-- all arguments: by name, by position
SELECT wf_start(workflow_id => 'wf-input', body => NULL, input => '{"n": 1}',
                queue => NULL, start_after => '0', timeout => NULL);
SELECT wf_start('wf-json-null', NULL, 'null', NULL, '0', NULL);
SELECT workflow_id, owner, status, body, input, output, error, attempts,
       created_at IS NOT NULL AS created, updated_at = created_at AS untouched,
       finished_at
  FROM wf_workflows
 WHERE workflow_id IN ('wf-named', 'wf-input', 'wf-json-null')
 ORDER BY 1;

-- a start is idempotent; null takes the workflow as it is
SELECT wf_start('wf-input'), wf_start('wf-input', input => NULL),
       wf_start('wf-input', input => '{"n": 1.00}');
SELECT wf_start('wf-json-null', input => 'null');
SELECT input FROM wf_workflows WHERE workflow_id = 'wf-input';
\a \t
SELECT test.try($$SELECT wf_start('wf-input', input => '{"n": 2}')$$);
SELECT test.try($$SELECT wf_start('wf-input', input => 'null')$$);
SELECT test.try($$SELECT wf_start('wf-named', input => '{}')$$);
SELECT test.try($$SELECT wf_start('wf-named', input => 'null')$$);
SELECT test.try($$SELECT wf_start('wf-json-null', input => '{}')$$);

-- a body that is none, and what is not run at once
SELECT test.try($$SELECT wf_start('wf-no', body => 'checkout')$$);
SELECT test.try($$SELECT wf_start('wf-later', queue => 'q')$$);
SELECT test.try($$SELECT wf_start('wf-later 2', start_after => '1 s')$$);
SELECT test.try($$SELECT wf_start('wf-later 3', timeout => '1 h')$$);
SELECT workflow_id, status, queue, due_at - created_at AS delay, timeout_at - created_at AS timeout
  FROM durable_wf.workflow WHERE workflow_id LIKE 'wf-later%' ORDER BY 1;
SELECT test.try($$SELECT wf_start('wf-named', body => 'checkout')$$);
SELECT test.try($$SELECT wf_start('wf-named', queue => 'q')$$);
SELECT test.try($$SELECT wf_start('wf-no', start_after => '-1 s')$$);
SELECT test.try($$SELECT wf_start('wf-no', timeout => '-1 s')$$);
SELECT test.try($$SELECT wf_start('')$$);
SELECT test.try($$SELECT wf_status('wf-no')$$);

-- a start takes effect at commit
BEGIN;
SELECT wf_start('wf-rolled-back'), wf_status('wf-rolled-back');
ROLLBACK;
SELECT test.try($$SELECT wf_status('wf-rolled-back')$$);
SELECT test.try($$SELECT wf_status(workflow_id => NULL)$$);
SELECT test.try($$SELECT wf_status('')$$);

-- the current workflow: there is none, then the session's, the transaction's
SELECT wf_current() IS NULL;
SELECT test.state($$SELECT wf_complete()$$), test.state($$SELECT wf_fail('x')$$);
SELECT test.try($$SELECT wf_recv(timeout => '0')$$);
SELECT test.try($$SELECT wf_recv_any(ARRAY['t'], timeout => '0')$$);
SELECT test.try($$SELECT wf_recv_many(timeout => '0')$$);
SELECT test.try($$SELECT wf_set_event('k', '1')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', '0')$$);
SET durable_wf.workflow_id = 'wf-named';
BEGIN;
SET LOCAL durable_wf.workflow_id = 'wf-input';
SELECT wf_current();
COMMIT;
SELECT wf_current();
SET durable_wf.workflow_id = '';
SELECT wf_current() IS NULL;
SELECT set_config('durable_wf.workflow_id', 'wf-named', false);
RESET ALL;
SELECT wf_current() IS NULL;
-- or that of a function, while it runs
CREATE FUNCTION acts_as_input(OUT id text, OUT sent bigint, OUT m jsonb)
LANGUAGE plpgsql SET durable_wf.workflow_id = 'wf-input' AS $$
BEGIN
    id := wf_current();
    sent := wf_send(id, '"to itself"');
    m := wf_recv();
END$$;
SELECT id, m, wf_current() IS NULL FROM acts_as_input();
-- the call decides before the setting
SET durable_wf.workflow_id = 'wf-no';
SELECT test.try($$SELECT wf_recv(timeout => '0')$$);
SELECT test.try($$SELECT wf_recv(timeout => '0', workflow_id => 'wf-named')$$);
SELECT test.try($$SELECT wf_recv(timeout => '0', workflow_id => '')$$);
DISCARD ALL;
SELECT wf_current() IS NULL;
SET SESSION AUTHORIZATION regress_dwf_alice;
\pset null '(null)'
\a \t

-- SUCCESS
SELECT wf_start('wf-done');
SET durable_wf.workflow_id = 'wf-done';
SELECT wf_complete(output => '{"paid": true}');
SELECT wf_status('wf-done');
SELECT * FROM wf_result('wf-done');
SELECT wf_result(workflow_id => 'wf-done', timeout => NULL);
SELECT status, output, error, finished_at = updated_at AS finished
  FROM wf_workflows WHERE workflow_id = 'wf-done';

-- without an output, with JSON null
SELECT wf_start('wf-done-null'), wf_start('wf-done-json-null');
SET durable_wf.workflow_id = 'wf-done-null';
SELECT wf_complete();
SET durable_wf.workflow_id = 'wf-done-json-null';
SELECT wf_complete('null');
SELECT 'null' AS given, r.* FROM wf_result('wf-done-json-null') r
UNION ALL
SELECT NULL, r.* FROM wf_result('wf-done-null') r;

-- ERROR
SELECT wf_start('wf-failed');
SET durable_wf.workflow_id = 'wf-failed';
SELECT test.try($$SELECT wf_fail(NULL)$$);
SELECT wf_fail(error => E'100%s of "it"\n\\ failed');
SELECT * FROM wf_result('wf-failed');

-- CANCELLED
SELECT wf_start('wf-cancelled');
SELECT wf_cancel(workflow_id => 'wf-cancelled');
SELECT wf_cancel('wf-cancelled') AS again, wf_cancel('wf-done') AS done,
       wf_cancel('wf-failed') AS failed;
SELECT * FROM wf_result('wf-cancelled');
SELECT workflow_id, status, output, finished_at IS NOT NULL AS finished
  FROM wf_workflows
 WHERE workflow_id IN ('wf-done', 'wf-failed', 'wf-cancelled') ORDER BY 1;

-- the end names its workflow, before the setting; who cancels and why is kept
SELECT wf_start('wf-named-1'), wf_start('wf-named-2'), wf_start('wf-named-3');
SET durable_wf.workflow_id = 'wf-named-3';
SELECT wf_complete('1', 'wf-named-1'), wf_fail(error => 'no', workflow_id => 'wf-named-2');
SELECT wf_complete(workflow_id => NULL);
RESET durable_wf.workflow_id;
SELECT 1 AS of, r.* FROM wf_result('wf-named-1') r
UNION ALL SELECT 2, r.* FROM wf_result('wf-named-2') r
UNION ALL SELECT 3, r.* FROM wf_result('wf-named-3') r ORDER BY 1;
SELECT wf_start('wf-reason'), wf_cancel('wf-reason', reason => E'100%s of "it"');
SELECT wf_cancel('wf-reason', 'again'), wf_cancel('wf-named-1', 'too late');
SELECT 1 AS of, r.* FROM wf_result('wf-reason') r UNION ALL SELECT 2, r.* FROM wf_result('wf-named-1') r ORDER BY 1;
SELECT wf_retry('wf-reason'), status, error FROM wf_result('wf-reason', '0');
SELECT status, error FROM wf_result('wf-reason', '0');

-- an end is an end
\a \t
SET durable_wf.workflow_id = 'wf-done';
SELECT test.try($$SELECT wf_complete('2')$$);
SELECT test.try($$SELECT wf_fail('2')$$);
SET durable_wf.workflow_id = 'wf-failed';
SELECT test.try($$SELECT wf_complete('2')$$);
SELECT test.try($$SELECT wf_fail('2')$$);
SET durable_wf.workflow_id = 'wf-cancelled';
SELECT test.try($$SELECT wf_complete('2')$$);
SELECT test.try($$SELECT wf_fail('2')$$);
SET durable_wf.workflow_id = 'wf-no';
SELECT test.try($$SELECT wf_complete('2')$$);
SELECT test.try($$SELECT wf_fail('2')$$);
SELECT test.try($$SELECT wf_cancel('wf-no')$$);
SELECT test.try($$SELECT wf_cancel('')$$);
SELECT test.try($$SELECT wf_cancel(NULL)$$);
SELECT test.try($$SELECT wf_complete('2', 'wf-no')$$);
SELECT test.try($$SELECT wf_fail('2', '')$$);
SELECT test.try($$SELECT wf_fail(NULL, 'wf-named')$$);
RESET durable_wf.workflow_id;
-- starting it again changes nothing
SELECT wf_start('wf-done'), wf_start('wf-cancelled'), wf_status('wf-done');
-- an end that is rolled back is none
BEGIN;
SELECT wf_cancel('wf-named'), wf_status('wf-named');
ROLLBACK;
SELECT wf_status('wf-named');

-- the result of what has not ended: at once, or after the timeout
SELECT wf_result('wf-named', '0');
SELECT wf_result('wf-named', '10 ms');
SELECT test.try($$SELECT wf_result('wf-no', '0')$$);
SELECT test.try($$SELECT wf_result('wf-no')$$);
SELECT test.try($$SELECT wf_result(NULL)$$);
SELECT test.try($$SELECT wf_result('')$$);
SELECT test.try($$SELECT wf_result('wf-named', '-1 s')$$);

-- set_owner: what fails without another role (more in privilege.sql)
SELECT wf_set_owner(workflow_id => 'wf-named', owner => 'regress_dwf_alice');
SELECT test.try($$SELECT wf_set_owner('wf-no', 'regress_dwf_alice')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', 'regress_dwf_%s')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', 'REGRESS_DWF_ALICE')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', 'public')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', '')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', NULL)$$);
SELECT test.try($$SELECT wf_set_owner(NULL, 'regress_dwf_alice')$$);
SELECT test.try($$SELECT wf_set_owner('', 'regress_dwf_alice')$$);
SELECT test.try($$SELECT wf_set_owner('wf-named', 'regress_dwf_bob')$$);

-- the setting has the limit of what it names; others of our names are refused
SET durable_wf.no_such_setting = 1;
