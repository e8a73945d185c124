-- Streams: wf_write_stream, wf_write_stream_many, wf_read_stream,
-- wf_close_stream, wf_create_stream_url, wf_streams.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('str'), wf_start('str-2');

-- numbers by workflow and stream, from 1, without gaps
SELECT wf_write_stream(stream => 's', value => '{"v": 1}', workflow_id => 'str');
SELECT wf_write_stream('s', '"other workflow"', 'str-2'), wf_write_stream('t', '"other stream"', 'str');
SET durable_wf.workflow_id = 'str';
SELECT wf_write_stream('s', NULL), wf_write_stream('s', 'null');
SELECT wf_write_stream_many('s', '{"[4, \"ä\"]",NULL,"{}"}');
SELECT * FROM wf_read_stream('str', 's');
SELECT * FROM wf_read_stream(workflow_id => 'str', stream => 's', after => 1, max_items => 2, timeout => '0');
SELECT * FROM wf_read_stream('str', 's', 5);
SELECT * FROM wf_read_stream('str-2', 's'), wf_read_stream('str', 't') t;
CALL wf_read_stream('str', 's', 0, 100, '0', NULL, NULL, NULL);
CALL wf_read_stream('str', 's', 3, 1, NULL, '"in"', 9, true);

-- nothing there (yet): no row; a CALL keeps the number; neither need exist
SELECT * FROM wf_read_stream('str', 's', 6, 100, '10 ms');
SELECT * FROM wf_read_stream('str', 'none', timeout => '0');
SELECT * FROM wf_read_stream('str-no', 's', timeout => '10 ms');
SELECT * FROM wf_read_stream('str', 's', 9223372036854775807, 2147483647, '0');
CALL wf_read_stream('str', 's', 6, 100, '10 ms', NULL, NULL, NULL);

-- with the transaction, savepoints included
BEGIN;
SELECT wf_write_stream('s', '"rolled back"');
SELECT value FROM wf_read_stream('str', 's', 6, 1, '0');
ROLLBACK;
BEGIN;
SELECT wf_write_stream('s', '7');
SAVEPOINT s;
SELECT wf_write_stream_many('s', '{8,9}'), wf_write_stream('u', '1'), wf_close_stream('s');
SELECT test.state($$SELECT wf_write_stream('s', '10')$$);
ROLLBACK TO s;
SELECT wf_write_stream('s', '"8 again"');
COMMIT;
SELECT item_no, value FROM wf_read_stream('str', 's', 6);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM wf_read_stream('str', 's', 8, 1, '0');
SELECT wf_write_stream('s', '9'), wf_write_stream('s', '10'), wf_write_stream('rr', '1');
SELECT * FROM wf_read_stream('str', 's', 8);
SELECT test.state($$SELECT * FROM wf_read_stream('str', 's', 10)$$);
ROLLBACK;
BEGIN READ ONLY;
SELECT count(*) FROM wf_read_stream('str', 's');
SELECT test.state($$SELECT wf_write_stream('s', '1')$$), test.state($$SELECT wf_close_stream('s')$$),
       test.state($$SELECT wf_create_stream_url('s')$$);
ROLLBACK;

-- closed: what is there can be read, then it has ended; no write, not even by
-- a transaction that does not see it; again: nothing happens
SELECT wf_close_stream('s'), wf_close_stream('never written');
SELECT closed_at AS closed FROM wf_streams WHERE stream = 's' AND workflow_id = 'str' \gset
SELECT wf_close_stream('s');
SELECT closed_at = :'closed' AS same FROM wf_streams WHERE stream = 's' AND workflow_id = 'str';
SELECT test.try($$SELECT wf_write_stream('s', '1')$$);
SELECT test.try($$SELECT wf_write_stream_many('never written', '{1}')$$);
SELECT * FROM wf_read_stream('str', 's', 7);
SELECT * FROM wf_read_stream('str', 's', 8, timeout => NULL);
SELECT * FROM wf_read_stream('str', 's', 8, timeout => '0');
SELECT * FROM wf_read_stream('str', 'never written', timeout => NULL);
CALL wf_read_stream('str', 's', 8, 100, NULL, NULL, NULL, NULL);
SELECT workflow_id, stream, last_item, closed_at IS NOT NULL AS closed, written_at <= now() AS written
  FROM wf_streams WHERE workflow_id LIKE 'str%' ORDER BY 1, 2;

SELECT test.state($$SELECT wf_write_stream('both', '1'), wf_close_stream('both'), wf_write_stream('both', '2')$$);
SELECT test.state($$SELECT wf_write_stream('s', '1', 'str-2'), wf_cancel('str-2'), wf_write_stream('s', '2', 'str-2')$$);

