-- wf_listen and wf_unlisten: arguments, errors, who may, and what the session
-- listens to when the (sub)transaction has ended. That the notifications come
-- is in t/023_listen.pl; here no session listens for what is sent. The
-- names of the channels are random.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('lsn-1'), wf_start('lsn-2'), wf_start('lsn-ended');
SELECT wf_cancel('lsn-ended');

-- How much this session listens to, and how much there is of it in shared
-- memory, where each comes once however often one has asked for it.
CREATE VIEW listening AS
SELECT (SELECT count(*) FROM pg_listening_channels()) AS channels,
       (SELECT min(listens) FROM wf_stat) AS listens;
GRANT SELECT ON listening TO PUBLIC;
GRANT USAGE ON SCHEMA regress_dwf_alice TO PUBLIC;
SET search_path = regress_dwf_alice, public;
SELECT * FROM listening;

-- the channel: a name that one can LISTEN to, and the same each time
SELECT wf_listen('lsn-1') AS channel \gset
SELECT :'channel' ~ '^wf_[0-9a-f]{32}$' AS well_formed,
       wf_listen('lsn-1') = :'channel' AS same,
       wf_listen(workflow_id => 'lsn-1') = :'channel' AS by_name,
       wf_listen('lsn-2') <> :'channel' AS others_differ;
SELECT bool_and(c = :'channel' OR c ~ '^wf_[0-9a-f]{32}$') FROM pg_listening_channels() c;
SELECT * FROM listening;
-- for all that the role owns
SELECT wf_listen() = wf_listen(NULL) AS same, wf_listen() <> :'channel' AS differs;
SELECT * FROM listening;
-- one that has ended can still be followed: it may be handed over or removed
SELECT wf_listen('lsn-ended') IS NOT NULL;
SELECT * FROM listening;

-- the end: of one, of one that was not listened to, of one that is not there
SELECT wf_unlisten('lsn-ended'), wf_unlisten('lsn-ended');
SELECT * FROM listening;
SELECT wf_unlisten('lsn-none'), wf_unlisten(workflow_id => 'lsn-1');
SELECT * FROM listening;
SELECT wf_unlisten();
SELECT wf_unlisten(NULL);
SELECT * FROM listening;
SELECT wf_unlisten('lsn-2');
SELECT * FROM listening;
-- it is again what it was
SELECT wf_listen('lsn-1') = :'channel' AS same;
SELECT wf_unlisten('lsn-1');

-- nothing becomes of a session that listens to other things
LISTEN something_else;
SELECT wf_listen('lsn-1') = :'channel' AS same;
SELECT * FROM listening;
SELECT wf_unlisten('lsn-1');
SELECT * FROM listening;
UNLISTEN something_else;

-- SQL's own ways to end it
SELECT wf_listen('lsn-1') = :'channel' AS same, wf_listen('lsn-2') IS NOT NULL;
UNLISTEN something_else;
SELECT * FROM listening;
UNLISTEN :channel;
SELECT * FROM listening;
DO $$BEGIN EXECUTE 'UNLISTEN *'; END$$;
SELECT * FROM listening;
SELECT count(wf_listen(id)) FROM unnest(ARRAY['lsn-1', 'lsn-2', NULL]) id;
DISCARD ALL;
SET SESSION AUTHORIZATION regress_dwf_alice;
SET search_path = regress_dwf_alice, public;
SELECT * FROM listening;
-- and what does not
SELECT wf_listen('lsn-1') = :'channel' AS same;
RESET ALL;
SET search_path = regress_dwf_alice, public;
DISCARD PLANS;
DISCARD SEQUENCES;
BEGIN;
DISCARD ALL;
ROLLBACK;
SELECT * FROM listening;
SELECT wf_unlisten('lsn-1');

-- ----- limits

CREATE TABLE ids (n int, id text);
INSERT INTO ids VALUES
  (1, repeat('a', 256)), (2, repeat('é', 128)), (3, repeat('🐘', 64)),
  (4, E'%s%n "it''s"\\ \n\t'), (5, 'a');
