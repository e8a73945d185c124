-- From release to release: what an upgrade makes is what a fresh install makes.
BEGIN;
CREATE TEMP VIEW member AS
SELECT pg_describe_object(d.classid, d.objid, 0) AS object,
       obj_description(d.objid, d.classid::regclass::name) AS comment,
       CASE d.classid WHEN 'pg_proc'::regclass THEN pg_get_functiondef(d.objid) END AS definition
  FROM pg_depend d JOIN pg_extension e
    ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 WHERE e.extname = 'durable_wf' AND d.deptype = 'e';
CREATE TEMP TABLE fresh AS SELECT * FROM member;
CREATE TEMP TABLE fresh_index AS
SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'durable_wf';
DROP EXTENSION durable_wf;

CREATE EXTENSION durable_wf VERSION '0.1.0';
SELECT wf_start('old'), wf_send('old', '"kept"', 't') IS NOT NULL AS sent, wf_set_event('k', '1', 'old');
ALTER EXTENSION durable_wf UPDATE TO '0.2.0';
SELECT wf_start('plain') AS without_update, wf_prune() AS pruned;
ALTER EXTENSION durable_wf UPDATE TO '0.3.0';
-- no workflow had a parent or attributes then
SAVEPOINT attached;
SELECT wf_attach('plain'), wf_start('plain-child'), wf_cancel('plain-child');
SELECT wf_complete('1'), wf_prune() AS pruned;
ROLLBACK TO attached;
-- hooks as they were then: a retry does not bring them back
SELECT wf_start('hooks'), wf_create_hook('t', workflow_id => 'hooks'), wf_resume_hook('t', '1'), wf_cancel('hooks');
SELECT count(*) FROM durable_wf.message WHERE key = 't' AND door = 'h';
SELECT wf_retry('hooks'), wf_prune('0') IS NOT NULL AS pruned;
SELECT count(*) FROM wf_get_hook('t');
SELECT token AS manual FROM wf_create_webhook('"manual"', workflow_id => 'hooks') \gset
SELECT wf_respond((wf_resume_webhook(:'manual', '{}')->>'request_id')::bigint, 201);
ALTER EXTENSION durable_wf UPDATE TO '1.0.0';
SELECT wf_respond((wf_resume_webhook(:'manual', '{}')->>'request_id')::bigint, 201), wf_cancel('hooks');
SELECT wf_retry('hooks');
SELECT wf_set_attributes('{"n": 1}', 'plain'), wf_start('attributed', attributes => '{"n": 2}');
SELECT workflow_id, attributes, parent_id FROM wf_workflows WHERE attributes IS NOT NULL ORDER BY 1;
SELECT count(*) FROM wf_get_hook(:'manual');
SELECT wf_recv('t', '0', 'old'), wf_get_event('old', 'k', '0'), wf_attach('old'), wf_prune() AS pruned;
SELECT wf_step('s', 'SELECT 1'), wf_cancel('old');

SELECT count(*) > 40 AS many FROM fresh;
(TABLE member EXCEPT TABLE fresh) UNION ALL (TABLE fresh EXCEPT TABLE member);
SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'durable_wf'
EXCEPT TABLE fresh_index;

-- 0.4.0 was never released: what a database has may be as little as 0.3.0, or all.
DROP EXTENSION durable_wf;
CREATE EXTENSION durable_wf VERSION '0.3.0';
SELECT wf_start('old'), wf_send('old', '"kept"', 't') IS NOT NULL AS sent;
SET LOCAL allow_system_table_mods = on;
UPDATE pg_extension SET extversion = '0.4.0' WHERE extname = 'durable_wf';
ALTER EXTENSION durable_wf UPDATE TO '1.0.0';
(TABLE member EXCEPT TABLE fresh) UNION ALL (TABLE fresh EXCEPT TABLE member);
UPDATE pg_extension SET extversion = '0.4.0' WHERE extname = 'durable_wf';
ALTER EXTENSION durable_wf UPDATE TO '1.0.0';
(TABLE member EXCEPT TABLE fresh) UNION ALL (TABLE fresh EXCEPT TABLE member);
(SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'durable_wf' EXCEPT TABLE fresh_index)
UNION ALL (TABLE fresh_index EXCEPT SELECT indexname::text, indexdef FROM pg_indexes WHERE schemaname = 'durable_wf');
SELECT wf_recv('t', '0', 'old'), wf_set_attributes('{"n": 1}', 'old');
ROLLBACK;