-- the end of the workflow ends its streams, those that there never were too
SELECT wf_complete('"done"'), wf_cancel('str-2');
SELECT * FROM wf_read_stream('str', 't', timeout => NULL);
SELECT * FROM wf_read_stream('str', 't', 1, timeout => NULL);
SELECT * FROM wf_read_stream('str-2', 'none', timeout => NULL);
SELECT test.try($$SELECT wf_write_stream('t', '1')$$);
SELECT test.try($$SELECT wf_write_stream('s', '1')$$);
SELECT test.try($$SELECT wf_write_stream_many('s', '{1}', 'str-2')$$);
SELECT test.try($$SELECT wf_close_stream('t')$$);
SELECT test.try($$SELECT wf_write_stream('t', '1', 'str-no')$$);
-- ... and a retry lets them go on
SELECT wf_retry('str-2'), wf_write_stream('s', '2', 'str-2');
SELECT * FROM wf_read_stream('str-2', 's');

-- large values, whole and in pieces
SELECT wf_start('str-large');
CREATE TEMP TABLE large AS
  SELECT jsonb_agg(md5(i::text)) AS value FROM generate_series(1, 100000) i;
SELECT wf_write_stream('large', value, 'str-large') FROM large;
SELECT wf_write_stream_many('large', array_agg(value), 'str-large') FROM (SELECT value FROM large, generate_series(1, 2)) v;
SELECT item_no, r.value = large.value AS same FROM large, wf_read_stream('str-large', 'large') r;
SELECT wf_write_stream_many('many', array_agg(to_jsonb(i)), 'str-large') FROM generate_series(1, 5000) i;
SELECT count(*), min(item_no), max(item_no), bool_and(value = to_jsonb(item_no)) FROM wf_read_stream('str-large', 'many', 1000, 3000);
DO $$
DECLARE
    items jsonb;
    seen bigint := 0;
    got int := 0;
    ended boolean;
BEGIN
    PERFORM wf_close_stream('many', 'str-large');
    LOOP
        CALL wf_read_stream('str-large', 'many', seen, 700, NULL, items, seen, ended);
        EXIT WHEN ended;
        got := got + jsonb_array_length(items);
        ASSERT items->>-1 = seen::text;
    END LOOP;
    RAISE NOTICE '% %', got, seen;
END $$;
DROP TABLE large;

-- a write is a step; so is a read
SELECT wf_start('str-at');
SELECT wf_attach('str-at');
SELECT wf_write_stream('s', '1'), wf_write_stream_many('s', '{2,3}');
SELECT * FROM wf_read_stream('str-at', 's', 1);
SELECT * FROM wf_read_stream('str-at', 's', 3, timeout => '0');
SELECT token AS token FROM wf_create_stream_url('s') \gset
SELECT wf_write_stream('s', '4'), wf_close_stream('s');
SELECT * FROM wf_read_stream('str-at', 's', 4);
SELECT wf_detach();
SELECT wf_attach('str-at');
SELECT wf_write_stream('s', '1'), wf_write_stream_many('s', '{2,3}');
SELECT * FROM wf_read_stream('str-at', 's', 1);
SELECT * FROM wf_read_stream('str-at', 's', 3, timeout => '0');
SELECT token = :'token' AS same FROM wf_create_stream_url('s');
SELECT wf_write_stream('s', '4'), wf_close_stream('s');
SELECT * FROM wf_read_stream('str-at', 's', 4);
SELECT step_no, name, output FROM wf_list_steps('str-at') WHERE name NOT LIKE 'wf_create%' ORDER BY 1;
SELECT wf_detach();
SELECT wf_attach('str-at');
SELECT test.state($$SELECT wf_write_stream('t', '1')$$);
SELECT wf_detach();
SELECT wf_attach('str-at');
SELECT wf_write_stream('s', '1'), wf_write_stream_many('s', '{2,3}');
-- ... and the workflow that it goes on as has its streams
SELECT count(*) FROM wf_read_stream('str-at', 's', 1);
SELECT count(*) FROM wf_read_stream('str-at', 's', 3, timeout => '0');
SELECT count(*) FROM wf_create_stream_url('s');
SELECT wf_write_stream('s', '4'), wf_close_stream('s');
SELECT count(*) FROM wf_read_stream('str-at', 's', 4);
SELECT wf_continue_as_new('2');
SELECT wf_attach('str-at');
SELECT wf_write_stream('new', '1');
SELECT max(item_no) FROM wf_read_stream('str-at', 's');
SELECT wf_detach();

-- URLs: also of a stream that is not there, and of a workflow that has ended;
-- each call makes another
RESET durable_wf.workflow_id;
SELECT token AS one, url FROM wf_create_stream_url('s', 'str') \gset
SELECT token AS other FROM wf_create_stream_url(stream => 'none', workflow_id => 'str-2') \gset
SELECT :'url' ~ ('^https?://[^/]+/.well-known/workflow/v1/stream/' || :'one' || '$') AS url,
       :'one' ~ '^[-_A-Za-z0-9]{32}$' AS token, :'one' <> :'other' AS random;
