-- A search_path attack: bob puts everything that our SQL might pick up in
-- front of pg_catalog, and calls.  None of that code runs, least of all as the
-- owner of the extension.
\pset null '(null)'
-- (the counts below are of bob's workflows, whichever files ran before)
DELETE FROM durable_wf.workflow WHERE owner = 'regress_dwf_bob'::regrole;
CREATE SCHEMA regress_dwf_trap AUTHORIZATION regress_dwf_bob;
SET SESSION AUTHORIZATION regress_dwf_bob;
SET search_path = regress_dwf_trap;
CREATE TABLE trap (who name DEFAULT current_user, what text);
GRANT INSERT ON trap TO PUBLIC;
GRANT USAGE ON SCHEMA regress_dwf_trap TO PUBLIC;
CREATE FUNCTION spring(what text) RETURNS boolean LANGUAGE plpgsql
  SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO regress_dwf_trap.trap (what) VALUES (what);
    RETURN true;
END$$;
-- operators, on each type that our tables have
DO $$
DECLARE
    t regtype;
    op text;
BEGIN
    FOR t, op IN
      SELECT * FROM unnest('{text,bigint,"\"char\"",oid,jsonb,tid,boolean,timestamptz,
                             integer,name,text[],bigint[]}'::regtype[]) t,
                    unnest('{=,<>,<,<=,>,>=}'::text[]) op
    LOOP
        EXECUTE format('CREATE FUNCTION %I (%s, %s) RETURNS boolean LANGUAGE sql '
                       'RETURN regress_dwf_trap.spring(%L)',
                       'op' || op, t, t, t || op);
        EXECUTE format('CREATE OPERATOR %s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = %I)',
                       op, t, t, 'op' || op);
    END LOOP;
END$$;
-- functions, aggregates, types, tables, a collation, of names that we use
DO $$
DECLARE
    signature text;
BEGIN
    FOREACH signature IN ARRAY ARRAY[
      'pg_has_role(oid, oid, text) RETURNS boolean', 'pg_has_role(oid, text) RETURNS boolean',
      'pg_has_role(oid, name, text) RETURNS boolean', 'now() RETURNS timestamptz',
      'octet_length(text) RETURNS integer', 'nextval(regclass) RETURNS bigint',
      'unnest(text[]) RETURNS SETOF text', 'unnest(anyarray) RETURNS SETOF anyelement',
      'unnest(text[], text[], text[]) RETURNS SETOF text',
      'unnest(bigint[], text[], jsonb[]) RETURNS SETOF text',
      'unnest(text[], text[], text[], bigint[]) RETURNS SETOF text',
      'unnest("char"[], text[], bigint[]) RETURNS SETOF text',
      'durable_wf_waiters() RETURNS SETOF text', 'waiters() RETURNS SETOF text',
      'gen_random_uuid() RETURNS uuid', 'note_arrival() RETURNS trigger',
      'int8(integer) RETURNS bigint', 'text(name) RETURNS text', 'oid(text) RETURNS oid']
    LOOP
        EXECUTE format('CREATE FUNCTION %s LANGUAGE plpgsql AS %L', signature,
          format('BEGIN PERFORM regress_dwf_trap.spring(%L); RETURN%s; END', signature,
                 CASE WHEN signature NOT LIKE '%SETOF%' THEN ' NULL' END));
    END LOOP;
END$$;
CREATE DOMAIN regress_dwf_trap.text AS pg_catalog.text CHECK (spring('text'));
CREATE DOMAIN regress_dwf_trap.oid AS pg_catalog.oid CHECK (spring('oid'));
CREATE DOMAIN regress_dwf_trap.int8 AS pg_catalog.int8 CHECK (spring('int8'));
CREATE DOMAIN regress_dwf_trap.jsonb AS pg_catalog.jsonb CHECK (spring('jsonb'));
CREATE DOMAIN regress_dwf_trap.owner AS pg_catalog.text CHECK (spring('owner'));
CREATE TYPE wf_received AS (topic pg_catalog.text, message pg_catalog.jsonb, more int);
CREATE TYPE wf_outcome AS (nothing int);
CREATE TABLE workflow (LIKE durable_wf.workflow);
CREATE TABLE message (LIKE durable_wf.message);
CREATE TABLE pg_class (relname name);
CREATE TABLE pg_roles (rolname name);
CREATE SEQUENCE message_id_seq;
CREATE TEMP TABLE event (LIKE durable_wf.event);
CREATE TEMP TABLE idempotency (LIKE durable_wf.idempotency);
-- ("C" sorts B before a; this one, where the server has it, does not)
DO $$BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_collation c WHERE c.collname::pg_catalog.text
               OPERATOR(pg_catalog.=) 'en-x-icu') THEN
        CREATE COLLATION "C" FROM pg_catalog."en-x-icu";
    END IF;
END$$;

SET search_path = regress_dwf_trap, pg_temp, public, pg_catalog;
-- the trap works
SELECT 1::pg_catalog.int8 = 2::pg_catalog.int8 AS caught, now() AS caught, 'x'::text AS caught;
SELECT who, what FROM trap;
TRUNCATE trap;

-- each function, each of its ways
SELECT wf_start('path'), wf_start('path', input => NULL), wf_start('path-2', input => '1'),
       wf_start('path-2', input => '1');
