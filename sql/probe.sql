-- A session remembers where the row of a workflow was, and what the catalogs
-- say of our tables.  Neither may ever give an answer that is not true any
-- more: to the next call of a transaction, to the next row of a statement.

CREATE SCHEMA probe_test;
GRANT ALL ON SCHEMA probe_test TO PUBLIC;
SET search_path = probe_test, public;

CREATE FUNCTION send(id text DEFAULT 'probe') RETURNS text LANGUAGE sql AS
    $$SELECT test.state(format('SELECT ''sent'' FROM wf_send(%L, ''1'')', id))$$;

-- ----- in one transaction

SELECT wf_start('probe');
SELECT send();

BEGIN;
SAVEPOINT s;
SELECT wf_cancel('probe'), send();
ROLLBACK TO s;
SELECT send();
DELETE FROM durable_wf.workflow WHERE workflow_id = 'probe';
SELECT send();
-- there is another one of this name
SELECT wf_start('probe'), send();
SELECT wf_cancel('probe'), send();
ROLLBACK TO s;
SELECT send();
-- the row is another one after each of these
UPDATE durable_wf.workflow SET attempts = 1 WHERE workflow_id = 'probe';
SELECT send();
UPDATE durable_wf.workflow SET workflow_id = 'probe-2' WHERE workflow_id = 'probe';
SELECT send(), send('probe-2');
ROLLBACK;
SELECT send(), send('probe-2');

-- an old snapshot sees the workflow as it was then
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT send();
UPDATE durable_wf.workflow SET attempts = 2 WHERE workflow_id = 'probe';
SELECT send();
SELECT wf_cancel('probe'), send();
ROLLBACK;
SELECT send();

-- for receivers, too
BEGIN;
SELECT wf_recv(NULL, '0', 'probe');
SELECT wf_cancel('probe');
SELECT test.state($$SELECT wf_recv(NULL, '0', 'probe')$$);
ROLLBACK;

-- ----- from row to row of one statement: what another trigger did to the
-- workflow, or to the role, in between

CREATE TABLE acts (id text, command text);
GRANT ALL ON acts TO PUBLIC;
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE NEW.command;
    RETURN NEW;
END $$;
CREATE FUNCTION act_as_superuser() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER AS $$
BEGIN
    EXECUTE NEW.command;
    RETURN NEW;
END $$;

-- How often a statement with rows for 'probe' before and after this command
-- sends, or what it says.
CREATE FUNCTION amid(command text, before text DEFAULT 'SELECT') RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    sent bigint;
BEGIN
    EXECUTE before;
    INSERT INTO acts VALUES ('probe', 'SELECT'), ('probe', 'SELECT'),
        ('probe', command), ('probe', 'SELECT');
    SELECT count(*) INTO sent FROM wf_recv_many('acts', 10, '0', 'probe');
    RAISE EXCEPTION 'sent %', sent;
EXCEPTION
    WHEN raise_exception THEN RETURN SQLERRM;
    WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;

CREATE VIEW commands AS SELECT * FROM (VALUES
    ('SELECT'),
    ('SELECT wf_cancel(''probe'')'),
    ('SET LOCAL durable_wf.workflow_id = ''probe''; SELECT wf_complete()'),
    ('DELETE FROM durable_wf.workflow WHERE workflow_id = ''probe'''),
    ('DELETE FROM durable_wf.workflow WHERE workflow_id = ''probe''; SELECT wf_start(''probe'')'),
    ('UPDATE durable_wf.workflow SET attempts = 3 WHERE workflow_id = ''probe'''),
    ('TRUNCATE durable_wf.workflow'),
    ('DO $do$BEGIN PERFORM wf_cancel(''probe''); RAISE ''undone''; EXCEPTION WHEN OTHERS THEN NULL; END$do$'))
    AS v (command);

CREATE TRIGGER a AFTER INSERT ON acts FOR EACH ROW
    EXECUTE FUNCTION wf_trigger_send('{id}', 'acts');
CREATE TRIGGER b AFTER INSERT ON acts FOR EACH ROW EXECUTE FUNCTION act();
SELECT command, amid(command) FROM commands;
-- the same before the rows are written, and by an event
DROP TRIGGER a ON acts;
DROP TRIGGER b ON acts;
CREATE TRIGGER a BEFORE INSERT ON acts FOR EACH ROW
    EXECUTE FUNCTION wf_trigger_send('{id}', 'acts');
CREATE TRIGGER b BEFORE INSERT ON acts FOR EACH ROW EXECUTE FUNCTION act();
SELECT command, amid(command) FROM commands;
DROP TRIGGER a ON acts;
CREATE TRIGGER a BEFORE INSERT ON acts FOR EACH ROW
    EXECUTE FUNCTION wf_trigger_set_event('{id}', 'acts');
SELECT command, amid(command) FROM commands;
DROP TRIGGER a ON acts;
DROP TRIGGER b ON acts;

-- who may: the owner changes, the role changes, what the role is a member of
-- changes
CREATE TRIGGER a AFTER INSERT ON acts FOR EACH ROW
    EXECUTE FUNCTION wf_trigger_send('{id}', 'acts');
CREATE TRIGGER b AFTER INSERT ON acts FOR EACH ROW EXECUTE FUNCTION act_as_superuser();
CREATE TRIGGER c AFTER INSERT ON acts FOR EACH ROW
    WHEN (NEW.command LIKE 'SET%') EXECUTE FUNCTION act();
