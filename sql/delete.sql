-- wf_delete: one workflow that has ended, and all that belongs to it; and what
-- a row that is deleted by hand takes along.  (Whom it waits for: iso-delete.)

-- How many rows of each table belong to a workflow.
CREATE FUNCTION test.rows_of(id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    tables text[];
    name text;
    here bigint;
    found text := '';
BEGIN
    SELECT array_agg(c.relname ORDER BY c.relname) INTO tables
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workflow_id'
     WHERE c.relnamespace = 'durable_wf'::regnamespace AND c.relkind = 'r' AND NOT a.attisdropped;
    FOREACH name IN ARRAY tables LOOP
        EXECUTE format('SELECT count(*) FROM durable_wf.%I WHERE workflow_id = $1', name) INTO here USING id;
        IF here > 0 THEN
            found := concat(found, ' ', name);
        END IF;
    END LOOP;
    RETURN found;
END $$;
-- A workflow with a row in each of them.
CREATE PROCEDURE test.fill(id text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_start(id, attributes => '{"a": 1}');
    PERFORM wf_send(id, '1', 't', 'key'), wf_notify('e', '1', id), wf_set_event('k', '1', id);
    PERFORM wf_create_hook('delete-hook ' || id, workflow_id => id), wf_write_stream('s', '1', id);
    PERFORM wf_resume_hook('delete-hook ' || id, '1'), wf_create_stream_url('s', id);
    INSERT INTO durable_wf.step (workflow_id, step_no, function, started_at) VALUES (id, 1, 'wf_now', now());
    INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key)
    VALUES (id, 0, 1, 't', id, '');
    INSERT INTO durable_wf.request (workflow_id, request_id, token) VALUES (id, 1, 'delete-hook ' || id);
    INSERT INTO durable_wf.delivery VALUES (id, 'm', 't', 1, 1);
    INSERT INTO durable_wf.dead_letter VALUES (id, 'm', 't', 1, '1', 1, now());
END $$;

CALL test.fill('del-1');
CALL test.fill('del-10');
CALL test.fill('del-2');
SELECT test.rows_of('del-1');
SELECT test.try($$SELECT wf_delete('del-1')$$);
SELECT wf_cancel('del-1'), wf_cancel('del-10');
SELECT test.rows_of('del-1');
SELECT wf_delete('del-1'), wf_delete('del-1'), wf_delete('del-never');
SELECT test.rows_of('del-1'), test.rows_of('del-10');
SELECT wf_start('del-1'), wf_mailbox.* FROM wf_mailbox WHERE workflow_id = 'del-1';

-- Its hook's token, its id and its keys are free.
SELECT wf_create_hook('delete-hook del-1', workflow_id => wf_start('del-1'));
SELECT wf_send('del-1', '"again"', 't', 'key') > 0 AS sent, wf_recv('t', '0', 'del-1');

-- By hand: the same, whether or not it has ended.
DELETE FROM durable_wf.workflow WHERE workflow_id IN ('del-10', 'del-2', 'del-1');
SELECT test.rows_of('del-1'), test.rows_of('del-10'), test.rows_of('del-2');
-- (a subscriber is told of each row)
CALL test.fill('del-2');
SET session_replication_role = replica;
DELETE FROM durable_wf.workflow WHERE workflow_id = 'del-2';
RESET session_replication_role;
SELECT test.rows_of('del-2') <> '' AS left_alone;
SELECT wf_start('del-2');
DELETE FROM durable_wf.workflow WHERE workflow_id = 'del-2';
SELECT test.rows_of('del-2');

-- What is refused.
SELECT wf_start('del-3');
BEGIN;
SELECT wf_complete('1', 'del-3');
SELECT test.try($$SELECT wf_delete('del-3')$$);
COMMIT;
SELECT test.try('SELECT wf_delete(NULL)');
SELECT test.try($$SELECT wf_delete('')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT test.try($$SELECT wf_delete('del-3')$$);
ROLLBACK;
BEGIN READ ONLY;
SELECT test.try($$SELECT wf_delete('del-3')$$);
ROLLBACK;
SET ROLE regress_dwf_bob;
SELECT test.try($$SELECT wf_delete('del-3')$$);
RESET ROLE;
SELECT wf_set_owner('del-3', 'regress_dwf_bob');
SET ROLE regress_dwf_bob;
SELECT wf_delete('del-3');
RESET ROLE;

-- It rolls back; in a transaction that has written, it works, too.
SELECT wf_start('del-4'), wf_start('del-5');
SELECT wf_complete('1', 'del-4'), wf_complete('1', 'del-5');
BEGIN;
SELECT wf_delete('del-4');
ROLLBACK;
SELECT wf_status('del-4');
BEGIN;
SELECT wf_start('del-6');
SELECT wf_delete('del-4'), wf_delete('del-5');
COMMIT;
SELECT test.try($$SELECT wf_status('del-4')$$);

-- In an attached session it is a step: a replay deletes nothing.
SELECT wf_start('del-step', queue => 'del'), wf_start('del-7');
SELECT wf_complete('1', 'del-7');
SELECT wf_attach('del-step');
SELECT wf_delete('del-7');
SELECT wf_detach();
SELECT wf_start('del-7');
SELECT wf_complete('2', 'del-7');
SELECT wf_attach('del-step');
SELECT wf_delete('del-7') AS replayed;
SELECT wf_status('del-7');
SELECT wf_delete('del-7') AS anew;
SELECT wf_complete();
SELECT wf_cancel('del-6');
SELECT wf_delete('del-step'), wf_delete('del-6');
DROP FUNCTION test.rows_of;
DROP PROCEDURE test.fill;

-- It costs what the workflow has, whatever others have: where nearly all rows
-- are another one's, and the statistics say so, nothing of them is read.
SELECT wf_start(id) FROM unnest('{del-busy,del-idle,del-old,del-by-hand}'::text[]) id;
SELECT count(wf_send('del-busy', '1', 't', 'key ' || n)),
       count(wf_set_event('key ' || n, '1', 'del-busy')),
       count(wf_write_stream('s', '1', 'del-busy'))
  FROM generate_series(1, 2000) n;
INSERT INTO durable_wf.step (workflow_id, step_no, function, started_at)
SELECT 'del-busy', n, 'wf_now', now() FROM generate_series(1, 2000) n;
INSERT INTO durable_wf.delivery (workflow_id, door, key, message_id, deliveries)
SELECT workflow_id, door, key, message_id, 1
  FROM durable_wf.message WHERE workflow_id = 'del-busy';
INSERT INTO durable_wf.dead_letter (workflow_id, door, key, message_id, payload, deliveries, created_at)
SELECT workflow_id, door, key, message_id, payload, 1, created_at
  FROM durable_wf.message WHERE workflow_id = 'del-busy';
ANALYZE durable_wf.message, durable_wf.event, durable_wf.stream_item, durable_wf.step,
	durable_wf.idempotency, durable_wf.delivery, durable_wf.dead_letter;
CREATE VIEW test.rows_read AS
SELECT count(*) AS tables, sum(seq_tup_read) > 100 OR sum(idx_tup_fetch) > 100 AS many_rows
  FROM pg_stat_xact_user_tables
 WHERE schemaname = 'durable_wf'
   AND relname IN ('message', 'event', 'stream_item', 'step', 'idempotency', 'delivery', 'dead_letter');
SELECT wf_complete('1', 'del-idle'), wf_complete('1', 'del-old'), wf_complete('1', 'del-by-hand');
UPDATE durable_wf.workflow SET finished_at = finished_at - interval '10 years' WHERE workflow_id = 'del-old';
\c -
BEGIN;
SELECT wf_delete('del-idle');
TABLE test.rows_read;
COMMIT;
BEGIN;
SELECT count(wf_prune('9 years')) AS called;
TABLE test.rows_read;
COMMIT;
BEGIN;
DELETE FROM durable_wf.workflow WHERE workflow_id = 'del-by-hand';
TABLE test.rows_read;
COMMIT;
SELECT wf_cancel('del-busy');
SELECT wf_delete('del-busy');
SELECT count(*) FROM durable_wf.stream_item WHERE workflow_id = 'del-busy';
DROP VIEW test.rows_read;
