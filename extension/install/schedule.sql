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

-- As the extension's owner, who may read the rules by which clients log in.
CREATE FUNCTION durable_wf.cron_trouble(role name, OUT trouble text, OUT remedy text, OUT is_sure boolean)
    RETURNS record
    LANGUAGE plpgsql STABLE PARALLEL UNSAFE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    host text := coalesce(current_setting('cron.host', true), 'localhost');
    is_socket boolean := host = '' OR host LIKE '/%';
    address_of_host inet;
    method text;
BEGIN
    is_sure := true;
    IF NOT pg_has_role(session_user, role, 'MEMBER') THEN
        RETURN;
    ELSIF NOT (SELECT r.rolcanlogin FROM pg_roles r WHERE r.rolname = role) THEN
        trouble := format('Jobs run in sessions of role "%s", which may not log in.', role);
        remedy := format('ALTER ROLE %I LOGIN;', role);
        RETURN;
    ELSIF current_setting('cron.launch_active_jobs', true) = 'off' THEN
        trouble := 'pg_cron starts no jobs while cron.launch_active_jobs is off.';
        remedy := 'Turn it on, and reload the configuration.';
        RETURN;
    ELSIF current_setting('cron.use_background_workers', true) IS DISTINCT FROM 'off' THEN
        RETURN;
    END IF;

    is_sure := false;
    -- pg_cron is a client: the rule that it meets must not ask for a password
    FOREACH address_of_host IN ARRAY CASE WHEN is_socket THEN ARRAY[NULL::inet]
                                  WHEN host IN ('localhost', '::1', '127.0.0.1') THEN ARRAY['127.0.0.1', '::1']::inet[] END LOOP
        SELECT r.auth_method INTO method
          FROM pg_hba_file_rules() WITH ORDINALITY r
         WHERE r.error IS NULL
           AND CASE WHEN is_socket THEN r.type = 'local' ELSE r.type IN ('host', 'hostssl', 'hostnossl') END
           AND (r.database && ARRAY['all', current_database()::text]
                OR 'sameuser' = ANY (r.database) AND role = current_database())
           AND EXISTS (SELECT FROM unnest(r.user_name) u (name)
                        WHERE u.name IN ('all', role)
                           OR u.name LIKE '+%' AND EXISTS (
                               SELECT FROM pg_roles g
                                WHERE g.rolname = substr(u.name, 2) AND pg_has_role(role, g.oid, 'MEMBER')))
           AND (is_socket OR r.address IN ('all', 'samehost', 'samenet', 'localhost')
                OR CASE WHEN r.address ~ '^[0-9.]+$' AND family(address_of_host) = 4 OR r.address ~ ':' AND family(address_of_host) = 6
                        THEN (r.address::inet & r.netmask::inet) = (pg_catalog.host(address_of_host)::inet & r.netmask::inet) END)
         ORDER BY r.ordinality LIMIT 1;
        CONTINUE WHEN method = 'trust' OR method = 'peer' AND role = (SELECT r.rolname FROM pg_roles r WHERE r.oid = 10);
        trouble := CASE WHEN method IS NULL OR method = 'reject'
                        THEN format('pg_cron connects to "%s" as role "%s", which pg_hba.conf does not let in.', host, role)
                        ELSE format('pg_cron connects to "%s" as role "%s"; there, pg_hba.conf asks for method "%s".', host, role, method) END;
        remedy := 'Set cron.use_background_workers = on, and restart the server; or let pg_cron in by pg_hba.conf, or by a file .pgpass of the server''s user.';
        RETURN;
    END LOOP;
END $$;
COMMENT ON FUNCTION durable_wf.cron_trouble(name) IS
'why jobs of this role would not run in this database, and what to do; nulls if nothing is known, or the session''s user is no member of the role';

