\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.2.0'" to load this file. \quit
-- home: which database the workflows belong to, so that a copy does not run

CREATE FUNCTION durable_wf.here(OUT system_identifier bigint, OUT database oid)
    AS 'MODULE_PATHNAME', 'dwf_here' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.here() IS
'this database: the server''s system identifier and the database''s OID';

CREATE TABLE durable_wf.home (
    system_identifier bigint NOT NULL,
    database          oid NOT NULL,
    since             timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE durable_wf.home REPLICA IDENTITY FULL;
COMMENT ON TABLE durable_wf.home IS
'the databases that the workflows were started in. A row for another database, or none for this one, means that some came from elsewhere: SQL workflows and timers wait for wf_adopt()';
COMMENT ON COLUMN durable_wf.home.system_identifier IS 'the server''s; 0: unknown, rows were written by other means than wf_start()';
COMMENT ON COLUMN durable_wf.home.database IS 'the database''s OID in that server';
COMMENT ON COLUMN durable_wf.home.since IS 'when it was created here, adopted, or noticed';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.home', '');
INSERT INTO durable_wf.home (system_identifier, database)
    SELECT h.system_identifier, h.database FROM durable_wf.here() h;
GRANT SELECT ON durable_wf.home TO PUBLIC;

-- Our worker looks again when it changes, in a restore or a subscriber too.
CREATE FUNCTION durable_wf.note_home() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_home' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_home() IS
'trigger function of durable_wf.home: our worker looks at it when this commits';
REVOKE ALL ON FUNCTION durable_wf.note_home() FROM PUBLIC;
CREATE TRIGGER note_home AFTER INSERT OR UPDATE OR DELETE ON durable_wf.home
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_home();
ALTER TABLE durable_wf.home ENABLE ALWAYS TRIGGER note_home;

CREATE FUNCTION durable_wf.is_copy() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE AS
$$
SELECT pg_catalog.count(*) FILTER (WHERE w.is_here) OPERATOR(pg_catalog.=) 0
    OR pg_catalog.count(*) FILTER (WHERE NOT w.is_here) OPERATOR(pg_catalog.>) 0
  FROM (SELECT t.system_identifier OPERATOR(pg_catalog.=) h.system_identifier
           AND t.database OPERATOR(pg_catalog.=) h.database AS is_here
          FROM durable_wf.home t, durable_wf.here() h) w
$$;
COMMENT ON FUNCTION durable_wf.is_copy() IS
'have workflows of this database come from another one, and were not adopted?';

CREATE FUNCTION @extschema@.wf_adopt() RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF NOT durable_wf.is_copy() THEN
        RETURN false;
    END IF;
    -- one at a time, and after the restores that are under way
    LOCK TABLE durable_wf.home IN EXCLUSIVE MODE;
    DELETE FROM durable_wf.home;
    INSERT INTO durable_wf.home (system_identifier, database)
        SELECT h.system_identifier, h.database FROM durable_wf.here() h;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION @extschema@.wf_adopt() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wf_adopt() TO pg_database_owner;
COMMENT ON FUNCTION @extschema@.wf_adopt() IS
'Run the workflows of this database here, although they came from another one: by a restore, pg_upgrade, CREATE DATABASE ... TEMPLATE or a subscription. Call it when the original does not run any more; else both do the same work. Returns false, and changes nothing, if none came from elsewhere.
Takes effect at commit. Blocks while a transaction is still restoring. For the owner of the database.
Errors: 42501 not the owner of the database.';

-- trigger: functions for triggers on users' tables

CREATE FUNCTION @extschema@.wf_trigger_send() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_send' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_send() IS
'Row trigger function (destination [, topic]): send the row to a workflow, as wf_send() does.
Arguments are templates: ''order-{id}'' puts the column id in the place of {id}; {{ and }} are braces. The message is the row as jsonb: NEW, or OLD on DELETE. BEFORE or AFTER, INSERT, UPDATE or DELETE, FOR EACH ROW.
Acts as the current user. Does not block.
Errors: those of wf_send(); 42703 a column that the table does not have; 22023 a column that is null, an unmatched brace, a wrong number of arguments; 39P01 not a row trigger.';

CREATE FUNCTION @extschema@.wf_trigger_set_event() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_set_event' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_set_event() IS
'Row trigger function (workflow_id, key): publish the row as an event of a workflow, as wf_set_event() does. Templates, payload and errors as for wf_trigger_send().';

CREATE FUNCTION @extschema@.wf_trigger_notify() RETURNS trigger
    AS 'MODULE_PATHNAME', 'wf_trigger_notify' LANGUAGE C;
COMMENT ON FUNCTION @extschema@.wf_trigger_notify() IS
'Row trigger function (event_id [, workflow_id]): notify who waits for an event id, or one workflow, with the row, as wf_notify() does. Templates, payload and errors as for wf_trigger_send().';

-- listen: for clients that LISTEN

CREATE FUNCTION @extschema@.wf_listen(workflow_id text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_listen' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 too many are listened for; 55000 the library is not preloaded.';

CREATE FUNCTION @extschema@.wf_unlisten(workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_unlisten' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_unlisten(text) IS
'End what wf_listen() with the same argument began, that for a workflow whichever role it began as; does nothing if it did not. Takes effect at commit.';

-- upkeep: removing what has ended

CREATE INDEX workflow_finished_at_idx ON durable_wf.workflow (finished_at)
    WHERE finished_at IS NOT NULL;

CREATE FUNCTION @extschema@.wf_prune(
    older_than interval DEFAULT '7 d', batch integer DEFAULT 1000)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_prune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_prune(interval, integer) IS
'Remove workflows that ended longer ago than older_than, with their messages, events and idempotency keys: at most batch (at least 1) of those whose owner''s privileges the caller has, the oldest first. Returns how many; call it again, each time in a transaction of its own, until it returns less than batch.
A workflow whose end some open transaction may not have seen yet is left for a later call. Can run beside everything else; does not wait.
Errors: 22023 bad argument; 25001 in REPEATABLE READ or SERIALIZABLE.';

-- schedule: workflows and upkeep by the clock, through pg_cron

CREATE FUNCTION durable_wf.cron_database() RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_cron_database' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.cron_database() IS
'the database that pg_cron lives in, by its setting; null when it is not preloaded';

CREATE FUNCTION durable_wf.require_cron(there text) RETURNS void
    LANGUAGE plpgsql STABLE PARALLEL SAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    lives_in text := durable_wf.cron_database();
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        RETURN;
    ELSIF lives_in IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'schedules need pg_cron, which this server has not loaded',
            HINT = format('Install pg_cron, add it to shared_preload_libraries, set cron.database_name = %L, restart, and CREATE EXTENSION pg_cron here.', current_database());
    ELSIF lives_in = current_database() THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'schedules need pg_cron, which is not in this database',
            HINT = 'CREATE EXTENSION pg_cron.';
    END IF;
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = format('pg_cron lives in database "%s"', lives_in),
        DETAIL = 'It can run jobs in this database, but they are made and ended there.',
        HINT = format('Run there: %s', there);
END $$;
COMMENT ON FUNCTION durable_wf.require_cron(text) IS
'raises 55000 unless pg_cron is in this database; the hint holds the statement to run where it is';

-- Nothing but schedules needs pg_cron, so its functions are looked up late.
CREATE FUNCTION durable_wf.cron_schedule(job text, schedule text, command text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    job_id bigint;
BEGIN
    -- pg_cron cuts names at 63 bytes
    IF octet_length(job) > 63 THEN
        job := concat('durable_wf: ', md5(job));
    END IF;
    -- there, jobs of several databases meet: so their names tell which
    PERFORM durable_wf.require_cron(format(
        'SELECT cron.schedule_in_database(%L, %L, %L, %L, %L)',
        concat(job, ' in ', current_database()), schedule, command,
        current_database(), current_user));
    EXECUTE 'SELECT cron.schedule($1, $2, $3)'
       INTO job_id USING job, schedule, command;
    RETURN job_id;
END $$;
COMMENT ON FUNCTION durable_wf.cron_schedule(text, text, text) IS
'cron.schedule(), or an error that says what to do';

-- What the job of a schedule calls.
CREATE FUNCTION durable_wf.start_tick(name text, body text, input jsonb) RETURNS text
    LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
SELECT @extschema@.wf_start(
    pg_catalog.concat(name, '@', pg_catalog.to_char(
        pg_catalog.timezone('UTC', pg_catalog.now()), 'YYYY-MM-DD"T"HH24:MI"Z"')),
    body, input)
$$;
COMMENT ON FUNCTION durable_wf.start_tick(text, text, jsonb) IS
'start the workflow of a schedule''s tick: its id is the name, an @ and the minute in UTC, so that the same tick starts only one';

CREATE FUNCTION @extschema@.wf_schedule(name text, schedule text, body text, input jsonb)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF wf_schedule.name IS NULL OR octet_length(wf_schedule.name) NOT BETWEEN 1 AND 200 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'name must be of 1 to 200 bytes';
    ELSIF wf_schedule.schedule IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be null';
    ELSIF wf_schedule.schedule ~* 'second' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('invalid schedule: %s', wf_schedule.schedule),
            DETAIL = 'The tick in a workflow''s id is a minute.',
            HINT = 'Use cron''s five fields.';
    ELSIF wf_schedule.body IS NOT NULL THEN
        RAISE feature_not_supported USING
            MESSAGE = 'wf_schedule() does not support a body yet',
            HINT = 'Pass null; this version runs no workflow by itself.';
    END IF;
    RETURN durable_wf.cron_schedule(
        concat('durable_wf: ', wf_schedule.name), wf_schedule.schedule,
        format('SELECT durable_wf.start_tick(%L, %L, %L)',
               wf_schedule.name, wf_schedule.body, wf_schedule.input));
END $$;
COMMENT ON FUNCTION @extschema@.wf_schedule(text, text, text, jsonb) IS
'Start a workflow at each tick of a schedule, through pg_cron in the same database. Returns the number of pg_cron''s job, which is named durable_wf: <name>; the same name again replaces it. The workflows belong to the current user.
name: 1 to 200 bytes. schedule: the five fields of cron, in the time zone that pg_cron uses (UTC unless told otherwise). body: not supported in this version, pass null. input: what each workflow is started with, or null.
A workflow''s id is the name, an @ and its tick in UTC, as nightly@2026-11-20T03:00Z: a tick that is run twice starts one workflow.
Takes effect at commit; pg_cron notices within a minute. Does not block.
Errors: 22023 bad argument or schedule; 0A000 a body was given; 42501 no right to use pg_cron; 55000 pg_cron is missing, or lives in another database: the hint holds the statement to run there.';

CREATE FUNCTION @extschema@.wf_unschedule(name text) RETURNS boolean
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    job text := concat('durable_wf: ', wf_unschedule.name);
    job_exists boolean;
BEGIN
    IF wf_unschedule.name IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'name must not be null';
    END IF;
    IF octet_length(job) > 63 THEN
        job := concat('durable_wf: ', md5(job));
    END IF;
    PERFORM durable_wf.require_cron(format('SELECT cron.unschedule(%L)',
        concat(job, ' in ', current_database())));
    EXECUTE 'SELECT EXISTS (SELECT FROM cron.job WHERE jobname = $1 AND username = current_user)'
       INTO job_exists USING job;
    IF job_exists THEN
        EXECUTE 'SELECT cron.unschedule($1)' USING job;
    END IF;
    RETURN job_exists;
END $$;
COMMENT ON FUNCTION @extschema@.wf_unschedule(text) IS
'End a schedule of the current user''s; false when there is none of that name. Workflows that it has started go on.
Errors: 22023 name is null; 42501 and 55000 as for wf_schedule().';

-- What the job of a retention calls: batches, each in its own transaction.
CREATE PROCEDURE durable_wf.prune_all(older_than interval)
    LANGUAGE plpgsql AS
$$
BEGIN
    WHILE @extschema@.wf_prune(older_than, 1000) OPERATOR(pg_catalog.=) 1000 LOOP
        COMMIT;
    END LOOP;
END $$;
COMMENT ON PROCEDURE durable_wf.prune_all(interval) IS
'wf_prune() in batches, each in a transaction of its own, until nothing is left to prune';

CREATE FUNCTION @extschema@.wf_schedule_retention(schedule text, older_than interval)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF wf_schedule_retention.schedule IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be null';
    ELSIF older_than IS NULL OR older_than < '0' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'older_than must not be null or negative';
    END IF;
    RETURN durable_wf.cron_schedule('durable_wf retention', schedule,
        format('CALL durable_wf.prune_all(%L)', older_than));
END $$;
COMMENT ON FUNCTION @extschema@.wf_schedule_retention(text, interval) IS
'Have pg_cron call wf_prune() on a schedule, in batches, until nothing older than older_than is left. One per role; again replaces it; cron.unschedule(''durable_wf retention'') ends it. Returns the number of pg_cron''s job.
Arguments, time zone and errors are as for wf_schedule() and wf_prune().';

-- views: more counters

CREATE FUNCTION durable_wf.counters(
    OUT door text, OUT sends bigint, OUT receives bigint, OUT waits bigint,
    OUT timeouts bigint, OUT wakes bigint, OUT spurious_wakes bigint,
    OUT passed_on bigint, OUT notifications bigint, OUT resyncs bigint,
    OUT reconciles bigint)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_stat' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 6;
COMMENT ON FUNCTION durable_wf.counters() IS 'the rows of the view wf_stat';

CREATE FUNCTION durable_wf.listens() RETURNS bigint
    AS 'MODULE_PATHNAME', 'dwf_listens' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.listens() IS 'the column listens of the view wf_stat';

CREATE OR REPLACE VIEW @extschema@.wf_stat WITH (security_invoker = true) AS
SELECT door, sends, receives, waits, timeouts, wakes, spurious_wakes, passed_on,
       notifications, resyncs, reconciles,
       CASE WHEN door IS NULL THEN durable_wf.listens() END AS listens
  FROM durable_wf.counters();
COMMENT ON VIEW @extschema@.wf_stat IS
'counters of this server since it started, all databases together, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left; notifications to listeners. The row without a door has what concerns all: resyncs (listeners told to look at everything), reconciles (all waiters of a database woken to look, after COMMIT or ROLLBACK PREPARED), and how many wf_listen() are in force now';
DROP FUNCTION durable_wf.stat();

-- Default privileges may have given more on the tables than we want: who can
-- put a trigger on them has the rights of their owner at the next call.
DO $$
DECLARE
    relation pg_catalog.regclass;
    role pg_catalog.regrole;
BEGIN
    FOR relation, role IN
        SELECT c.oid, a.grantee
          FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a
         WHERE c.relnamespace OPERATOR(pg_catalog.=) 'durable_wf'::pg_catalog.regnamespace
           AND a.grantee OPERATOR(pg_catalog.<>) c.relowner
           AND a.grantee OPERATOR(pg_catalog.<>) 0
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON %s FROM %s', relation, role);
    END LOOP;
    REVOKE ALL ON ALL TABLES IN SCHEMA durable_wf FROM PUBLIC;
    GRANT SELECT ON ALL TABLES IN SCHEMA durable_wf TO PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA durable_wf FROM PUBLIC;
END $$;