CREATE ROLE regress_wf_probe_group;
SELECT wf_set_owner('probe', 'regress_dwf_alice');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT amid('SELECT');
SELECT amid('SELECT wf_set_owner(''probe'', ''regress_dwf_bob'')');
SELECT amid('UPDATE durable_wf.workflow SET owner = 0::oid WHERE workflow_id = ''probe''');
SELECT amid('SELECT wf_set_owner(''probe'', ''regress_wf_probe_group'')');
SELECT amid('GRANT regress_wf_probe_group TO regress_dwf_alice;
                SELECT wf_set_owner(''probe'', ''regress_wf_probe_group'')');
RESET SESSION AUTHORIZATION;
GRANT regress_wf_probe_group TO regress_dwf_alice;
SELECT wf_set_owner('probe', 'regress_wf_probe_group');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT amid('SELECT');
SELECT amid('REVOKE regress_wf_probe_group FROM regress_dwf_alice');
-- (from PostgreSQL 16 on each membership says whether it is inherited)
SELECT CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'ALTER ROLE regress_dwf_alice NOINHERIT'
       ELSE 'REVOKE INHERIT OPTION FOR regress_wf_probe_group FROM regress_dwf_alice' END AS inherits_no_more \gset
SELECT amid(:'inherits_no_more');
SELECT amid('ALTER ROLE regress_dwf_alice SUPERUSER;
                REVOKE regress_wf_probe_group FROM regress_dwf_alice');
SELECT amid('SELECT');
RESET SESSION AUTHORIZATION;
DROP TRIGGER b ON acts;
GRANT regress_dwf_bob TO regress_dwf_alice;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT amid('SET LOCAL ROLE regress_dwf_bob');
RESET SESSION AUTHORIZATION;
REVOKE regress_dwf_bob FROM regress_dwf_alice;
REVOKE regress_wf_probe_group FROM regress_dwf_alice;
SELECT wf_set_owner('probe', current_user);
DROP ROLE regress_wf_probe_group;
DROP TABLE acts;

-- ----- the row is elsewhere, and something else, or nothing, where it was

SELECT send();
VACUUM FULL durable_wf.workflow;
SELECT send();
BEGIN;
TRUNCATE durable_wf.workflow;
SELECT send();
SELECT count(wf_start('probe-' || n)) FROM generate_series(1, 100) n;
SELECT send();
ROLLBACK;
SELECT send();

SELECT count(wf_start('probe-' || n)) FROM generate_series(1, 1000) n;
SELECT state, count(*) FROM generate_series(1, 1000) n, send('probe-' || n) state
 GROUP BY 1;
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'probe-%';
VACUUM durable_wf.workflow;
SELECT state, count(*) FROM generate_series(1, 1000) n, send('probe-' || n) state
 GROUP BY 1;
SELECT count(wf_start('probe-x' || n)) FROM generate_series(1, 1000) n;
SELECT state, count(*) FROM generate_series(1, 1000) n, send('probe-' || n) state
 GROUP BY 1;
SELECT send();

-- more workflows than places
SELECT count(wf_start('probe-' || n)) FROM generate_series(1, 10000) n;
SELECT state, count(*), count(DISTINCT n) FROM generate_series(1, 3) round,
       generate_series(1, 10000) n, send('probe-' || n) state
 GROUP BY 1;
UPDATE durable_wf.workflow
   SET status = 'CANCELLED', finished_at = now()
 WHERE workflow_id LIKE 'probe-%0';
SELECT state, count(*), bool_and(n % 10 = 0) FROM generate_series(1, 10000) n,
       send('probe-' || n) state
 GROUP BY 1 ORDER BY 1;

-- a name that was compressed, or is longer than any
SELECT wf_start(repeat('x', 256)) IS NOT NULL AS started, send(repeat('x', 256)), send(repeat('x', 256)),
       send(repeat('x', 255));
UPDATE durable_wf.workflow SET input = to_jsonb(md5(workflow_id) || repeat('x', 100000))
 WHERE workflow_id = repeat('x', 256);
SELECT send(repeat('x', 256)), send(repeat('x', 256));
DELETE FROM durable_wf.message WHERE workflow_id ~ '^(probe|x)';
DELETE FROM durable_wf.workflow WHERE workflow_id ~ '^(probe-|x)';

-- ----- what the catalogs say of our tables

CREATE ROLE regress_wf_probe_owner;
BEGIN;
SELECT send();
SAVEPOINT s;
ALTER TABLE durable_wf.workflow OWNER TO regress_wf_probe_owner;
SELECT send();
ROLLBACK TO s;
SELECT send();
ALTER TABLE durable_wf.workflow RENAME TO other;
SELECT send();
ROLLBACK TO s;
SELECT send();
ALTER SEQUENCE durable_wf.message_id_seq RENAME TO other;
SELECT send();
ROLLBACK TO s;
SELECT send();
ALTER SEQUENCE durable_wf.message_id_seq RENAME TO other;
CREATE SEQUENCE durable_wf.message_id_seq START 9000000000000000000;
SELECT wf_send('probe', '1');
ROLLBACK TO s;
SELECT send();
ALTER SCHEMA durable_wf RENAME TO durable_other;
SELECT send();
ROLLBACK TO s;
SELECT send();
COMMIT;
DROP ROLE regress_wf_probe_owner;

-- the extension goes, and comes with other tables
SELECT wf_recv(NULL, '0', 'probe') IS NOT NULL AS received;
SET client_min_messages = warning;
BEGIN;
DROP EXTENSION durable_wf CASCADE;
SELECT test.state($$SELECT wf_send('probe', '1')$$);
CREATE EXTENSION durable_wf SCHEMA public;
SELECT send(), wf_start('probe-new'), send('probe-new');
ROLLBACK;
SELECT send(), send('probe-new');

DROP SCHEMA probe_test CASCADE;
DELETE FROM durable_wf.message WHERE workflow_id = 'probe';
DELETE FROM durable_wf.workflow WHERE workflow_id = 'probe';
