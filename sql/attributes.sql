-- What workflows are searched by (attributes), and what they have started
-- (parent_id): wf_start, wf_set_attributes, wf_cancel with children.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- a start gives attributes; a null is none; one that exists keeps its own
SELECT wf_start('attr', attributes => '{"customer": 7, "tags": ["new", "big"], "none": null}');
SELECT wf_start('attr', attributes => '{"customer": 8}'), wf_start('attr-plain');
SELECT workflow_id, attributes FROM wf_workflows WHERE workflow_id ~ '^attr' ORDER BY 1;

-- they are merged, by whole keys; null removes, only at the top
SELECT wf_set_attributes('{"customer": 9, "at": {"x": null}}', 'attr');
SELECT wf_set_attributes('{"customer": null, "tags": null}', 'attr'), wf_set_attributes('{}', 'attr') AS as_is;
SELECT wf_set_attributes(attributes => '{"at": null, "never": null}', workflow_id => 'attr');
SET durable_wf.workflow_id = 'attr-plain';
SELECT wf_set_attributes('{"of": "the current one"}');
RESET durable_wf.workflow_id;
SELECT workflow_id, attributes FROM wf_workflows WHERE attributes @> '{"of": "the current one"}';
-- what rolls back is as it was
BEGIN;
SELECT wf_set_attributes('{"of": "nobody"}', 'attr-plain');
ROLLBACK;
SELECT wf_set_attributes('{}', 'attr-plain');

