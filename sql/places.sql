-- The functions in all places that SQL allows: each receives as often as it
-- is evaluated, and sees what was sent before.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('place');
SET durable_wf.workflow_id = 'place';
CREATE FUNCTION place_fill(topic text, n int) RETURNS bigint LANGUAGE sql
  RETURN (SELECT count(wf_send('place', to_jsonb(g), topic))
            FROM generate_series(1, n) g);

-- a set in the target list, once and twice, beside a set, in an expression
SELECT place_fill('q', 7);
SELECT (wf_recv_many('q', 2, '0')).message;
SELECT pg_typeof(wf_recv_many('q', 1, '0'));
SELECT (r).message FROM (SELECT wf_recv_many('q', 1, '0') AS r OFFSET 0) s;
SELECT generate_series(1, 2) AS g, to_jsonb(wf_recv_many('q', 3, '0')) -> 'message' AS message;
SELECT test.peek('place', 'q');

-- LIMIT limits what is shown, not what is taken
SELECT place_fill('q', 3);
SELECT message FROM wf_recv_many('q', 10, '0') LIMIT 1;
SELECT test.peek('place', 'q');

-- LATERAL, ROWS FROM, ORDINALITY, a CTE that is read twice, joins
SELECT place_fill('q', 6);
SELECT g, r.message
  FROM generate_series(1, 4) g
  LEFT JOIN LATERAL wf_recv_many('q', g, '0') r ON true
 ORDER BY g, r.message_id;
SELECT place_fill('q', 3);
SELECT message, n, word, place
  FROM ROWS FROM (wf_recv_many('q', 10, '0'), unnest('{a,b}'::text[]))
       WITH ORDINALITY AS r (message_id, message, word, place), generate_series(1, 1) n;
SELECT place_fill('q', 2);
WITH r AS (SELECT message FROM wf_recv_many('q', 10, '0'))
SELECT a.message, b.message AS other FROM r a, r b WHERE a.message <> b.message;
SELECT place_fill('q', 2);
SELECT m FROM generate_series(1, 3), wf_recv('q', '0') m;
SELECT m FROM generate_series(1, 3) g, LATERAL wf_recv('q', (g * 0) * interval '1 s') m;
SELECT test.peek('place', 'q');

-- only what is evaluated receives
SELECT place_fill('q', 4);
SELECT CASE WHEN false THEN wf_recv('q') ELSE '"not taken"' END,
       coalesce('"not taken"', wf_recv('q')),
       false AND wf_recv('q') IS NULL AS not_taken;
SELECT EXISTS (SELECT FROM wf_recv_many('q', 1)), ARRAY(SELECT wf_recv('q')),
       (SELECT wf_recv('q') OFFSET 0);
SELECT count(*) FROM (SELECT wf_recv('q') LIMIT 0) s;
SELECT test.peek('place', 'q');
-- a composite result that is taken apart with .* is called for each column,
-- as PostgreSQL does with any function: FROM calls it once
SELECT place_fill('q', 1);
SELECT * FROM wf_recv_any('{q}') WHERE topic = 'q';
SELECT (r).topic, (r).message FROM (SELECT wf_recv_any('{q}', '0') AS r OFFSET 0) s;

-- in statements that write; the message and the row go together
CREATE TABLE inbox (n int, message jsonb DEFAULT wf_recv('q'), sent bigint);
SELECT place_fill('q', 6);
INSERT INTO inbox (n) VALUES (1), (2);
INSERT INTO inbox SELECT 3, message FROM wf_recv_many('q', 1);
UPDATE inbox SET message = jsonb_build_array(message, wf_recv('q')) WHERE n = 3;
DELETE FROM inbox WHERE n = 2 RETURNING message, wf_recv('q') AS another;
INSERT INTO inbox SELECT 4, r.message, wf_send('place', r.message, 'copy')
  FROM wf_recv_many('q') r
RETURNING n, message, test.peek('place', 'copy') AS copy;
SELECT n, message FROM inbox ORDER BY n;
BEGIN;
SELECT place_fill('q', 1);
INSERT INTO inbox (n) VALUES (5);
ROLLBACK;
SELECT count(*) FROM inbox WHERE n = 5;

-- from triggers and generated rows, in functions of each kind
CREATE FUNCTION inbox_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM wf_send('place', to_jsonb(NEW), 'changed', 'changed-' || NEW.n);
    PERFORM wf_set_event('changed', to_jsonb(NEW.n), 'place');
    RETURN NEW;
END$$;
CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON inbox
  FOR EACH ROW EXECUTE FUNCTION inbox_changed();
INSERT INTO inbox (n, message) SELECT g, '0' FROM generate_series(6, 8) g;
UPDATE inbox SET message = '1' WHERE n = 6;
SELECT message FROM wf_recv_many('changed');
SELECT wf_get_event('place', 'changed');
CREATE FUNCTION recv_sql(topic text) RETURNS jsonb LANGUAGE sql
  AS $$SELECT wf_recv(topic, '0')$$;
CREATE FUNCTION recv_stable(topic text) RETURNS jsonb LANGUAGE sql STABLE
  AS $$SELECT wf_recv(topic, '0')$$;
CREATE FUNCTION recv_set(topic text) RETURNS TABLE (id bigint, m jsonb)
  LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..2 LOOP
        RETURN QUERY SELECT * FROM wf_recv_many(topic, 1, '0');
    END LOOP;
END$$;
SELECT place_fill('q', 4);
SELECT recv_sql('q'), recv_stable('q');
SELECT m FROM recv_set('q');
-- where nothing volatile may be, it is refused
SELECT test.state($$CREATE INDEX ON inbox ((wf_status(message #>> '{}')))$$),
       test.state($$ALTER TABLE inbox ADD g text GENERATED ALWAYS AS (wf_current()) STORED$$),
       test.state($$SELECT 1 WHERE wf_recv_many('q', 1, '0') IS NULL$$);

-- prepared, in another order of arguments, and after all plans were thrown away
PREPARE s (text, jsonb) AS SELECT wf_send(message => $2, destination_id => $1) IS NOT NULL AS sent;
PREPARE r AS SELECT wf_recv(timeout => '0');
EXECUTE s ('place', '1');
EXECUTE r;
DISCARD PLANS;
EXECUTE s ('place', '2');
EXECUTE r;
DISCARD ALL;
SELECT wf_send('place', '3') IS NOT NULL AS sent;
SELECT wf_recv(NULL, '0', 'place');