SELECT wf_status('path');
SELECT wf_start() IS NOT NULL AS started;
SET durable_wf.workflow_id = 'path';
SELECT wf_send('path', '1') IS NOT NULL AS sent, wf_send('path', '2', 't', 'k') IS NOT NULL AS sent;
SELECT wf_send_many('{path,path,path-2}', '{3,4,5}', 't', '{a,B,NULL}') IS NOT NULL AS sent;
SELECT wf_send_many('{path,path-2,path}', '{6,7,8}') IS NOT NULL AS sent;
SELECT wf_recv(), wf_recv('t', '1 s', 'path'), wf_recv('none', '1 ms');
SELECT topic, message FROM wf_recv_any('{t,NULL}');
SELECT topic, message FROM wf_recv_any('{none,NULL}');
SELECT topic, message FROM wf_recv_any('{none,other}', '1 ms');
SELECT message FROM wf_recv_many('t', 10);
SELECT message FROM wf_recv_many(NULL, 10);
SELECT wf_set_event('k', '1'), wf_set_event('k', '2');
SELECT wf_get_event('path', 'k'), wf_get_event('path', 'none', '1 ms'), wf_get_event('path-no', 'k', '1 ms');
SELECT wf_write_stream('s', '1'), wf_write_stream_many('s', '{2,3}'), wf_close_stream('s');
SELECT item_no, value, ended FROM wf_read_stream('path', 's', 1);
SELECT item_no, value, ended FROM wf_read_stream('path', 's', 3);
CALL wf_read_stream('path', 'none', 0, 1, '1 ms', NULL, NULL, NULL);
SELECT wf_dispose_hook(token) FROM wf_create_stream_url('s');
SELECT workflow_id FROM wf_notify('e', '1', 'path');
SELECT workflow_id FROM wf_notify('e', '1');
SELECT workflow_id FROM wf_event_waiters('e');
SELECT event_data, timed_out FROM wf_wait_for_event('e');
SELECT event_data, timed_out FROM wf_wait_for_event('e', '1 ms');
SELECT status, output, error FROM wf_result('path', '1 ms');
CALL wf_recv('none', '1 ms', 'path', NULL);
CALL wf_recv_any('{none,NULL}', '1 ms', 'path', NULL, NULL);
CALL wf_get_event('path', 'none', '1 ms', NULL);
CALL wf_wait_for_event('e', '1 ms', 'path', NULL, NULL);
CALL wf_result('path', '1 ms', NULL, NULL, NULL);
SELECT wf_set_owner('path-2', 'regress_dwf_bob');
SELECT wf_cancel('path-2'), wf_cancel('path-2');
SELECT wf_complete('"done"');
SELECT status, output, error FROM wf_result('path');
-- what is refused
SELECT test.state($$SELECT wf_send('path', '1')$$), test.state($$SELECT wf_send('path-no', '1')$$),
       test.state($$SELECT wf_send_many('{path,path-no}', '{1,2}', NULL, '{k,k9}')$$),
       test.state($$SELECT wf_recv()$$), test.state($$SELECT wf_start('path', input => '2')$$),
       test.state($$SELECT wf_set_owner('path', 'regress_dwf_alice')$$);
-- the views and tables
SELECT count(*) FROM wf_workflows;
SELECT count(*) FROM wf_mailbox;
SELECT count(*) FROM wf_waiters;
SELECT count(*) FROM wf_stat;
SELECT stream, last_item FROM wf_streams;
SELECT count(*) FROM durable_wf.workflow;
SELECT count(*) FROM durable_wf.message;
SELECT count(*) FROM durable_wf.event;
SELECT count(*) FROM durable_wf.idempotency;

SET search_path = pg_catalog;
SELECT who, what, count(*) FROM regress_dwf_trap.trap GROUP BY 1, 2 ORDER BY 1, 2;
SELECT count(*) FROM regress_dwf_trap.workflow;
SELECT count(*) FROM regress_dwf_trap.message;
SELECT last_value, is_called FROM regress_dwf_trap.message_id_seq;
-- keys are claimed in one order by all sessions, not in the caller's
SELECT idempotency_key FROM durable_wf.idempotency
 WHERE workflow_id = 'path' AND idempotency_key IN ('a', 'B') ORDER BY ctid;

-- without any path it works as well
RESET durable_wf.workflow_id;
SET search_path = '';
SELECT public.wf_start('path-3'), public.wf_send('path-3', '1') IS NOT NULL AS sent,
       public.wf_send('path-3', '1', 't', 'k') IS NOT NULL AS sent,
       public.wf_recv(NULL, '0', 'path-3');
SELECT * FROM public.wf_recv_any('{t,NULL}', '0', 'path-3');
SELECT public.wf_set_event('k', '1', 'path-3'), public.wf_get_event('path-3', 'k');
SELECT workflow_id, owner, status FROM public.wf_workflows WHERE workflow_id = 'path-3';
CALL public.wf_result('path-3', '1 ms', NULL, NULL, NULL);
-- our schema stands first for those who like it
SET search_path = durable_wf, public;
SELECT wf_send('path-3', '1') IS NOT NULL AS sent, wf_recv(NULL, '0', 'path-3');

RESET search_path;
RESET SESSION AUTHORIZATION;
SET client_min_messages = warning;
DROP SCHEMA regress_dwf_trap CASCADE;
