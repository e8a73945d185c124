-- Events: wf_set_event, wf_get_event.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('ev'), wf_start('ev-2');

-- the latest value wins, per workflow and key
SELECT wf_set_event(key => 'k', value => '{"v": 1}', workflow_id => 'ev');
SELECT wf_set_event('k', '{"v": 9}', 'ev-2');
SET durable_wf.workflow_id = 'ev';
SELECT wf_set_event('other', '"o"');
SELECT wf_set_event('K', '"upper"');
SELECT wf_get_event('ev', 'k'), wf_get_event('ev-2', 'k', NULL),
       wf_get_event(workflow_id => 'ev', key => 'other', timeout => '0'),
       wf_get_event('ev', 'K', '0');
SELECT wf_set_event('k', '{"v": 2}'), wf_set_event('k', '{"v": 3}');
SELECT wf_get_event('ev', 'k'), wf_get_event('ev', 'k') AS read_not_taken;
SELECT workflow_id, key, value FROM durable_wf.event
 WHERE workflow_id LIKE 'ev%' ORDER BY 1, 2;

-- JSON null is a value, and so is SQL null
SELECT wf_set_event('null', 'null'), wf_set_event('sql-null', NULL);
SELECT wf_get_event('ev', 'null', '0'), wf_get_event('ev', 'sql-null', '0'),
       wf_get_event('ev', 'none', '0');

-- on timeout null; the workflow need not exist yet
SELECT wf_get_event('ev', 'none', '10 ms'), wf_get_event('ev-no', 'k', '0'),
       wf_get_event('ev-no', 'k', '10 ms');

-- with the transaction, savepoints included
BEGIN;
SELECT wf_set_event('k', '"rolled back"');
SELECT wf_get_event('ev', 'k', '0');
ROLLBACK;
SELECT wf_get_event('ev', 'k', '0');
BEGIN;
SELECT wf_set_event('k', '"kept"');
SAVEPOINT s;
SELECT wf_set_event('k', '"undone"');
SELECT wf_set_event('k-undone', '"undone"');
ROLLBACK TO s;
COMMIT;
SELECT wf_get_event('ev', 'k', '0'), wf_get_event('ev', 'k-undone', '0');

-- after the end: what was published stays, what was not never comes, so that
-- not even a wait without end waits
SELECT wf_complete();
SELECT wf_get_event('ev', 'k', NULL), wf_get_event('ev', 'none', NULL);
SELECT wf_cancel('ev-2');
SELECT wf_get_event('ev-2', 'k', NULL), wf_get_event('ev-2', 'none', NULL);

-- large, out of a table where it is toasted
SELECT wf_start('ev-large');
CREATE TEMP TABLE large AS
SELECT to_jsonb(string_agg(md5(g::text), '')) AS value
  FROM generate_series(1, 100000) g;
SELECT wf_set_event('large', value, 'ev-large') FROM large;
SELECT octet_length(v #>> '{}') AS bytes, v = value AS same
  FROM large, wf_get_event('ev-large', 'large') v;
SELECT wf_set_event('large', jsonb_build_array(value), 'ev-large') FROM large;
SELECT octet_length(v ->> 0) AS bytes, v -> 0 = value AS same
  FROM large, wf_get_event('ev-large', 'large') v;

\a \t
-- publishing in what has ended, or is not there
SELECT test.try($$SELECT wf_set_event('k', '1')$$);
SELECT test.try($$SELECT wf_set_event('k', '1', 'ev-2')$$);
SELECT test.try($$SELECT wf_set_event('k', '1', 'ev-no')$$);

-- bad arguments
SELECT test.try($$SELECT wf_set_event(NULL, '1', 'ev-large')$$);
SELECT test.try($$SELECT wf_set_event('', '1', 'ev-large')$$);
SELECT test.try($$SELECT wf_set_event('k', '1', '')$$);
SELECT test.state($$SELECT wf_set_event('k', '{', 'ev-large')$$);
SELECT test.try($$SELECT wf_get_event(NULL, 'k')$$);
SELECT test.try($$SELECT wf_get_event('ev', NULL)$$);
SELECT test.try($$SELECT wf_get_event('', 'k')$$);
SELECT test.try($$SELECT wf_get_event('ev', '')$$);
SELECT test.try($$SELECT wf_get_event('ev', 'k', '-1 s')$$);
SELECT count(*) FROM wf_waiters;
