-- A validator finds nothing of the session in which it runs, and leaves nothing
-- there.  Bob has written this one; a superuser resumes his hook.
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA test;
RESET client_min_messages;
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE FUNCTION regress_dwf_bob.tries(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    command text;
    result text;
    results jsonb = '[]';
BEGIN
    FOR command IN SELECT jsonb_array_elements_text(payload) LOOP
        BEGIN
            result = 'done';
            IF command ~ '^(SELECT|SHOW|FETCH|EXECUTE)' THEN
                EXECUTE command INTO result;
            ELSE
                EXECUTE command;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            result = SQLSTATE || ': ' || SQLERRM;
        END;
        results = results || to_jsonb(coalesce(result, '(null)'));
    END LOOP;
    RETURN results;
END $$;
SELECT wf_start('cw'), wf_start('cw-bob'), wf_create_hook('cw', validator => 'regress_dwf_bob.tries', workflow_id => 'cw');
RESET SESSION AUTHORIZATION;
-- resume the hook with commands: what became of them in the validator
CREATE FUNCTION test.guest_of(token text, commands text[]) RETURNS TABLE (command text, result text)
LANGUAGE plpgsql AS $$
DECLARE
    results jsonb;
BEGIN
    PERFORM public.wf_resume_hook(token, to_jsonb(commands));
    DELETE FROM durable_wf.message m WHERE m.key = token AND m.door = 'h'
    RETURNING m.payload INTO STRICT results;
    RETURN QUERY SELECT commands[n], results->>(n - 1) FROM generate_series(1, cardinality(commands)) n;
END $$;
CREATE FUNCTION test.guest(VARIADIC commands text[]) RETURNS TABLE (command text, result text)
LANGUAGE sql AS $$ SELECT * FROM test.guest_of('cw', commands) $$;

-- ----- cursors, by each door
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE TABLE regress_dwf_bob.marks (i int, mark text);
INSERT INTO regress_dwf_bob.marks SELECT g FROM generate_series(1, 4) g;
CREATE FUNCTION regress_dwf_bob.spring() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    ALTER ROLE regress_dwf_bob SUPERUSER;
    RETURN 0;
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 0;
END $$;
CREATE FUNCTION regress_dwf_bob.take(c refcursor) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    FETCH c INTO r;
    RETURN r;
END $$;
CREATE FUNCTION regress_dwf_bob.skip(c refcursor) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    MOVE FORWARD ALL IN c;
    RETURN 'moved';
END $$;
CREATE FUNCTION regress_dwf_bob.shut(c refcursor) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    CLOSE c;
    RETURN 'closed';
END $$;
CREATE FUNCTION regress_dwf_bob.supplant(c refcursor) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    BEGIN CLOSE c; EXCEPTION WHEN OTHERS THEN PERFORM 1; END;
    OPEN c FOR SELECT regress_dwf_bob.spring() AS i, 'bob''s'::text AS mark FROM generate_series(1, 3);
    RETURN 'opened';
END $$;
RESET SESSION AUTHORIZATION;
BEGIN;
DECLARE jobs CURSOR FOR SELECT * FROM regress_dwf_bob.marks;
DECLARE keeps SCROLL CURSOR WITH HOLD FOR SELECT * FROM regress_dwf_bob.marks;
FETCH jobs;
FETCH keeps;
SELECT * FROM test.guest(
  'SELECT count(*) FROM pg_cursors WHERE name !~ ''^<''', 'SELECT regress_dwf_bob.take(''jobs'')', 'SELECT regress_dwf_bob.skip(''jobs'')',
  'SELECT regress_dwf_bob.shut(''jobs'')', 'SELECT regress_dwf_bob.supplant(''jobs'')',
  'SELECT regress_dwf_bob.supplant(''keeps'')', 'FETCH ALL FROM jobs', 'MOVE ALL IN jobs', 'CLOSE jobs', 'CLOSE ALL',
  'UPDATE regress_dwf_bob.marks SET mark = ''hit'' WHERE CURRENT OF jobs', 'SELECT cursor_to_xml(''jobs'', 10, false, false, '''')',
  'DO $do$BEGIN PERFORM regress_dwf_bob.skip(''jobs''); EXCEPTION WHEN OTHERS THEN RAISE; END$do$');
FETCH jobs;
FETCH keeps;
-- own ones work, and are gone with it
SELECT * FROM test.guest(
  'SELECT regress_dwf_bob.supplant(''own'')', 'SELECT regress_dwf_bob.supplant(''own 2'')', 'FETCH own',
  'SELECT string_agg(name, '', '' ORDER BY name) FROM pg_cursors WHERE name LIKE ''own%''', 'SELECT regress_dwf_bob.shut(''own 2'')',
  'DO $do$DECLARE c CURSOR FOR SELECT * FROM regress_dwf_bob.marks FOR UPDATE; r record;
   BEGIN FOR r IN c LOOP UPDATE regress_dwf_bob.marks SET mark = ''bob'' WHERE CURRENT OF c; END LOOP; END$do$');
SELECT name FROM pg_cursors WHERE name !~ '^<' ORDER BY name;
-- whatever its way out
SELECT test.state('SELECT wf_resume_hook(''cw'', ''1'')');
SAVEPOINT s;
SELECT wf_resume_hook('cw', '1');
ROLLBACK TO s;
FETCH jobs;
FETCH keeps;
COMMIT;
SELECT * FROM test.guest('SELECT regress_dwf_bob.take(''keeps'')', 'SELECT regress_dwf_bob.supplant(''keeps'')',
                         'SELECT count(*) FROM pg_cursors WHERE name !~ ''^<''');
FETCH keeps;
FETCH FIRST FROM keeps;
CLOSE keeps;
-- those of PL/pgSQL
DO $$
DECLARE
    c refcursor;
    r record;
    n int = 0;
    o int = 0;
    names text;
BEGIN
    FOR r IN SELECT * FROM generate_series(1, 100) LOOP
        IF n = 0 THEN
            SELECT string_agg(quote_literal(format('SELECT regress_dwf_bob.%s(%L)', f, p.name)), ',') INTO names
              FROM pg_cursors p, unnest('{take,skip,shut,supplant}'::text[]) f;
            RAISE NOTICE 'cursors: %', (SELECT count(*) FROM pg_cursors WHERE name ~ '^<');
            EXECUTE format('SELECT count(*) FROM test.guest(%s) WHERE result ~ ''cannot be run|cannot drop|in use''', names) INTO o;
        END IF;
        n = n + 1;
    END LOOP;
    RAISE NOTICE 'rows: % of 100, refused: %', n, o;
    OPEN c FOR SELECT mark FROM regress_dwf_bob.marks ORDER BY i;
    FETCH c INTO r;
    PERFORM test.guest(format('SELECT regress_dwf_bob.supplant(%L)', c::text), 'CLOSE ALL');
    n = 0;
    LOOP
        FETCH c INTO r;
        EXIT WHEN NOT FOUND;
        n = n + 1;
    END LOOP;
    RAISE NOTICE 'rows left: %', n;
END $$;
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_dwf_bob';

-- ----- prepared statements
PREPARE mine AS SELECT 'secret';
SELECT * FROM test.guest('EXECUTE mine', 'EXPLAIN ANALYZE EXECUTE mine', 'DEALLOCATE mine', 'PREPARE mine AS SELECT 2',
                         'SELECT count(*) FROM pg_prepared_statements');
EXECUTE mine;
DEALLOCATE mine;

-- ----- what EXPLAIN runs
SELECT * FROM test.guest(
  'EXPLAIN ANALYZE CREATE TABLE regress_dwf_bob.made AS SELECT 1', 'EXPLAIN ANALYZE SELECT 1 INTO regress_dwf_bob.made',
  'EXPLAIN ANALYZE CREATE TEMP TABLE made AS SELECT 1', 'EXPLAIN ANALYZE CREATE MATERIALIZED VIEW regress_dwf_bob.made AS SELECT 1',
  'EXPLAIN ANALYZE DECLARE own CURSOR FOR SELECT 1', 'EXPLAIN ANALYZE INSERT INTO regress_dwf_bob.marks VALUES (5)',
  'COPY regress_dwf_bob.marks TO PROGRAM ''true''', 'REFRESH MATERIALIZED VIEW regress_dwf_bob.made', 'RESET ALL', 'CHECKPOINT');
SELECT count(*) FROM pg_class WHERE relname = 'made';

-- ----- settings: of the session, of its startup packet, of its role
ALTER ROLE regress_dwf_bob SET datestyle = 'SQL, DMY';
ALTER ROLE regress_dwf_bob SET regress_dwf.of_owner = 'bob''s';
ALTER ROLE regress_dwf_bob SET work_mem = '5 MB';
DO $$BEGIN
    EXECUTE format('ALTER ROLE regress_dwf_bob IN DATABASE %I SET work_mem = %L', current_database(), '6 MB');
END$$;
\c -reuse-previous=on "options='-c regress_dwf.begun=secret -c extra_float_digits=3 -c intervalstyle=iso_8601 -c timezone=Asia/Tokyo -c search_path=test,public -c durable_wf.workflow_id=cw'"
SET regress_dwf.secret = 'secret';
SET datestyle = 'German';
SET work_mem = '7 MB';
SET application_name = 'regress_dwf';
SET session_replication_role = replica;
SET extra_float_digits = -15;
SET timezone = 'Asia/Seoul';
CREATE VIEW test.seen AS
  SELECT name, current_setting(name, true) AS now, reset_val FROM unnest('{regress_dwf.begun,regress_dwf.of_owner,regress_dwf.secret,
    datestyle,work_mem,application_name,session_replication_role,extra_float_digits,intervalstyle,search_path,timezone,
    durable_wf.workflow_id,regress_dwf.new}'::text[]) name LEFT JOIN pg_settings USING (name);
GRANT SELECT ON test.seen TO regress_dwf_bob;
CREATE TEMP TABLE before AS TABLE test.seen;
SET durable_wf.workflow_id = 'cw-bob';
SELECT command, coalesce(string_agg(s.name || ' = ' || s.now, E'\n' ORDER BY s.name), g.result) AS result
  FROM test.guest('SELECT json_agg(s) FROM test.seen s WHERE now <> '''' AND name <> ''timezone''') g,
       json_populate_recordset(NULL::test.seen, g.result::json) s GROUP BY command, g.result;
-- what the configuration file says, where the startup packet has replaced it
SELECT result = (SELECT setting FROM pg_file_settings WHERE name ~* '^timezone$' ORDER BY seqno DESC LIMIT 1) AS configured
  FROM test.guest('SHOW timezone');
SELECT * FROM test.guest(
  'RESET durable_wf.workflow_id',
  'SELECT public.wf_current()', 'SET search_path TO DEFAULT', 'SHOW search_path', 'SET LOCAL regress_dwf.begun TO DEFAULT', 'SHOW regress_dwf.begun', 'RESET regress_dwf.secret',
  'SHOW regress_dwf.secret', 'RESET extra_float_digits', 'SHOW extra_float_digits', 'RESET intervalstyle', 'SHOW intervalstyle',
  'SELECT set_config(''intervalstyle'', NULL, false)', 'SHOW work_mem', 'SET work_mem = ''8 MB''', 'SHOW work_mem',
  'SELECT string_agg(name, '', '') FROM pg_settings WHERE setting = ''secret'' OR reset_val IN (''secret'', ''iso_8601'')',
  'SET regress_dwf.new = 1', 'SET regress_dwf.secret = ''bob''''s''', 'SET durable_wf.workflow_id = ''cw''',
  'SELECT public.wf_current()', 'SET extra_float_digits = 2', 'SET client_encoding = latin1');
SELECT test.state('SELECT wf_resume_hook(''cw'', ''1'')') AS on_error;
RESET durable_wf.workflow_id;
-- as before, but that the names of its custom settings are known now
SELECT * FROM (TABLE test.seen EXCEPT TABLE before) x;
RESET extra_float_digits;
RESET regress_dwf.begun;
SHOW extra_float_digits;
SHOW intervalstyle;
SHOW regress_dwf.begun;
SHOW client_encoding;
DROP VIEW test.seen;
-- one that cannot be changed any more does not stand in the way
\c -reuse-previous=on "options='-c temp_buffers=10MB'"
CREATE TEMP TABLE local (i int);
INSERT INTO local VALUES (1);
SELECT * FROM test.guest('SELECT 1');
\c -reuse-previous=on "options=''"
ALTER ROLE regress_dwf_bob RESET ALL;
DO $$BEGIN
    EXECUTE format('ALTER ROLE regress_dwf_bob IN DATABASE %I RESET ALL', current_database());
END$$;

-- ----- the seed of random(), also by a SET clause
SET SESSION AUTHORIZATION regress_dwf_bob;
-- (PostgreSQL 16 and later refuse the clause)
DO $$BEGIN
    CREATE FUNCTION regress_dwf_bob.seeds() RETURNS trigger LANGUAGE plpgsql SET seed = 0.1 AS 'BEGIN RETURN NULL; END';
EXCEPTION WHEN feature_not_supported THEN
    CREATE FUNCTION regress_dwf_bob.seeds() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN SET seed = 0.1; RETURN NULL; END';
END$$;
CREATE TABLE regress_dwf_bob.seeded (i int);
CREATE TRIGGER seeds AFTER INSERT ON regress_dwf_bob.seeded FOR EACH ROW EXECUTE FUNCTION regress_dwf_bob.seeds();
RESET SESSION AUTHORIZATION;
SELECT setseed(0.5), random() AS one, random() AS two \gset
SELECT setseed(0.5), random() = :one AS same;
SELECT * FROM test.guest('SELECT setseed(0.1)', 'SET seed = 0.1', 'SELECT set_config(''seed'', ''0.1'', true)',
                         'INSERT INTO regress_dwf_bob.seeded VALUES (1)');
SELECT random() = :two AS same;

-- ----- advisory locks
SELECT pg_advisory_lock(1);
SELECT * FROM test.guest('SELECT pg_advisory_unlock_all()', 'SELECT pg_advisory_unlock(1)', 'SELECT pg_advisory_lock(2)',
                         'SELECT pg_try_advisory_xact_lock(3)', 'SELECT count(*) FROM pg_locks');
-- also by an expression that PL/pgSQL has ready from a call outside
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE FUNCTION regress_dwf_bob.sneaks(now bool) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    FOR i IN 1 .. 1 LOOP
        IF false THEN
            RAISE 'never';
        ELSIF now AND pg_advisory_unlock(1) THEN
            RETURN 'unlocked';
        END IF;
    END LOOP;
    RETURN 'not yet';
END $$;
CREATE FUNCTION regress_dwf_bob.slips(now bool) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    unlocked bool = now AND pg_advisory_unlock(1);
BEGIN
    RETURN unlocked;
END $$;
CREATE DOMAIN regress_dwf_bob.latch AS int CHECK (VALUE IS NULL OR VALUE < 0 OR pg_advisory_unlock(1));
CREATE FUNCTION regress_dwf_bob.assigns(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    value regress_dwf_bob.latch;
BEGIN
    value = i;
    RETURN value;
END $$;
CREATE FUNCTION regress_dwf_bob.converts(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RETURN i::regress_dwf_bob.latch;
END $$;
-- or in what the server's functions keep of a domain
CREATE TYPE regress_dwf_bob.span AS RANGE (subtype = regress_dwf_bob.latch);
CREATE TYPE regress_dwf_bob.pair AS (i regress_dwf_bob.latch);
CREATE FUNCTION regress_dwf_bob.spans(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    value regress_dwf_bob.span;
BEGIN
    value = format('[%s,%s]', i, i);
    RETURN value;
END $$;
CREATE FUNCTION regress_dwf_bob.pairs(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    value regress_dwf_bob.pair[];
BEGIN
    value = format('{(%s)}', i);
    RETURN value;
END $$;
CREATE FUNCTION regress_dwf_bob.reads_span(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RETURN format('[%s,%s]', i, i)::regress_dwf_bob.span;
END $$;
CREATE FUNCTION regress_dwf_bob.populates(i int) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RETURN jsonb_populate_record(NULL::regress_dwf_bob.pair, jsonb_build_object('i', i));
END $$;
RESET SESSION AUTHORIZATION;
BEGIN;
SELECT regress_dwf_bob.sneaks(false), regress_dwf_bob.slips(false), regress_dwf_bob.assigns(-1), regress_dwf_bob.converts(-1);
SELECT regress_dwf_bob.spans(-1), regress_dwf_bob.pairs(-1), regress_dwf_bob.reads_span(-1), regress_dwf_bob.populates(-1);
SELECT * FROM test.guest('SELECT regress_dwf_bob.sneaks(true)', 'SELECT regress_dwf_bob.slips(true)',
                         'SELECT regress_dwf_bob.assigns(1)', 'SELECT regress_dwf_bob.converts(1)',
                         'SELECT regress_dwf_bob.spans(1)', 'SELECT regress_dwf_bob.pairs(1)',
                         'SELECT regress_dwf_bob.reads_span(1)', 'SELECT regress_dwf_bob.populates(1)');
SELECT regress_dwf_bob.sneaks(false), regress_dwf_bob.slips(false), regress_dwf_bob.assigns(-1), regress_dwf_bob.converts(-1);
COMMIT;
SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
SELECT pg_advisory_unlock(1);

-- ----- temporary objects, also those that hide the owner's
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE FUNCTION regress_dwf_bob.reads(payload jsonb) RETURNS jsonb LANGUAGE sql SET search_path = regress_dwf_bob
AS $$ SELECT to_jsonb(count(*)) FROM marks $$;
SELECT wf_create_hook('cw-reads', validator => 'regress_dwf_bob.reads', workflow_id => 'cw');
RESET SESSION AUTHORIZATION;
CREATE TEMP TABLE mine (secret text);
INSERT INTO mine VALUES ('secret');
CREATE TEMP TABLE marks (i int);
CREATE TEMP VIEW shows AS TABLE mine;
CREATE TEMP VIEW looks AS SELECT 'secret' FROM regress_dwf_bob.marks;
CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
GRANT ALL ON mine, marks, shows, looks TO PUBLIC;
SELECT * FROM test.guest('SELECT secret FROM mine', 'SELECT secret FROM pg_temp.mine', 'SELECT secret FROM shows',
                         'SELECT FROM looks', 'INSERT INTO mine VALUES (1)', 'SELECT pg_temp.f()', 'EXPLAIN SELECT FROM mine');
SELECT test.try('SELECT wf_resume_hook(''cw-reads'', ''1'')');
DROP TABLE marks;
SELECT wf_resume_hook('cw-reads', '1');
TABLE mine;
DROP TABLE mine CASCADE;
DROP VIEW looks;
DELETE FROM durable_wf.message WHERE workflow_id = 'cw';

-- ----- large objects, sequences, the call stack
SELECT lo_from_bytea(0, 'secret') AS lo \gset
GRANT ALL ON LARGE OBJECT :lo TO regress_dwf_bob;
CREATE SEQUENCE test.numbers;
BEGIN;
SELECT lo_open(:lo, x'40000'::int) AS fd, nextval('test.numbers');
SELECT * FROM test.guest('SELECT loread(0, 10)', 'SELECT lo_lseek(0, 3, 0)', 'SELECT lo_close(0)', 'SELECT lo_open(1, 262144)',
                         'SELECT lastval()', 'SELECT currval(''test.numbers'')', 'SELECT current_query()');
SELECT convert_from(loread(0, 10), 'UTF8');
COMMIT;
SELECT lo_unlink(:lo);
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE FUNCTION regress_dwf_bob.stack(payload jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    stack text;
    caught text;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    BEGIN
        PERFORM 1 / (payload::int - 1);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS caught = PG_EXCEPTION_CONTEXT;
    END;
    PERFORM 1 / (payload::int - 2);
    RETURN jsonb_build_array(stack, caught);
END $$;
SELECT wf_create_hook('cw-stack', validator => 'regress_dwf_bob.stack', workflow_id => 'cw');
RESET SESSION AUTHORIZATION;
DO $$BEGIN
    PERFORM wf_resume_hook('cw-stack', '1') /* secret */;
END$$;
SELECT jsonb_array_elements_text(payload) FROM durable_wf.message WHERE workflow_id = 'cw';
DO $$BEGIN
    PERFORM wf_resume_hook('cw-stack', '2');
END$$;
DELETE FROM durable_wf.message WHERE workflow_id = 'cw';

-- ----- the workflow that the session executes
SELECT wf_start('cw-mine'), wf_attach('cw-mine');
SELECT * FROM test.guest(
  'SELECT public.wf_current()', 'SELECT public.wf_attach(''cw'')', 'SELECT public.wf_attach(''cw'', true)', 'SELECT public.wf_detach()',
  'SELECT public.wf_attach_next(''q'')', 'SELECT public.wf_listen()', 'SELECT public.wf_unlisten()', 'SELECT public.wf_complete()',
  'SELECT public.wf_now()', 'SELECT public.wf_get_step(''s'')', 'SELECT public.wf_send(''cw'', ''1'', ''t'') > 0',
  'DO $do$BEGIN SET LOCAL durable_wf.workflow_id = ''cw-bob''; PERFORM public.wf_set_event(''k'', ''1''); PERFORM public.wf_complete(); END$do$',
  'LISTEN x', 'SELECT count(*) FROM pg_listening_channels()');
SELECT wf_current(), wf_status('cw-mine'), wf_status('cw-bob');
SELECT step_no, name, output FROM wf_list_steps('cw-mine') ORDER BY 1;
SELECT wf_detach(), test.peek('cw', 't');

-- ----- what validators are for
SET SESSION AUTHORIZATION regress_dwf_bob;
CREATE TABLE regress_dwf_bob.secrets (name text, secret bytea);
INSERT INTO regress_dwf_bob.secrets VALUES ('shop', 'shared');
CREATE TABLE regress_dwf_bob.calls (id serial, at timestamptz DEFAULT clock_timestamp(), key uuid DEFAULT gen_random_uuid());
RESET SESSION AUTHORIZATION;
GRANT USAGE ON SCHEMA test TO regress_dwf_bob;
SELECT command, CASE WHEN result ~ '^[0-9A-Z]{5}: ' THEN result ELSE 'done' END AS result FROM test.guest(
  'SELECT test.hmac(''x'', secret, ''sha256'') = sha256(''x'') FROM regress_dwf_bob.secrets',
  'SELECT encode(test.digest(''x'', ''sha1''), ''hex'')', 'SELECT test.gen_random_bytes(8)', 'SELECT test.pgp_sym_encrypt(''x'', ''y'')',
  'SELECT convert_from(decode(''eA=='', ''base64''), ''UTF8'')', 'INSERT INTO regress_dwf_bob.calls DEFAULT VALUES',
  'SELECT random(), now() <= clock_timestamp()', 'SELECT pg_sleep(0)', 'SELECT pg_notify(''x'', '''')',
  'LOCK regress_dwf_bob.calls', 'SELECT set_config(''timezone'', ''UTC'', true)', 'SELECT count(*) FROM information_schema.tables',
  'SELECT jsonb_path_query_first(''{"a": [1]}'', ''$.a[0]'')', 'SELECT xmlelement(name a)', 'SELECT regexp_replace(''a'', ''a'', ''b'')');
SELECT count(*) FROM regress_dwf_bob.calls;

-- ----- all volatile functions of the server: these can be called, no others,
-- whosever validator it is
SELECT wf_start('cw-super'), wf_create_hook('cw-super', validator => 'regress_dwf_bob.tries', workflow_id => 'cw-super');
CREATE TEMP TABLE volatile AS
  SELECT p.oid::regprocedure AS function,
         format('SELECT %s(%s) FROM (SELECT %s OFFSET 0) x', p.oid::regproc, string_agg(CASE WHEN a.n = p.pronargs AND p.provariadic NOT IN (0, '"any"'::regtype) THEN 'VARIADIC a' ELSE 'a' END || a.n, ', ' ORDER BY a.n),
                coalesce(string_agg(format('NULL::%s AS a%s', replace(a.type::regtype::text, '"any"', 'text'), a.n), ', ') FILTER (WHERE a.n > 0), '1')) AS call
    FROM pg_proc p LEFT JOIN unnest(p.proargtypes) WITH ORDINALITY a (type, n) ON true
   WHERE p.provolatile = 'v' AND p.prokind = 'f' AND p.oid < 16384
     AND p.prolang IN (SELECT oid FROM pg_language WHERE lanname IN ('internal', 'c'))
     AND p.prorettype NOT IN (SELECT oid FROM pg_type WHERE typtype = 'p' AND typname NOT IN ('void', 'record'))
     AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
   GROUP BY p.oid;
SELECT count(*) > 200 AS many FROM volatile;
SELECT v.function FROM volatile v, test.guest_of('cw-super', ARRAY[v.call]) g
 WHERE g.result !~ '^42501: cannot call .* in a hook''s validator$'
   AND v.function::text !~ '^random.*\(.+\)$|^uuidv'  -- of later versions
 ORDER BY v.function::text COLLATE "C";

SET client_min_messages = warning;
DROP EXTENSION pgcrypto;
DROP OWNED BY regress_dwf_bob;
CREATE SCHEMA AUTHORIZATION regress_dwf_bob;
DROP FUNCTION test.guest, test.guest_of;
DROP SEQUENCE test.numbers;
DELETE FROM durable_wf.message WHERE workflow_id LIKE 'cw%';
DELETE FROM durable_wf.hook WHERE workflow_id LIKE 'cw%';
DELETE FROM durable_wf.event WHERE workflow_id LIKE 'cw%';
DELETE FROM durable_wf.step WHERE workflow_id LIKE 'cw%';
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'cw%';
