-- Trace contexts: durable_wf.traceparent is taken along by what is sent and
-- started, and given back with what was received.  (In bodies, over crashes and
-- from HTTP: t/087_traces.pl.)
\set a '00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaa-01'
\set b '00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-bbbbbbbbbbbbbbbb-00'
\set c '00-cccccccccccccccccccccccccccccccc-cccccccccccccccc-01'
-- the first digits say which
CREATE FUNCTION test.trace(text) RETURNS text LANGUAGE sql AS $$ SELECT coalesce(substr($1, 4, 1), 'none') $$;
CREATE FUNCTION test.received() RETURNS text LANGUAGE sql AS $$ SELECT test.trace(wf_received_traceparent()) $$;

-- The form of the setting.
SHOW durable_wf.traceparent;
SET durable_wf.traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
SHOW durable_wf.traceparent;
SET durable_wf.traceparent = 'cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes-later';
SHOW durable_wf.traceparent;
SET durable_wf.traceparent = '';
SELECT n, test.try(format('SELECT set_config(''durable_wf.traceparent'', %L, true) <> ''''', value))
  FROM (VALUES (1, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
               (2, '00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01'),
               (3, '00-00000000000000000000000000000000-00f067aa0ba902b7-01'),
               (4, '00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01'),
               (5, 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
               (6, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x'),
               (7, '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x'),
               (8, '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0'),
               (9, '00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'),
               (10, '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-' || repeat('x', 200)),
               (11, '01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-' || repeat('x', 201)),
               (12, 'x')) v (n, value) ORDER BY n;

-- What is sent without one has none.
SELECT wf_start('tr'), wf_send('tr', '1', 't') > 0 AS sent;
SELECT wf_recv('t', '0', 'tr'), test.received();

-- A start, a send, with a key and without, many, a notification, a hook; by
-- direct access and by statements.
CREATE PROCEDURE test.exchange() LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('tr', '1', 't'), wf_send('tr', '2', 't', 'key ' || gen_random_uuid());
    PERFORM wf_send_many('{tr,tr}', ARRAY['3', '4']::jsonb[], 't');
    PERFORM wf_notify('e', '5', 'tr');
    PERFORM wf_resume_hook('tr-hook', '6');
    PERFORM wf_start('tr-started');
END $$;
SELECT wf_create_hook('tr-hook', workflow_id => 'tr');
SET durable_wf.traceparent = :'a';
CALL test.exchange();
SET durable_wf.debug_direct = off;
SET durable_wf.traceparent = :'b';
CALL test.exchange();
RESET durable_wf.debug_direct;
RESET durable_wf.traceparent;
SELECT door, payload, test.trace(traceparent) FROM durable_wf.message WHERE workflow_id = 'tr' ORDER BY message_id;
SELECT workflow_id, test.trace(traceparent) FROM wf_workflows WHERE workflow_id IN ('tr', 'tr-started') ORDER BY 1;

-- They come with what is received.
SELECT wf_recv('t', '0', 'tr'), test.received();
SET durable_wf.debug_direct = off;
SELECT wf_recv('t', '0', 'tr'), test.received();
RESET durable_wf.debug_direct;
SELECT wf_recv_any('{t}', '0', 'tr'), test.received();
SELECT wf_wait_any('[{"topic": "t"}]', '0', 'tr'), test.received();
SELECT wf_wait_for_event('e', '0', 'tr'), test.received();
SELECT wf_await_hook('tr-hook', '0'), test.received();
CALL wf_await_hook('tr-hook', '0', NULL);
SELECT test.received();
-- of each of several
SELECT wf_send('tr', '"untraced"', 't') > 0 AS sent;
SELECT message, test.trace(wf_received_traceparent(message_id)), test.received() AS last FROM wf_recv_many('t', 10, '0', 'tr');
SELECT test.trace(wf_received_traceparent(message_id)) FROM wf_recv_many('t', 10, '0', 'tr');
-- nothing, when the last call received nothing
SELECT test.received(), test.trace(wf_received_traceparent(1));
SET durable_wf.traceparent = :'a';
SELECT wf_send('tr', '1', 't') > 0 AS sent, test.received();
SELECT wf_recv('t', '0', 'tr'), test.received(), wf_recv('t', '0', 'tr'), test.received();
RESET durable_wf.traceparent;

-- SET LOCAL; an error, a rollback and a savepoint take it back.
BEGIN;
SET LOCAL durable_wf.traceparent = :'a';
SAVEPOINT s;
SET LOCAL durable_wf.traceparent = :'b';
SELECT wf_send('tr', '"b"', 't') > 0 AS sent;
ROLLBACK TO s;
SELECT wf_send('tr', '"a"', 't') > 0 AS sent;
COMMIT;
SELECT wf_send('tr', '"none"', 't') > 0 AS sent;
SELECT payload, test.trace(traceparent) FROM durable_wf.message WHERE workflow_id = 'tr' AND key = 't' ORDER BY message_id;
-- one statement that brings its own, as the libraries send
SELECT wf_send('tr', '"c"', 't') > 0 AS sent FROM (SELECT set_config('durable_wf.traceparent', :'c', true) OFFSET 0) s;
SELECT current_setting('durable_wf.traceparent') AS after;
SELECT message, test.trace(wf_received_traceparent(message_id)) FROM wf_recv_many('t', 10, '0', 'tr');

-- A session that executes a workflow has its workflow's, unless it sets one.
SET durable_wf.traceparent = :'a';
SELECT wf_start('tr-client', queue => 'tr'), wf_start('tr-bare', queue => 'tr-bare');
RESET durable_wf.traceparent;
UPDATE durable_wf.workflow SET traceparent = NULL WHERE workflow_id = 'tr-bare';
SELECT workflow_id FROM wf_attach_any('{tr}');
SELECT test.trace(current_setting('durable_wf.traceparent'));
SELECT wf_send('tr', '"of the workflow"', 't') > 0 AS sent, wf_start('tr-child');
SET durable_wf.traceparent = :'b';
SELECT wf_send('tr', '"of the session"', 't') > 0 AS sent;
RESET durable_wf.traceparent;
SELECT test.trace(traceparent) FROM wf_workflows WHERE workflow_id = 'tr-child';
-- what it receives is the same for a replay
SET durable_wf.traceparent = :'c';
SELECT (wf_notify('e', '1', 'tr-client')).message_id > 0 AS sent;
RESET durable_wf.traceparent;
SELECT wf_wait_for_event('e', '0'), test.received();
SELECT wf_recv('t', '0'), test.received();
SELECT wf_step('s', $$SELECT test.received()$$), test.received();
SELECT wf_detach();
SELECT test.trace(nullif(current_setting('durable_wf.traceparent'), ''));
SELECT wf_send('tr', '"of nobody"', 't') > 0 AS sent;
SELECT wf_attach('tr-client');
SELECT wf_send('tr', '"of the workflow"', 't') > 0 AS replayed, wf_start('tr-child');
SELECT wf_send('tr', '"of the session"', 't') > 0 AS replayed;
SELECT test.received();
SELECT (wf_notify('e', '1', 'tr-client')).message_id > 0 AS replayed;
SELECT wf_wait_for_event('e', '0'), test.received(), test.received() AS again;
SELECT wf_recv('t', '0'), test.received();
SELECT wf_step('s', $$SELECT test.received()$$), test.received();
SELECT wf_send('tr', '"again of the workflow"', 't') > 0 AS sent;
SELECT wf_detach();
SELECT wf_attach('tr-bare'), test.trace(nullif(current_setting('durable_wf.traceparent'), ''));
SELECT wf_send('tr', '"of a workflow that has none"', 't') > 0 AS sent;
SELECT wf_detach();
SELECT message, test.trace(wf_received_traceparent(message_id)) FROM wf_recv_many('t', 10, '0', 'tr');

-- A workflow that goes back to a step gets its items as they were, whatever the
-- session that sends it back has; so do dead letters.
SELECT wf_cancel('tr-client');
SET durable_wf.traceparent = :'a';
SELECT wf_retry('tr-client', 1);
RESET durable_wf.traceparent;
SELECT key, test.trace(traceparent) FROM durable_wf.message WHERE workflow_id = 'tr-client';
SET durable_wf.traceparent = :'b';
SELECT wf_send('tr-client', '1', 'dead') > 0 AS sent;
SELECT wf_send('tr-client', '2', 'dead') > 0 AS sent FROM (SELECT set_config('durable_wf.traceparent', '', true) OFFSET 0) s;
WITH gone AS (DELETE FROM durable_wf.message WHERE workflow_id = 'tr-client' AND key = 'dead' RETURNING *)
INSERT INTO durable_wf.dead_letter (workflow_id, door, key, message_id, payload, deliveries, created_at, traceparent)
SELECT workflow_id, door, key, message_id, payload, 9, created_at, traceparent FROM gone;
SELECT payload, test.trace(traceparent) FROM wf_dead_letters WHERE workflow_id = 'tr-client' ORDER BY message_id;
SET durable_wf.traceparent = :'c';
SELECT wf_redrive('tr-client');
RESET durable_wf.traceparent;
SELECT payload, traceparent IS NULL AS none, test.trace(traceparent) FROM durable_wf.message WHERE workflow_id = 'tr-client' AND key = 'dead' ORDER BY message_id;

-- An HTTP request brings its own.
SELECT token FROM wf_create_webhook(workflow_id => 'tr') \gset
SET durable_wf.traceparent = :'a';
SELECT wf_resume_webhook(:'token', jsonb_build_object('headers', jsonb_build_object('TraceParent', :'b'))) ->> 'status' AS status;
SELECT wf_resume_webhook(:'token', '{"headers": {"traceparent": "nonsense"}}') ->> 'status' AS status;
SET durable_wf.debug_direct = off;
SELECT wf_resume_webhook(:'token', jsonb_build_object('headers', jsonb_build_object('traceparent', :'c'))) ->> 'status' AS status;
RESET durable_wf.debug_direct;
RESET durable_wf.traceparent;
SELECT wf_await_hook(:'token', '0') IS NOT NULL AS received, test.received();
SELECT wf_await_hook(:'token', '0') IS NOT NULL AS received, test.received();
SELECT wf_await_hook(:'token', '0') IS NOT NULL AS received, test.received();

-- A validator does not learn of the session's, and what it sends has none.
CREATE FUNCTION test.validate(input jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    PERFORM public.wf_send('tr', to_jsonb(test.try('SELECT public.wf_received_traceparent()')), 'validator');
    RETURN to_jsonb(current_setting('durable_wf.traceparent'));
END $$;
SELECT wf_create_hook('tr-validated', validator => 'test.validate', workflow_id => 'tr');
SET durable_wf.traceparent = :'a';
SELECT wf_resume_hook('tr-validated', '1');
SELECT wf_await_hook('tr-validated', '0'), test.received();
SELECT wf_recv('validator', '0', 'tr'), test.received();
RESET durable_wf.traceparent;

SELECT wf_cancel(id) FROM unnest('{tr,tr-started,tr-client,tr-bare,tr-child}'::text[]) id;
DROP PROCEDURE test.exchange;
DROP FUNCTION test.validate, test.trace, test.received;
