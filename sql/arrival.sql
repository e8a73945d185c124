-- The row triggers, which note whom a commit wakes: on our tables always, and
-- on no others.
SELECT tgrelid::regclass, tgname, tgenabled
  FROM pg_trigger WHERE tgfoid = 'durable_wf.note_arrival'::regproc
 ORDER BY tgrelid::regclass::text, tgname;

-- a table of somebody else's, with columns of the same or of other types, or
-- without them
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('trigger');
CREATE TABLE looks_like (message_id bigint, workflow_id text, door "char", key text);
CREATE TABLE other_types (a int, b int, c int, d int);
CREATE TABLE too_small (a int);
DO $$
DECLARE
    name text;
    argument text;
BEGIN
    FOR name, argument IN
      SELECT t, a FROM unnest('{looks_like,other_types,too_small}'::text[]) t,
                       unnest('{message,event,workflow,""}'::text[]) a
    LOOP
        BEGIN
            EXECUTE format('CREATE TRIGGER note BEFORE INSERT ON %I FOR EACH ROW'
                           ' EXECUTE FUNCTION durable_wf.note_arrival(%L)', name, argument);
            IF name = 'looks_like' THEN
                INSERT INTO looks_like VALUES (1, 'trigger', 'm', 'k');
            ELSE
                EXECUTE format('INSERT INTO %I VALUES (1)', name);
            END IF;
            RAISE WARNING 'accepted: %, %', name, argument;
        EXCEPTION WHEN trigger_protocol_violated OR insufficient_privilege THEN
        END;
    END LOOP;
END$$;
DROP TABLE looks_like, other_types, too_small;
-- nor is it a function to be called
SELECT test.state($$SELECT durable_wf.note_arrival()$$) IN ('39P01', '42501') AS refused;
SELECT wf_status('trigger');

-- a row that no workflow can have is refused, whoever writes it, as by the
-- constraints of old: by the trigger, since it costs less
SELECT wf_start('checked');
RESET SESSION AUTHORIZATION;
CREATE FUNCTION violation(sql text, OUT state text, OUT violated text, OUT message text, OUT detail text)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE sql;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, violated = CONSTRAINT_NAME,
        message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL;
    detail := CASE WHEN state = '23514' THEN detail END;
END$$;
SELECT v.* FROM unnest(ARRAY[
  $$INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT '', owner FROM durable_wf.workflow WHERE workflow_id = 'checked'$$,
  $$INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT repeat('é', 129), owner FROM durable_wf.workflow WHERE workflow_id = 'checked'$$,
  $$INSERT INTO durable_wf.workflow (workflow_id, owner, status) SELECT 'none', owner, 'DONE' FROM durable_wf.workflow WHERE workflow_id = 'checked'$$,
  $$INSERT INTO durable_wf.workflow (workflow_id, owner, status) SELECT 'none', owner, 'SUCCESS' FROM durable_wf.workflow WHERE workflow_id = 'checked'$$,
  $$INSERT INTO durable_wf.workflow (workflow_id, owner, finished_at) SELECT 'none', owner, now() FROM durable_wf.workflow WHERE workflow_id = 'checked'$$,
  $$UPDATE durable_wf.workflow SET workflow_id = '' WHERE workflow_id = 'checked'$$,
  $$UPDATE durable_wf.workflow SET status = 'running' WHERE workflow_id = 'checked'$$,
  $$UPDATE durable_wf.workflow SET status = 'ERROR' WHERE workflow_id = 'checked'$$,
  $$UPDATE durable_wf.workflow SET finished_at = now() WHERE workflow_id = 'checked'$$,
  $$UPDATE durable_wf.workflow SET status = NULL WHERE workflow_id = 'checked'$$]) sql, LATERAL violation(sql) v;
SET session_replication_role = replica;
COPY durable_wf.workflow (workflow_id, owner, status) FROM STDIN;
none		DONE
\.
RESET session_replication_role;
DROP FUNCTION violation;
SELECT wf_status('checked'), wf_cancel('checked');
