-- step: sessions that execute workflows, and the journal

CREATE TABLE durable_wf.step (
    workflow_id  text COLLATE "C" NOT NULL,
    step_no      integer NOT NULL,
    function     text COLLATE "C" NOT NULL,
    name         text COLLATE "C",
    result       text[],
    error        text[],
    undone       boolean NOT NULL DEFAULT false,
    deadline     timestamptz,
    started_at   timestamptz NOT NULL,
    completed_at timestamptz,
    taken        text[],
    CONSTRAINT step_pkey PRIMARY KEY (workflow_id, step_no)
);
COMMENT ON TABLE durable_wf.step IS
'the journal: what each call of an attached session returned, so that a later session that makes the same calls gets the same, and nothing happens twice';
COMMENT ON COLUMN durable_wf.step.workflow_id IS 'whose journal';
COMMENT ON COLUMN durable_wf.step.step_no IS 'its place in the order of the calls, from 1';
COMMENT ON COLUMN durable_wf.step.function IS 'what was called';
COMMENT ON COLUMN durable_wf.step.name IS 'the argument that names it: step, topic, key, event id or destination';
COMMENT ON COLUMN durable_wf.step.result IS 'what it returned, column by column as text; null while it waits';
COMMENT ON COLUMN durable_wf.step.error IS 'what it raised: SQLSTATE, message, detail, hint; of a step that is tried again, what its last attempt raised, then how many there were, and what the ones before raised';
COMMENT ON COLUMN durable_wf.step.undone IS 'its effect was rolled back; a replay returns the same, again without effect';
COMMENT ON COLUMN durable_wf.step.deadline IS 'when the wait ends, whoever continues it';
COMMENT ON COLUMN durable_wf.step.started_at IS 'when it was called';
COMMENT ON COLUMN durable_wf.step.completed_at IS 'when it returned';
COMMENT ON COLUMN durable_wf.step.taken IS 'what it received, for wf_retry() to put back: of each item the workflow (null: this one), door, key, id, moment in microseconds since 2000, and payload (null: in the result)';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.step', '');

ALTER TABLE durable_wf.step ENABLE ROW LEVEL SECURITY;
CREATE POLICY step_owner ON durable_wf.step
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) step.workflow_id));
COMMENT ON POLICY step_owner ON durable_wf.step IS
'the journals of the workflows that one may see';
GRANT SELECT ON durable_wf.step TO PUBLIC;

CREATE FUNCTION @extschema@.wf_attach(workflow_id text, takeover boolean DEFAULT false)
    RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach(text, boolean) IS
'Make this session the one execution of a workflow. From now on each of its wf_* calls is a step: numbered, recorded with its result in the transaction of its effect, and answered from the record when a later session makes the same calls after a crash. Returns RUNNING, or the final status of a workflow that has ended, to which it does not attach.
takeover: if another session executes it, end that session and wait until it is gone; else that is an error that names its process.
Undone if the transaction rolls back; ends with wf_detach(), wf_complete(), wf_fail(), wf_continue_as_new(), DISCARD ALL, RESET ALL and the session. It wants a server session of its own: behind a proxy that pools transactions, other clients get the attached session, and what they send is taken for steps of this workflow and may not be sent. Transactions of the session cannot be REPEATABLE READ or SERIALIZABLE, nor PREPAREd.
Errors: WF001 no such workflow; 42501 it belongs to another role; WF007 executed elsewhere; 25001 wrong isolation level; 55000 attached to another workflow, or the library is not preloaded.';

CREATE FUNCTION @extschema@.wf_detach(retry_after interval DEFAULT '0') RETURNS void
    AS 'MODULE_PATHNAME', 'wf_detach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_detach(interval) IS
'Leave the attached workflow unfinished, at commit: another session can go on with it at once. Does nothing in a session that is not attached.
retry_after: it is due in its queue again when this is over, and not before. Then this blocks while another transaction has the workflow''s row locked.
Errors: 22023 bad argument; 42501 with retry_after, the workflow belongs to another role.';

