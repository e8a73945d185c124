-- The views, and the comment that everything has.
\pset null '(null)'
SELECT table_name, string_agg(column_name || ' ' || udt_name, E',\n' ORDER BY ordinal_position) AS columns
  FROM information_schema.columns
 WHERE table_schema = 'public' AND table_name LIKE 'wf\_%'
   AND table_name IN (SELECT viewname FROM pg_views)
 GROUP BY table_name ORDER BY table_name;

-- wf_workflows
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('view-pending', input => '{"a": 1}'), wf_start('view-done'),
       wf_start('view-failed'), wf_start('view-cancelled');
BEGIN;
SET LOCAL durable_wf.workflow_id = 'view-done';
SELECT wf_complete('[1]');
SET LOCAL durable_wf.workflow_id = 'view-failed';
SELECT wf_fail('no money');
SELECT wf_cancel('view-cancelled');
COMMIT;
\x on
SELECT workflow_id, owner, status, body, input, output, error, attempts,
       created_at <= now() AS created, updated_at >= created_at AS updated,
       finished_at = updated_at AS finished
  FROM wf_workflows WHERE workflow_id LIKE 'view-%' ORDER BY workflow_id;
\x off

-- wf_mailbox: one row per queue; a message without a topic has no key
SELECT count(wf_send('view-pending', 'null', topic))
  FROM unnest(ARRAY['t', 't', '', NULL, NULL, NULL, 'e']) topic;
SELECT count(*) FROM wf_notify('e', 'null', 'view-pending');
SELECT workflow_id, door, key, depth, oldest_at <= now() AS aged FROM wf_mailbox
 WHERE workflow_id LIKE 'view-%' ORDER BY door, key;
BEGIN;
SELECT count(*) FROM wf_recv_many(NULL, 2, '0', 'view-pending');
SELECT depth FROM wf_mailbox WHERE workflow_id = 'view-pending' AND key IS NULL;
SELECT count(*) FROM wf_recv_many(NULL, 2, '0', 'view-pending');
SELECT depth FROM wf_mailbox WHERE workflow_id = 'view-pending' AND key IS NULL;
ROLLBACK;
SELECT depth FROM wf_mailbox WHERE workflow_id = 'view-pending' AND key IS NULL;

-- wf_waiters: nobody waits in a single session
SELECT * FROM wf_waiters;

-- wf_stat: what has committed, and what was waited for, per door; what came to
-- nothing does not count as sent
CREATE TEMP TABLE before AS SELECT * FROM wf_stat;
SELECT wf_send('view-pending', '1', 'stat') IS NOT NULL AS sent,
       wf_send('view-pending', '1', 'stat', 'k') IS NOT NULL AS sent;
SELECT wf_send('view-pending', '1', 'stat', 'k') IS NOT NULL AS not_sent;
SELECT cardinality(wf_send_many('{view-pending,view-pending,view-pending}', '{1,2,3}', 'stat',
                                '{k,k2,NULL}')) AS one_not_sent;
SELECT wf_recv('stat', '0', 'view-pending'), wf_recv('none', '10 ms', 'view-pending'),
       wf_recv('none', '0', 'view-pending');
SELECT count(*) FROM wf_recv_many('stat', 10, '0', 'view-pending');
BEGIN;
SELECT count(*) FROM wf_recv_many('t', 10, '0', 'view-pending');
SELECT wf_send('view-pending', '1', 'stat') IS NOT NULL AS sent;
ROLLBACK;
SELECT wf_set_event('k', '1', 'view-pending'), wf_set_event('k', '2', 'view-pending');
SELECT wf_get_event('view-pending', 'k'), wf_get_event('view-pending', 'none', '10 ms');
SELECT count(*) FROM wf_notify('stat', '1', 'view-pending');
SELECT timed_out FROM wf_wait_for_event('stat', '10 ms', 'view-pending');
SELECT timed_out FROM wf_wait_for_event('stat', '10 ms', 'view-pending');
SELECT wf_start('view-stat');
SELECT wf_start('view-stat'), wf_start('view-done');
SELECT wf_cancel('view-stat'), wf_cancel('view-done') AS not_cancelled;
SELECT wf_result('view-pending', '10 ms');
SELECT door, s.sends - b.sends AS sends, s.receives - b.receives AS receives,
       s.waits - b.waits AS waits, s.timeouts - b.timeouts AS timeouts,
       s.wakes - b.wakes AS wakes, s.spurious_wakes - b.spurious_wakes AS spurious_wakes,
       s.passed_on - b.passed_on AS passed_on
  FROM wf_stat s JOIN before b USING (door) ORDER BY door;
RESET SESSION AUTHORIZATION;

-- all that has no comment: the objects, and the columns of the tables
SELECT pg_describe_object(d.classid, d.objid, 0) AS object
  FROM pg_depend d
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
  LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.classid <> 'pg_cast'::regclass
   AND (t.oid IS NULL OR t.typcategory <> 'A' AND
        (t.typrelid = 0 OR
         (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c'))
   AND obj_description(d.objid, d.classid::regclass::name) IS NULL
UNION ALL
SELECT format('column %s of %s', a.attname, a.attrelid::regclass)
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE c.relnamespace = 'durable_wf'::regnamespace AND c.relkind = 'r'
   AND a.attnum > 0 AND NOT a.attisdropped
   AND col_description(a.attrelid, a.attnum) IS NULL
UNION ALL
SELECT format('policy %s on %s', p.polname, p.polrelid::regclass)
  FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
 WHERE c.relnamespace = 'durable_wf'::regnamespace
   AND obj_description(p.oid, 'pg_policy') IS NULL
ORDER BY 1;

-- each table has row security and a policy, each view passes the reader on
SELECT relname, relrowsecurity, (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) AS policies
  FROM pg_class c WHERE relnamespace = 'durable_wf'::regnamespace AND relkind = 'r' ORDER BY 1;
SELECT relname, reloptions FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'v' AND relname LIKE 'wf\_%' ORDER BY 1;
-- and the world may read them and no more
SELECT c.oid::regclass, a.grantee::regrole, a.privilege_type
  FROM pg_class c, aclexplode(c.relacl) a
 WHERE (c.relnamespace = 'durable_wf'::regnamespace OR
        c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'wf\_%')
   AND a.grantee <> c.relowner
 ORDER BY c.oid::regclass::text COLLATE "C";

-- what is asked for one workflow looks at that one, whoever asks: no plan reads
-- all workflows to apply a policy
CREATE FUNCTION test.reads_all(query text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        IF line LIKE '%hashed SubPlan%' THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;
-- (with what is in the tables now, not with what autovacuum has seen so far)
ANALYZE;
BEGIN;
-- (from PostgreSQL 18 on a subplan's costs do not tell that a scan is off)
SET LOCAL enable_seqscan = off;
UPDATE pg_class SET relpages = 1, reltuples = 1e9 WHERE oid = 'durable_wf.workflow'::regclass;
SET LOCAL ROLE regress_dwf_bob;
SELECT name FROM unnest(ARRAY['wf_streams', 'wf_mailbox', 'wf_dead_letters', 'wf_workflows']) name
 WHERE test.reads_all(format('SELECT * FROM %s WHERE workflow_id = %L', name, 'x'));
WITH t AS MATERIALIZED (
    SELECT a.attrelid::regclass AS name
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workflow_id'
     WHERE c.relnamespace = 'durable_wf'::regnamespace AND c.relkind = 'r')
SELECT name FROM t WHERE test.reads_all(format('SELECT * FROM %s WHERE workflow_id = %L', name, 'x'));
ROLLBACK;
DROP FUNCTION test.reads_all;
