-- Timeouts: which intervals mean what, and what ends a wait early.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('wait');
SET durable_wf.workflow_id = 'wait';

-- these have passed before one can look, or soon after
SELECT timeout, wf_recv('none', timeout)
  FROM unnest(ARRAY['0', '0 s', '1 us', '10 ms', '0.01 s', '1 day -24 hours',
                    '1 mon -30 days', '-1 mon +30 days', '-1 day +24:00:00.001',
                    '-1 mon +30 days 1 us']::interval[]) timeout;
-- from some days this is a day or more, from others nothing
SELECT wf_send('wait', '"sent"', 'mixed') IS NOT NULL AS sent;
SELECT wf_recv('mixed', '-1 mon +31 days');

-- these are negative, by the rule that a month has 30 days and a day 24 hours
\a \t
SELECT timeout, test.try(format('SELECT wf_recv(timeout => %L)', timeout))
  FROM unnest(ARRAY['-1 us', '-1 s', '-1 day', '1 mon -31 days', '-1 mon +29 days',
                    '1 day -24 hours -1 us', '-1 year +11 mons', '-178000000 years',
                    '-2147483647 days']::interval[]) timeout;

-- these end beyond all timestamps
SELECT timeout, test.try(format('SELECT wf_recv(timeout => %L)', timeout))
  FROM unnest(ARRAY['300000 years', '178000000 years', '2147483647 days',
                    '2000000000:00:00', '178000000 years 2147483647 days 2000000000:00:00'
                   ]::interval[]) timeout;

-- each function says so
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_recv_any('{t}', '-1 s')$$,
  $$SELECT wf_recv_many(NULL, 1, '-1 s')$$,
  $$SELECT wf_get_event('wait', 'none', '-1 s')$$,
  $$SELECT wf_wait_for_event('none', '-1 s')$$,
  $$SELECT wf_result('wait', '-1 s')$$,
  $$CALL wf_recv(NULL, '-1 s', NULL, NULL)$$,
  $$CALL wf_recv_any('{t}', '-1 s', NULL, NULL, NULL)$$,
  $$CALL wf_get_event('wait', 'none', '-1 s', NULL)$$,
  $$CALL wf_wait_for_event('none', '-1 s', NULL, NULL, NULL)$$,
  $$CALL wf_result('wait', '-1 s', NULL, NULL, NULL)$$,
  $$SELECT wf_result('wait', '178000000 years')$$,
  $$SELECT wf_get_event('wait', 'none', '178000000 years')$$
]) call;

-- a deadline as a timeout: what is left until then, never negative; it is no
-- timeout of another kind, so each function takes it
SELECT deadline, wf_until(deadline)
  FROM unnest(ARRAY['-infinity', '4713-11-24 BC', '2000-01-01', 'infinity', NULL]::timestamptz[]) deadline;
SELECT wf_until(now()) AS over, wf_until(clock_timestamp() + '1 day') BETWEEN '23:59' AND '24:00' AS a_day,
       wf_until(now() + '1 year') > '364 days' AS a_year, wf_until('294276-12-31 23:59:59.999999+00') > '200000 years' AS far,
       wf_until(current_date) AS today, wf_until(deadline => '2000-01-01 00:00') AS named;
SELECT test.try(call) FROM unnest(ARRAY[
  $$SELECT wf_recv('none', wf_until('2000-01-01')) IS NULL$$,
  $$SELECT wf_recv_any('{none}', wf_until('2000-01-01'))$$,
  $$SELECT count(*) FROM wf_recv_many('none', 1, wf_until('2000-01-01'))$$,
  $$SELECT wf_wait_any('[{"topic": "none"}]', wf_until('2000-01-01'))$$,
  $$SELECT wf_get_event('wait', 'none', wf_until('2000-01-01'))$$,
  $$SELECT wf_wait_for_event('none', wf_until('2000-01-01'))$$,
  $$SELECT status FROM wf_result('wait', wf_until('2000-01-01'))$$,
  $$SELECT count(*) FROM wf_read_stream('wait', 's', timeout => wf_until('2000-01-01'))$$,
  $$SELECT wf_await_hook(wf_create_hook(), wf_until('2000-01-01'))$$,
  $$SELECT wf_attach_next('wait none', wf_until('2000-01-01'))$$,
  $$SELECT wf_start('wait', start_after => wf_until('2000-01-01'))$$,
  $$CALL wf_recv('none', wf_until('2000-01-01'), NULL, NULL)$$,
  $$CALL wf_recv('none', wf_until(clock_timestamp() + '10 ms'), NULL, NULL)$$
]) call;
DO $$
DECLARE
    deadline timestamptz = clock_timestamp() + '50 ms';
BEGIN
    ASSERT wf_recv('none', wf_until(deadline)) IS NULL;
    ASSERT clock_timestamp() >= deadline;
END $$;
-- the usual mistake is told what to pass
SELECT wf_recv('none', '2000-01-01' - now());
SELECT wf_start('wait-late', start_after => '2000-01-01' - now());

-- a long one is waited for, and so is none at all: until the statement's own
-- time is up; after that nobody is left waiting, and all works on
SET statement_timeout = '250 ms';
\set VERBOSITY sqlstate
SELECT wf_recv(timeout => '100000 years');
SELECT wf_recv(timeout => NULL);
SELECT wf_recv('t');
SELECT wf_recv_any('{t,NULL}', NULL);
SELECT * FROM wf_recv_many('t', 1, NULL);
SELECT wf_get_event('wait', 'none');
SELECT wf_get_event('wait-no', 'none', NULL);
SELECT wf_wait_for_event('e');
SELECT wf_wait_for_event('e', NULL);
SELECT wf_result('wait');
CALL wf_recv(NULL, NULL, NULL, NULL);
CALL wf_recv_any('{t,NULL}', '60 s', NULL, NULL, NULL);
CALL wf_get_event('wait', 'none', NULL, NULL);
CALL wf_wait_for_event('e', NULL, NULL, NULL, NULL);
CALL wf_result('wait', NULL, NULL, NULL, NULL);
BEGIN;
SELECT wf_recv();
SELECT wf_recv();
ROLLBACK;
\set VERBOSITY default
-- PL/pgSQL can catch it, and goes on
DO $$BEGIN
    PERFORM wf_recv();
EXCEPTION WHEN query_canceled THEN
    RAISE NOTICE '%: % waiting', SQLSTATE, (SELECT count(*) FROM wf_waiters);
    ASSERT wf_recv(timeout => '1 ms') IS NULL;
END$$;
RESET statement_timeout;
SELECT count(*) FROM wf_waiters;
SELECT wf_send('wait', '"on"') IS NOT NULL;
SELECT wf_recv(), wf_recv(timeout => '1 ms') IS NULL;

-- lock_timeout is not about us
SET lock_timeout = '1 ms';
SELECT wf_recv(timeout => '10 ms') IS NULL;
RESET lock_timeout;

-- a wait that acts as no workflow ends with the current one, but only when
-- that was alive at its beginning
SELECT wf_start('wait-over');
SELECT wf_cancel('wait-over');
SET durable_wf.workflow_id = 'wait-over';
SELECT wf_get_event('wait', 'none', '10 ms') IS NULL;
SELECT wf_result('wait', '10 ms');
SET durable_wf.workflow_id = 'wait-no';
SELECT wf_get_event('wait', 'none', '10 ms') IS NULL;
SELECT wf_result('wait', '10 ms');
SELECT count(*) FROM wf_waiters;
