-- Who may do what: exactly the workflows whose owner's privileges one has, in
-- functions, tables and views alike.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('priv', input => '"secret"'), wf_start('priv-done');
SELECT wf_send('priv', '"secret"', 't', 'k') IS NOT NULL AS sent,
       wf_set_event('k', '"secret"', 'priv');
SELECT count(*) FROM wf_notify('e', '"secret"', 'priv');
SET durable_wf.workflow_id = 'priv-done';
SELECT wf_complete('"secret"');
RESET durable_wf.workflow_id;

-- what another role gets: 42501 from everything that names the workflow, and
-- nothing at all from what does not
SET SESSION AUTHORIZATION regress_dwf_bob;
\a \t
SELECT test.try($$SELECT wf_status('priv')$$);
SELECT call, test.state(call) FROM unnest(ARRAY[
  $$SELECT wf_start('priv')$$,
  $$SELECT wf_start('priv', input => '"secret"')$$,
  $$SELECT wf_start('priv', input => '"other"')$$,
  $$SELECT wf_status('priv')$$,
  $$SELECT wf_cancel('priv')$$,
  $$SELECT wf_cancel('priv-done')$$,
  $$SELECT wf_set_owner('priv', 'regress_dwf_bob')$$,
  $$SELECT wf_set_owner('priv', 'regress_dwf_alice')$$,
  $$SELECT wf_result('priv')$$,
  $$SELECT wf_result('priv', '0')$$,
  $$SELECT wf_result('priv-done')$$,
  $$SELECT wf_send('priv', '1')$$,
  $$SELECT wf_send('priv', '1', 't', 'k')$$,
  $$SELECT wf_send('priv-done', '1')$$,
  $$SELECT wf_send_many('{priv}', '{1}')$$,
  $$SELECT wf_send_many('{priv}', '{1}', 't', '{k}')$$,
  $$SELECT wf_recv('t', workflow_id => 'priv')$$,
  $$SELECT wf_recv('none', '0', 'priv')$$,
  $$SELECT wf_recv('t', '0', 'priv-done')$$,
  $$SELECT wf_recv_any('{t,u}', workflow_id => 'priv')$$,
  $$SELECT wf_wait_any('[{"topic": "t"}]', workflow_id => 'priv')$$,
  $$SELECT wf_recv_many('t', workflow_id => 'priv')$$,
  $$SELECT wf_set_event('k', '1', 'priv')$$,
  $$SELECT wf_get_event('priv', 'k')$$,
  $$SELECT wf_get_event('priv', 'none', '0')$$,
  $$SELECT wf_get_event('priv-done', 'none')$$,
  $$SELECT wf_wait_for_event('e', workflow_id => 'priv')$$,
  $$SELECT wf_notify('e', '1', 'priv')$$,
  $$CALL wf_recv('t', NULL, 'priv', NULL)$$,
  $$CALL wf_recv_any('{t,u}', NULL, 'priv', NULL, NULL)$$,
  $$CALL wf_wait_any('[{"workflow_id": "priv"}]', NULL, NULL, NULL, NULL)$$,
  $$CALL wf_get_event('priv', 'k', NULL, NULL)$$,
  $$CALL wf_wait_for_event('e', NULL, 'priv', NULL, NULL)$$,
  $$CALL wf_result('priv', NULL, NULL, NULL, NULL)$$
]) WITH ORDINALITY AS c (call, n) ORDER BY n;
CALL wf_recv('t', NULL, 'priv', NULL);
CALL wf_get_event('priv', 'k', NULL, NULL);
SET durable_wf.workflow_id = 'priv';
SELECT test.state($$SELECT wf_complete()$$), test.state($$SELECT wf_fail('x')$$),
       test.state($$SELECT wf_recv('t')$$), test.state($$SELECT wf_set_event('k', '1')$$);
RESET durable_wf.workflow_id;
-- of one batch with a workflow of one's own nothing is sent
SELECT wf_start('priv-bob');
SELECT test.state($$SELECT wf_send_many('{priv-bob,priv}', '{1,2}')$$),
       test.state($$SELECT wf_send_many('{priv-bob,priv}', '{1,2}', NULL, '{k,k}')$$);
