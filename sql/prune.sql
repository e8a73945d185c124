-- wf_prune: what it removes, and what it leaves alone.
--
-- It leaves what some open transaction may have seen unfinished, and a server
-- may have some at work of its own (autovacuum), so where something is to be
-- removed we ask until it is.

SET client_min_messages = warning;
CREATE SCHEMA prune_test;
GRANT USAGE ON SCHEMA prune_test TO PUBLIC;
SET search_path = prune_test, public;

CREATE FUNCTION prune(older_than interval, batch int DEFAULT 1000) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    pruned bigint;
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        pruned := wf_prune(older_than, batch);
        EXIT WHEN pruned > 0;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN pruned;
END $$;

-- What is left of a workflow.
CREATE FUNCTION left_of(id text, OUT workflow bigint, OUT messages bigint,
                        OUT events bigint, OUT keys bigint)
LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM durable_wf.workflow w WHERE w.workflow_id = id),
           (SELECT count(*) FROM durable_wf.message m WHERE m.workflow_id = id),
           (SELECT count(*) FROM durable_wf.event e WHERE e.workflow_id = id),
           (SELECT count(*) FROM durable_wf.idempotency i WHERE i.workflow_id = id);
$$;

-- Puts the end of a workflow back by so much.
CREATE FUNCTION age_by(id text, age interval) RETURNS void LANGUAGE sql AS $$
    UPDATE durable_wf.workflow SET finished_at = finished_at - age
     WHERE workflow_id = id;
$$;

CREATE ROLE regress_wf_prune_a;
CREATE ROLE regress_wf_prune_b;

-- ----- all that belongs to it, and nothing else

SET ROLE regress_wf_prune_a;
SELECT wf_start('prune-1', input => '{"a": 1}'), wf_start('prune-10'), wf_start('prune-'),
       wf_start('prune-2'), wf_start('prune-3');
CREATE TEMP TABLE sent AS
SELECT id, wf_send(id, '"no topic"') AS a, wf_send(id, '"topic"', 't') AS b,
       wf_send(id, '"keyed"', 't', 'key') AS keyed,
       (wf_notify('e', '"addressed"', id)).message_id
  FROM unnest('{prune-1,prune-10,prune-,prune-2,prune-3}'::text[]) id;
SELECT wf_set_event('k', '1', id), wf_set_event('k2', 'null', id) FROM sent;
SELECT wf_recv('t', '0', 'prune-1');
SET durable_wf.workflow_id = 'prune-1';
SELECT wf_complete('"done"');
SET durable_wf.workflow_id = 'prune-2';
SELECT wf_fail('why');
RESET durable_wf.workflow_id;
SELECT wf_cancel('prune-3');
-- not old enough by the default
SELECT wf_prune();
SELECT id, (left_of(id)).* FROM sent ORDER BY id COLLATE "C";
SELECT prune('0');
SELECT id, (left_of(id)).* FROM sent ORDER BY id COLLATE "C";
SELECT wf_prune('0');
SELECT workflow_id, status FROM wf_workflows ORDER BY workflow_id COLLATE "C";
SELECT wf_result('prune-1', '0');
\echo :SQLSTATE
SELECT wf_send('prune-1', '1');
\echo :SQLSTATE

-- a later workflow of the same id gets nothing of the old one
SELECT wf_start('prune-1', input => '{"b": 2}'), wf_status('prune-1');
SELECT (left_of('prune-1')).*;
SELECT wf_recv_any('{t,NULL}', '0', 'prune-1'), wf_get_event('prune-1', 'k', '0'),
       wf_wait_for_event('e', '0', 'prune-1');
SELECT wf_send('prune-1', '"new"', 't', 'key') > max(keyed) AS is_new FROM sent;
SELECT wf_recv('t', '0', 'prune-1');
DROP TABLE sent;

-- ----- arguments

SELECT wf_prune(NULL);
\echo :SQLSTATE
SELECT wf_prune('0', NULL);
\echo :SQLSTATE
SELECT wf_prune('-1 us');
\echo :SQLSTATE
SELECT wf_prune('0', 0);
\echo :SQLSTATE
SELECT wf_prune('0', -1);
SELECT wf_prune('1000000 years');
\echo :SQLSTATE
SELECT wf_prune('0', 2147483647);
SELECT wf_prune(batch => 1, older_than => '1 month');
SELECT wf_prune(older_than => '4000 years');

-- ----- how old: the moment of the end, that moment included

RESET ROLE;
SELECT wf_start('edge-old'), wf_start('edge-young'), wf_start('edge-open');
SELECT wf_set_owner('edge-old', 'regress_wf_prune_a'),
       wf_set_owner('edge-young', 'regress_wf_prune_a'),
       wf_set_owner('edge-open', 'regress_wf_prune_a');
SELECT wf_cancel('edge-old'), wf_cancel('edge-young');
SELECT age_by('edge-old', '7 d'), age_by('edge-young', '6 d 23:00');
UPDATE durable_wf.workflow SET created_at = '2000-01-01', updated_at = '2000-01-01'
 WHERE workflow_id LIKE 'edge-%';
