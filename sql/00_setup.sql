-- Runs first, since all other files need what it makes: two roles, each with a
-- schema of its own and without any privilege that counts, and helpers in
-- schema test.  Then: what the extension consists of.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS durable_wf;
DROP ROLE IF EXISTS regress_dwf_alice, regress_dwf_bob;
CREATE ROLE regress_dwf_alice LOGIN;
CREATE ROLE regress_dwf_bob LOGIN;
CREATE SCHEMA AUTHORIZATION regress_dwf_alice;
CREATE SCHEMA AUTHORIZATION regress_dwf_bob;
-- a wait that should have ended fails its file and does not hang; a slow server
-- sets another limit (.ci/matrix)
DO $$BEGIN
    EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L',
                   current_database(), coalesce(current_setting('regress_dwf.limit', true), '60s'));
END$$;
RESET client_min_messages;

CREATE SCHEMA test;
GRANT USAGE ON SCHEMA test TO PUBLIC;

-- Execute a statement, as the caller: its first value, or its error, after
-- which nothing of it is left.
CREATE FUNCTION test.try(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result pg_catalog.text;
    detail pg_catalog.text;
    hint pg_catalog.text;
BEGIN
    EXECUTE sql INTO result;
    RETURN coalesce(result, '(null)');
EXCEPTION WHEN OTHERS OR query_canceled THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
                            hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n  ', SQLSTATE || ': ' || SQLERRM,
                     nullif(detail, ''), nullif(hint, ''));
END$$;

-- The same, but of an error only the SQLSTATE, where core says the rest.
CREATE FUNCTION test.state(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result pg_catalog.text;
BEGIN
    EXECUTE sql INTO result;
    RETURN coalesce(result, '(null)');
EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN SQLSTATE;
END$$;

-- What lies in a queue, without taking it.
CREATE FUNCTION test.peek(workflow_id text, topic text) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT jsonb_agg(m.payload ORDER BY m.message_id)
      FROM durable_wf.message m
     WHERE m.workflow_id = $1 AND m.door IN ('m', 'd')
       AND CASE WHEN m.door = 'm' THEN m.key END IS NOT DISTINCT FROM $2
$$;

-- The objects of the extension.  (\dx+ would list array and row types, too,
-- before PostgreSQL 17.)
SELECT pg_describe_object(d.classid, d.objid, d.objsubid) COLLATE "C" AS object
  FROM pg_depend d
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
  LEFT JOIN pg_type t ON d.classid = 'pg_type'::regclass AND t.oid = d.objid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND (t.oid IS NULL OR t.typcategory <> 'A' AND
        (t.typrelid = 0 OR
         (SELECT c.relkind FROM pg_class c WHERE c.oid = t.typrelid) = 'c'))
 ORDER BY 1;

-- The functions and procedures, as clients call them.
SELECT CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE '' END || p.proname AS name,
       replace(pg_get_function_arguments(p.oid), ', ', E',\n') AS arguments,
       pg_get_function_result(p.oid) AS result
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 WHERE p.pronamespace = 'public'::regnamespace
 ORDER BY p.proname COLLATE "C", p.prokind;

-- VOLATILE, PARALLEL UNSAFE, and called with nulls, to say what is wrong;
-- nobody's rights are lent by a SECURITY DEFINER.  What differs: the type's I/O
-- functions; functions of SQL that schedule; wf_adopt, for a database's owner.
SELECT p.oid::regprocedure, p.provolatile, p.proparallel, p.proisstrict,
       p.prosecdef, p.proconfig
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 WHERE p.provolatile <> 'v' OR p.proparallel <> 'u' OR p.proisstrict
    OR p.prosecdef OR p.proconfig IS NOT NULL
 ORDER BY 1;

-- The tables that pg_dump takes along.
SELECT c.oid::regclass, x.condition
  FROM pg_extension e,
       unnest(e.extconfig, e.extcondition) AS x (oid, condition)
  JOIN pg_class c ON c.oid = x.oid
 WHERE e.extname = 'durable_wf'
 ORDER BY c.relname;

-- Each table but those is missing from the dump: none may be.
SELECT c.oid::regclass
  FROM pg_class c
  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
  JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'durable_wf'
 WHERE c.relkind IN ('r', 'S') AND c.oid <> ALL (e.extconfig);