SELECT wf_recv(NULL, '0', 'priv-bob') IS NULL;
-- a broadcast reaches nobody, and a workflow that does not exist may be awaited
SELECT count(*) FROM wf_notify('e', '1');
SELECT count(*) FROM wf_event_waiters('e');
SELECT wf_get_event('priv-later', 'k', '10 ms') IS NULL;
-- the tables and views: the rows of one's own workflows
SELECT workflow_id FROM durable_wf.workflow;
SELECT workflow_id FROM wf_workflows;
SELECT workflow_id FROM wf_mailbox;
SELECT count(*) FROM durable_wf.message;
SELECT count(*) FROM durable_wf.event;
SELECT count(*) FROM durable_wf.idempotency;
SELECT count(*) FROM wf_waiters;
SELECT count(*) FROM durable_wf.waiters();
-- what leaks out of a condition has nothing to leak
CREATE FUNCTION leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$
BEGIN
    RAISE NOTICE 'saw %', $1;
    RETURN true;
END$$;
SELECT count(*) FROM wf_workflows WHERE leak(workflow_id) AND leak(input::text);
SELECT count(*) FROM durable_wf.workflow WHERE leak(workflow_id);
SELECT count(*) FROM wf_mailbox WHERE leak(workflow_id);
SELECT count(*) FROM durable_wf.message WHERE leak(payload::text);
SELECT count(*) FROM durable_wf.event WHERE leak(value::text);
SELECT count(*) FROM durable_wf.idempotency WHERE leak(idempotency_key);
-- without row security there is nothing either; the functions do not mind
SET row_security = off;
SELECT test.state($$SELECT * FROM wf_workflows$$), test.state($$SELECT * FROM wf_mailbox$$),
       test.state($$SELECT * FROM durable_wf.event$$),
       test.state($$SELECT * FROM durable_wf.idempotency$$);
SELECT wf_send('priv-bob', '1') IS NOT NULL, wf_recv(NULL, '0', 'priv-bob'),
       wf_status('priv-bob'), test.state($$SELECT wf_status('priv')$$);
RESET row_security;

-- nobody writes the tables, or what belongs to them, but through the functions
CREATE TEMP TABLE forbidden AS
SELECT * FROM unnest(ARRAY[
         $$INSERT INTO durable_wf.workflow (workflow_id, owner) SELECT 'x', 'regress_dwf_alice'$$,
         $$UPDATE durable_wf.workflow SET status = 'PENDING'$$,
         $$UPDATE wf_workflows SET owner = 'regress_dwf_bob'$$,
         $$DELETE FROM durable_wf.workflow$$,
         $$DELETE FROM wf_workflows$$,
         $$TRUNCATE durable_wf.workflow$$,
         $$SELECT FROM durable_wf.workflow FOR UPDATE$$,
         $$SELECT FROM durable_wf.workflow FOR KEY SHARE$$,
         $$LOCK TABLE durable_wf.workflow IN SHARE MODE$$,
         $$INSERT INTO durable_wf.message (message_id, workflow_id, door, key, payload) VALUES (1, 'priv-bob', 'm', '', '1')$$,
         $$UPDATE durable_wf.message SET payload = '1'$$,
         $$DELETE FROM durable_wf.message$$,
         $$SELECT FROM durable_wf.message FOR UPDATE$$,
         $$LOCK TABLE durable_wf.message IN ROW EXCLUSIVE MODE$$,
         $$INSERT INTO durable_wf.event (workflow_id, key, value) VALUES ('priv-bob', 'k', '1')$$,
         $$UPDATE durable_wf.event SET value = '1'$$,
         $$DELETE FROM durable_wf.event$$,
         $$INSERT INTO durable_wf.idempotency VALUES ('priv-bob', '', 'k', 1)$$,
         $$UPDATE durable_wf.idempotency SET message_id = 1$$,
         $$DELETE FROM durable_wf.idempotency$$,
         $$SELECT nextval('durable_wf.message_id_seq')$$,
         $$SELECT setval('durable_wf.message_id_seq', 1)$$,
         $$SELECT last_value FROM durable_wf.message_id_seq$$,
         $$ALTER TABLE durable_wf.message DISABLE ROW LEVEL SECURITY$$,
         $$CREATE POLICY mine ON durable_wf.workflow USING (true)$$,
         $$CREATE TRIGGER mine BEFORE INSERT ON durable_wf.message FOR EACH ROW EXECUTE FUNCTION leak()$$,
         $$CREATE TABLE mine (LIKE durable_wf.message, FOREIGN KEY (workflow_id) REFERENCES durable_wf.workflow)$$,
         $$CREATE TABLE mine () INHERITS (durable_wf.message)$$,
         $$CREATE TABLE durable_wf.mine ()$$,
         $$ALTER FUNCTION wf_current() SET work_mem = '1MB'$$,
         $$CREATE OR REPLACE FUNCTION public.wf_current() RETURNS text LANGUAGE sql AS 'SELECT 1'$$,
         $$ALTER TYPE wf_received ADD ATTRIBUTE mine int$$,
         $$DROP EXTENSION durable_wf$$
       ]) WITH ORDINALITY AS c (call, n);