-- Nothing but schedules needs pg_cron, so its functions are looked up late.
CREATE FUNCTION durable_wf.cron_schedule(job text, schedule text, command text)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    job_id bigint;
    name text := job;
    has_run boolean := false;
    obstacle record;
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

    -- say what stands in the way; but what has run will run
    SELECT * INTO obstacle FROM durable_wf.cron_trouble(current_user);
    IF NOT obstacle.is_sure THEN
        EXECUTE 'SELECT EXISTS (SELECT FROM cron.job_run_details WHERE username = current_user AND status = ''succeeded'')'
           INTO has_run;
    END IF;
    IF obstacle.trouble IS NOT NULL AND NOT has_run THEN
        RAISE WARNING USING
            ERRCODE = 'object_not_in_prerequisite_state',
            MESSAGE = format('job "%s" is scheduled, but pg_cron may be unable to run it', name),
            DETAIL = obstacle.trouble,
            HINT = obstacle.remedy;
    END IF;
    RETURN job_id;
END $$;
COMMENT ON FUNCTION durable_wf.cron_schedule(text, text, text) IS
'cron.schedule(), or an error, or a warning, that says what to do';

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

CREATE FUNCTION durable_wf.make_schedule(name text, schedule text, body text, input jsonb)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF make_schedule.name IS NULL OR octet_length(make_schedule.name) NOT BETWEEN 1 AND 200 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'name must be of 1 to 200 bytes';
    ELSIF make_schedule.schedule IS NULL THEN
        RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be null';
    ELSIF make_schedule.schedule ~* 'second' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('invalid schedule: %s', make_schedule.schedule),
            DETAIL = 'The tick in a workflow''s id is a minute.',
            HINT = 'Use cron''s five fields.';
    END IF;
    RETURN durable_wf.cron_schedule(
        concat('durable_wf: ', make_schedule.name), make_schedule.schedule,
        -- what the role and the database have set is not for this
        format('SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE; SET LOCAL ROLE NONE; SELECT durable_wf.start_tick(%L, %L, %L)',
               make_schedule.name, make_schedule.body, make_schedule.input));
END $$;
COMMENT ON FUNCTION durable_wf.make_schedule(text, text, text, jsonb) IS
'wf_schedule() with the qualified name of the body';

-- Without a SET clause, so that the body is found by the caller's search_path.
CREATE FUNCTION @extschema@.wf_schedule(name text, schedule text, body text, input jsonb)
    RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL UNSAFE AS
$$
SELECT durable_wf.make_schedule($1, $2, durable_wf.resolve_body($3), $4)
$$;
COMMENT ON FUNCTION @extschema@.wf_schedule(text, text, text, jsonb) IS
'Start a workflow at each tick of a schedule, through pg_cron in the same database. Returns the number of pg_cron''s job, which is named durable_wf: <name>; the same name again replaces it. The workflows belong to the current user.
name: 1 to 200 bytes. schedule: the five fields of cron, in the time zone that pg_cron uses (UTC unless told otherwise). body: a procedure as for wf_start(), found now, or null. input: what each workflow is started with, or null.
A workflow''s id is the name, an @ and its tick in UTC, as nightly@2026-11-20T03:00Z: a tick that is run twice starts one workflow.
Takes effect at commit; pg_cron notices within a minute. Does not block.
Warns if pg_cron could not run it: the current user may not log in, or pg_cron, without cron.use_background_workers, would be asked for a password.
Errors: 22023 bad argument or schedule; 42883, 0A000 the body is none; 42501 no right to use pg_cron; 55000 pg_cron is missing, or lives in another database: the hint holds the statement to run there.';

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

-- What the job of a retention calls: batches, each in its own transaction,
-- which is what wf_prune() needs whatever the database's or role's default is.
CREATE PROCEDURE durable_wf.prune_all(older_than interval)
    LANGUAGE plpgsql AS
$$
BEGIN
    LOOP
        IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.<>) 'read committed'
           OR pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool
              AND NOT pg_catalog.pg_is_in_recovery() THEN
            COMMIT;
            SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;
        END IF;
        EXIT WHEN @extschema@.wf_prune(older_than, 1000) OPERATOR(pg_catalog.<) 1000;
        COMMIT;
    END LOOP;
END $$;
COMMENT ON PROCEDURE durable_wf.prune_all(interval) IS
'wf_prune() in batches, each in a transaction of its own, until nothing is left to prune';

CREATE FUNCTION @extschema@.wf_schedule_retention(schedule text, older_than interval)
    RETURNS bigint
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET IntervalStyle = 'postgres' AS
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
