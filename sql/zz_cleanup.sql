-- Runs last: removes the extension, which leaves nothing behind, and what the
-- other files have made.
SET client_min_messages = warning;
DROP SCHEMA test CASCADE;
DROP OWNED BY regress_dwf_alice, regress_dwf_bob;
DO $$BEGIN
    EXECUTE format('ALTER DATABASE %I RESET statement_timeout', current_database());
END$$;
RESET client_min_messages;
CREATE VIEW depends AS SELECT * FROM wf_workflows;
\set VERBOSITY sqlstate
DROP EXTENSION durable_wf;
DROP VIEW depends;
DROP EXTENSION durable_wf;
SET ROLE regress_dwf_alice;
CREATE EXTENSION durable_wf;
RESET ROLE;
\set VERBOSITY default
DROP ROLE regress_dwf_alice, regress_dwf_bob;
SELECT 'pg_class' AS catalog, oid::regclass::text FROM pg_class
 WHERE relname ~ '^(wf|dwf|durable_wf)' OR relnamespace NOT IN (SELECT oid FROM pg_namespace)
UNION ALL
SELECT 'pg_proc', oid::regprocedure::text FROM pg_proc
 WHERE proname ~ '^(wf_|dwf_|durable_wf)' OR probin LIKE '%durable_wf%'
UNION ALL
SELECT 'pg_type', oid::regtype::text FROM pg_type WHERE typname ~ '^_?(wf_|dwf_|durable_wf)'
UNION ALL
SELECT 'pg_namespace', nspname FROM pg_namespace WHERE nspname ~ 'durable_wf';

-- in another schema; each catalog is the same before and after
CREATE FUNCTION catalogs(OUT catalog text, OUT object text) RETURNS SETOF record
LANGUAGE plpgsql AS $$
BEGIN
    FOR catalog IN
      SELECT c.relname FROM pg_class c
       WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r'
         AND c.relname NOT IN ('pg_statistic', 'pg_database', 'pg_shdepend', 'pg_class')
    LOOP
        RETURN QUERY EXECUTE format('SELECT %1$L, md5(c::text) FROM pg_catalog.%1$I c', catalog);
    END LOOP;
    RETURN QUERY SELECT 'pg_class', c.relname::text FROM pg_class c
     WHERE c.relnamespace <> 'pg_toast'::regnamespace;
    RETURN QUERY SELECT 'pg_shdepend', md5(d::text) FROM pg_shdepend d
     WHERE d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database());
END$$;
CREATE SCHEMA "Other Schema";
CREATE TABLE before AS SELECT * FROM catalogs() WHERE false;
INSERT INTO before SELECT * FROM catalogs();
CREATE EXTENSION durable_wf SCHEMA "Other Schema";
SELECT DISTINCT n.nspname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE p.proname LIKE 'wf\_%';
\set VERBOSITY sqlstate
SELECT wf_start('other');
ALTER EXTENSION durable_wf SET SCHEMA public;
\set VERBOSITY default
SET search_path = "Other Schema";
SELECT wf_start('other'), wf_status('other');
SELECT wf_send('other', '1', 't') < wf_send('other', '2', 't', 'k') AS sent;
SELECT wf_recv('t', '0', 'other');
SELECT * FROM wf_recv_any('{t,u}', '0', 'other');
SELECT wf_set_event('k', '1', 'other'), wf_get_event('other', 'k', '0');
CALL wf_wait_for_event('e', '1 ms', 'other', NULL, NULL);
CALL wf_result('other', '1 ms', NULL, NULL, NULL);
SELECT workflow_id, status FROM wf_workflows;
SELECT count(*) FROM wf_waiters;
RESET search_path;
DROP EXTENSION durable_wf;
SELECT coalesce(b.catalog, a.catalog) AS catalog, count(b) AS lost, count(a) AS left_behind
  FROM before b FULL JOIN (SELECT * FROM catalogs()) a USING (catalog, object)
 WHERE b IS NULL OR a IS NULL
 GROUP BY 1 ORDER BY 1;

-- dropped and made again in one session, whose plans and settings stay
CREATE EXTENSION durable_wf;
SET durable_wf.workflow_id = 'again';
SELECT wf_start('again'), wf_send('again', '1', NULL, 'k');
BEGIN;
SELECT wf_recv(), wf_set_event('k', '1');
DROP EXTENSION durable_wf;
ROLLBACK;
SELECT wf_recv();
DROP EXTENSION durable_wf;
CREATE EXTENSION durable_wf;
SELECT count(*) FROM wf_workflows;
SELECT wf_current(), wf_start(wf_current()), wf_send('again', '2', NULL, 'k'), wf_recv();
SELECT wf_set_event('k', '1'), wf_get_event('again', 'k'), wf_recv(timeout => '1 ms');
SELECT wf_complete(), wf_status('again');
DROP EXTENSION durable_wf;
DROP SCHEMA "Other Schema";
DROP TABLE before;
DROP FUNCTION catalogs();