SELECT workflow_id, stream FROM durable_wf.stream_url WHERE token IN (:'one', :'other') ORDER BY 1;
SELECT count(*) FROM wf_get_hook(:'one');
SELECT test.try(format('SELECT wf_resume_hook(%L, NULL)', :'one'));
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try(format('SELECT wf_dispose_hook(%L)', :'one'));
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_dispose_hook(:'one'), wf_dispose_hook(:'one'), wf_dispose_hook(:'other');

-- whose it is
SELECT wf_write_stream('s', '"secret"', 'str-large');
SELECT token AS token FROM wf_create_stream_url('s', 'str-large') \gset
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT call, test.state(call) FROM unnest(ARRAY[
  $$SELECT wf_write_stream('s', '1', 'str-large')$$,
  $$SELECT wf_write_stream_many('s', '{1}', 'str-large')$$,
  $$SELECT wf_close_stream('s', 'str-large')$$,
  $$SELECT wf_close_stream('many', 'str-large')$$,
  $$SELECT wf_create_stream_url('s', 'str-large')$$,
  $$SELECT * FROM wf_read_stream('str-large', 's')$$,
  $$SELECT * FROM wf_read_stream('str-large', 'none', timeout => '0')$$,
  $$SELECT * FROM wf_read_stream('str', 's')$$,
  $$CALL wf_read_stream('str-large', 's', 0, 1, NULL, NULL, NULL, NULL)$$,
  $$INSERT INTO durable_wf.stream VALUES ('str-large', 'x')$$,
  $$UPDATE durable_wf.stream_item SET value = '1'$$,
  $$DELETE FROM durable_wf.stream_url$$]) call;
SELECT (SELECT count(*) FROM wf_streams WHERE workflow_id LIKE 'str%'),
       (SELECT count(*) FROM durable_wf.stream_item WHERE workflow_id LIKE 'str%'),
       (SELECT count(*) FROM durable_wf.stream_url WHERE workflow_id LIKE 'str%');
SET SESSION AUTHORIZATION regress_dwf_alice;

-- a stream's token that another role has taken for a hook is the owner's still
SELECT token FROM wf_create_stream_url('s', wf_start('other-str')) \gset
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_create_hook(:'token', workflow_id => wf_start('other-str-bob')) = :'token' AS taken;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_dispose_hook(:'token');
SELECT wf_cancel('other-str');

-- bad arguments
SELECT call, test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_write_stream('s', '1')$$, $$SELECT wf_close_stream('s')$$, $$SELECT wf_create_stream_url('s')$$,
  $$SELECT wf_write_stream(NULL, '1', 'str-large')$$, $$SELECT wf_write_stream('', '1', 'str-large')$$,
  $$SELECT wf_write_stream(repeat('x', 513), '1', 'str-large')$$, $$SELECT wf_write_stream('s', '1', '')$$,
  $$SELECT wf_write_stream_many('s', '{}', 'str-large')$$, $$SELECT wf_write_stream_many('s', NULL, 'str-large')$$,
  $$SELECT wf_write_stream_many('s', '{{1},{2}}', 'str-large')$$,
  $$SELECT wf_close_stream(NULL, 'str-large')$$, $$SELECT wf_create_stream_url('', 'str-large')$$,
  $$SELECT wf_create_stream_url('s', 'str-no')$$,
  $$SELECT * FROM wf_read_stream(NULL, 's')$$, $$SELECT * FROM wf_read_stream('str', NULL)$$,
  $$SELECT * FROM wf_read_stream('str', 's', NULL)$$, $$SELECT * FROM wf_read_stream('str', 's', -1)$$,
  $$SELECT * FROM wf_read_stream('str', 's', 0, 0)$$, $$SELECT * FROM wf_read_stream('str', 's', 0, NULL)$$,
  $$SELECT * FROM wf_read_stream('str', 's', timeout => '-1 s')$$]) call;
SELECT wf_write_stream(repeat('ä', 256), '1', 'str-large');

-- pruned with the workflow, and nothing is left
SELECT wf_cancel(workflow_id) FROM wf_workflows WHERE workflow_id LIKE 'str%' AND finished_at IS NULL ORDER BY 1;
RESET SESSION AUTHORIZATION;
UPDATE durable_wf.workflow SET finished_at = '2000-01-01' WHERE workflow_id LIKE 'str%';
DO $$
DECLARE
    pruned int := 0;
BEGIN
    WHILE pruned < 4 LOOP       -- what no open transaction has seen unfinished
        pruned := pruned + wf_prune('10 years');
    END LOOP;
    RAISE NOTICE '% workflows', pruned;
END $$;
SELECT (SELECT count(*) FROM durable_wf.stream WHERE workflow_id LIKE 'str%'),
       (SELECT count(*) FROM durable_wf.stream_item WHERE workflow_id LIKE 'str%'),
       (SELECT count(*) FROM durable_wf.stream_url WHERE workflow_id LIKE 'str%');