SELECT finished_at AS edge FROM durable_wf.workflow WHERE workflow_id = 'edge-young' \gset
SET ROLE regress_wf_prune_a;
SELECT prune('7 d');
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'edge-%' ORDER BY 1;
BEGIN;
SELECT wf_prune(now() - :'edge'::timestamptz + '1 us');
SELECT prune(now() - :'edge'::timestamptz);
COMMIT;
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'edge-%' ORDER BY 1;

-- ----- at most a batch, the oldest first

RESET ROLE;
SELECT wf_start('batch-' || n) FROM generate_series(1, 7) n;
SELECT wf_set_owner('batch-' || n, 'regress_wf_prune_a') FROM generate_series(1, 7) n;
SELECT wf_cancel('batch-' || n) FROM generate_series(1, 6) n;
SELECT age_by('batch-' || n, n * interval '1 d') FROM generate_series(1, 6) n;
SET ROLE regress_wf_prune_a;
SELECT prune('1 d', 1);
SELECT prune('1 d', 2);
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'batch-%' ORDER BY 1;
SELECT prune('1 d');
SELECT wf_prune('1 d', 2);
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'batch-%' ORDER BY 1;
RESET ROLE;

-- ----- whose: of those on whom the caller may act

CREATE ROLE regress_wf_prune_member IN ROLE regress_wf_prune_a;
CREATE ROLE regress_wf_prune_noinherit NOINHERIT IN ROLE regress_wf_prune_a;
CREATE ROLE regress_wf_prune_gone;
CREATE FUNCTION finish_some(prefix text) RETURNS void LANGUAGE sql
    SET search_path = prune_test, public AS $$
    SELECT wf_start(prefix || n), wf_cancel(prefix || n) FROM generate_series(1, 2) n;
$$;
SET ROLE regress_wf_prune_a;
SELECT finish_some('of-a-');
SET ROLE regress_wf_prune_b;
SELECT finish_some('of-b-');
SET ROLE regress_wf_prune_gone;
SELECT finish_some('of-gone-');
RESET ROLE;
DROP ROLE regress_wf_prune_gone;
SET ROLE regress_wf_prune_noinherit;
SELECT wf_prune('0');
SET ROLE regress_wf_prune_member;
SELECT prune('0');
SELECT wf_prune('0');
SET ROLE regress_wf_prune_b;
SELECT prune('0', 1);
RESET ROLE;
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'of-%' ORDER BY 1;
-- in a SECURITY DEFINER function: as its owner
SET ROLE regress_wf_prune_b;
SELECT finish_some('of-b-');
RESET ROLE;
GRANT CREATE ON SCHEMA prune_test TO regress_wf_prune_b;
SET ROLE regress_wf_prune_b;
CREATE FUNCTION prune_of_b() RETURNS bigint LANGUAGE sql SECURITY DEFINER
    SET search_path = prune_test, public AS $$ SELECT prune('0') $$;
SET ROLE regress_wf_prune_member;
SELECT prune_of_b();
-- a superuser: all, and workflows without an owner
RESET ROLE;
SELECT prune('0', 2147483647) >= 2 AS pruned;
SELECT workflow_id FROM wf_workflows WHERE workflow_id LIKE 'of-%' ORDER BY 1;
DROP ROLE regress_wf_prune_member, regress_wf_prune_noinherit;

-- ----- transactions

-- what the transaction itself has ended is not ended yet, for others
SET ROLE regress_wf_prune_a;
SELECT wf_start('tx-1');
BEGIN;
SELECT wf_cancel('tx-1');
SELECT wf_prune('0');
COMMIT;
-- rolled back, it is all there
SELECT wf_start('tx-2');
SELECT wf_send('tx-2', '1') > 0 AS sent, wf_set_event('k', '2', 'tx-2');
SELECT wf_cancel('tx-2');
BEGIN;
SELECT prune('0');
SELECT (left_of('tx-2')).*;
ROLLBACK;
SELECT (left_of('tx-2')).*;
SELECT prune('0');
SELECT (left_of('tx-2')).*;

BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_prune();
\echo :SQLSTATE
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT wf_prune();
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT wf_prune();
\echo :SQLSTATE
ROLLBACK;

-- a hostile search_path
SELECT wf_start('tx-3');
SELECT wf_cancel('tx-3');
RESET ROLE;
CREATE FUNCTION hostile(text, text) RETURNS boolean LANGUAGE plpgsql AS
    $$BEGIN RAISE 'called'; END$$;
CREATE OPERATOR prune_test.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile);
CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'infinity'::timestamptz $$;
SET ROLE regress_wf_prune_a;
SET search_path = prune_test, public, pg_catalog;
SELECT wf_prune();
SELECT prune('0');
RESET ROLE;
RESET search_path;

DROP SCHEMA prune_test CASCADE;
DELETE FROM durable_wf.message
 WHERE workflow_id IN ('prune-', 'prune-1', 'prune-10', 'edge-open', 'batch-7');
DELETE FROM durable_wf.event
 WHERE workflow_id IN ('prune-', 'prune-1', 'prune-10', 'edge-open', 'batch-7');
DELETE FROM durable_wf.idempotency
 WHERE workflow_id IN ('prune-', 'prune-1', 'prune-10', 'edge-open', 'batch-7');
DELETE FROM durable_wf.workflow
 WHERE workflow_id IN ('prune-', 'prune-1', 'prune-10', 'edge-open', 'batch-7');
DROP ROLE regress_wf_prune_a, regress_wf_prune_b;
