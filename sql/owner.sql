-- The type of the column owner: a role, kept by identity, printed by name,
-- and nobody when the role is gone.
\pset null '(null)'
CREATE ROLE regress_dwf_temp;
CREATE ROLE "regress_dwf_100% %s ""it's""";
GRANT regress_dwf_temp TO regress_dwf_alice;

-- text in and out, as in a dump: the exact name, nothing quoted or folded
SELECT 'regress_dwf_temp'::durable_wf.owner,
       'regress_dwf_temp'::durable_wf.owner::oid = 'regress_dwf_temp'::regrole AS same;
SELECT 'regress_dwf_100% %s "it''s"'::durable_wf.owner;
SELECT ''::durable_wf.owner = 0::oid AS nobody, ''::durable_wf.owner::text = '' AS empty;
SELECT 0::oid::durable_wf.owner::text = '' AS nobody,
       4294967295::oid::durable_wf.owner::text = '' AS no_such_role;
-- a role that does not exist is nobody: a number is a name, too, and neither
-- are the names that SQL gives a meaning
SELECT 'regress_dwf_%s'::durable_wf.owner = 0::oid AS nobody;
SELECT '10'::durable_wf.owner = 0::oid AS nobody;
SELECT 'REGRESS_DWF_TEMP'::durable_wf.owner = 0::oid AS nobody;
SELECT '"regress_dwf_temp"'::durable_wf.owner = 0::oid AS nobody;
SELECT 'current_user'::durable_wf.owner = 0::oid AS nobody;
SELECT 'public'::durable_wf.owner = 0::oid AS nobody;

-- there and back by COPY
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('own-alice'), wf_start('own-temp'), wf_start('own-percent');
SELECT wf_send('own-temp', '"for temp"') IS NOT NULL AS sent;
SELECT wf_set_owner('own-temp', 'regress_dwf_temp');
RESET SESSION AUTHORIZATION;
SELECT wf_set_owner('own-percent', 'regress_dwf_100% %s "it''s"');
COPY (SELECT workflow_id, owner FROM durable_wf.workflow
       WHERE workflow_id LIKE 'own-%' ORDER BY 1) TO stdout;
SELECT workflow_id, owner FROM wf_workflows WHERE workflow_id LIKE 'own-%' ORDER BY 1;
BEGIN;
COPY durable_wf.workflow (owner, workflow_id) FROM stdin;
regress_dwf_temp	own-copied
	own-nobody
regress_dwf_gone	own-gone
\.
SELECT workflow_id, owner FROM wf_workflows WHERE workflow_id LIKE 'own-%' ORDER BY 1;
ROLLBACK;

-- a role that is renamed takes its workflows along
ALTER ROLE regress_dwf_temp RENAME TO regress_dwf_renamed;
SELECT owner FROM wf_workflows WHERE workflow_id = 'own-temp';
SET ROLE regress_dwf_renamed;
SELECT wf_recv(NULL, '0', 'own-temp');
SELECT workflow_id FROM wf_workflows;
RESET ROLE;
-- who gets the old name gets nothing else
CREATE ROLE regress_dwf_temp;
SET ROLE regress_dwf_temp;
SELECT test.try($$SELECT wf_status('own-temp')$$);
SELECT count(*) FROM wf_workflows;
RESET ROLE;

-- a role that is dropped leaves its workflows to nobody, also when one of the
-- same name comes; only a superuser sees them, and can give them away
DROP ROLE regress_dwf_renamed;
CREATE ROLE regress_dwf_renamed;
GRANT regress_dwf_renamed TO regress_dwf_alice;
SELECT workflow_id, owner, owner::oid <> 0 AS still_an_oid
  FROM durable_wf.workflow WHERE workflow_id = 'own-temp';