SELECT call, test.state(call) FROM forbidden ORDER BY n;
GRANT SELECT ON forbidden TO PUBLIC;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.state(call), count(*) FROM forbidden GROUP BY 1 ORDER BY 1;
\a \t

-- nothing of all this has changed anything
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT workflow_id, owner, status, input, output FROM wf_workflows
 WHERE workflow_id LIKE 'priv%' ORDER BY 1;
SELECT workflow_id, door, key, depth FROM wf_mailbox WHERE workflow_id LIKE 'priv%' ORDER BY 1, 2;
SELECT wf_recv('t', '0', 'priv'), wf_get_event('priv', 'k');

-- set_owner: both roles must be the caller's
\a \t
SELECT test.try($$SELECT wf_set_owner('priv', 'regress_dwf_bob')$$);
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_dwf_team;
GRANT regress_dwf_team TO regress_dwf_alice, regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('priv-team');
SELECT wf_send('priv-team', '"from alice"') IS NOT NULL,
       wf_set_event('k', '"from alice"', 'priv-team');
SELECT wf_set_owner('priv-team', 'regress_dwf_team');
SELECT owner, wf_status(workflow_id) FROM wf_workflows WHERE workflow_id = 'priv-team';
-- now it is both members', with its mailbox and its events
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT owner FROM wf_workflows WHERE workflow_id = 'priv-team';
SELECT wf_start('priv-team'), wf_recv(NULL, '0', 'priv-team'), wf_get_event('priv-team', 'k');
SELECT test.try($$SELECT wf_set_owner('priv-team', 'regress_dwf_alice')$$);
SELECT wf_set_owner('priv-team', 'regress_dwf_bob');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.try($$SELECT wf_status('priv-team')$$);
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT wf_set_owner('priv-team', 'regress_dwf_team');
-- rolled back it stays whose it was
BEGIN;
SELECT wf_set_owner('priv-team', 'regress_dwf_bob');
ROLLBACK;
SELECT owner FROM wf_workflows WHERE workflow_id = 'priv-team';
-- a member is not its team's owner: what bob starts is bob's, unless he acts as the team
SELECT owner FROM wf_workflows WHERE workflow_id = 'priv-bob';
SET ROLE regress_dwf_team;
SELECT wf_start('priv-by-team');
SELECT owner FROM wf_workflows WHERE workflow_id = 'priv-by-team';
SELECT test.state($$SELECT wf_status('priv-bob')$$);
RESET ROLE;

-- a member that does not inherit has the privileges only after SET ROLE; a
-- member of a member has them
RESET SESSION AUTHORIZATION;
CREATE ROLE regress_dwf_noinherit NOINHERIT;
CREATE ROLE regress_dwf_nested;
GRANT regress_dwf_team TO regress_dwf_noinherit;
GRANT regress_dwf_alice TO regress_dwf_nested;
GRANT regress_dwf_noinherit TO regress_dwf_nested;
SET SESSION AUTHORIZATION regress_dwf_noinherit;
SELECT test.state($$SELECT wf_status('priv-team')$$),
       test.state($$SELECT wf_send('priv-team', '1')$$),
       test.state($$SELECT wf_recv(NULL, '0', 'priv-team')$$),
       test.state($$SELECT wf_set_event('k', '1', 'priv-team')$$),
       test.state($$SELECT wf_cancel('priv-team')$$),
       (SELECT count(*) FROM wf_workflows), (SELECT count(*) FROM durable_wf.event);
