-- What others do to our tables, and what they must not be able to do.

-- A broadcast reads who waits now, which an old snapshot may not know.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM wf_notify('guards');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT * FROM wf_notify('guards');
ROLLBACK;

-- An archive: a trigger on our table that sends, in the middle of a receive.
SELECT wf_start('guards'), wf_start('guards-archive');
CREATE FUNCTION guards_archive() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('guards-archive', OLD.payload);
    RETURN NULL;
END $$;
CREATE TRIGGER archive AFTER DELETE ON durable_wf.message
    FOR EACH ROW WHEN (OLD.workflow_id = 'guards')
    EXECUTE FUNCTION guards_archive();
SELECT cardinality(wf_send_many(array_agg('guards'::text), array_agg(to_jsonb(n))))
  FROM generate_series(1, 5) n;
BEGIN;
SELECT message FROM wf_recv_many(timeout => '0', workflow_id => 'guards');
SELECT count(*) FROM durable_wf.message WHERE workflow_id = 'guards-archive';
ROLLBACK;
SELECT message FROM wf_recv_many(timeout => '0', workflow_id => 'guards');
SELECT message FROM wf_recv_many(timeout => '0', workflow_id => 'guards-archive');
-- and one that sends whether or not something was received
CREATE FUNCTION guards_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('guards-archive', '"a receive"');
    RETURN NULL;
END $$;
CREATE TRIGGER tell AFTER DELETE ON durable_wf.message
    FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION guards_tell();
SELECT wf_recv(timeout => '0', workflow_id => 'guards');
DROP TRIGGER tell ON durable_wf.message;
DROP TRIGGER archive ON durable_wf.message;
SELECT message FROM wf_recv_many(timeout => '0', workflow_id => 'guards-archive');
DROP FUNCTION guards_archive(), guards_tell();

-- Default privileges give nobody more on our tables than the rule does.
CREATE ROLE regress_dwf_guards;
BEGIN;
DROP EXTENSION durable_wf;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO regress_dwf_guards, PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO regress_dwf_guards, PUBLIC;
CREATE EXTENSION durable_wf;
SELECT c.relname, a.grantee::regrole::text AS grantee, a.privilege_type
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE c.relnamespace = 'durable_wf'::regnamespace AND a.grantee <> c.relowner
 ORDER BY 1, 2, 3;
ROLLBACK;
DROP ROLE regress_dwf_guards;
