-- Copies: what tells them, and wf_adopt (copies for real: t/025_copies.pl).
SELECT durable_wf.is_copy(), wf_adopt();
SELECT h.system_identifier = s.system_identifier AS this_server,
       h.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AS this_database
  FROM durable_wf.home h, pg_control_system() s;

-- Workflows that were not started with wf_start come from elsewhere.
BEGIN;
SELECT wf_start('home 1');
SELECT durable_wf.is_copy();
COPY durable_wf.workflow (workflow_id, owner, status, finished_at) FROM stdin;
home 2	postgres	SUCCESS	2026-01-01
\.
SELECT durable_wf.is_copy();
COPY durable_wf.workflow (workflow_id, owner) FROM stdin;
home 3	postgres
home 4	postgres
\.
SELECT durable_wf.is_copy();
SELECT system_identifier, database FROM durable_wf.home ORDER BY 1 LIMIT 1;
SELECT wf_start('home 5');
SELECT wf_adopt();
SELECT durable_wf.is_copy(), wf_adopt();
-- the mark belongs to the rows: it comes again, and goes with them
INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT 'home 6', oid FROM pg_roles WHERE rolname = current_user;
SELECT durable_wf.is_copy();
SELECT wf_adopt();
SAVEPOINT s;
INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT 'home 7', oid FROM pg_roles WHERE rolname = current_user;
SELECT durable_wf.is_copy();
ROLLBACK TO s;
SELECT durable_wf.is_copy();
INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT 'home 7', oid FROM pg_roles WHERE rolname = current_user;
SELECT durable_wf.is_copy(), count(*) FROM durable_wf.home;
ROLLBACK;
SELECT durable_wf.is_copy();

-- A row of another database, or none of this one.
BEGIN;
INSERT INTO durable_wf.home (system_identifier, database) VALUES (1, 2);
SELECT durable_wf.is_copy(), wf_adopt();
SELECT durable_wf.is_copy();
DELETE FROM durable_wf.home;
SELECT durable_wf.is_copy(), wf_adopt();
SELECT durable_wf.is_copy(), count(*) FROM durable_wf.home;
ROLLBACK;

-- The database's owner may; others may not, nor write the table.
CREATE ROLE regress_dwf_home;
SET ROLE regress_dwf_home;
SELECT wf_adopt();
INSERT INTO durable_wf.home (system_identifier, database) VALUES (1, 2);
DELETE FROM durable_wf.home;
CREATE TEMP TABLE mine (i int);
CREATE TRIGGER t AFTER INSERT ON mine FOR EACH ROW EXECUTE FUNCTION durable_wf.note_home();
DROP TABLE mine;
RESET ROLE;
CREATE TABLE public.not_ours (i int);
CREATE TRIGGER t AFTER INSERT ON public.not_ours FOR EACH ROW EXECUTE FUNCTION durable_wf.note_home();
INSERT INTO public.not_ours VALUES (1);
DROP TABLE public.not_ours;
GRANT pg_read_all_data TO regress_dwf_home;
BEGIN;
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I OWNER TO regress_dwf_home', current_database()); END $$;
SET LOCAL ROLE regress_dwf_home;
SELECT wf_adopt();
ROLLBACK;
DROP ROLE regress_dwf_home;
