-- The row triggers, which note whom a commit wakes: on our tables always, and
-- on no others.
SELECT tgrelid::regclass, tgname, tgenabled
  FROM pg_trigger WHERE tgfoid = 'durable_wf.note_arrival'::regproc
 ORDER BY tgrelid::regclass::text, tgname;

-- a table of somebody else's, with columns of the same or of other types, or
-- without them
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('trigger');
CREATE TABLE looks_like (message_id bigint, workflow_id text, door "char", key text);
CREATE TABLE other_types (a int, b int, c int, d int);
CREATE TABLE too_small (a int);
DO $$
DECLARE
    name text;
    argument text;
BEGIN
    FOR name, argument IN
      SELECT t, a FROM unnest('{looks_like,other_types,too_small}'::text[]) t,
                       unnest('{message,event,workflow,""}'::text[]) a
    LOOP
        BEGIN
            EXECUTE format('CREATE TRIGGER note BEFORE INSERT ON %I FOR EACH ROW'
                           ' EXECUTE FUNCTION durable_wf.note_arrival(%L)', name, argument);
            IF name = 'looks_like' THEN
                INSERT INTO looks_like VALUES (1, 'trigger', 'm', 'k');
            ELSE
                EXECUTE format('INSERT INTO %I VALUES (1)', name);
            END IF;
            RAISE WARNING 'accepted: %, %', name, argument;
        EXCEPTION WHEN trigger_protocol_violated OR insufficient_privilege THEN
        END;
    END LOOP;
END$$;
DROP TABLE looks_like, other_types, too_small;
-- nor is it a function to be called
SELECT test.state($$SELECT durable_wf.note_arrival()$$) IN ('39P01', '42501') AS refused;
SELECT wf_status('trigger');
