\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit

-- ----- settings of a session, role or database do not change what is done

ALTER FUNCTION @extschema@.wf_list_steps(text) SET row_security = on;
ALTER FUNCTION @extschema@.wf_schedule_retention(text, interval) SET IntervalStyle = 'postgres';

COMMENT ON FUNCTION @extschema@.wf_trigger_send() IS
'Row trigger function (destination [, topic]): send the row to a workflow, as wf_send() does.
Arguments are templates: ''order-{id}'' puts the column id in the place of {id}; {{ and }} are braces. The message is the row as jsonb: NEW, or OLD on DELETE. Both are the same in each session, whatever it has set: dates in ISO, times in UTC. BEFORE or AFTER, INSERT, UPDATE or DELETE, FOR EACH ROW.
Acts as the current user. Does not block.
Errors: those of wf_send(); 42703 a column that the table does not have; 22023 a column that is null, an unmatched brace, a wrong number of arguments; 39P01 not a row trigger.';

CREATE OR REPLACE FUNCTION durable_wf.make_schedule(name text, schedule text, body text, input jsonb)
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

-- What the job of a retention calls: batches, each in its own transaction,
-- which is what wf_prune() needs whatever the database's or role's default is.
CREATE OR REPLACE PROCEDURE durable_wf.prune_all(older_than interval)
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