SELECT workflow_id, owner FROM wf_workflows WHERE workflow_id = 'own-temp';
COPY (SELECT owner FROM durable_wf.workflow WHERE workflow_id = 'own-temp') TO stdout;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_status('own-temp')$$,
  $$SELECT wf_start('own-temp')$$,
  $$SELECT wf_send('own-temp', '1')$$,
  $$SELECT wf_recv(NULL, '0', 'own-temp')$$,
  $$SELECT wf_cancel('own-temp')$$,
  $$SELECT wf_set_owner('own-temp', 'regress_dwf_alice')$$
]) call;
SELECT count(*) FROM wf_workflows WHERE workflow_id = 'own-temp';
SET ROLE regress_dwf_renamed;
SELECT test.try($$SELECT wf_status('own-temp')$$);
SELECT count(*) FROM wf_workflows WHERE workflow_id = 'own-temp';
RESET SESSION AUTHORIZATION;
-- a superuser acts in it, too
SELECT wf_status('own-temp'), wf_send('own-temp', '1') IS NOT NULL AS sent;
BEGIN;
UPDATE durable_wf.workflow SET owner = 0::oid WHERE workflow_id = 'own-temp';
SELECT wf_status('own-temp'), wf_recv(NULL, '0', 'own-temp');
SET LOCAL ROLE regress_dwf_alice;
SELECT test.try($$SELECT wf_status('own-temp')$$);
SELECT count(*) FROM wf_workflows WHERE workflow_id = 'own-temp';
ROLLBACK;
SELECT wf_set_owner('own-temp', 'regress_dwf_alice');
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT owner, status FROM wf_workflows WHERE workflow_id = 'own-temp';
SELECT wf_recv(NULL, '0', 'own-temp');
RESET SESSION AUTHORIZATION;

DROP ROLE regress_dwf_temp, regress_dwf_renamed, "regress_dwf_100% %s ""it's""";
SELECT owner FROM wf_workflows WHERE workflow_id = 'own-percent';

-- ----- all workflows of a role: REASSIGN OWNED and its like leave them

CREATE ROLE regress_dwf_leaver LOGIN;
CREATE ROLE regress_dwf_heir LOGIN;
CREATE ROLE regress_dwf_closed;
CREATE PROCEDURE own_body(input jsonb) LANGUAGE plpgsql AS $$ BEGIN END $$;
SET ROLE regress_dwf_leaver;
SELECT wf_start('leave-1'), wf_start('leave-2', 'own_body', start_after => '1 day'),
       wf_start('leave-3'), wf_create_hook('leave-token', workflow_id => wf_start('leave-3'));
SELECT wf_complete('1', 'leave-1');
RESET ROLE;

-- What they say.
REASSIGN OWNED BY regress_dwf_leaver, regress_dwf_heir TO regress_dwf_heir;
DROP OWNED BY regress_dwf_leaver;
SELECT workflow_id, owner FROM wf_workflows WHERE workflow_id LIKE 'leave-%' ORDER BY 1;

-- Who may: with the rights of both; and the new owner runs the bodies.
SET ROLE regress_dwf_heir;
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_heir')$$);
SELECT test.try($$SELECT wf_reassign_owned(NULL, 'regress_dwf_heir')$$);
RESET ROLE;
SET ROLE regress_dwf_leaver;
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_heir')$$);
RESET ROLE;
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_closed')$$);
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_leaver', NULL)$$);
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_none', 'regress_dwf_heir')$$);
SELECT test.try($$SELECT wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_none')$$);
SELECT count(*) FROM wf_workflows WHERE owner = 'regress_dwf_leaver';

GRANT regress_dwf_leaver, regress_dwf_heir TO regress_dwf_closed;
SET ROLE regress_dwf_closed;
SELECT wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_heir'),
       wf_reassign_owned('regress_dwf_leaver', 'regress_dwf_heir') AS again;
RESET ROLE;
SELECT workflow_id, owner, status FROM wf_workflows WHERE workflow_id LIKE 'leave-%' ORDER BY 1;
SET ROLE regress_dwf_heir;
SELECT wf_resume_hook('leave-token', '1'), wf_await_hook('leave-token', '0');
RESET ROLE;

-- A role that is dropped leaves them to superusers.
DROP ROLE regress_dwf_leaver;
DROP ROLE regress_dwf_heir;
SELECT workflow_id, owner FROM wf_workflows WHERE workflow_id LIKE 'leave-%' ORDER BY 1;
SET ROLE regress_dwf_closed;
SELECT test.try($$SELECT wf_reassign_owned(NULL, 'regress_dwf_closed')$$);
RESET ROLE;
SELECT wf_reassign_owned(NULL, current_user) >= 3 AS reassigned;
SELECT workflow_id, owner = current_user AS mine FROM wf_workflows WHERE workflow_id LIKE 'leave-%' ORDER BY 1;
SELECT wf_cancel('leave-2'), wf_cancel('leave-3');
SELECT wf_delete('leave-1'), wf_delete('leave-2'), wf_delete('leave-3');
DROP ROLE regress_dwf_closed;
DROP PROCEDURE own_body;
