-- wf_recv_any: the oldest message of several topics.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('any');
SELECT count(wf_send('any', to_jsonb(n), topic))
  FROM (VALUES (1, 'c'), (2, 'a'), (3, NULL), (4, ''), (5, 'b'), (6, 'a'),
               (7, 'other'), (8, NULL)) AS v (n, topic);

-- by age, not by the order of the topics; null is 'no topic', '' a topic
SELECT * FROM wf_recv_any(ARRAY['a', 'b', 'c', NULL, ''], '0', 'any');
SELECT * FROM wf_recv_any(topics => ARRAY['b', 'a', NULL], timeout => '60 s',
                          workflow_id => 'any');
SET durable_wf.workflow_id = 'any';
SELECT * FROM wf_recv_any(ARRAY['b', NULL, 'a']);
SELECT * FROM wf_recv_any(ARRAY[NULL, '', 'a']);
-- repeated topics, one topic, lower bounds
SELECT * FROM wf_recv_any(ARRAY['a', 'a', 'a', NULL, NULL]);
SELECT * FROM wf_recv_any(ARRAY['b', 'b']);
SELECT * FROM wf_recv_any('[7:8]={x,NULL}');
-- as a value
SELECT wf_recv_any(ARRAY['other']);
-- on timeout all null
SELECT * FROM wf_recv_any(ARRAY['a', NULL], '0');
SELECT * FROM wf_recv_any(ARRAY['a', NULL], '10 ms');
SELECT * FROM wf_recv_any(ARRAY[NULL, NULL], '10 ms');
-- JSON null is a message; a null topic with a message is 'no topic'
SELECT wf_send('any', 'null') < wf_send('any', NULL, 'a') AS sent;
SELECT r.*, r IS NULL AS timeout FROM wf_recv_any(ARRAY['a', NULL], '0') r;
SELECT r.*, r IS NULL AS timeout FROM wf_recv_any(ARRAY['a', NULL], '0') r;
-- rolled back, it is the oldest again
SELECT wf_send('any', '1', 'a') < wf_send('any', '2', 'b') AS sent;
BEGIN;
SELECT * FROM wf_recv_any(ARRAY['a', 'b']);
SELECT * FROM wf_recv_any(ARRAY['a', 'b']);
ROLLBACK;
SELECT * FROM wf_recv_any(ARRAY['b', 'a']);
SELECT * FROM wf_recv_any(ARRAY['b', 'a']);

-- at the limits: 128 topics, or 4096 bytes; repeated ones count once
SELECT wf_send('any', '"last"', 't128') IS NOT NULL AS sent;
SELECT * FROM wf_recv_any((SELECT array_agg('t' || g) FROM generate_series(1, 128) g), '10 ms');
SELECT * FROM wf_recv_any((SELECT array_agg('t' || g) FROM generate_series(1, 128) g), '10 ms');
SELECT * FROM wf_recv_any((SELECT array_agg('t' || g % 128) FROM generate_series(1, 1000) g), '10 ms');
SELECT * FROM wf_recv_any((SELECT array_agg(rpad(g::text, 512, 'x')) FROM generate_series(1, 8) g), '10 ms');
SELECT * FROM wf_recv_any((SELECT array_agg(lpad(g::text, 32, 'x')) FROM generate_series(1, 128) g), '10 ms');
SELECT wf_send('any', '"NULL and ''''"', repeat('é', 256)) IS NOT NULL AS sent;
SELECT length(topic), message
  FROM wf_recv_any((SELECT array_agg(repeat('é', 256)) FROM generate_series(1, 200)) || ARRAY[NULL, ''], '10 ms');

\a \t
-- and beyond them
SELECT test.try($$SELECT wf_recv_any((SELECT array_agg('t' || g) FROM generate_series(1, 129) g), '0')$$);
SELECT test.try($$SELECT wf_recv_any((SELECT array_agg('t' || g) FROM generate_series(1, 128) g) || NULL::text, '0')$$);
SELECT test.try($$SELECT wf_recv_any((SELECT array_agg(rpad(g::text, 512, 'x')) FROM generate_series(1, 8) g) || 'y'::text, '0')$$);
SELECT test.try($$SELECT wf_recv_any(ARRAY['a', repeat('x', 513)], '0')$$);

-- bad arguments
SELECT test.try($$SELECT wf_recv_any(NULL)$$);
SELECT test.try($$SELECT wf_recv_any('{}')$$);
SELECT test.try($$SELECT wf_recv_any('{{a,b},{c,d}}')$$);
SELECT test.try($$SELECT wf_recv_any('{{a}}')$$);
SELECT test.try($$SELECT wf_recv_any('{a}', '-1 s')$$);
SELECT test.try($$SELECT wf_recv_any('{a}', '0', '')$$);
SELECT test.try($$SELECT wf_recv_any('{a}', '0', 'any-no')$$);
SELECT wf_start('any-cancelled');
SELECT wf_send('any-cancelled', '1', 'a') IS NOT NULL;
SELECT wf_cancel('any-cancelled');
SELECT test.try($$SELECT wf_recv_any('{a,b}', '0', 'any-cancelled')$$);
SELECT wf_complete();
SELECT test.try($$SELECT wf_recv_any('{a,b}')$$);
SELECT count(*) FROM wf_waiters;
