-- Everything is transactional with the caller's own writes; and the kinds of
-- transaction in which not everything works.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('tx');
SET durable_wf.workflow_id = 'tx';

-- a rollback: nothing was sent, what was received is back in its place
SELECT wf_send_many('{tx,tx,tx}', '{1,2,3}') IS NOT NULL AS sent;
BEGIN;
SELECT wf_recv(), wf_recv();
SELECT wf_send('tx', '4') IS NOT NULL AS sent, wf_set_event('k', '1');
SELECT test.peek('tx', NULL);
ROLLBACK;
SELECT test.peek('tx', NULL), wf_get_event('tx', 'k', '0');
BEGIN;
SELECT array_agg(message) FROM wf_recv_many(NULL, 2);
ROLLBACK;
BEGIN;
SELECT * FROM wf_recv_any('{t,NULL}');
SELECT 1 / 0;
COMMIT;

-- a savepoint
BEGIN;
SELECT wf_recv();
SAVEPOINT a;
SELECT wf_recv();
SELECT wf_send('tx', '"undone"', 'sp', 'sp') IS NOT NULL AS sent;
SAVEPOINT b;
SELECT wf_recv();
SELECT wf_send('tx', '"undone, too"', 'sp') IS NOT NULL AS sent;
RELEASE b;
SELECT wf_recv(timeout => '0');
ROLLBACK TO a;
SELECT wf_recv();
SELECT wf_send('tx', '"sent"', 'sp', 'sp') IS NOT NULL AS sent;
COMMIT;
SELECT test.peek('tx', NULL), test.peek('tx', 'sp');
SELECT wf_recv(), wf_recv('sp');

-- an EXCEPTION block
SELECT wf_send_many('{tx,tx,tx}', '{1,2,3}') IS NOT NULL AS sent;
DO $$
DECLARE
    m jsonb;
BEGIN
    RAISE NOTICE 'taken: %', wf_recv();
    BEGIN
        m := wf_recv();
        PERFORM wf_send('tx', '"undone"');
        PERFORM wf_complete();
        RAISE EXCEPTION 'no';
    EXCEPTION WHEN raise_exception THEN
        RAISE NOTICE 'taken and given back: %', m;
    END;
    RAISE NOTICE 'taken: %', wf_recv();
    BEGIN
        PERFORM wf_recv('none', workflow_id => 'tx-no');
    EXCEPTION WHEN SQLSTATE 'WF001' THEN
        RAISE NOTICE '%: %', SQLSTATE, SQLERRM;
    END;
END$$;
SELECT test.peek('tx', NULL), wf_status('tx');
SELECT wf_recv();

-- many subtransactions, every third undone
DO $$BEGIN
    FOR i IN 1..300 LOOP
        BEGIN
            PERFORM wf_send('tx', to_jsonb(i), 'sub');
            IF i % 2 = 0 THEN
                PERFORM wf_recv('sub', '0');
            END IF;
            IF i % 3 = 0 THEN
                RAISE EXCEPTION 'undo';
            END IF;
        EXCEPTION WHEN raise_exception THEN
        END;
    END LOOP;
END$$;
-- 200 sent, 100 received: the oldest
SELECT count(*), min(message::int), max(message::int),
       bool_and(message::int % 3 <> 0) AS none_undone
  FROM wf_recv_many('sub', 1000, '0');

-- REPEATABLE READ and SERIALIZABLE: what need not wait works, what would have
-- to wait fails at once
\set VERBOSITY sqlstate
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_send('tx', '1', 'rr') < wf_send('tx', '2', 'rr') AS sent;
SELECT wf_recv('rr'), wf_recv('none', '0');
SELECT wf_set_event('rr', '3'), wf_get_event('tx', 'rr');
SELECT * FROM wf_recv_any('{none,rr}');
SELECT * FROM wf_recv_many('rr', 10, '0');
SELECT wf_start('tx-rr'), wf_start('tx-rr'), wf_cancel('tx-rr'), wf_status('tx-rr');
SELECT wf_result('tx-rr'), wf_result('tx', '0'), wf_get_event('tx', 'none', '0');
SELECT wf_recv('none');
ROLLBACK;
\echo :LAST_ERROR_MESSAGE
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_recv('none', '10 ms');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_recv_any('{none,NULL}', NULL);
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT * FROM wf_recv_many('none');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_get_event('tx', 'none');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_wait_for_event('none');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT wf_result('tx');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL wf_recv('none', '10 ms', NULL, NULL);
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT wf_send('tx', '1', 'rr') IS NOT NULL AS sent;
SELECT wf_recv('rr'), wf_recv('rr', '0');
SELECT wf_recv('rr', '10 ms');
ROLLBACK;
-- a CALL that commits begins the next one in the same way
SET default_transaction_isolation = 'repeatable read';
CALL wf_recv('none', '0', NULL, NULL);
CALL wf_recv('none', '10 ms', NULL, NULL);
RESET default_transaction_isolation;

