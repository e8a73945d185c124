-- A receive starts where the live part of its queue begins: whatever happens
-- to a queue that is in use, no item is passed by.  (With other sessions in
-- between: specs/iso-queue-head.)
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('head');
SET durable_wf.workflow_id = 'head';
-- Send 1 to n.
CREATE FUNCTION head_fill(topic text, n int) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(wf_send('head', to_jsonb(g), topic)) FROM generate_series(1, n) g
$$;
-- Receive all that is left, as ranges, in order.
CREATE FUNCTION head_drain(topic text) RETURNS TABLE (first int, last int)
LANGUAGE sql AS $$
    SELECT min(m), max(m)
      FROM (SELECT message::int AS m, message_id,
                   message::int - row_number() OVER () AS range
              FROM wf_recv_many(topic, 10000, '0')) r
     GROUP BY range ORDER BY min(message_id)
$$;

-- one at a time, each in its transaction
SELECT head_fill('one', 500);
DO $$BEGIN
    FOR i IN 1..400 LOOP
        ASSERT wf_recv('one', '0') = to_jsonb(i);
        COMMIT;
    END LOOP;
END$$;
SELECT * FROM head_drain('one');

-- given back: by a rollback, by a savepoint, by an EXCEPTION block
SELECT head_fill('back', 500);
BEGIN;
SELECT count(*) FROM wf_recv_many('back', 200, '0');
ROLLBACK;
SELECT wf_recv('back', '0');
BEGIN;
SELECT wf_recv('back', '0');
SAVEPOINT s;
SELECT count(*) FROM wf_recv_many('back', 200, '0');
ROLLBACK TO s;
SELECT wf_recv('back', '0');
COMMIT;
DO $$BEGIN
    FOR i IN 4..100 LOOP
        BEGIN
            PERFORM wf_recv_many('back', 150, '0');
            RAISE EXCEPTION 'undo';
        EXCEPTION WHEN raise_exception THEN
        END;
        ASSERT wf_recv('back', '0') = to_jsonb(i);
        COMMIT;
    END LOOP;
END$$;
SELECT * FROM head_drain('back');
-- of several queues
SELECT head_fill('any-1', 200), head_fill('any-2', 200);
BEGIN;
SELECT count(*) FROM wf_recv_many('any-1', 100, '0');
SELECT count(*) FROM wf_recv_many('any-2', 100, '0');
ROLLBACK;
DO $$
DECLARE
    r wf_received;
BEGIN
    FOR i IN 1..300 LOOP
        r := wf_recv_any('{any-2,any-1}', '0');
        COMMIT;
    END LOOP;
    RAISE NOTICE '%', r;
END$$;
SELECT * FROM head_drain('any-1');
SELECT * FROM head_drain('any-2');

-- by a role that writes the table itself: items deleted, and given back
RESET SESSION AUTHORIZATION;
SET durable_wf.workflow_id = 'head';
SET search_path = regress_dwf_alice, public;
SELECT head_fill('deleted', 300);
BEGIN;
SELECT count(*) FROM wf_recv_many('deleted', 100, '0');
ROLLBACK;
BEGIN;
DELETE FROM durable_wf.message
 WHERE message_id IN (SELECT message_id FROM durable_wf.message
                       WHERE workflow_id = 'head' AND key = 'deleted'
                       ORDER BY message_id LIMIT 100);
SELECT wf_recv('deleted', '0');
ROLLBACK;
SELECT wf_recv('deleted', '0');
SELECT * FROM head_drain('deleted');
-- items with ids that are lower than all before
SELECT head_fill('low', 300);
SELECT count(*) FROM wf_recv_many('low', 100, '0');
SELECT count(*) FROM wf_recv_many('low', 100, '0');
COPY durable_wf.message (message_id, workflow_id, door, key, payload) FROM stdin;
-1	head	m	low	-1
-2	head	m	low	-2
\.
SELECT wf_recv('low', '0'), wf_recv('low', '0');
SELECT * FROM head_drain('low');
-- an item that was in another queue
SELECT wf_send('head', '0', 'moving') IS NOT NULL AS sent;
SELECT head_fill('moved', 300);
SELECT count(*) FROM wf_recv_many('moved', 100, '0');
SELECT count(*) FROM wf_recv_many('moved', 100, '0');
SELECT wf_recv('moved', '0');
UPDATE durable_wf.message SET key = 'moved'
 WHERE workflow_id = 'head' AND key = 'moving';
SELECT wf_recv('moved', '0');
SELECT * FROM head_drain('moved');

SELECT count(*) FROM durable_wf.message WHERE workflow_id = 'head';