SELECT n, octet_length(id), wf_start(id) = id AS started FROM ids ORDER BY n;
SELECT count(DISTINCT wf_listen(id)) FROM ids;
SELECT * FROM listening;
SELECT count(wf_unlisten(id)) FROM ids;
SELECT * FROM listening;
DROP TABLE ids;
\a \t
SELECT octet_length(id), test.try(format('SELECT wf_listen(%L)', id)),
       test.try(format('SELECT wf_unlisten(%L)', id))
  FROM unnest(ARRAY['', repeat('a', 257), repeat('é', 129), repeat('🐘', 65)]) id;

-- ----- errors and privileges

SELECT test.try($$SELECT wf_listen('lsn-none')$$);
SELECT test.state($$SELECT wf_listen('lsn-1', 'lsn-2')$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SET search_path = regress_dwf_alice, public;
SELECT test.try($$SELECT wf_listen('lsn-1')$$);
SELECT test.try($$SELECT wf_listen('lsn-none')$$);
-- this says nothing about what there is
SELECT test.try($$SELECT wf_unlisten('lsn-1')$$), test.try($$SELECT wf_unlisten('lsn-none')$$);
\a \t
SELECT * FROM listening;
SELECT wf_start('lsn-bob');
SELECT wf_listen('lsn-bob') <> :'channel' AS differs;
SELECT wf_listen() AS bobs \gset
SELECT * FROM listening;
SELECT wf_unlisten('lsn-bob'), wf_unlisten();
-- a role that has the privileges of the owner may, and has a channel of its own
RESET SESSION AUTHORIZATION;
SET search_path = regress_dwf_alice, public;
SELECT wf_listen('lsn-1') <> :'channel' AS differs, wf_listen() <> :'bobs' AS superuser;
SELECT * FROM listening;
UNLISTEN *;
GRANT regress_dwf_alice TO regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_listen('lsn-1') <> :'channel' AS differs, wf_listen() = :'bobs' AS same;
SET ROLE regress_dwf_alice;
SELECT wf_listen('lsn-1') = :'channel' AS alices, wf_listen() <> :'bobs' AS differs;
SELECT * FROM listening;
-- that of a workflow ends for every role at once, that of a role for itself
SELECT wf_unlisten('lsn-1');
SELECT * FROM listening;
SELECT wf_unlisten();
SELECT * FROM listening;
RESET ROLE;
SELECT wf_unlisten();
SELECT * FROM listening;
RESET SESSION AUTHORIZATION;
REVOKE regress_dwf_alice FROM regress_dwf_bob;
-- as any function, it can be kept from roles
BEGIN;
REVOKE EXECUTE ON FUNCTION wf_listen(text) FROM PUBLIC;
SET LOCAL SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.state('SELECT wf_listen()');
ROLLBACK;
-- and lent by a function that runs as its owner
SET SESSION AUTHORIZATION regress_dwf_alice;
SET search_path = regress_dwf_alice, public;
CREATE FUNCTION follow(id text) RETURNS text LANGUAGE sql SECURITY DEFINER
  SET search_path = pg_catalog, public, pg_temp AS 'SELECT wf_listen(id)';
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT regress_dwf_alice.follow('lsn-1') = :'channel' AS same;
SELECT * FROM listening;
SELECT wf_unlisten('lsn-1');
SELECT * FROM listening;

-- not on behalf of others, who would choose what a session listens to
RESET SESSION AUTHORIZATION;
SELECT test.try('CREATE MATERIALIZED VIEW lsn AS SELECT wf_listen() AS channel');
SELECT test.try('CREATE MATERIALIZED VIEW lsn AS SELECT wf_unlisten()::text AS nothing');

-- ----- transactions

SET SESSION AUTHORIZATION regress_dwf_alice;
SET search_path = regress_dwf_alice, public;
-- a rollback undoes it, and its end
BEGIN;
SELECT wf_listen('lsn-1') = :'channel' AS same;
ROLLBACK;
SELECT * FROM listening;
BEGIN;
SELECT wf_listen('lsn-1') = :'channel' AS same;
SELECT 1 / 0;
COMMIT;
SELECT * FROM listening;
SELECT wf_listen('lsn-1') = :'channel' AS same;
BEGIN;
SELECT wf_unlisten('lsn-1');
ROLLBACK;
SELECT * FROM listening;
BEGIN;
UNLISTEN *;
ROLLBACK;
SELECT * FROM listening;
-- the last word counts
BEGIN;
SELECT wf_unlisten('lsn-1'), wf_listen('lsn-1') = :'channel' AS same;
COMMIT;
SELECT * FROM listening;
BEGIN;
SELECT wf_listen('lsn-1') = :'channel' AS same, wf_unlisten('lsn-1');
SELECT wf_listen('lsn-2') IS NOT NULL, wf_unlisten('lsn-2');
COMMIT;
SELECT * FROM listening;

-- savepoints: what is rolled back to them has not happened
BEGIN;
SAVEPOINT s;
SELECT wf_listen('lsn-1') = :'channel' AS same;
ROLLBACK TO s;
SELECT wf_listen('lsn-2') IS NOT NULL;
SAVEPOINT s;
SELECT wf_unlisten('lsn-2');
ROLLBACK TO s;
COMMIT;
SELECT * FROM listening;
BEGIN;
SAVEPOINT s;
SELECT wf_listen('lsn-1') = :'channel' AS same;
SAVEPOINT t;
SELECT wf_unlisten('lsn-2');
RELEASE t;
RELEASE s;
COMMIT;
SELECT * FROM listening;
-- nested: the end that stays is the outer one's, the inner one's is undone
BEGIN;
SELECT wf_unlisten('lsn-1');
SAVEPOINT s;
SELECT wf_unlisten('lsn-1');
ROLLBACK TO s;
COMMIT;
SELECT * FROM listening;
SELECT wf_listen('lsn-1') = :'channel' AS same;
BEGIN;
UNLISTEN *;
SAVEPOINT s;
SELECT wf_listen('lsn-1') = :'channel' AS same;
ROLLBACK TO s;
COMMIT;
SELECT * FROM listening;
BEGIN;
SELECT wf_listen('lsn-1') = :'channel' AS same;
SAVEPOINT s;
UNLISTEN *;
SAVEPOINT t;
SELECT wf_listen('lsn-1') = :'channel' AS same;
RELEASE t;
SAVEPOINT t;
SELECT wf_unlisten('lsn-1');
ROLLBACK TO t;
COMMIT;
SELECT * FROM listening;
BEGIN;
SAVEPOINT s;
SELECT wf_unlisten('lsn-1');
RELEASE s;
SAVEPOINT s;
SELECT wf_listen('lsn-1') = :'channel' AS same, wf_listen('lsn-2') IS NOT NULL;
SAVEPOINT t;
UNLISTEN *;
RELEASE t;
ROLLBACK TO s;
SELECT wf_listen() IS NOT NULL;
ROLLBACK;
SELECT * FROM listening;
-- errors that are caught
SELECT test.try($$SELECT wf_listen('lsn-2') || 1 / 0$$);
SELECT * FROM listening;
UNLISTEN *;
SELECT * FROM listening;

-- a transaction that has begun to listen cannot be prepared, as core has it
BEGIN;
SELECT wf_listen('lsn-1') = :'channel' AS same;
PREPARE TRANSACTION 'lsn';
SELECT * FROM listening;

-- in a read-only transaction, under other isolation levels, and of nothing
-- that is rolled back
BEGIN TRANSACTION READ ONLY;
SELECT wf_listen('lsn-1') = :'channel' AS same;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT wf_unlisten('lsn-1'), wf_listen('lsn-2') IS NOT NULL;
COMMIT;
SELECT * FROM listening;
BEGIN;
SELECT wf_start('lsn-new'), wf_listen('lsn-new') IS NOT NULL;
ROLLBACK;
SELECT * FROM listening;

-- as many as one likes; while no session listens, the starts are no news
UNLISTEN *;
SELECT count(wf_start('lsn-many-' || n)) FROM generate_series(1, 1000) n;
SELECT count(DISTINCT wf_listen('lsn-many-' || n)) FROM generate_series(1, 1000) n;
SELECT * FROM listening;
SELECT count(wf_unlisten('lsn-many-' || n)) FROM generate_series(2, 1000, 2) n;
SELECT * FROM listening;
UNLISTEN *;
SELECT * FROM listening;

DROP VIEW listening;
DROP FUNCTION follow(text);
RESET SESSION AUTHORIZATION;
REVOKE USAGE ON SCHEMA regress_dwf_alice FROM PUBLIC;
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'lsn-%';