-- READ ONLY: what writes is 25006, at once, though there is nothing to take;
-- what reads works, and waits
BEGIN READ ONLY;
SELECT wf_status('tx'), wf_current(), wf_result('tx', '0'), wf_result('tx', '10 ms');
SELECT wf_get_event('tx', 'none', '0'), wf_get_event('tx', 'none', '10 ms');
SELECT * FROM wf_event_waiters('e');
SELECT count(*) FROM wf_waiters;
COMMIT;
SET default_transaction_read_only = on;
SELECT wf_start('tx-ro');
\echo :LAST_ERROR_MESSAGE
SELECT wf_start('tx');
SELECT wf_complete();
SELECT wf_fail('x');
SELECT wf_cancel('tx');
SELECT wf_set_owner('tx', 'regress_dwf_alice');
SELECT wf_send('tx', '1');
SELECT wf_send('tx', '1', NULL, 'k');
SELECT wf_send_many('{tx}', '{1}');
SELECT wf_recv('none', '0');
SELECT wf_recv('none');
SELECT wf_recv_any('{none}', '0');
SELECT * FROM wf_recv_many('none', 1, '0');
SELECT wf_set_event('k', '1');
SELECT * FROM wf_notify('e');
SELECT * FROM wf_notify('e', NULL, 'tx');
SELECT wf_wait_for_event('e', '0');
CALL wf_recv('none', '0', NULL, NULL);
CALL wf_get_event('tx', 'none', '10 ms', NULL);
CALL wf_result('tx', '10 ms', NULL, NULL, NULL);
RESET default_transaction_read_only;

-- two-phase commit: what is prepared and rolled back has done nothing
SELECT wf_send('tx', '"still here"', '2pc') IS NOT NULL AS sent;
BEGIN;
SELECT wf_send('tx', '1') IS NOT NULL AS sent;
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_send('tx', '1', NULL, '2pc') IS NOT NULL AS sent;
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_send_many('{tx}', '{1}') IS NOT NULL AS sent;
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_recv('2pc');
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_set_event('2pc', '1');
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT count(*) FROM wf_notify('2pc', '1', 'tx');
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_start('tx-2pc');
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SELECT wf_cancel('tx');
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
BEGIN;
SAVEPOINT a;
SELECT wf_send('tx', '1') IS NOT NULL AS sent;
RELEASE a;
PREPARE TRANSACTION 'regress_dwf';
ROLLBACK PREPARED 'regress_dwf';
SELECT wf_recv('2pc'), wf_recv(timeout => '0'), wf_status('tx');
-- what only looked can, what undid what it sent, and what only repeated it
SELECT wf_send('tx', '1', 'once', '2pc') IS NOT NULL AS sent;
CREATE TABLE prepared (n int);
BEGIN;
INSERT INTO prepared VALUES (1);
SELECT wf_status('tx'), wf_get_event('tx', 'none', '10 ms'), wf_result('tx', '0'),
       wf_recv('2pc', '0'), wf_recv('2pc', '10 ms'), wf_recv_any('{2pc,NULL}', '10 ms'),
       wf_wait_for_event('2pc', '10 ms');
SELECT wf_start('tx'), wf_send('tx', '1', 'once', '2pc') IS NOT NULL AS not_sent;
SELECT * FROM wf_notify('2pc');
SAVEPOINT a;
SELECT wf_send('tx', '1') IS NOT NULL AS sent, wf_set_event('2pc', '1');
ROLLBACK TO a;
PREPARE TRANSACTION 'regress_dwf';
COMMIT PREPARED 'regress_dwf';
SELECT n FROM prepared;

-- statements in one implicit block, and a failed one
SELECT wf_send('tx', '1') IS NOT NULL AS sent\; SELECT wf_recv()\; SELECT 1 / 0;
SELECT wf_recv(timeout => '0');

-- cursors receive when they are fetched from, and only then
BEGIN;
DECLARE c CURSOR FOR SELECT g, wf_recv('cursor', '0') FROM generate_series(1, 3) g;
SELECT wf_send_many('{tx,tx,tx}', '{1,2,3}', 'cursor') IS NOT NULL AS sent;
FETCH c;
SELECT test.peek('tx', 'cursor');
FETCH c;
CLOSE c;
SELECT test.peek('tx', 'cursor');
DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT message FROM wf_recv_many('cursor', 10, '0');
COMMIT;
FETCH c;
FETCH BACKWARD c;
FETCH c;
CLOSE c;
SELECT test.peek('tx', 'cursor');
SELECT count(*) FROM wf_waiters;
