-- Limits of names: at the edge all works, with waits too; one byte more, or
-- one character, is 22023, and nothing is ever cut.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;

-- 256 and 512 bytes of 1, 2, 3 and 4 byte characters, of formats and quotes;
-- they lie compressed in one table and out of line in the other
CREATE TEMP TABLE ids (n int, id text, filler text DEFAULT repeat('filler', 500))
  WITH (toast_tuple_target = 128);
INSERT INTO ids (n, id) VALUES
  (1, repeat('a', 256)), (2, repeat('é', 128)), (3, repeat('€', 85) || 'z'),
  (4, repeat('🐘', 64)), (5, repeat('a', 254) || 'é'),
  (6, E'%s%n%d"it''s"\\ \n\t' || repeat('-', 240));
CREATE TEMP TABLE names (n int, name text, filler text DEFAULT repeat('filler', 500))
  WITH (toast_tuple_target = 128);
ALTER TABLE names ALTER name SET STORAGE EXTERNAL;
INSERT INTO names (n, name) VALUES
  (1, repeat('a', 512)), (2, repeat('é', 256)), (3, repeat('€', 170) || 'zz'),
  (4, repeat('🐘', 128)), (5, repeat('a', 509) || '€'),
  (6, E'%s%n%d"it''s"\\ \n\t' || repeat('-', 496));
SELECT n, octet_length(id), pg_column_size(id) < 250 AS compressed, wf_start(id) = id AS same, wf_status(id)
  FROM ids ORDER BY n;
SELECT count(*) FROM wf_workflows JOIN ids ON id = workflow_id;
SELECT n, octet_length(id), set_config('durable_wf.workflow_id', id, false) = id AS set,
       wf_current() = id AS same
  FROM ids ORDER BY n;

RESET durable_wf.workflow_id;

-- as topic, key, event id and idempotency key: there and back, unharmed, and
-- with a wait; what is one character shorter is something else
DO $$
DECLARE
    id text;
    name text;
    shorter text;
    sent bigint;
