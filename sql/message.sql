-- Messages: wf_send, wf_recv, wf_recv_many.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('msg');

-- arguments by position, by name, by default
SELECT wf_send('msg', '{"n": 1}') AS first \gset
SELECT wf_send(destination_id => 'msg', message => '{"n": 2}', topic => NULL,
               idempotency_key => NULL) > :first AS in_order;
SELECT wf_send('msg', '{"n": 3}', 't', 'key') > :first AS in_order;
SELECT wf_recv(NULL, '0', 'msg');
SELECT wf_recv(topic => 't', timeout => '0', workflow_id => 'msg');
SET durable_wf.workflow_id = 'msg';
SELECT wf_recv();
SELECT wf_recv(timeout => '10 ms');
SELECT pg_typeof(wf_recv(timeout => '0'));

-- what was sent before the wait is taken without one, also by a call that would wait
-- for ever
SELECT wf_send('msg', '1') IS NOT NULL AS sent;
SELECT wf_recv(timeout => NULL);

-- no topic is a queue, '' is another, topics are compared byte by byte
SELECT count(wf_send('msg', to_jsonb(topic), topic))
  FROM unnest(ARRAY['', NULL, 'a', 'A', ' a', 'a ', 'ä', U&'a\0308']) topic;
SELECT wf_recv('', '0'), wf_recv(NULL, '0'), wf_recv('', '0') AS no_more;
SELECT wf_recv('A', '0'), wf_recv('a', '0'), wf_recv('a ', '0'),
       wf_recv(' a', '0'), wf_recv(U&'a\0308', '0'), wf_recv('ä', '0');

-- FIFO, within a statement and a transaction too
SELECT count(wf_send('msg', to_jsonb(g), 'fifo')) FROM generate_series(1, 3) g;
BEGIN;
SELECT wf_send('msg', '4', 'fifo') < wf_send('msg', '5', 'fifo') AS in_order;
SELECT wf_send('msg', '6', 'fifo') IS NOT NULL AS sent;
COMMIT;
SELECT test.peek('msg', 'fifo');
SELECT wf_recv('fifo') FROM generate_series(1, 6);

-- a statement sees what it has sent itself
SELECT wf_send('msg', '"self"', 'self') IS NOT NULL AS sent,
       wf_recv('self', '0');

-- JSON null is a message, and so is SQL null; only a timeout is SQL null
SELECT wf_send('msg', 'null') < wf_send('msg', NULL) AS sent;
SELECT wf_recv(timeout => '0'), jsonb_typeof(wf_recv(timeout => '0')),
       wf_recv(timeout => '0') AS timeout;

-- any JSON goes through unharmed; what is no JSON, or what jsonb cannot hold,
-- does not get as far as us
SELECT wf_send('msg', message) IS NOT NULL AS sent, wf_recv() = message AS same
  FROM (VALUES ('{}'::jsonb), ('[]'), ('""'), ('false'), ('-0.0e-7'),
               ('{"a": {"b": [1, null, "%s \" \\ \n"]}}'),
               (to_jsonb(repeat('🐘', 1000)))) AS v (message);
SELECT test.state($$SELECT wf_send('msg', '{"broken": ')$$),
       test.state($$SELECT wf_send('msg', '')$$),
       test.state($$SELECT wf_send('msg', '"\u0000"')$$);

-- the same idempotency key again adds nothing and returns the first id: also
-- with another message or topic, after consumption, in a transaction
SELECT wf_send('msg', '"once"', 'idem', 'k') AS first \gset
SELECT wf_send('msg', '"once"', 'idem', 'k') = :first AS again,
       wf_send('msg', '"other"', 'idem', 'k') = :first AS another_message,
       wf_send('msg', '"other"', NULL, 'k') = :first AS another_topic,
       wf_send('msg', NULL, 'idem', idempotency_key => 'k') = :first AS null;
SELECT test.peek('msg', 'idem'), test.peek('msg', NULL);
SELECT wf_recv('idem', '0');
SELECT wf_send('msg', '"once"', 'idem', 'k') = :first AS consumed;
SELECT wf_recv('idem', '0');
-- a key is scoped to its destination
SELECT wf_start('msg-2');
SELECT wf_send('msg-2', '"once"', 'idem', 'k') <> :first AS another;
SELECT wf_recv('idem', '0', 'msg-2');
-- keys are compared byte by byte
SELECT wf_send('msg', '1', 'idem', 'K') <> :first AS another,
       wf_send('msg', '2', 'idem', 'k ') <> :first AS another;
SELECT wf_recv('idem', '0') FROM generate_series(1, 3);
-- a key that was rolled back was not used
BEGIN;
SELECT wf_send('msg', '"rolled back"', 'idem', 'k2') IS NOT NULL AS sent;
ROLLBACK;
SELECT wf_send('msg', '"sent"', 'idem', 'k2') IS NOT NULL AS sent;
SELECT wf_recv('idem', '0') FROM generate_series(1, 2);

-- many at a time: all that is there, up to the maximum, in order
SELECT count(wf_send('msg', to_jsonb(g), 'many')) FROM generate_series(1, 7) g;
SELECT message, message_id > lag(message_id) OVER () AS in_order
  FROM wf_recv_many('many', 3);
