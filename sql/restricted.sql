-- What our functions do in a session on behalf of another role: alice's code
-- runs in the session of a superuser, attached to a workflow of the latter.
SET SESSION AUTHORIZATION regress_dwf_alice;
CREATE TABLE regress_dwf_alice.calls (kind text, name text, call text);
INSERT INTO regress_dwf_alice.calls VALUES
  -- of the session: refused
  ('f', 'wf_attach', 'SELECT wf_attach(''re-alice'', true)'), ('f', 'wf_detach', 'SELECT wf_detach()'),
  ('f', 'wf_attach_next', 'SELECT wf_attach_next(''q'')'), ('p', 'wf_attach_next', 'CALL wf_attach_next(''q'', ''0'', NULL)'),
  ('f', 'wf_attach_any', 'SELECT wf_attach_any(''{q}'')'), ('p', 'wf_attach_any', 'CALL wf_attach_any(''{q}'', ''0'', NULL, NULL, NULL, NULL)'),
  ('f', 'wf_begin_step', 'SELECT wf_begin_step(''s'')'), ('f', 'wf_fail_step', 'SELECT wf_fail_step(''s'', ''e'')'),
  ('f', 'wf_listen', 'SELECT wf_listen()'), ('f', 'wf_unlisten', 'SELECT wf_unlisten()'),
  ('f', 'wf_step', 'SELECT wf_step(''s'', ''SELECT 1'')'), ('p', 'wf_step', 'CALL wf_step(''s'', ''SELECT 1'', NULL, 1, ''0'', NULL)'),
  ('f', 'wf_get_step', 'SELECT wf_get_step(''s'')'), ('f', 'wf_save_step', 'SELECT wf_save_step(''s'', ''1'')'),
  ('f', 'wf_sleep', 'SELECT wf_sleep(''0'')'), ('p', 'wf_sleep', 'CALL wf_sleep(''0'', NULL)'),
  ('f', 'wf_now', 'SELECT wf_now()'), ('f', 'wf_random', 'SELECT wf_random()'), ('f', 'wf_uuid', 'SELECT wf_uuid()'),
  ('f', 'wf_patched', 'SELECT wf_patched(''p'')'), ('f', 'wf_continue_as_new', 'SELECT wf_continue_as_new(''1'')'),
  -- of the current workflow: refused unless one is named
  ('f', 'wf_complete', 'SELECT wf_complete()'), ('f', 'wf_fail', 'SELECT wf_fail(''x'')'),
  ('f', 'wf_recv', 'SELECT wf_recv(NULL, ''0'')'), ('p', 'wf_recv', 'CALL wf_recv(NULL, ''0'', NULL, NULL)'),
  ('f', 'wf_recv_any', 'SELECT wf_recv_any(''{t}'', ''0'')'), ('p', 'wf_recv_any', 'CALL wf_recv_any(''{t}'', ''0'', NULL, NULL, NULL)'),
  ('f', 'wf_wait_any', 'SELECT wf_wait_any(''[{"topic": "t"}]'', ''0'')'), ('p', 'wf_wait_any', 'CALL wf_wait_any(''[{"topic": "t"}]'', ''0'', NULL, NULL, NULL)'),
  ('f', 'wf_recv_many', 'SELECT count(*) FROM wf_recv_many(NULL, 1, ''0'')'), ('f', 'wf_set_event', 'SELECT wf_set_event(''k'', ''1'')'),
  ('f', 'wf_set_attributes', 'SELECT wf_set_attributes(''{}'')'),
  ('f', 'wf_wait_for_event', 'SELECT wf_wait_for_event(''e'', ''0'')'),
  ('p', 'wf_wait_for_event', 'CALL wf_wait_for_event(''e'', ''0'', NULL, NULL, NULL)'),
  ('f', 'wf_write_stream', 'SELECT wf_write_stream(''s'', ''1'')'), ('f', 'wf_write_stream_many', 'SELECT wf_write_stream_many(''s'', ''{1}'')'),
  ('f', 'wf_close_stream', 'SELECT wf_close_stream(''s'')'), ('f', 'wf_create_stream_url', 'SELECT token FROM wf_create_stream_url(''s'')'),
  ('f', 'wf_create_hook', 'SELECT wf_create_hook(''re-new'')'), ('f', 'wf_create_webhook', 'SELECT wf_create_webhook()'),
  ('f', 'wf_received_traceparent', 'SELECT wf_received_traceparent()'),
  -- of a workflow that is named, of a token, of the role: as anywhere
  ('f', 'wf_until', 'SELECT wf_until(''-infinity'')'), ('f', 'wf_current', 'SELECT wf_current()'), ('f', 'wf_start', 'SELECT wf_start(''re-new'')'),
  ('f', 'wf_start_attached', 'SELECT wf_start_attached(queue => ''q'')'),
  ('f', 'wf_status', 'SELECT wf_status(''re-alice'')'), ('f', 'wf_cancel', 'SELECT wf_cancel(''re-new'')'),
  ('f', 'wf_retry', 'SELECT wf_retry(''re-new'')'), ('f', 'wf_redrive', 'SELECT wf_redrive(''re-alice'')'), ('f', 'wf_set_owner', 'SELECT wf_set_owner(''re-alice'', ''regress_dwf_alice'')'),
  ('f', 'wf_result', 'SELECT wf_result(''re-alice'', ''0'')'), ('p', 'wf_result', 'CALL wf_result(''re-alice'', ''0'', NULL, NULL, NULL)'),
  ('f', 'wf_send', 'SELECT wf_send(''re-alice'', ''1'') > 0'),
  ('f', 'wf_send_many', 'SELECT cardinality(wf_send_many(''{re-alice}'', ''{2}''::jsonb[]))'),
  ('f', 'wf_get_event', 'SELECT wf_get_event(''re-alice'', ''k'', ''0'')'),
  ('p', 'wf_get_event', 'CALL wf_get_event(''re-alice'', ''k'', ''0'', NULL)'),
  ('f', 'wf_read_stream', 'SELECT count(*) FROM wf_read_stream(''re-alice'', ''s'', timeout => ''0'')'),
  ('p', 'wf_read_stream', 'CALL wf_read_stream(''re-alice'', ''s'', 0, 1, ''0'', NULL, NULL, NULL)'),
  ('f', 'wf_notify', 'SELECT count(*) FROM wf_notify(''e'', ''1'', ''re-alice'')'),
  ('f', 'wf_event_waiters', 'SELECT count(*) FROM wf_event_waiters(''e'')'),
  ('f', 'wf_resume_hook', 'SELECT wf_resume_hook(''re'', ''1'')'), ('f', 'wf_get_hook', 'SELECT workflow_id FROM wf_get_hook(''re'')'),
  ('f', 'wf_await_hook', 'SELECT wf_await_hook(''re'', ''0'')'), ('p', 'wf_await_hook', 'CALL wf_await_hook(''re'', ''0'', NULL)'),
  ('f', 'wf_dispose_hook', 'SELECT wf_dispose_hook(''re-none'')'),
  ('f', 'wf_resume_webhook', 'SELECT wf_resume_webhook(''re'', ''{}'')'), ('f', 'wf_respond', 'SELECT wf_respond(0)'),
  ('f', 'wf_await_response', 'SELECT wf_await_response(''re'', 0, ''0'')'),
  ('p', 'wf_await_response', 'CALL wf_await_response(''re'', 0, ''0'', NULL)'),
  ('f', 'wf_list_steps', 'SELECT count(*) FROM wf_list_steps(''re-alice'')'), ('f', 'wf_prune', 'SELECT wf_prune(''1 year'')'),
  ('f', 'wf_delete', 'SELECT wf_delete(''re-none'')'), ('f', 'wf_reassign_owned', 'SELECT wf_reassign_owned(''regress_dwf_alice'', ''regress_dwf_alice'') > 0'),
  ('f', 'wf_adopt', 'SELECT wf_adopt()'), ('f', 'wf_schedule', 'SELECT wf_schedule(''n'', ''* * * * *'', ''no_body'', ''1'')'),
  ('f', 'wf_node', 'SELECT wf_node(''re-alice'')'), ('f', 'wf_distribute', 'SELECT wf_distribute()'),
  ('f', 'wf_move_shard', 'SELECT wf_move_shard(1, ''none'')'),
  ('f', 'wf_form', 'SELECT wf_form(''a=1'')'), ('f', 'wf_unschedule', 'SELECT wf_unschedule(''n'')'),
  ('f', 'wf_schedule_retention', 'SELECT wf_schedule_retention(''* * * * *'', ''1 year'')');