CREATE FUNCTION @extschema@.wf_attach_next(queue text, timeout interval DEFAULT '0') RETURNS text
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach_next(text, interval) IS
'Wait for the oldest workflow of a queue (wf_start(queue => ...)) that is due and that no session executes, one whose session has died included; attach to it and return its id; null on timeout. Many processes can share a queue: each workflow goes to one of them.
A workflow whose sessions have died durable_wf.max_attempts times in a row without getting further ends with ERROR. With durable_wf.client_suspend_after set, a CALLed wait that lasts longer suspends the workflow, detaches the session and raises WF010: unwind, and take the next; when what it waits for has come, it is due in its queue again.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_next(...) does not.
Errors: 22023 bad argument; 55000 attached already, or the library is not preloaded; 25001 wrong isolation level.';

CREATE PROCEDURE @extschema@.wf_attach_next(IN queue text, IN timeout interval, INOUT workflow_id text)
    AS 'MODULE_PATHNAME', 'wf_attach_next' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_attach_next(text, interval, text) IS
'wf_attach_next() that commits what came before and then waits holding no snapshot and no lock. Pass null for the last argument.';

CREATE TYPE @extschema@.wf_attached AS (workflow_id text, queue text, input jsonb, attempt integer);
COMMENT ON TYPE @extschema@.wf_attached IS
'the workflow that wf_attach_any() or wf_start_attached() has attached the session to; all null when none was due in time';

CREATE FUNCTION @extschema@.wf_attach_any(queues text[], timeout interval DEFAULT '0')
    RETURNS @extschema@.wf_attached
    AS 'MODULE_PATHNAME', 'wf_attach_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_attach_any(text[], interval) IS
'wf_attach_next() for several queues: the workflow of any of them that has been due for longest, with what a worker needs to begin: its queue, its input, and which attempt this is (1, and one more for each session that has died in it since it last got further). All null on timeout.
queues: at least one, none null. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_any(...) does not.
Errors: those of wf_attach_next().';

CREATE PROCEDURE @extschema@.wf_attach_any(
    IN queues text[], IN timeout interval, INOUT workflow_id text,
    INOUT queue text, INOUT input jsonb, INOUT attempt integer)
    AS 'MODULE_PATHNAME', 'wf_attach_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_attach_any(text[], interval, text, text, jsonb, integer) IS
'wf_attach_any() that commits what came before and then waits holding no snapshot and no lock. Pass null for the last four arguments.';

CREATE FUNCTION @extschema@.wf_start_attached(
    workflow_id text DEFAULT NULL,
    input jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    timeout interval DEFAULT NULL,
    attributes jsonb DEFAULT NULL
) RETURNS @extschema@.wf_attached
    AS 'MODULE_PATHNAME', 'wf_start_attached' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_start_attached(text, jsonb, text, interval, jsonb) IS
'wf_start() of a workflow of a queue, and wf_attach_any() of that very one, in one: this session executes it, as if it had taken it from the queue, and no other session is woken for it. For a process that starts what it executes itself, and has a session free for it. If the session ends without the workflow, that is due in its queue.
A workflow that exists already is left as it is: its id is returned, the rest is null, and the session is not attached.
queue: not null. The other arguments are those of wf_start(). Takes effect at commit, and is undone if the transaction rolls back.
Errors: those of wf_start() and of wf_attach_any().';

CREATE FUNCTION @extschema@.wf_step(
    name text, command text, args jsonb DEFAULT NULL,
    max_attempts integer DEFAULT 1, retry_delay interval DEFAULT '1 s')
    RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_step(text, text, jsonb, integer, interval) IS
