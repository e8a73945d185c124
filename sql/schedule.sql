-- Schedules without pg_cron, and their arguments (with it: t/024_schedule.pl).
\set VERBOSITY terse
SELECT wf_schedule(NULL, '* * * * *', NULL, NULL);
SELECT wf_schedule('', '* * * * *', NULL, NULL);
SELECT wf_schedule(repeat('x', 201), '* * * * *', NULL, NULL);
SELECT wf_schedule('s', NULL, NULL, NULL);
SELECT wf_schedule('s', '30 seconds', NULL, NULL);
SELECT wf_schedule('s', '* * * * *', 'no_such_body', NULL);
SELECT wf_unschedule(NULL);
SELECT wf_schedule_retention(NULL, '7 d');
SELECT wf_schedule_retention('* * * * *', NULL);
SELECT wf_schedule_retention('* * * * *', '-1 s');

-- pg_cron is missing: what is said, by every function that needs it.
CREATE FUNCTION pg_temp.what_is_said(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    said text;
    hint text;
BEGIN
    EXECUTE command;
    RETURN 'nothing';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
    RETURN format('%s: %s' || E'\n%s', SQLSTATE, said,
        replace(hint, current_database(), 'DATABASE'));
END $$;
SELECT pg_temp.what_is_said($$SELECT wf_schedule(repeat('x', 200), '* * * * *', NULL, '{}')$$);
SELECT pg_temp.what_is_said($$SELECT wf_unschedule('s')$$);
SELECT pg_temp.what_is_said($$SELECT wf_schedule_retention('* * * * *', '0')$$);

-- A tick: the same minute starts one workflow, of the same role.
BEGIN;
SELECT durable_wf.start_tick('s', NULL, '{"a": 1}') = durable_wf.start_tick('s', NULL, '{"a": 1}') AS same,
       durable_wf.start_tick('s', NULL, '{"a": 1}')
         = 's@' || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI"Z"') AS minute;
SELECT regexp_replace(workflow_id, '\d', 'N', 'g'), owner = current_user AS mine, status, input
  FROM wf_workflows WHERE workflow_id LIKE 's@%';
SET LOCAL timezone = 'Asia/Kolkata';
SET LOCAL datestyle = 'German';
SELECT durable_wf.start_tick('s', NULL, '{"a": 1}') IS NOT NULL AS again;
SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 's@%';
ROLLBACK;

-- Upkeep, as its job calls it: all that is due, in batches.
SELECT count(wf_start('prune ' || i)) FROM generate_series(1, 2500) i;
SELECT count(*) FILTER (WHERE wf_cancel('prune ' || i)) FROM generate_series(1, 2400) i;
CALL durable_wf.prune_all('1 h');
SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'prune %';
-- (what another process may have seen unfinished stays for a later call)
CREATE PROCEDURE pg_temp.prune_until(left_over bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. 5000 LOOP
        CALL durable_wf.prune_all('0');
        EXIT WHEN left_over = (SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'prune %');
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
CALL pg_temp.prune_until(100);
SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'prune %';
CALL durable_wf.prune_all(NULL);
SELECT count(*) FILTER (WHERE wf_cancel('prune ' || i)) FROM generate_series(2401, 2500) i;
CALL pg_temp.prune_until(0);
SELECT count(*) FROM wf_workflows WHERE workflow_id LIKE 'prune %';