SELECT wf_start('priv-noinherit');
SELECT test.state($$SELECT wf_set_owner('priv-noinherit', 'regress_dwf_team')$$);
SET ROLE regress_dwf_team;
SELECT wf_status('priv-team'), test.state($$SELECT wf_status('priv-noinherit')$$);
SET SESSION AUTHORIZATION regress_dwf_nested;
SELECT wf_status('priv'), wf_status('priv-team'), wf_status('priv-noinherit');
SELECT wf_set_owner('priv-noinherit', 'regress_dwf_alice');
SELECT wf_set_owner('priv-noinherit', 'regress_dwf_noinherit');
-- a membership that ends ends the access
RESET SESSION AUTHORIZATION;
REVOKE regress_dwf_team FROM regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.state($$SELECT wf_status('priv-team')$$), count(*)
  FROM wf_workflows WHERE workflow_id = 'priv-team';

-- a superuser may all, and what is a superuser's is no one else's
RESET SESSION AUTHORIZATION;
SELECT wf_start('priv-super'), wf_status('priv'), wf_start('priv-bob', NULL);
SELECT wf_set_owner('priv-by-team', 'regress_dwf_bob');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.state($$SELECT wf_status('priv-super')$$),
       test.state($$SELECT wf_status('priv-by-team')$$),
       test.state(format('SELECT wf_set_owner(%L, %L)', 'priv', r.rolname))
  FROM pg_roles r WHERE r.oid = 10;

-- who calls decides, though SET LOCAL ends with the commit inside of a CALL
RESET SESSION AUTHORIZATION;
\set VERBOSITY sqlstate
DO $$
DECLARE
    m jsonb;
BEGIN
    SET LOCAL ROLE regress_dwf_bob;
    CALL wf_recv(NULL, '0', 'priv', m);
END$$;
\set VERBOSITY default
SET SESSION AUTHORIZATION regress_dwf_alice;

-- SECURITY DEFINER: the owner of the function acts, and lends just that
CREATE FUNCTION send_for_all(message jsonb) RETURNS boolean LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM wf_start('priv-door');
    RETURN wf_send('priv-door', message) IS NOT NULL;
END$$;
CREATE FUNCTION changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('priv', to_jsonb(NEW), 'changed');
    RETURN NEW;
END$$;
CREATE TABLE orders (n int);
CREATE TRIGGER changed AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION changed();
CREATE VIEW mine AS SELECT * FROM wf_workflows WHERE workflow_id LIKE 'priv%';
CREATE VIEW my_events AS SELECT * FROM durable_wf.event;
GRANT USAGE ON SCHEMA regress_dwf_alice TO regress_dwf_bob;
GRANT INSERT ON orders TO regress_dwf_bob;
GRANT SELECT ON mine, my_events TO regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT regress_dwf_alice.send_for_all('"from bob"');
SELECT test.try($$SELECT wf_recv(NULL, '0', 'priv-door')$$);
-- a trigger function acts as who fires it, a view shows what its reader may see
SELECT test.try($$INSERT INTO regress_dwf_alice.orders VALUES (1)$$);
SELECT workflow_id FROM regress_dwf_alice.mine ORDER BY 1;
SELECT count(*) FROM regress_dwf_alice.my_events;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT owner FROM wf_workflows WHERE workflow_id = 'priv-door';
SELECT wf_recv(NULL, '0', 'priv-door');
INSERT INTO orders VALUES (2);
SELECT wf_recv('changed', '0', 'priv');
ALTER FUNCTION changed() SECURITY DEFINER;
SET SESSION AUTHORIZATION regress_dwf_bob;
INSERT INTO regress_dwf_alice.orders VALUES (3);
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_recv('changed', '0', 'priv');

-- the role of the moment decides, within one statement's plan too
PREPARE see AS SELECT count(*) FROM wf_workflows WHERE workflow_id = 'priv-team';
EXECUTE see;
RESET SESSION AUTHORIZATION;
SET ROLE regress_dwf_bob;
EXECUTE see;
SET ROLE regress_dwf_team;
EXECUTE see;
RESET ROLE;

DROP ROLE regress_dwf_noinherit, regress_dwf_nested, regress_dwf_team;
