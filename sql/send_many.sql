-- wf_send_many: one statement, all or nothing.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('many-a'), wf_start('many-b'), wf_start('many-done');
SET durable_wf.workflow_id = 'many-done';
SELECT wf_complete();
RESET durable_wf.workflow_id;

-- the ids come in the order of the arrays, and in that order one receives
SELECT wf_send_many(ARRAY['many-b', 'many-a', 'many-b'],
                    ARRAY['1', '2', '3']::jsonb[]) AS ids \gset
SELECT id < lead(id) OVER (ORDER BY n) AS in_order
  FROM unnest(:'ids'::bigint[]) WITH ORDINALITY AS u (id, n) ORDER BY n;
SELECT array_position(:'ids', message_id) AS n, message
  FROM wf_recv_many(NULL, 100, '0', 'many-b');
SELECT array_position(:'ids', message_id) AS n, message
  FROM wf_recv_many(NULL, 100, '0', 'many-a');

-- arguments by name, by position; a null message is JSON null
SELECT cardinality(wf_send_many(
  destination_ids => ARRAY['many-a', 'many-a'],
  messages => ARRAY['null', NULL]::jsonb[],
  topic => 't',
  idempotency_keys => ARRAY[NULL, 'k0'])) AS ids;
SELECT message FROM wf_recv_many('t', 100, '0', 'many-a');
SELECT cardinality(wf_send_many('{many-a}', '{1}', '', NULL)) AS ids;
SELECT message FROM wf_recv_many('', 100, '0', 'many-a');
SELECT cardinality(wf_send_many('{many-a}', '{1}', NULL, '{k0-null}')) AS ids;
SELECT message FROM wf_recv_many(NULL, 100, '0', 'many-a');

-- nothing is a batch, too; lower bounds do not matter
SELECT wf_send_many('{}', '{}'), wf_send_many('{}', '{}', 't', '{}');
SELECT cardinality(wf_send_many('[5:6]={many-a,many-b}', '[-1:0]={1,2}', 'lb',
                                '[0:1]={k1,k1}')) AS ids;
SELECT wf_recv('lb', '0', 'many-a'), wf_recv('lb', '0', 'many-b');

-- keys: null is no key; repeated in the batch, for the same destination, adds
-- nothing and returns the first id, for another destination it is another key
SELECT wf_send_many(
  ARRAY['many-a', 'many-a', 'many-b', 'many-a', 'many-a', 'many-a'],
  ARRAY['1', '2', '3', '4', '5', '6']::jsonb[], 'keys',
  ARRAY['k', NULL, 'k', 'k', NULL, 'k2']) AS ids \gset
SELECT array_position(:'ids'::bigint[], id) AS same_as
  FROM unnest(:'ids'::bigint[]) WITH ORDINALITY AS u (id, n) ORDER BY n;
SELECT test.peek('many-a', 'keys'), test.peek('many-b', 'keys');
-- again, mixed with new ones, and after consumption
SELECT count(*) FROM wf_recv_many('keys', 2, '0', 'many-a');
SELECT wf_send_many(
  ARRAY['many-a', 'many-a', 'many-b'],
  ARRAY['7', '8', '9']::jsonb[], 'keys',
  ARRAY['k3', 'k', 'k']) AS again \gset
SELECT array_position(:'ids'::bigint[], id) AS same_as
  FROM unnest(:'again'::bigint[]) WITH ORDINALITY AS u (id, n) ORDER BY n;
SELECT test.peek('many-a', 'keys'), test.peek('many-b', 'keys');
-- wf_send and wf_send_many share the keys
SELECT wf_send('many-a', '10', 'keys', 'k2') = (:'ids'::bigint[])[6] AS same;
-- nothing new at all
SELECT wf_send_many('{many-a,many-b}', '{1,1}', 'keys', '{k,k}') =
       ARRAY[(:'ids'::bigint[])[1], (:'ids'::bigint[])[3]] AS same;
SELECT message FROM wf_recv_many('keys', 100, '0', 'many-a');
SELECT message FROM wf_recv_many('keys', 100, '0', 'many-b');
-- the keys of a finished workflow stay good for their answer
SELECT wf_start('many-ends');
SELECT wf_send_many('{many-ends}', '{1}', NULL, '{k}') AS ids \gset
BEGIN;
SET LOCAL durable_wf.workflow_id = 'many-ends';
SELECT wf_complete();
COMMIT;
SELECT wf_send_many('{many-ends,many-a}', '{1,2}', 'ends', '{k,k-ends}') AS again \gset
SELECT (:'again'::bigint[])[1] = (:'ids'::bigint[])[1] AS same,
       wf_recv('ends', '0', 'many-a');

-- all or nothing: what is refused names the first that refuses
\a \t
SELECT test.try($$SELECT wf_send_many('{many-a,many-no,many-done}', '{1,2,3}', 'all')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-done,many-no}', '{1,2,3}', 'all')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-no}', '{1,2}', 'all', '{all,all}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-done}', '{1,2}', 'all', '{all,all}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-done}', '{1,2}', 'all', '{all,NULL}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b,NULL}', '{1,2,3}', 'all')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b,""}', '{1,2,3}', 'all')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b}', '{1,2}', 'all', '{all,""}')$$);
SELECT test.peek('many-a', 'all') IS NULL, test.peek('many-b', 'all') IS NULL;
SELECT count(*) FROM durable_wf.idempotency
 WHERE workflow_id LIKE 'many-%' AND idempotency_key = 'all';

-- arrays of another length, of two dimensions, null
SELECT test.try($$SELECT wf_send_many('{many-a,many-b}', '{1}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a}', '{1,2}')$$);
SELECT test.try($$SELECT wf_send_many('{}', '{1}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a}', '{}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b}', '{1,2}', NULL, '{k}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a}', '{1}', NULL, '{k,k}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a}', '{1}', NULL, '{}')$$);
SELECT test.try($$SELECT wf_send_many('{{many-a},{many-b}}', '{1,2}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b}', '{{1},{2}}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a,many-b}', '{1,2}', NULL, '{{k},{k}}')$$);
SELECT test.try($$SELECT wf_send_many(NULL, '{1}')$$);
SELECT test.try($$SELECT wf_send_many('{many-a}', NULL)$$);
\a \t

-- many
SELECT cardinality(wf_send_many(array_agg('many-' || chr(97 + g % 2)),
                                array_agg(to_jsonb(g)), 'lots',
                                array_agg('lots-' || g % 8000))) AS ids
  FROM generate_series(0, 9999) g;
SELECT count(*), count(*) FILTER (WHERE message <= previous) AS out_of_order,
       min(message::int), max(message::int)
  FROM (SELECT message, lag(message) OVER () AS previous
          FROM wf_recv_many('lots', 10000, '0', 'many-b')) r;
SELECT count(*) FROM wf_recv_many('lots', 10000, '0', 'many-a');