CREATE FUNCTION regress_dwf_alice.try(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    PERFORM set_config('search_path', 'public', true);
    IF call ~ '^CALL' THEN
        EXECUTE call;
        RETURN 'done';
    END IF;
    EXECUTE call INTO result;
    RETURN coalesce(result, '(null)');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
CREATE TABLE regress_dwf_alice.news (id int);
CREATE TRIGGER news AFTER INSERT ON regress_dwf_alice.news FOR EACH ROW EXECUTE FUNCTION wf_trigger_send('re-alice', 'news');
INSERT INTO regress_dwf_alice.calls VALUES ('t', 'news', 'INSERT INTO regress_dwf_alice.news VALUES (1) RETURNING id');
SELECT wf_start('re-alice'), wf_create_hook('re', workflow_id => 're-alice');
CREATE MATERIALIZED VIEW regress_dwf_alice.results AS
  SELECT c.*, regress_dwf_alice.try(c.call) AS result FROM regress_dwf_alice.calls c WITH NO DATA;
RESET SESSION AUTHORIZATION;

-- each function of the extension that can be called from SQL is one of these
SELECT p.prokind, p.oid::regprocedure
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 WHERE p.pronamespace = 'public'::regnamespace AND p.prorettype <> 'trigger'::regtype
   AND NOT EXISTS (SELECT FROM regress_dwf_alice.calls c WHERE c.name = p.proname AND c.kind = p.prokind::text);
-- and those that others are made of
SELECT p.oid::regprocedure
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 WHERE p.pronamespace = 'durable_wf'::regnamespace AND p.prorettype <> 'trigger'::regtype
 ORDER BY p.proname COLLATE "C";

SELECT wf_start('re-mine'), wf_attach('re-mine');
SET durable_wf.workflow_id = 're-mine';
REFRESH MATERIALIZED VIEW regress_dwf_alice.results;
SELECT name || CASE kind WHEN 'p' THEN ' (CALL)' ELSE '' END AS function, result FROM regress_dwf_alice.results
 ORDER BY result ~ '^42501: cannot execute' DESC, result ~ '^42501: cannot act' DESC, name COLLATE "C", kind;
-- the session is as it was, and nothing was a step of its workflow
SELECT wf_current();
SELECT count(*) FROM durable_wf.step WHERE workflow_id = 're-mine';
SELECT test.peek('re-alice', NULL) AS sent, test.peek('re-alice', 'news') AS news;
RESET durable_wf.workflow_id;

-- the other operations in which a table's owner is served
SET SESSION AUTHORIZATION regress_dwf_alice;
CREATE TABLE regress_dwf_alice.t (a int);
INSERT INTO regress_dwf_alice.t VALUES (1);
CREATE FUNCTION regress_dwf_alice.f(a int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF session_user <> 'regress_dwf_alice' THEN
        RAISE NOTICE '%', regress_dwf_alice.try('SELECT wf_attach(''re-alice'', true)');
        RAISE NOTICE '%', regress_dwf_alice.try('SELECT wf_detach()');
        RAISE NOTICE '%', regress_dwf_alice.try('SELECT coalesce(wf_current(), ''none'')');
    END IF;
    RETURN a;
END $$;
CREATE INDEX i ON regress_dwf_alice.t (regress_dwf_alice.f(a));
RESET SESSION AUTHORIZATION;
ANALYZE regress_dwf_alice.t;
REINDEX TABLE regress_dwf_alice.t;
VACUUM ANALYZE regress_dwf_alice.t;
CLUSTER regress_dwf_alice.t USING i;
SELECT wf_current();
-- a cancel by alice of what the session executes does not detach it either
SELECT wf_detach();
SELECT wf_attach('re-alice');
DELETE FROM regress_dwf_alice.calls;
INSERT INTO regress_dwf_alice.calls VALUES ('f', 'wf_cancel', 'SELECT wf_cancel(''re-alice'')');
REFRESH MATERIALIZED VIEW regress_dwf_alice.results;
SELECT name, result FROM regress_dwf_alice.results;
SELECT wf_current();
SELECT test.state('SELECT wf_now()');
SELECT wf_detach();

SET client_min_messages = warning;
DROP OWNED BY regress_dwf_alice;
CREATE SCHEMA AUTHORIZATION regress_dwf_alice;
DELETE FROM durable_wf.message WHERE workflow_id LIKE 're-%';
DELETE FROM durable_wf.hook WHERE workflow_id LIKE 're-%';
DELETE FROM durable_wf.event WHERE workflow_id LIKE 're-%';
DELETE FROM durable_wf.step WHERE workflow_id LIKE 're-%';
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 're-%';