'Run an SQL command exactly once in the life of a workflow: its writes and its record commit together. Returns the first column of its first row as jsonb, JSON null when there is none; a replay returns the record.
args: what $1 is in the command. It runs with the caller''s rights; wf_* calls in it are part of the step and may not wait. It leaves nothing in the session: a setting that is not LOCAL, a temporary object, a prepared statement or a session''s advisory lock that outlives it is an error, and what it SETs LOCAL ends with it.
max_attempts: how often to try when it raises, each attempt undone by itself; retry_delay: the pause between. With pauses, CALL it: then the attempts are recorded as they fail, and go on after a crash; the function form waits in its transaction.
Errors: what the command raises; 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached; WF009 it left something, or is inside another step.';

CREATE PROCEDURE @extschema@.wf_step(
    IN name text, IN command text, IN args jsonb, IN max_attempts integer,
    IN retry_delay interval, INOUT output jsonb)
    AS 'MODULE_PATHNAME', 'wf_step' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_step(text, text, jsonb, integer, interval, jsonb) IS
'wf_step() that commits what came before, and what each attempt said, while it waits between attempts. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_get_step(name text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_get_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_get_step(text) IS
'For work done outside of the database: what wf_save_step(name, ...) recorded at this place, or SQL null when the work is still to be done. Look, do, record. Ask whether it IS NULL in SQL: many drivers show JSON null and SQL null alike.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached.';

CREATE TYPE @extschema@.wf_begun_step AS (step_no integer, done boolean, output jsonb, error text);
COMMENT ON TYPE @extschema@.wf_begun_step IS
'a step of work done outside of the database: whether the journal has it, and what it came to';

CREATE FUNCTION @extschema@.wf_begin_step(name text) RETURNS @extschema@.wf_begun_step
    AS 'MODULE_PATHNAME', 'wf_begin_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_begin_step(text) IS
'For work done outside of the database: begin, do, wf_save_step(). Takes the next number. done: the journal has it, so it is not to be done again: output is what wf_save_step() recorded (JSON null included), error what wf_fail_step() did. Not done: the step is open until one of these; several can be open at a time, for parallel work.
Writes nothing: a step that is not saved is done again by the next session. A CALLed wait does not suspend the workflow while a step is open.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached; WF009 inside a step.';