BEGIN
    FOR id, name IN SELECT i.id, n.name FROM ids i, names n LOOP
        shorter := left(name, -1);
        sent := wf_send(id, to_jsonb(name), name, name);
        ASSERT wf_send(id, '2', NULL, name) = sent;
        ASSERT wf_send(id, '2', NULL, shorter) <> sent;
        ASSERT wf_recv(NULL, '10 ms', id) = '2';
        ASSERT wf_recv(shorter, '0', id) IS NULL;
        ASSERT wf_recv(name, '10 ms', id) #>> '{}' = name;
        ASSERT wf_recv(name, '1 ms', id) IS NULL;

        sent := (wf_send_many(ARRAY[id, id], ARRAY[to_jsonb(id), '2'], name,
                              ARRAY['1' || shorter, '1' || shorter]))[1];
        ASSERT (SELECT r.topic = name AND r.message #>> '{}' = id
                  FROM wf_recv_any(ARRAY[shorter, name, NULL], '10 ms', id) r);
        ASSERT (SELECT r IS NULL
                  FROM wf_recv_any(ARRAY[shorter, name, NULL], '1 ms', id) r);
        ASSERT wf_send(id, '3', name) > sent;
        ASSERT (SELECT message = '3' FROM wf_recv_many(name, 2, '10 ms', id));

        PERFORM wf_set_event(name, to_jsonb(name), id);
        ASSERT wf_get_event(id, name, '10 ms') #>> '{}' = name;
        ASSERT wf_get_event(id, '1' || shorter, '1 ms') IS NULL;

        ASSERT wf_write_stream(name, to_jsonb(name), id) = 1 AND wf_write_stream_many(name, '{2}', id) = 2;
        ASSERT (SELECT value #>> '{}' = name FROM wf_read_stream(id, name, 0, 1, '10 ms'));
        ASSERT NOT EXISTS (SELECT FROM wf_read_stream(id, '1' || shorter, timeout => '1 ms'));
        ASSERT (SELECT wf_dispose_hook(token) FROM wf_create_stream_url(name, id));

        ASSERT (SELECT r.workflow_id = id FROM wf_notify(name, to_jsonb(name), id) r);
        ASSERT (SELECT r.timed_out FROM wf_wait_for_event(shorter, '1 ms', id) r);
        ASSERT (SELECT r.event_data #>> '{}' = name AND NOT r.timed_out
                  FROM wf_wait_for_event(name, '10 ms', id) r);
        ASSERT NOT EXISTS (SELECT FROM wf_event_waiters(name));
        ASSERT (SELECT r.status = 'PENDING' FROM wf_result(id, '1 ms') r);
    END LOOP;
END$$;

-- straight out of the tables, and out of arrays
SELECT m.n, octet_length(name),
       wf_send(id, to_jsonb(name), name, 'o' || left(name, -1)) IS NOT NULL AS sent,
       wf_recv(name, '0', id) #>> '{}' = name AS same
  FROM ids JOIN names m USING (n) ORDER BY 1;
CREATE TEMP TABLE arrays AS
SELECT array_agg(id ORDER BY n) AS ids, array_agg(name ORDER BY n) AS names,
       array_agg(to_jsonb(name) ORDER BY n) AS messages,
       array_agg('z' || left(name, -1) ORDER BY n) AS keys
  FROM ids JOIN names USING (n);
SELECT cardinality(wf_send_many(ids, messages, names[2], keys)) AS ids FROM arrays;
SELECT n, wf_recv_any(names, '0', id) = (names[2], messages[n])::wf_received AS same
  FROM arrays, ids ORDER BY n;

-- one more
CREATE TEMP TABLE too_long AS
SELECT n, id || 'b' AS id, name || 'b' AS name FROM ids JOIN names USING (n)
UNION ALL
SELECT n + 10, id || 'é', name || '€' FROM ids JOIN names USING (n);
\a \t
SELECT n, octet_length(id), test.try(format('SELECT wf_start(%L)', id))
  FROM too_long ORDER BY n;
SELECT n, octet_length(name), test.try(format($$SELECT wf_send(%L, '1', %L)$$, ids.id, too_long.name))
  FROM ids JOIN too_long USING (n) ORDER BY n;
-- each name of each function
SELECT call, test.try(format(call, long.id, long.name, ids.id))
  FROM too_long long, ids,
       unnest(ARRAY[
         'SELECT wf_status(%1$L)',
         'SELECT wf_cancel(%1$L)',
         'SELECT wf_set_owner(%1$L, current_user)',
         'SELECT wf_result(%1$L)',
         'SELECT wf_start(queue => %2$L)',
         'SELECT wf_send(%1$L, NULL)',
         'SELECT wf_send(%3$L, NULL, NULL, %2$L)',
         'SELECT wf_send_many(ARRAY[%3$L, %1$L], ''{1,2}'')',
         'SELECT wf_send_many(ARRAY[%3$L], ''{1}'', %2$L)',
         'SELECT wf_send_many(ARRAY[%3$L, %3$L], ''{1,2}'', NULL, ARRAY[NULL, %2$L])',
         'SELECT wf_recv(%2$L, ''0'', %3$L)',
         'SELECT wf_recv(NULL, ''0'', %1$L)',
         'SELECT wf_recv_any(ARRAY[''t'', %2$L], ''0'', %3$L)',
         'SELECT wf_recv_any(ARRAY[''t''], ''0'', %1$L)',
         'SELECT wf_recv_many(%2$L, 1, ''0'', %3$L)',
         'SELECT wf_recv_many(NULL, 1, ''0'', %1$L)',
         'SELECT wf_set_event(%2$L, NULL, %3$L)',
         'SELECT wf_set_event(''k'', NULL, %1$L)',
         'SELECT wf_get_event(%3$L, %2$L, ''0'')',
         'SELECT wf_get_event(%1$L, ''k'', ''0'')',
         'SELECT wf_write_stream(%2$L, NULL, %3$L)',
         'SELECT wf_write_stream(''s'', NULL, %1$L)',
         'SELECT wf_write_stream_many(%2$L, ''{1}'', %3$L)',
         'SELECT wf_close_stream(%2$L, %3$L)',
         'SELECT wf_create_stream_url(%2$L, %3$L)',
         'SELECT wf_read_stream(%3$L, %2$L)',
         'SELECT wf_read_stream(%1$L, ''s'')',
         'SELECT wf_wait_for_event(%2$L, ''0'', %3$L)',
         'SELECT wf_wait_for_event(''e'', ''0'', %1$L)',
         'SELECT wf_notify(%2$L)',
         'SELECT wf_notify(%2$L, NULL, %3$L)',
         'SELECT wf_notify(''e'', NULL, %1$L)',
         'SELECT wf_event_waiters(%2$L)',
         'CALL wf_recv(%2$L, ''0'', %3$L, NULL)',
         'CALL wf_recv(NULL, ''0'', %1$L, NULL)',
         'CALL wf_recv_any(ARRAY[%2$L], ''0'', %3$L, NULL, NULL)',
         'CALL wf_get_event(%3$L, %2$L, ''0'', NULL)',
         'CALL wf_wait_for_event(%2$L, ''0'', %3$L, NULL, NULL)',
         'CALL wf_result(%1$L, ''0'', NULL, NULL, NULL)'
       ]) WITH ORDINALITY AS c (call, i)
 WHERE long.n = 3 AND ids.n = 3 ORDER BY i;
SELECT test.try(format('SET durable_wf.workflow_id = %L', id)) FROM too_long WHERE n = 1;
SELECT test.try(format('SET durable_wf.workflow_id = %L', id)) FROM too_long WHERE n = 12;
SELECT wf_current() = id FROM ids WHERE n = 6;
RESET durable_wf.workflow_id;

-- nothing of the refused ones has stayed
SELECT count(*) FROM wf_workflows WHERE octet_length(workflow_id) > 256;
SELECT count(*) FROM wf_mailbox JOIN ids ON id = workflow_id;

-- names in errors come as they are
SELECT test.try(format('SELECT wf_status(%L)', E'no %s %n %d %% "it''s" \\ \n end'));
SELECT test.try(format('SELECT wf_send(%L, NULL)', E'no %s %n %d %% "it''s" \\ \n end'));
SELECT wf_start(E'%s%n "it''s"\\ \n end') IS NOT NULL;
SELECT test.try(format('SELECT wf_start(%L, input => ''1'')', E'%s%n "it''s"\\ \n end'));
SELECT wf_cancel(E'%s%n "it''s"\\ \n end');
SELECT test.try(format('SELECT wf_recv(workflow_id => %L)', E'%s%n "it''s"\\ \n end'));
SELECT test.try(format('SELECT wf_set_owner(%L, %L)', repeat('a', 256), E'%s%n "it''s"\\ \n end'));