SELECT array_agg(message)
  FROM wf_recv_many(topic => 'many', max_messages => 3, timeout => '60 s',
                    workflow_id => 'msg');
SELECT array_agg(message) FROM wf_recv_many('many', 2147483647, NULL);
SELECT * FROM wf_recv_many('many', timeout => '10 ms');
SELECT * FROM wf_recv_many('many', 1, '0', 'msg');
SELECT count(wf_send('msg', to_jsonb(g))) FROM generate_series(1, 101) g;
SELECT count(*), min(message::int), max(message::int) FROM wf_recv_many();
SELECT message FROM wf_recv_many();
-- the ids are those that wf_send returned
SELECT wf_send('msg', 'null', 'many') AS first \gset
SELECT message_id = :first AS same, message FROM wf_recv_many('many');

-- bad arguments
\a \t
SELECT test.try($$SELECT wf_send(NULL, '1')$$);
SELECT test.try($$SELECT wf_send('', '1')$$);
SELECT test.try($$SELECT wf_send('msg', '1', idempotency_key => '')$$);
SELECT test.try($$SELECT * FROM wf_recv_many(max_messages => 0)$$);
SELECT test.try($$SELECT * FROM wf_recv_many(max_messages => -1)$$);
SELECT test.try($$SELECT * FROM wf_recv_many(max_messages => NULL)$$);
SELECT test.try($$SELECT * FROM wf_recv_many(timeout => '-1 s')$$);
SELECT test.try($$SELECT wf_recv(timeout => '-1 s')$$);

-- to, and in, a workflow that is unknown, cancelled, finished; messages that
-- it did not take are not for taking any more
SELECT test.try($$SELECT wf_send('msg-no', '1')$$);
SELECT test.try($$SELECT wf_send('msg-no', '1', 't', 'k')$$);
SELECT test.try($$SELECT wf_recv(NULL, '0', 'msg-no')$$);
SELECT test.try($$SELECT wf_recv(workflow_id => 'msg-no')$$);
SELECT test.try($$SELECT * FROM wf_recv_many(workflow_id => 'msg-no')$$);
SELECT wf_start('msg-cancelled'), wf_start('msg-done'), wf_start('msg-failed');
SELECT wf_send('msg-cancelled', '1', 't', 'k') IS NOT NULL;
SELECT wf_send('msg-done', '1', 't', 'k') AS first \gset
SELECT wf_cancel('msg-cancelled');
SET durable_wf.workflow_id = 'msg-done';
SELECT wf_complete();
SET durable_wf.workflow_id = 'msg-failed';
SELECT wf_fail('failed');
RESET durable_wf.workflow_id;
SELECT test.try($$SELECT wf_send('msg-cancelled', '1', 't')$$);
SELECT test.try($$SELECT wf_recv('t', '0', 'msg-cancelled')$$);
SELECT test.try($$SELECT wf_recv('t', workflow_id => 'msg-cancelled')$$);
SELECT test.try($$SELECT * FROM wf_recv_many('t', workflow_id => 'msg-cancelled')$$);
SELECT test.try($$SELECT wf_send('msg-done', '1', 't')$$);
SELECT test.try($$SELECT wf_recv('t', '0', 'msg-done')$$);
SELECT test.try($$SELECT wf_recv('no', workflow_id => 'msg-done')$$);
SELECT test.try($$SELECT * FROM wf_recv_many('t', workflow_id => 'msg-done')$$);
SELECT test.try($$SELECT wf_send('msg-failed', '1', 't')$$);
SELECT test.try($$SELECT wf_recv('t', '0', 'msg-failed')$$);
SELECT test.peek('msg-cancelled', 't'), test.peek('msg-done', 't');
-- a key that was used stays good for its answer, a new one is refused
SELECT wf_send('msg-done', '1', 't', 'k') = :first;
SELECT test.try($$SELECT wf_send('msg-done', '1', 't', 'k-new')$$);
SELECT test.try($$SELECT wf_send('msg-cancelled', '1', 't', 'k-new')$$);
SELECT idempotency_key FROM durable_wf.idempotency
 WHERE workflow_id IN ('msg-done', 'msg-cancelled');
\a \t

-- 20 MB that can be compressed, and 3 MB that cannot, out of a table where
-- they are toasted
SET durable_wf.workflow_id = 'msg';
CREATE TEMP TABLE large (n int, message jsonb);
INSERT INTO large SELECT 1, to_jsonb(repeat('0123456789', 2000000));
INSERT INTO large SELECT 2, to_jsonb(string_agg(md5(g::text), ''))
  FROM generate_series(1, 100000) g;
SELECT n, wf_send('msg', message, 'large') IS NOT NULL AS sent,
       wf_send('msg', message, 'large-once', 'large-' || n) IS NOT NULL AS sent_once
  FROM large ORDER BY n;
SELECT n, octet_length(m #>> '{}') AS bytes, m = message AS same
  FROM (SELECT n, message, wf_recv('large') AS m FROM large ORDER BY n) r;
SELECT n, octet_length(m.message #>> '{}') AS bytes, m.message = l.message AS same
  FROM wf_recv_many('large-once') WITH ORDINALITY AS m (message_id, message, n)
  JOIN large l USING (n) ORDER BY n;