CREATE FUNCTION @extschema@.wf_save_step(name text, output jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_save_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_save_step(text, jsonb) IS
'Record the output of work done outside of the database; SQL null is recorded as JSON null. It belongs to the open step of that name (wf_begin_step), the oldest if there are several; if none is open, it takes the next number, for wf_get_step(). A save that is rolled back leaves its step open. A replay records nothing, nor does a save of what wf_begin_step() or wf_get_step() has just said to be done.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_fail_step(name text, error text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail_step(text, text) IS
'Record that work done outside of the database has failed for good: a replay sees the same error, and does not try again. Else like wf_save_step(); wf_get_step() raises the error as 38000. If no call begins after it and the workflow fails, wf_retry() has the step done anew.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_sleep(duration interval) RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_sleep(interval) IS
'Sleep, and return when it was to be over. With CALL, outside of a transaction block, that moment is committed before the sleep: after a crash only what is left is slept.
Errors: 22023 bad argument; WF002, WF003 the workflow ends meanwhile; WF008 this session is not attached; 25001 wrong isolation level.';

CREATE PROCEDURE @extschema@.wf_sleep(IN duration interval, INOUT woke_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_sleep' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_sleep(interval, timestamptz) IS
'wf_sleep() that commits what came before, and the moment to wake, and then sleeps holding no snapshot and no lock. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_now() RETURNS timestamptz
    AS 'MODULE_PATHNAME', 'wf_now' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_now() IS
'The time, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_until(deadline timestamptz) RETURNS interval
    AS 'MODULE_PATHNAME', 'wf_until' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_until(timestamptz) IS
'What is left until a moment, by this server''s clock, and 0 when it is over: a timeout that ends then, and is never negative. Null for infinity and for null: no end. It is no step and is not recorded, since a wait records its own deadline; decide by wf_now().';

CREATE FUNCTION @extschema@.wf_random() RETURNS double precision
    AS 'MODULE_PATHNAME', 'wf_random' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_random() IS
'A random number of at least 0 and less than 1, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_uuid() RETURNS uuid
    AS 'MODULE_PATHNAME', 'wf_uuid' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_uuid() IS
'A random uuid, recorded once: a replay gets the same. WF008 when this session is not attached.';

CREATE FUNCTION @extschema@.wf_patched(change text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_patched' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_patched(text) IS
'For code that changes under running workflows: true in runs that first reach this place with the changed code, false in those that had passed it before, the same each time that a run asks for this change.
Errors: 22023 bad argument; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_retry(workflow_id text, from_step integer DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_retry(text, integer) IS
'Let a workflow that ended with ERROR or CANCELLED go on from its journal: it is PENDING again, and due. Its timeout is lifted; its hooks are there again, under their tokens and with what came to them. Blocks while another transaction claims one of these, or gives it back.
from_step: go back to that step, from 1 to one more than there are. Then the workflow may have ended in any way, or be suspended (WAITING; its timeout stays). The records from that step on are dropped, and what these steps had received, messages, notifications and payloads of hooks, lies in its queues again, in its old place. What else they did stays done: writes to tables, what they sent and published, workflows that they started, hooks that they created or disposed of. Blocks for 5 seconds at most while a session leaves the workflow that has ended.
Errors: 22023 bad argument; WF001 no such workflow; 42501 it belongs to another role; 55000 it did not end so, is executed, or was recorded by a version before 1.0.0, which did not note what a step received; WF005 another workflow has one of its tokens.';

CREATE FUNCTION @extschema@.wf_continue_as_new(input jsonb) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_continue_as_new' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_continue_as_new(jsonb) IS
'End this run of the attached workflow and begin it anew with another input: at commit its journal is gone, the session is detached, and the workflow is PENDING and due. Identity, mailbox, events and hooks stay. For loops that live for years.
Errors: WF002, WF003 it has ended; WF008 this session is not attached.';

CREATE FUNCTION durable_wf.check_visible(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_check_visible' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.check_visible(text) IS
'raises WF001 or 42501 unless the caller may see the workflow';

CREATE FUNCTION @extschema@.wf_list_steps(workflow_id text)
    RETURNS TABLE (step_no integer, name text, output jsonb, error text,
                   started_at timestamptz, completed_at timestamptz)
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp
    SET row_security = on AS
$$
#variable_conflict use_column
BEGIN
    IF NOT (@extschema@.wf_node(wf_list_steps.workflow_id)).is_here THEN
        RETURN QUERY SELECT * FROM durable_wf.list_steps_there(wf_list_steps.workflow_id);
        RETURN;
    END IF;
    PERFORM durable_wf.check_visible(wf_list_steps.workflow_id);
    RETURN QUERY
    SELECT s.step_no,
           CASE WHEN s.function IN ('wf_step', 'wf_save_step') THEN s.name
                WHEN s.name IS NULL THEN s.function
                ELSE concat(s.function, '(', s.name, ')') END,
           CASE WHEN cardinality(s.result) > 1 THEN to_jsonb(s.result)
                WHEN s.function IN ('wf_step', 'wf_save_step', 'wf_recv', 'wf_get_event', 'wf_await_hook',
                                    'wf_resume_webhook', 'wf_await_response')
                THEN s.result[1]::jsonb
                ELSE to_jsonb(s.result[1]) END,
           s.error[2], s.started_at, s.completed_at
      FROM durable_wf.step s
     WHERE s.workflow_id = wf_list_steps.workflow_id
     ORDER BY s.step_no;
END $$;
COMMENT ON FUNCTION @extschema@.wf_list_steps(text) IS
'The journal of a workflow: number and name of each step, what it returned or raised, and when; completed_at is null for one that waits.
Errors: WF001 no such workflow; 42501 it belongs to another role.';