-- arguments, limits, and whose they are
\a \t
SELECT test.try($$SELECT wf_start('attr-no', attributes => '[]')$$);
SELECT test.try($$SELECT wf_start('attr-no', attributes => '1')$$);
SELECT test.try($$SELECT wf_start('attr-no', attributes => 'null')$$);
SELECT test.try($$SELECT wf_start('attr-no', attributes => jsonb_build_object('k', repeat('x', 8192)))$$);
SELECT test.try($$SELECT wf_status('attr-no')$$);
SELECT test.try($$SELECT wf_set_attributes(NULL, 'attr')$$);
SELECT test.try($$SELECT wf_set_attributes('"x"', 'attr')$$);
SELECT test.try($$SELECT wf_set_attributes('{}', '')$$);
SELECT test.try($$SELECT wf_set_attributes('{}')$$);
SELECT test.try($$SELECT wf_set_attributes('{}', 'attr-no')$$);
SELECT octet_length(wf_set_attributes(jsonb_build_object('k', repeat('x', 8183)), 'attr')::text);
SELECT test.try($$SELECT wf_set_attributes('{"j": 1}', 'attr')$$);
SELECT wf_set_attributes('{"k": null, "j": 1}', 'attr');
SELECT wf_start('attr-done'), wf_start('attr-cancelled', attributes => '{"kept": true}'), wf_cancel('attr-cancelled');
SELECT wf_complete(workflow_id => 'attr-done');
SELECT test.try($$SELECT wf_set_attributes('{}', 'attr-done')$$);
SELECT test.try($$SELECT wf_set_attributes('{}', 'attr-cancelled')$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try($$SELECT wf_set_attributes('{}', 'attr')$$);
SELECT count(*) FROM wf_workflows WHERE attributes @> '{}';
SELECT count(*) FROM durable_wf.attributes;
SELECT test.state($$INSERT INTO durable_wf.attributes VALUES ('attr', '{}')$$),
       test.state($$UPDATE durable_wf.attributes SET attributes = '{}'$$),
       test.state($$DELETE FROM durable_wf.attributes$$);
\a \t
-- the index is used; a view that does not show attributes does not look
RESET SESSION AUTHORIZATION;
BEGIN;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_indexscan = off;
EXPLAIN (COSTS OFF) SELECT attributes FROM durable_wf.attributes WHERE attributes @> '{"customer": 7}';
CREATE FUNCTION test.plan_names(query text, name text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line LIKE '%' || name || '%' THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
SELECT test.plan_names($$SELECT workflow_id FROM wf_workflows WHERE attributes @> '{"customer": 7}'$$, 'attributes_idx') AS by_index,
       test.plan_names($$SELECT workflow_id, status FROM wf_workflows WHERE workflow_id = 'attr'$$, 'attributes') AS looks;
-- for those whom the policy is for, too, as long as nothing in the condition
-- could tell what they may not see
CREATE FUNCTION test.peek(value jsonb) RETURNS jsonb STABLE COST 0.0001 LANGUAGE plpgsql AS $$
BEGIN
    IF value ? 'of' THEN
        RAISE NOTICE 'peeked: %', value;
    END IF;
    RETURN value;
END $$;
SET LOCAL ROLE regress_dwf_bob;
SELECT test.plan_names('SELECT FROM wf_workflows WHERE ' || condition, 'attributes_idx') AS by_index, condition
  FROM unnest(ARRAY[$$attributes @> '{"customer": 7}'$$, $$attributes @> jsonb_build_object('customer', 7)$$,
                    $$attributes @> test.peek('{"customer": 7}')$$, $$attributes @> attributes$$,
                    $$attributes @> '{"a": 1}' AND test.peek(attributes) @> '{"b": 2}'$$]) condition;
SELECT count(*) FROM wf_workflows WHERE attributes @> '{"of": "the current one"}' AND test.peek(attributes) <> '{}';
SELECT count(*) FROM durable_wf.attributes WHERE test.peek(attributes) @> '{}' AND attributes @> '{}';
SET LOCAL ROLE regress_dwf_alice;
SELECT count(*) FROM wf_workflows WHERE attributes @> '{"of": "the current one"}' AND test.peek(attributes) <> '{}';
PREPARE search (jsonb) AS SELECT workflow_id FROM wf_workflows WHERE attributes @> $1;
EXECUTE search ('{"of": "the current one"}');
DEALLOCATE search;
ROLLBACK;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_prune('0') > 0 AS pruned FROM (SELECT wf_status('attr')) s;
SELECT count(*) FROM durable_wf.attributes WHERE workflow_id = 'attr-cancelled';

-- in an attached session it is a step, and answers from the record
SELECT wf_start('attr-step'), wf_attach('attr-step');
SELECT wf_set_attributes('{"n": 1}');
SELECT wf_set_attributes('{"m": 1}', 'attr');
SELECT wf_detach();
SELECT wf_set_attributes('{"n": 2}', 'attr-step'), wf_attach('attr-step');
SELECT wf_set_attributes('{"n": 1}') AS replayed, wf_set_attributes('{"m": 1}', 'attr') AS replayed;
SELECT wf_set_attributes('{}') AS new;
SELECT step_no, name FROM wf_list_steps('attr-step');
SELECT wf_complete();
-- it does not keep a cancel waiting: the workflow's row is not locked
BEGIN;
SELECT wf_set_attributes('{"open": true}', 'attr');
SELECT count(*) FROM pg_locks WHERE relation = 'durable_wf.workflow'::regclass AND mode IN ('RowExclusiveLock', 'RowShareLock') AND pid = pg_backend_pid();
COMMIT;

-- a start in an attached session notes its parent, in a step's command too;
-- one by the setting does not, nor does that of what exists
SELECT wf_start('kin'), wf_attach('kin');
SELECT wf_start('kin-1'), wf_start('kin-2', queue => 'kin', attributes => '{"child": 2}'), wf_start('attr');
SELECT wf_step('s', $$SELECT wf_start('kin-3', start_after => '1 h')$$);
SELECT wf_detach();
SET durable_wf.workflow_id = 'kin';
SELECT wf_start('kin-none');
RESET durable_wf.workflow_id;
SELECT wf_attach('kin-1');
SELECT wf_start('kin-1-1'), wf_start('kin-1-2');
SELECT wf_complete();
SELECT wf_attach('kin-1-2');
SELECT wf_start('kin-1-2-1');
SELECT wf_detach();
SELECT workflow_id, parent_id, queue, attributes, due_at > created_at AS later
  FROM wf_workflows WHERE workflow_id ~ '^(kin|attr$)' ORDER BY 1;

-- a cancel without children leaves them; with them, all that live, through
-- what has ended; in one transaction
BEGIN;
SELECT wf_cancel('kin', 'no stock', children => true);
SELECT workflow_id, status, error FROM wf_workflows WHERE workflow_id ~ '^kin' ORDER BY 1;
ROLLBACK;
SELECT wf_cancel('kin');
SELECT workflow_id, status, error FROM wf_workflows WHERE workflow_id ~ '^kin' ORDER BY 1;
SELECT wf_cancel('kin', children => true) AS was_live;
SELECT workflow_id, status, error FROM wf_workflows WHERE workflow_id ~ '^kin' ORDER BY 1;
SELECT * FROM wf_result('kin-none', '0');

-- one child of somebody else's: nothing is cancelled
SELECT wf_start('foe'), wf_attach('foe');
SELECT wf_start('foe-' || n) FROM generate_series(1, 3) n;
SELECT wf_detach();
RESET SESSION AUTHORIZATION;
SELECT wf_set_owner('foe-2', 'regress_dwf_bob');
SET SESSION AUTHORIZATION regress_dwf_alice;
\a \t
SELECT test.try($$SELECT wf_cancel('foe', 'x', true)$$);
SELECT test.try($$SELECT wf_cancel('foe', 'x', NULL)$$);
SELECT test.try($$SELECT wf_cancel('foe-no', children => true)$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_cancel('foe', children => true);
ROLLBACK;
\a \t
SELECT workflow_id, status FROM durable_wf.workflow WHERE workflow_id ~ '^foe' ORDER BY 1;
-- unless it has ended
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_cancel('foe-2', 'mine');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_cancel('foe', 'x', true);
RESET SESSION AUTHORIZATION;
SELECT workflow_id, status, error FROM durable_wf.workflow WHERE workflow_id ~ '^foe' ORDER BY 1;
SET SESSION AUTHORIZATION regress_dwf_alice;

-- a child that cancels its parent with its children ends its own run
SELECT wf_start('up'), wf_attach('up');
SELECT wf_start('up-1');
SELECT wf_detach();
SELECT wf_attach('up-1');
SELECT wf_cancel('up', 'from below', true), wf_current();
SELECT wf_current(), wf_status('up-1');

-- a circle, after a removal: each is met once
SELECT wf_start('ring'), wf_attach('ring');
SELECT wf_start('ring-1');
SELECT wf_complete();
SELECT wf_delete('ring');
SELECT wf_attach('ring-1');
SELECT wf_start('ring');
SELECT wf_detach();
SELECT workflow_id, parent_id FROM wf_workflows WHERE workflow_id ~ '^ring' ORDER BY 1;
SELECT wf_cancel('ring-1', children => true), wf_status('ring');

-- many, of many parents, in pages
SELECT wf_start('many'), wf_attach('many');
SELECT count(wf_start('many-' || n)) FROM generate_series(1, 2500) n;
SELECT wf_detach();
RESET SESSION AUTHORIZATION;
INSERT INTO durable_wf.workflow (workflow_id, owner, parent_id)
  SELECT format('many-%s-%s', p, n), 'regress_dwf_alice', 'many-' || p
    FROM generate_series(1, 2500) p, generate_series(1, 1 + 1200 * (p = 300)::int) n;
DELETE FROM durable_wf.home WHERE system_identifier = 0;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_cancel('many', 'all', true);
SELECT status, error, count(*) FROM wf_workflows WHERE workflow_id ~ '^many' GROUP BY 1, 2;

-- a start and the parent's end in one transaction, and a failed savepoint
SELECT wf_start('last'), wf_attach('last');
BEGIN;
SAVEPOINT s;
SELECT wf_start('last-0');
ROLLBACK TO s;
SELECT wf_start('last-1');
SELECT wf_complete('"done"');
COMMIT;
SELECT workflow_id, status, parent_id FROM wf_workflows WHERE workflow_id ~ '^last' ORDER BY 1;
SELECT wf_start('last-2'), wf_attach('last-2');
BEGIN;
SELECT wf_start('last-2-1');
SET TRANSACTION READ ONLY;
COMMIT;
SELECT wf_detach(), wf_cancel('last-2', '', true), wf_status('last-2-1');
SELECT error FROM wf_workflows WHERE workflow_id = 'last-2-1';

RESET SESSION AUTHORIZATION;
DELETE FROM durable_wf.attributes;
DELETE FROM durable_wf.message WHERE workflow_id ~ '^(attr|kin|foe|up|ring|many|last)';
DELETE FROM durable_wf.step WHERE workflow_id ~ '^(attr|kin|foe|up|ring|many|last)';
DELETE FROM durable_wf.workflow WHERE workflow_id ~ '^(attr|kin|foe|up|ring|many|last)';
