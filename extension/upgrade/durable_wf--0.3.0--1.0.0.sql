\echo Use "ALTER EXTENSION durable_wf UPDATE TO '1.0.0'" to load this file. \quit

-- The library has to be of this version.  A server that was not restarted since
-- the files of this version came still has an earlier one.
DO $check$
BEGIN
    CREATE FUNCTION durable_wf.library_version() RETURNS text
        AS 'MODULE_PATHNAME', 'dwf_library_version' LANGUAGE C STABLE PARALLEL SAFE;
    PERFORM durable_wf.library_version();
EXCEPTION WHEN undefined_function THEN
    RAISE object_not_in_prerequisite_state USING
        MESSAGE = 'this version of durable_wf needs its library, and the server has loaded that of an earlier version',
        HINT = 'Restart the server.';
END $check$;
COMMENT ON FUNCTION durable_wf.library_version() IS
'The version of the library that this session uses; that of the objects is in pg_extension.
Errors: 55000 the objects in this database are of a later version than the library.';

-- What a body waits for that is due and cannot be run.

CREATE FUNCTION durable_wf.waits_for(workflow_id text) RETURNS text
    AS 'MODULE_PATHNAME', 'dwf_waits_for' LANGUAGE C STABLE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.waits_for(text) IS
'what a body that is due waits for, because its owner may not log in, say; null if for nothing, or if it is not the caller''s';

CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output,
       CASE WHEN w.body IS NOT NULL AND w.status IN ('PENDING', 'RUNNING')
                 AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
            THEN durable_wf.waits_for(w.workflow_id) COLLATE pg_catalog."default"
            ELSE w.error END AS error,
       w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid;
COMMENT ON COLUMN @extschema@.wf_workflows.error IS
'what wf_fail was given, or what its body has raised; of a cancelled one, who has cancelled it, and why; of a body that is due and cannot be run, what it waits for';
-- steps: what is said of them

COMMENT ON COLUMN durable_wf.step.error IS 'what it raised: SQLSTATE, message, detail, hint; of a step that is tried again, what its last attempt raised, then how many there were, and what the ones before raised';
COMMENT ON FUNCTION @extschema@.wf_step(text, text, jsonb, integer, interval) IS
'Run an SQL command exactly once in the life of a workflow: its writes and its record commit together. Returns the first column of its first row as jsonb, JSON null when there is none; a replay returns the record.
args: what $1 is in the command. It runs with the caller''s rights; wf_* calls in it are part of the step and may not wait. It leaves nothing in the session: a setting that is not LOCAL, a temporary object, a prepared statement or a session''s advisory lock that outlives it is an error, and what it SETs LOCAL ends with it.
max_attempts: how often to try when it raises, each attempt undone by itself; retry_delay: the pause between. With pauses, CALL it: then the attempts are recorded as they fail, and go on after a crash; the function form waits in its transaction.
Errors: what the command raises; 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached; WF009 it left something, or is inside another step.';
COMMENT ON PROCEDURE @extschema@.wf_step(text, text, jsonb, integer, interval, jsonb) IS
'wf_step() that commits what came before, and what each attempt said, while it waits between attempts. Pass null for the last argument.';
COMMENT ON FUNCTION @extschema@.wf_get_step(text) IS
'For work done outside of the database: what wf_save_step(name, ...) recorded at this place, or SQL null when the work is still to be done. Look, do, record. Ask whether it IS NULL in SQL: many drivers show JSON null and SQL null alike.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached.';
-- hook: what a workflow had when it ended, for wf_retry(); whether an answer
-- has come in time

CREATE TABLE durable_wf.released_hook (
    workflow_id  text COLLATE "C" NOT NULL,
    token        text COLLATE "C" NOT NULL,
    metadata     jsonb,
    validator    text,
    is_webhook   boolean NOT NULL,
    respond_with jsonb,
    created_at   timestamptz NOT NULL,
    CONSTRAINT released_hook_pkey PRIMARY KEY (workflow_id, token)
);
COMMENT ON TABLE durable_wf.released_hook IS
'one row per hook that a workflow had when it ended: wf_retry() makes it a hook again. Its token is free meanwhile';
COMMENT ON COLUMN durable_wf.released_hook.workflow_id IS 'whose hook it was';
COMMENT ON COLUMN durable_wf.released_hook.token IS 'as in durable_wf.hook, and so are the others';
COMMENT ON COLUMN durable_wf.released_hook.metadata IS 'what its creator says of it';
COMMENT ON COLUMN durable_wf.released_hook.validator IS 'the function (jsonb) that each payload goes through; null: none';
COMMENT ON COLUMN durable_wf.released_hook.is_webhook IS 'it has a URL';
COMMENT ON COLUMN durable_wf.released_hook.respond_with IS 'of a webhook: null, a response, or "manual"';
COMMENT ON COLUMN durable_wf.released_hook.created_at IS 'when the transaction that created it began';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.released_hook', '');
ALTER TABLE durable_wf.released_hook ENABLE ROW LEVEL SECURITY;
CREATE POLICY released_hook_owner ON durable_wf.released_hook
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) released_hook.workflow_id));
COMMENT ON POLICY released_hook_owner ON durable_wf.released_hook IS
'the hooks of the workflows that one may see';
GRANT SELECT ON durable_wf.released_hook TO PUBLIC;

COMMENT ON FUNCTION durable_wf.release_hooks() IS
'trigger function of durable_wf.workflow: a workflow that ends has no hooks any more, and one that lives again has them again';

COMMENT ON TABLE durable_wf.request IS
'one row per request to a webhook of mode "manual": of those that were answered, the latest';
COMMENT ON COLUMN durable_wf.request.expires_at IS 'when it is too late for a response, or when the response is forgotten; null: not by time';
DROP INDEX durable_wf.request_expires_at_idx;
CREATE INDEX request_expires_at_idx ON durable_wf.request (workflow_id, expires_at)
    WHERE expires_at IS NOT NULL AND responded_at IS NOT NULL;

DROP FUNCTION @extschema@.wf_respond(bigint, integer, jsonb, text);
CREATE FUNCTION @extschema@.wf_respond(
    request_id bigint,
    status integer DEFAULT 200,
    headers jsonb DEFAULT '{}',
    body text DEFAULT ''
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_respond' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_respond(bigint, integer, jsonb, text) IS
'Answer a request to a webhook of mode "manual", once. At commit whoever waits for it has the response. Returns false when nobody waits for it any more: its client has left, or was told that there is no answer in time.
request_id: from the payload. status: 200 to 599. headers: an object of strings. For who may act as the workflow. Blocks only while another transaction answers the same request.
Errors: 22023 bad argument; 55000 there is no such request of yours, or it was answered.';

COMMENT ON FUNCTION @extschema@.wf_retry(text) IS
'Let a workflow that ended with ERROR or CANCELLED go on from its journal: it is PENDING again, and due. Its timeout is lifted; its hooks are there again, under their tokens and with what came to them. Blocks while another transaction claims one of these, or gives it back.
Errors: WF001 no such workflow; 42501 it belongs to another role; 55000 it did not end so; WF005 another workflow has one of its tokens.';

COMMENT ON FUNCTION @extschema@.wf_resume_webhook(text, jsonb) IS
'Deliver an HTTP request to a webhook and return the response to give, {"status", "headers", "body"}: the same door as the URL, for who takes the request by other means. The token is the authorisation.
request: {"method", "url", "path", "query", "headers", "body", "body_base64", "received_at"}, each of them optional. Of "body" and "body_base64" one is made from the other. Its header idempotency-key, if there is one, makes a repeated request the same as the first; a validator can name another one there. One with a header content-encoding gets the response 415, and is not delivered.
For a webhook of mode "manual" it returns {"status": 202, "request_id"} at once: the response is for wf_await_response().
Errors: 22023 bad argument; WF006 there is no such webhook; what the validator raises; 57014 it took too long.';

CREATE FUNCTION @extschema@.wf_form(body text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_form' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.wf_form(text) IS
'The body of a form (application/x-www-form-urlencoded), such as a webhook gets it, as an object of strings; the values of a name that comes more than once are an array.
"+" is a space, %XX a byte of UTF-8, and what is no escape stands for itself. A value that is not text is null, a name that is none stays as it was sent. Raises no error.';
-- what a proxy that pools transactions does to attached and listening sessions

COMMENT ON FUNCTION @extschema@.wf_attach(text, boolean) IS
'Make this session the one execution of a workflow. From now on each of its wf_* calls is a step: numbered, recorded with its result in the transaction of its effect, and answered from the record when a later session makes the same calls after a crash. Returns RUNNING, or the final status of a workflow that has ended, to which it does not attach.
takeover: if another session executes it, end that session and wait until it is gone; else that is an error that names its process.
Undone if the transaction rolls back; ends with wf_detach(), wf_complete(), wf_fail(), wf_continue_as_new(), DISCARD ALL, RESET ALL and the session. It wants a server session of its own: behind a proxy that pools transactions, other clients get the attached session, and what they send is taken for steps of this workflow and may not be sent. Transactions of the session cannot be REPEATABLE READ or SERIALIZABLE, nor PREPAREd.
Errors: WF001 no such workflow; 42501 it belongs to another role; WF007 executed elsewhere; 25001 wrong isolation level; 55000 attached to another workflow, or the library is not preloaded.';

COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session. It wants a server session of its own: behind a proxy that pools transactions, the news go to whichever client has that session then, or to nobody.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 the role listens for too many; 55000 the library is not preloaded.';

-- who executes what now

CREATE FUNCTION durable_wf.executions(
    OUT workflow_id text, OUT pid integer, OUT kind text, OUT since timestamptz,
    OUT step_no integer, OUT step_name text)
    RETURNS SETOF record
    AS 'MODULE_PATHNAME', 'dwf_executions' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 10;
COMMENT ON FUNCTION durable_wf.executions() IS
'what the view wf_executions knows from shared memory, of workflows that the caller may see';

CREATE VIEW @extschema@.wf_executions WITH (security_invoker = true) AS
SELECT e.workflow_id, e.pid, e.kind, a.application_name, a.client_addr, e.since,
       e.step_no, e.step_name
  FROM durable_wf.executions() e
  LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid OPERATOR(pg_catalog.=) e.pid;
COMMENT ON VIEW @extschema@.wf_executions IS
'who executes which workflow now, of those whose owner''s privileges you have: a workflow that is RUNNING and not here is executed by nobody, since its session has died or has detached';
GRANT SELECT ON @extschema@.wf_executions TO PUBLIC;

COMMENT ON COLUMN @extschema@.wf_executions.workflow_id IS
'the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.pid IS
'the server process, as in pg_stat_activity';
COMMENT ON COLUMN @extschema@.wf_executions.kind IS
'executor: one of our processes runs its body; client: a session is attached';
COMMENT ON COLUMN @extschema@.wf_executions.application_name IS
'of that session; NULL if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.client_addr IS
'of that session; NULL for a socket of the same host, or if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.since IS
'when it took the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.step_no IS
'the number of the call that it makes, or made last, replayed ones included; NULL: none yet';
COMMENT ON COLUMN @extschema@.wf_executions.step_name IS
'its name, as in wf_list_steps';
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

-- ----- whichever of several things comes first

CREATE TYPE @extschema@.wf_arrival AS (source integer, value jsonb);
COMMENT ON TYPE @extschema@.wf_arrival IS
'what came first of several sources: the place of its source in the list, from 1; both null when nothing came in time';

CREATE FUNCTION @extschema@.wf_wait_any(
    sources jsonb,
    timeout interval DEFAULT '60 s',
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_arrival
    AS 'MODULE_PATHNAME', 'wf_wait_any' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_wait_any(jsonb, interval, text) IS
'Wait for whichever of several sources comes first, take that one and return its place in the list, from 1, with its value; both null on timeout. All others stay as they are. If several are there, the first in the list is taken.
sources: an array of 1 to 128 objects, each named by the arguments of the call that it stands for: {"topic": text or null} as wf_recv(), {"event_id"} as wf_wait_for_event(), {"token"} as wf_await_hook(), {"workflow_id", "key"} as wf_get_event(), {"workflow_id"} as wf_result(), whose value is an object with status, output and error, {"workflow_id", "stream", "after"} as wf_read_stream() for one item, whose value is an object with item_no, value and ended.
timeout: null waits for ever, ''0'' never waits. workflow_id: whose messages and event ids; null means the current workflow. Holds a snapshot while it waits; CALL wf_wait_any(...) does not.
Errors: 22023 bad argument, with the place of the source; those of the calls that the sources stand for.';

CREATE PROCEDURE @extschema@.wf_wait_any(
    IN sources jsonb, IN timeout interval, IN workflow_id text,
    INOUT source integer, INOUT value jsonb)
    AS 'MODULE_PATHNAME', 'wf_wait_any' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_wait_any(jsonb, interval, text, integer, jsonb) IS
'wf_wait_any() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last two arguments.';

COMMENT ON COLUMN @extschema@.wf_arrival.source IS
'the place of the source that came first, from 1; NULL on timeout';
COMMENT ON COLUMN @extschema@.wf_arrival.value IS
'what it has; SQL NULL on timeout, and for an event that the ended workflow never published';
-- workflow: attributes, parents, ends that name the workflow

ALTER TABLE durable_wf.workflow ADD COLUMN parent_id text COLLATE "C";
COMMENT ON COLUMN durable_wf.workflow.error IS 'what wf_fail() was given; of a cancelled one, who has cancelled it, and why';
COMMENT ON COLUMN durable_wf.workflow.parent_id IS 'the workflow whose body, or attached session, has started it; null: none. That one may be removed by now';
CREATE INDEX workflow_parent_idx ON durable_wf.workflow (parent_id, workflow_id)
    WHERE parent_id IS NOT NULL;

COMMENT ON TYPE @extschema@.wf_outcome IS
'how a workflow ended: its status, what wf_complete() was given, what wf_fail() was given or who has cancelled it';
COMMENT ON COLUMN @extschema@.wf_outcome.error IS
'what wf_fail was given, or what its body has raised; NULL of a cancelled one: see wf_workflows';

DROP FUNCTION @extschema@.wf_start(text, text, jsonb, text, interval, interval);
CREATE FUNCTION @extschema@.wf_start(
    workflow_id text DEFAULT NULL,
    body text DEFAULT NULL,
    input jsonb DEFAULT NULL,
    queue text DEFAULT NULL,
    start_after interval DEFAULT '0',
    timeout interval DEFAULT NULL,
    attributes jsonb DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_start' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_start(text, text, jsonb, text, interval, interval, jsonb) IS
'Start a workflow, owned by the current user, and return its id.
workflow_id: its name, 1 to 256 bytes; null: one is made up. A workflow that exists already is returned as it is (start as often as you like).
input: any JSON, kept with the workflow. queue: client processes that call wf_attach_next() for this queue execute it. start_after: not before this is over. timeout: it is cancelled when this is over. attributes: an object to search it by, as for wf_set_attributes(); those of a workflow that exists stay as they are.
body: a PL/pgSQL procedure with one argument, (input jsonb), found with the caller''s search_path: background workers run it, as its owner, suspend it while it waits in a CALL, and go on after a crash. It must not have a SET clause nor be SECURITY DEFINER; its owner must be able to log in.
What a body or an attached session starts is its child: wf_cancel(children => true) cancels it, too, and its start fails with WF002 or WF003 if its parent has ended by the time that it commits.
Takes effect at commit. Blocks only while another transaction is starting the same id.
Errors: 22023 bad argument; 42501 the id belongs to another role, or the owner of a body cannot log in; 42710 it exists with another body, input or queue; 42883 no such procedure; 0A000 it cannot be a body.';

DROP FUNCTION @extschema@.wf_complete(jsonb);
CREATE FUNCTION @extschema@.wf_complete(
    output jsonb DEFAULT NULL, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_complete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_complete(jsonb, text) IS
'End a workflow with SUCCESS and this output (any JSON, or null). workflow_id: null means the current workflow.
At commit everyone awaiting its result or its events wakes, and whoever waits in it gets WF003. Blocks only while another transaction is ending it.
Errors: WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 already finished; 42501 it belongs to another role.';

DROP FUNCTION @extschema@.wf_fail(text);
CREATE FUNCTION @extschema@.wf_fail(
    error text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail(text, text) IS
'End a workflow with ERROR and this text, which must not be null.
Otherwise like wf_complete().';

DROP FUNCTION @extschema@.wf_cancel(text);
CREATE FUNCTION @extschema@.wf_cancel(
    workflow_id text,
    reason text DEFAULT NULL,
    children boolean DEFAULT false
) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_cancel' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_cancel(text, text, boolean) IS
'End a workflow with CANCELLED. At commit whoever waits in it gets WF002 at once. Returns false, and does not change it, when it has ended already. Blocks only while another transaction is ending it or changing its owner.
reason: kept as its error, after the name of the current user: cancelled by <role>: <reason>.
children: also what its body, or the sessions attached to it, have started and that has not ended, and what those have started, all in this transaction; also when the workflow itself has ended already.
Errors: WF001 no such workflow; 42501 it, or one of those that are to be cancelled, belongs to another role: then nothing is cancelled; 25001 with children in REPEATABLE READ or SERIALIZABLE.';

CREATE TABLE durable_wf.attributes (
    workflow_id text COLLATE "C" NOT NULL,
    attributes  jsonb NOT NULL,
    CONSTRAINT attributes_pkey PRIMARY KEY (workflow_id),
    CONSTRAINT attributes_attributes_check
        CHECK (pg_catalog.jsonb_typeof(attributes) = 'object')
) WITH (fillfactor = 85);
COMMENT ON TABLE durable_wf.attributes IS
'one row per workflow that was given attributes; apart from durable_wf.workflow, so that to change them does not lock the workflow';
COMMENT ON COLUMN durable_wf.attributes.workflow_id IS 'the workflow';
COMMENT ON COLUMN durable_wf.attributes.attributes IS 'an object, at most 8192 bytes as text';
CREATE INDEX attributes_idx ON durable_wf.attributes
    USING gin (attributes pg_catalog.jsonb_path_ops);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.attributes', '');

ALTER TABLE durable_wf.attributes ENABLE ROW LEVEL SECURITY;
CREATE POLICY attributes_owner ON durable_wf.attributes
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) attributes.workflow_id));
COMMENT ON POLICY attributes_owner ON durable_wf.attributes IS
'the attributes of the workflows that one may see';
GRANT SELECT ON durable_wf.attributes TO PUBLIC;

CREATE FUNCTION @extschema@.wf_set_attributes(
    attributes jsonb, workflow_id text DEFAULT NULL) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_set_attributes' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_set_attributes(jsonb, text) IS
'Merge an object into the attributes of a workflow and return all of them: a key that is given replaces the one of that name, and a JSON null removes it. They are to search by: wf_workflows WHERE attributes @> ''{"customer": 7}'' uses an index.
workflow_id: null means the current workflow. All attributes of a workflow have at most 8192 bytes as text.
Blocks only while another transaction sets attributes of the same workflow.
Errors: 22023 bad argument, or too long; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output,
       CASE WHEN w.body IS NOT NULL AND w.status IN ('PENDING', 'RUNNING')
                 AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
            THEN durable_wf.waits_for(w.workflow_id) COLLATE pg_catalog."default"
            ELSE w.error END AS error,
       w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context,
       w.queue, a.attributes, w.parent_id, w.due_at, w.timeout_at
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid
  LEFT JOIN durable_wf.attributes a ON a.workflow_id OPERATOR(pg_catalog.=) w.workflow_id;

COMMENT ON COLUMN @extschema@.wf_workflows.queue IS
'the queue whose client processes execute it';
COMMENT ON COLUMN @extschema@.wf_workflows.attributes IS
'what it can be searched by; NULL if it was never given any';
COMMENT ON COLUMN @extschema@.wf_workflows.parent_id IS
'the workflow whose body, or attached session, has started it';
COMMENT ON COLUMN @extschema@.wf_workflows.due_at IS
'when it may begin to be executed';
COMMENT ON COLUMN @extschema@.wf_workflows.timeout_at IS
'when it is cancelled if it has not ended; NULL: never';
-- ----- streams

CREATE TABLE durable_wf.stream (
    workflow_id text COLLATE "C" NOT NULL,
    name        text COLLATE "C" NOT NULL,
    closed_at   timestamptz,
    CONSTRAINT stream_pkey PRIMARY KEY (workflow_id, name)
);
COMMENT ON TABLE durable_wf.stream IS
'one row per stream; a writer keeps its row locked until the transaction ends, so that writers take turns';
COMMENT ON COLUMN durable_wf.stream.workflow_id IS 'the workflow that it belongs to';
COMMENT ON COLUMN durable_wf.stream.name IS 'its name within the workflow, 1 to 512 bytes';
COMMENT ON COLUMN durable_wf.stream.closed_at IS 'when the transaction that closed it began; null: it is open';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream', '');
ALTER TABLE durable_wf.stream ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_owner ON durable_wf.stream
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream.workflow_id));
COMMENT ON POLICY stream_owner ON durable_wf.stream IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream TO PUBLIC;

CREATE TABLE durable_wf.stream_item (
    workflow_id text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    item_no     bigint NOT NULL,
    value       jsonb NOT NULL,
    written_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT stream_item_pkey PRIMARY KEY (workflow_id, stream, item_no)
);
COMMENT ON TABLE durable_wf.stream_item IS
'the items of streams; rows are appended, and removed with their workflow only';
COMMENT ON COLUMN durable_wf.stream_item.workflow_id IS 'the workflow that the stream belongs to';
COMMENT ON COLUMN durable_wf.stream_item.stream IS 'the name of the stream';
COMMENT ON COLUMN durable_wf.stream_item.item_no IS 'its number in the stream: 1, 2, 3, ... in the order in which items become visible';
COMMENT ON COLUMN durable_wf.stream_item.value IS 'what was written; JSON null, never SQL null';
COMMENT ON COLUMN durable_wf.stream_item.written_at IS 'when the transaction that wrote it began';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream_item', '');
ALTER TABLE durable_wf.stream_item ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_item_owner ON durable_wf.stream_item
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_item.workflow_id));
COMMENT ON POLICY stream_item_owner ON durable_wf.stream_item IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_item TO PUBLIC;

CREATE TABLE durable_wf.stream_url (
    token       text COLLATE "C" NOT NULL,
    workflow_id text COLLATE "C" NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT stream_url_pkey PRIMARY KEY (token)
);
COMMENT ON TABLE durable_wf.stream_url IS
'one row per token that lets its holder read a stream';
COMMENT ON COLUMN durable_wf.stream_url.token IS 'the token';
COMMENT ON COLUMN durable_wf.stream_url.workflow_id IS 'the workflow that the stream belongs to';
COMMENT ON COLUMN durable_wf.stream_url.stream IS 'the name of the stream, which need not exist yet';
COMMENT ON COLUMN durable_wf.stream_url.created_at IS 'when the transaction that created it began';
CREATE INDEX stream_url_workflow_idx ON durable_wf.stream_url (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.stream_url', '');
ALTER TABLE durable_wf.stream_url ENABLE ROW LEVEL SECURITY;
CREATE POLICY stream_url_owner ON durable_wf.stream_url
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) stream_url.workflow_id));
COMMENT ON POLICY stream_url_owner ON durable_wf.stream_url IS
'the streams of the workflows that one may see';
GRANT SELECT ON durable_wf.stream_url TO PUBLIC;

-- Whoever reads has to know of an item, and that there will be none any more.
CREATE TRIGGER note_arrival BEFORE INSERT OR UPDATE ON durable_wf.stream_item
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('stream_item');
CREATE TRIGGER note_close BEFORE INSERT OR UPDATE ON durable_wf.stream
    FOR EACH ROW WHEN (NEW.closed_at IS NOT NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('stream');
ALTER TABLE durable_wf.stream_item ENABLE ALWAYS TRIGGER note_arrival;
ALTER TABLE durable_wf.stream ENABLE ALWAYS TRIGGER note_close;

CREATE FUNCTION @extschema@.wf_write_stream(
    stream text, value jsonb, workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream(text, jsonb, text) IS
'Append an item to a stream of a workflow and return its number: 1, 2, 3, ... without gaps, in the order in which items become visible. At commit everyone waiting for it wakes; after a rollback nothing was written. The first write makes the stream.
stream: 1 to 512 bytes. value: any JSON; SQL null is written as JSON null. workflow_id: null means the current workflow.
Blocks while another transaction that writes to the same stream has not ended: writers take turns until they commit.
Errors: 22023 bad argument; 55000 the stream is closed; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_write_stream_many(
    stream text, items jsonb[], workflow_id text DEFAULT NULL) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_write_stream_many' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_write_stream_many(text, jsonb[], text) IS
'wf_write_stream() of each element, all or none; returns the number of the last. Their numbers follow one another.
items: one element at least; an element that is SQL null is written as JSON null.
Errors: 22023 bad argument; otherwise as for wf_write_stream().';

CREATE FUNCTION @extschema@.wf_close_stream(
    stream text, workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_close_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_close_stream(text, text) IS
'Say that nothing more will be written to a stream: later writes raise 55000, and who has read all of it is told that it has ended. One that is closed already stays as it is. Blocks as wf_write_stream() does.
stream: 1 to 512 bytes; it need not have been written. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE TYPE @extschema@.wf_stream_item AS (item_no bigint, value jsonb, ended boolean);
COMMENT ON TYPE @extschema@.wf_stream_item IS 'an item of a stream, or its end';
COMMENT ON COLUMN @extschema@.wf_stream_item.item_no IS
'its number in the stream; NULL: the stream has ended';
COMMENT ON COLUMN @extschema@.wf_stream_item.value IS
'what was written; SQL NULL when the stream has ended only';
COMMENT ON COLUMN @extschema@.wf_stream_item.ended IS
'true: all was read, and nothing can come any more';

CREATE FUNCTION @extschema@.wf_read_stream(
    workflow_id text, stream text, after bigint DEFAULT 0,
    max_items integer DEFAULT 100, timeout interval DEFAULT '60 s')
    RETURNS SETOF @extschema@.wf_stream_item
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION @extschema@.wf_read_stream(text, text, bigint, integer, interval) IS
'The items of a stream after a number, in order; waits for the first of them. Takes nothing away: any number of readers can read, from any place, again and again. When all was read and nothing can come any more, since the stream is closed or its workflow has ended: one row at once, with ended true and nulls. No row on timeout. The workflow and the stream need not exist yet.
after: the number of the last item that the caller has; 0 for all. max_items: at least 1. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_read_stream(...) does not.
Errors: 22023 bad argument; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_read_stream(
    IN workflow_id text, IN stream text, IN after bigint,
    IN max_items integer, IN timeout interval,
    INOUT items jsonb, INOUT last_item bigint, INOUT ended boolean)
    AS 'MODULE_PATHNAME', 'wf_read_stream' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_read_stream(text, text, bigint, integer, interval, jsonb, bigint, boolean) IS
'wf_read_stream() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last three arguments.
items: an array of values, null when there are none. last_item: the number of the last of them, or else the argument after: what to pass as after next time. ended: nothing can come any more; false on timeout.';

CREATE FUNCTION @extschema@.wf_create_stream_url(
    stream text, workflow_id text DEFAULT NULL) RETURNS @extschema@.wf_webhook
    AS 'MODULE_PATHNAME', 'wf_create_stream_url' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_stream_url(text, text) IS
'Create a random token that lets its holder read this stream, and nothing else; return it and the URL that has it. It lives as long as the rows of the workflow, also after its end; wf_dispose_hook() takes it back. The URL begins with durable_wf.http_base_url. Does not block.
stream: 1 to 512 bytes; it need not exist yet. workflow_id: null means the current workflow.
Errors: 22023 bad argument; WF008 no current workflow; WF001 no such workflow; 42501 it belongs to another role.';

CREATE VIEW @extschema@.wf_streams WITH (security_invoker = true) AS
SELECT s.workflow_id, s.name AS stream,
       COALESCE(i.item_no, 0) AS last_item,
       s.closed_at, i.written_at
  FROM durable_wf.stream s
  LEFT JOIN LATERAL (
      SELECT j.item_no, j.written_at
        FROM durable_wf.stream_item j
       WHERE j.workflow_id OPERATOR(pg_catalog.=) s.workflow_id
         AND j.stream OPERATOR(pg_catalog.=) s.name
       ORDER BY j.item_no DESC LIMIT 1) i ON true;
COMMENT ON VIEW @extschema@.wf_streams IS
'the streams of the workflows whose owner''s privileges you have';
GRANT SELECT ON @extschema@.wf_streams TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_streams.workflow_id IS
'the workflow that it belongs to';
COMMENT ON COLUMN @extschema@.wf_streams.stream IS
'its name within the workflow';
COMMENT ON COLUMN @extschema@.wf_streams.last_item IS
'the number of its last item; 0: none was written yet';
COMMENT ON COLUMN @extschema@.wf_streams.closed_at IS
'start of the transaction that closed it; NULL: it is open, unless its workflow has ended';
COMMENT ON COLUMN @extschema@.wf_streams.written_at IS
'start of the transaction that wrote its last item; NULL: none was written yet';

COMMENT ON FUNCTION @extschema@.wf_dispose_hook(text) IS
'End a hook: at commit its token is free, what was not taken is gone, and whoever awaits it gets WF006. Or take back the token of a stream, also after the end of its workflow. Returns false when there is neither. Blocks while another transaction resumes the hook, or has received from it.
Errors: 22023 bad argument; 42501 its workflow belongs to another role.';

COMMENT ON TYPE @extschema@.wf_webhook IS 'a webhook, or a stream to read: its token, and the URL that has it';
COMMENT ON COLUMN durable_wf.wait.door IS 'm, d: message with or without topic; n: notification; h: hook; r: response to a webhook''s request; e: event; s: item of a stream, or its end; u: a writer of a stream that has gone; w: end of a workflow; t: time only';
COMMENT ON COLUMN durable_wf.wait.target_id IS 'the workflow whose mailbox, event, stream or end it is';
COMMENT ON COLUMN durable_wf.wait.key IS 'topic, event id, token, request, stream or key';

CREATE OR REPLACE VIEW @extschema@.wf_waiters WITH (security_invoker = true) AS
SELECT workflow_id, door, key, pid, suspended, waiting_since, deadline
  FROM durable_wf.waiters()
 UNION ALL
SELECT a.target_id COLLATE pg_catalog."default",
       CASE a.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' WHEN 'r' THEN 'hook' WHEN 'e' THEN 'event'
                   WHEN 'w' THEN 'result' WHEN 't' THEN 'timer' WHEN 's' THEN 'stream' ELSE 'message' END,
       CASE WHEN a.door NOT IN ('d', 'w', 't') THEN a.key COLLATE pg_catalog."default" END,
       NULL, true, a.since, a.deadline
  FROM durable_wf.wait a
 WHERE a.door NOT IN ('w', 'u') OR a.position OPERATOR(pg_catalog.=) 0;
COMMENT ON VIEW @extschema@.wf_waiters IS
'who waits now, and for what: one row per session, or suspended workflow, and topic; workflow_id is the workflow that waits or, for the doors event, stream and result, the one that is waited for; a null deadline waits for ever';

COMMENT ON COLUMN @extschema@.wf_webhook.token IS
'the token of the hook, or of the stream';
COMMENT ON COLUMN @extschema@.wf_webhook.url IS
'durable_wf.http_base_url and /.well-known/workflow/v1/webhook/<token>, or stream/<token>';
COMMENT ON COLUMN @extschema@.wf_waiters.workflow_id IS
'who waits; with the doors event, stream and result, and for wf_await_response, the workflow that is waited for';
COMMENT ON COLUMN @extschema@.wf_waiters.door IS
'message (wf_recv, wf_recv_any, wf_recv_many), event (wf_get_event), stream (wf_read_stream), notify (wf_wait_for_event), hook (wf_await_hook, wf_await_response), result (wf_result), queue (wf_attach_next, wf_attach_any; no workflow yet), timer (wf_sleep, pauses of wf_step)';
COMMENT ON COLUMN @extschema@.wf_waiters.key IS
'the topic (NULL: none), key, stream, event id, token or, for wf_await_response, number of the request; NULL with the door result';
COMMENT ON COLUMN @extschema@.wf_stat.door IS
'message, event, notify, hook, result, queue, timer, stream; NULL for what concerns all of them';
COMMENT ON COLUMN @extschema@.wf_stat.sends IS
'committed: messages; published values; items of streams, and their ends; notifications, one per workflow; starts, ends and changes of owner';

COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, writes to a stream of, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, stream, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session. It wants a server session of its own: behind a proxy that pools transactions, the news go to whichever client has that session then, or to nobody.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 the role listens for too many; 55000 the library is not preloaded.';

COMMENT ON FUNCTION @extschema@.wf_prune(interval, integer) IS
'Remove workflows that ended longer ago than older_than, with their messages, events, streams and idempotency keys: at most batch (at least 1) of those whose owner''s privileges the caller has, the oldest first. Returns how many; call it again, each time in a transaction of its own, until it returns less than batch.
A workflow whose end some open transaction may not have seen yet is left for a later call. Can run beside everything else; does not wait.
Errors: 22023 bad argument; 25001 in REPEATABLE READ or SERIALIZABLE.';

-- ----- messages that receivers have given back too often -----

CREATE TABLE durable_wf.delivery (
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  bigint NOT NULL,
    deliveries  bigint NOT NULL,
    CONSTRAINT delivery_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
CREATE INDEX delivery_deliveries_idx ON durable_wf.delivery (deliveries);
COMMENT ON TABLE durable_wf.delivery IS
'how often receivers have given back a mailbox item; written by the worker only, while durable_wf.max_deliveries is set';
COMMENT ON COLUMN durable_wf.delivery.workflow_id IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.door IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.key IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.delivery.message_id IS 'the item; if it is not there any more, it was received since';
COMMENT ON COLUMN durable_wf.delivery.deliveries IS 'how often it was taken by a transaction or savepoint that was then rolled back';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.delivery', '');

ALTER TABLE durable_wf.delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY delivery_owner ON durable_wf.delivery
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) delivery.workflow_id));
COMMENT ON POLICY delivery_owner ON durable_wf.delivery IS
'the counts of the workflows that one may see';
GRANT SELECT ON durable_wf.delivery TO PUBLIC;

CREATE TABLE durable_wf.dead_letter (
    workflow_id text COLLATE "C" NOT NULL,
    door        "char" NOT NULL,
    key         text COLLATE "C" NOT NULL,
    message_id  bigint NOT NULL,
    payload     jsonb NOT NULL,
    deliveries  bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    died_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT dead_letter_pkey PRIMARY KEY (workflow_id, door, key, message_id)
);
COMMENT ON TABLE durable_wf.dead_letter IS
'one row per mailbox item that has left its queue since receivers gave it back durable_wf.max_deliveries times';
COMMENT ON COLUMN durable_wf.dead_letter.workflow_id IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.door IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.key IS 'as in durable_wf.message';
COMMENT ON COLUMN durable_wf.dead_letter.message_id IS 'its place in the queue, to which wf_redrive() sends it back';
COMMENT ON COLUMN durable_wf.dead_letter.payload IS 'what was sent';
COMMENT ON COLUMN durable_wf.dead_letter.deliveries IS 'how often receivers had given it back';
COMMENT ON COLUMN durable_wf.dead_letter.created_at IS 'when the sending transaction began';
COMMENT ON COLUMN durable_wf.dead_letter.died_at IS 'when it left its queue';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.dead_letter', '');

ALTER TABLE durable_wf.dead_letter ENABLE ROW LEVEL SECURITY;
CREATE POLICY dead_letter_owner ON durable_wf.dead_letter
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) dead_letter.workflow_id));
COMMENT ON POLICY dead_letter_owner ON durable_wf.dead_letter IS
'the dead letters of the workflows that one may see';
GRANT SELECT ON durable_wf.dead_letter TO PUBLIC;

CREATE VIEW @extschema@.wf_dead_letters WITH (security_invoker = true) AS
SELECT l.message_id,
       l.workflow_id,
       CASE l.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN l.door OPERATOR(pg_catalog.<>) 'd' THEN l.key END AS key,
       l.payload,
       l.deliveries,
       l.created_at AS sent_at,
       l.died_at
  FROM durable_wf.dead_letter l;
COMMENT ON VIEW @extschema@.wf_dead_letters IS
'what has left the mailboxes of your workflows since receivers gave it back durable_wf.max_deliveries times; wf_redrive() sends it back to its place';
GRANT SELECT ON @extschema@.wf_dead_letters TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_dead_letters.message_id IS
'what wf_send returned; it is the place in the queue as well';
COMMENT ON COLUMN @extschema@.wf_dead_letters.workflow_id IS
'whose mailbox it was in';
COMMENT ON COLUMN @extschema@.wf_dead_letters.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_dead_letters.key IS
'the topic (NULL: none), token or event id';
COMMENT ON COLUMN @extschema@.wf_dead_letters.payload IS
'what was sent';
COMMENT ON COLUMN @extschema@.wf_dead_letters.deliveries IS
'how often receivers had given it back';
COMMENT ON COLUMN @extschema@.wf_dead_letters.sent_at IS
'start of the transaction that sent it';
COMMENT ON COLUMN @extschema@.wf_dead_letters.died_at IS
'start of the transaction that moved it here';

CREATE FUNCTION @extschema@.wf_redrive(workflow_id text, topic text DEFAULT NULL)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_redrive' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_redrive(text, text) IS
'Send the dead letters of a workflow back to their queues, each to its old place, and return how many; their deliveries begin anew. At commit receivers wake.
topic: only the messages of this topic; null means all of the workflow, with and without a topic, notifications and payloads of hooks as well. A payload whose hook is disposed of stays. Blocks only while another transaction redrives them too, or disposes of such a hook.
Errors: 22023 bad argument; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE OR REPLACE VIEW @extschema@.wf_mailbox WITH (security_invoker = true) AS
SELECT m.workflow_id,
       CASE m.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN m.door OPERATOR(pg_catalog.<>) 'd' THEN m.key END AS key,
       pg_catalog.count(*) AS depth,
       pg_catalog.min(m.created_at) AS oldest_at,
       COALESCE((SELECT d.deliveries
                   FROM durable_wf.delivery d
                  WHERE d.workflow_id OPERATOR(pg_catalog.=) m.workflow_id
                    AND d.door OPERATOR(pg_catalog.=) m.door
                    AND d.key OPERATOR(pg_catalog.=) m.key
                    AND d.message_id OPERATOR(pg_catalog.=) pg_catalog.min(m.message_id)), 0) AS deliveries
  FROM durable_wf.message m
 GROUP BY m.workflow_id, m.door, m.key;
COMMENT ON COLUMN @extschema@.wf_mailbox.deliveries IS
'how often receivers have given back the oldest of them, while durable_wf.max_deliveries is set';

-- ----- executors: what each look asks is answered in C

CREATE OR REPLACE FUNCTION durable_wf.is_copy() RETURNS boolean
    AS 'MODULE_PATHNAME', 'dwf_is_copy' LANGUAGE C STABLE PARALLEL SAFE;
-- ----- policies: EXISTS, so that to look at one workflow costs no scan of all

ALTER POLICY event_owner ON durable_wf.event
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) event.workflow_id));
ALTER POLICY hook_owner ON durable_wf.hook
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) hook.workflow_id));
ALTER POLICY idempotency_owner ON durable_wf.idempotency
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) idempotency.workflow_id));
ALTER POLICY message_owner ON durable_wf.message
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) message.workflow_id));
ALTER POLICY request_owner ON durable_wf.request
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) request.workflow_id));
ALTER POLICY step_owner ON durable_wf.step
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) step.workflow_id));
ALTER POLICY wait_owner ON durable_wf.wait
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) wait.workflow_id));

-- ----- a deadline instead of a timeout

CREATE FUNCTION @extschema@.wf_until(deadline timestamptz) RETURNS interval
    AS 'MODULE_PATHNAME', 'wf_until' LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_until(timestamptz) IS
'What is left until a moment, by this server''s clock, and 0 when it is over: a timeout that ends then, and is never negative. Null for infinity and for null: no end. It is no step and is not recorded, since a wait records its own deadline; decide by wf_now().';
ALTER TABLE durable_wf.workflow
    DROP CONSTRAINT workflow_workflow_id_check,
    DROP CONSTRAINT workflow_status_check,
    DROP CONSTRAINT workflow_finished_at_check;
DROP TRIGGER note_change ON durable_wf.workflow;
CREATE TRIGGER note_change BEFORE UPDATE OF workflow_id, owner, status, finished_at
    ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('workflow');
ALTER TABLE durable_wf.workflow ENABLE ALWAYS TRIGGER note_change;
DROP TRIGGER release_hooks ON durable_wf.workflow;
CREATE TRIGGER release_hooks AFTER UPDATE OF finished_at ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.release_hooks();

-- Default privileges may have given more on the new tables than we want: a role
-- that can put a trigger on them has the rights of their owner at the next call.
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
-- ----- retry: what steps had received goes back with them

ALTER TABLE durable_wf.step ADD COLUMN taken text[];
COMMENT ON COLUMN durable_wf.step.taken IS 'what it received, for wf_retry() to put back: of each item the workflow (null: this one), door, key, id, moment in microseconds since 2000, and payload (null: in the result)';
DROP FUNCTION @extschema@.wf_retry(text);
CREATE FUNCTION @extschema@.wf_retry(workflow_id text, from_step integer DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_retry' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_retry(text, integer) IS
'Let a workflow that ended with ERROR or CANCELLED go on from its journal: it is PENDING again, and due. Its timeout is lifted; its hooks are there again, under their tokens and with what came to them. Blocks while another transaction claims one of these, or gives it back.
from_step: go back to that step, from 1 to one more than there are. Then the workflow may have ended in any way, or be suspended (WAITING; its timeout stays). The records from that step on are dropped, and what these steps had received, messages, notifications and payloads of hooks, lies in its queues again, in its old place. What else they did stays done: writes to tables, what they sent and published, workflows that they started, hooks that they created or disposed of. Blocks for 5 seconds at most while a session leaves the workflow that has ended.
Errors: 22023 bad argument; WF001 no such workflow; 42501 it belongs to another role; 55000 it did not end so, is executed, or was recorded by a version before 1.0.0, which did not note what a step received; WF005 another workflow has one of its tokens.';
-- ----- clients: several queues, steps that are begun, attempts

DROP FUNCTION @extschema@.wf_detach();
CREATE FUNCTION @extschema@.wf_detach(retry_after interval DEFAULT '0') RETURNS void
    AS 'MODULE_PATHNAME', 'wf_detach' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_detach(interval) IS
'Leave the attached workflow unfinished, at commit: another session can go on with it at once. Does nothing in a session that is not attached.
retry_after: it is due in its queue again when this is over, and not before. Then this blocks while another transaction has the workflow''s row locked.
Errors: 22023 bad argument; 42501 with retry_after, the workflow belongs to another role.';

COMMENT ON FUNCTION @extschema@.wf_attach_next(text, interval) IS
'Wait for the oldest workflow of a queue (wf_start(queue => ...)) that is due and that no session executes, one whose session has died included; attach to it and return its id; null on timeout. Many processes can share a queue: each workflow goes to one of them.
A workflow whose sessions have died durable_wf.max_attempts times in a row without getting further ends with ERROR. With durable_wf.client_suspend_after set, a CALLed wait that lasts longer suspends the workflow, detaches the session and raises WF010: unwind, and take the next; when what it waits for has come, it is due in its queue again.
timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_attach_next(...) does not.
Errors: 22023 bad argument; 55000 attached already, or the library is not preloaded; 25001 wrong isolation level.';

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

CREATE TYPE @extschema@.wf_begun_step AS (step_no integer, done boolean, output jsonb, error text);
COMMENT ON TYPE @extschema@.wf_begun_step IS
'a step of work done outside of the database: whether the journal has it, and what it came to';

CREATE FUNCTION @extschema@.wf_begin_step(name text) RETURNS @extschema@.wf_begun_step
    AS 'MODULE_PATHNAME', 'wf_begin_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_begin_step(text) IS
'For work done outside of the database: begin, do, wf_save_step(). Takes the next number. done: the journal has it, so it is not to be done again: output is what wf_save_step() recorded (JSON null included), error what wf_fail_step() did. Not done: the step is open until one of these; several can be open at a time, for parallel work.
Writes nothing: a step that is not saved is done again by the next session. A CALLed wait does not suspend the workflow while a step is open.
Errors: 22023 bad argument; 25001 wrong isolation level; WF004 another call is recorded at this place; WF008 this session is not attached; WF009 inside a step.';

COMMENT ON FUNCTION @extschema@.wf_save_step(text, jsonb) IS
'Record the output of work done outside of the database; SQL null is recorded as JSON null. It belongs to the open step of that name (wf_begin_step), the oldest if there are several; if none is open, it takes the next number, for wf_get_step(). A save that is rolled back leaves its step open. A replay records nothing, nor does a save of what wf_begin_step() or wf_get_step() has just said to be done.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

CREATE FUNCTION @extschema@.wf_fail_step(name text, error text) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_fail_step' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_fail_step(text, text) IS
'Record that work done outside of the database has failed for good: a replay sees the same error, and does not try again. Else like wf_save_step(); wf_get_step() raises the error as 38000. If no call begins after it and the workflow fails, wf_retry() has the step done anew.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';

COMMENT ON COLUMN @extschema@.wf_attached.workflow_id IS
'the workflow that this session executes now; NULL on timeout';
COMMENT ON COLUMN @extschema@.wf_attached.queue IS
'the queue that it was taken from';
COMMENT ON COLUMN @extschema@.wf_attached.input IS
'what wf_start, or wf_continue_as_new, was given';
COMMENT ON COLUMN @extschema@.wf_attached.attempt IS
'1, and one more for each session that has died in it since it last got further';
COMMENT ON COLUMN @extschema@.wf_begun_step.step_no IS
'its place in the journal';
COMMENT ON COLUMN @extschema@.wf_begun_step.done IS
'the journal has it: do not do the work again';
COMMENT ON COLUMN @extschema@.wf_begun_step.output IS
'of a step that is done, what wf_save_step was given; SQL NULL else';
COMMENT ON COLUMN @extschema@.wf_begun_step.error IS
'of a step that has failed, what wf_fail_step was given; NULL else';

-- attempts were counted at each attach before
UPDATE durable_wf.workflow SET attempts = 1
 WHERE body IS NULL AND finished_at IS NULL AND attempts OPERATOR(pg_catalog.>) 1;
COMMENT ON COLUMN durable_wf.workflow.attempts IS '0 before it was executed; then 1 and the crashes of its body, or its sessions, since it last got further';
COMMENT ON COLUMN @extschema@.wf_workflows.attempts IS
'0 before it was executed, then 1 and the times that its body or its session has crashed, or its body was undone by the server, since it last got further';

-- what is suspended is not searched
DROP INDEX durable_wf.workflow_queue_idx;
CREATE INDEX workflow_queue_idx ON durable_wf.workflow (queue, due_at, workflow_id)
    WHERE queue IS NOT NULL AND finished_at IS NULL AND status <> 'WAITING';
COMMENT ON TABLE durable_wf.wait IS
'what suspended workflows wait for, a row for each address';
COMMENT ON COLUMN @extschema@.wf_waiters.suspended IS
'a workflow that waits without a process';

-- one workflow is removed; all of a role get another owner
CREATE FUNCTION @extschema@.wf_delete(workflow_id text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_delete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_delete(text) IS
'Remove a workflow that has ended, with all that belongs to it: messages, events, streams, steps, hooks, idempotency keys. Its id can be used again. False when there is no such workflow.
Blocks while a transaction is open that may not have seen its end, and could still send to it: one that has written something, or whose snapshot is older.
Errors: 22023 bad argument; 55000 it has not ended: wf_cancel() ends it; 55006 it has ended in this transaction; 42501 it belongs to another role; 25001 in REPEATABLE READ or SERIALIZABLE.';

CREATE FUNCTION @extschema@.wf_reassign_owned(old_owner text, new_owner text) RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_reassign_owned' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_reassign_owned(text, text) IS
'Give all workflows of a role in this database to another role, finished ones included, and return how many: what REASSIGN OWNED, which knows objects only, does not do. Their hooks, validators and streams go along.
old_owner: null means all roles that were dropped; only superusers may act on these. new_owner: it must be able to run the bodies of those that have not ended. The caller must have the privileges of both.
Blocks while another transaction has changed one of them, or executes it in a step.
Errors: 22023 bad argument; 42704 no such role; 42501 no privilege.';

-- a schedule that pg_cron cannot run says so
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
CREATE OR REPLACE FUNCTION durable_wf.cron_schedule(job text, schedule text, command text)
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
COMMENT ON FUNCTION @extschema@.wf_schedule(text, text, text, jsonb) IS
'Start a workflow at each tick of a schedule, through pg_cron in the same database. Returns the number of pg_cron''s job, which is named durable_wf: <name>; the same name again replaces it. The workflows belong to the current user.
name: 1 to 200 bytes. schedule: the five fields of cron, in the time zone that pg_cron uses (UTC unless told otherwise). body: a procedure as for wf_start(), found now, or null. input: what each workflow is started with, or null.
A workflow''s id is the name, an @ and its tick in UTC, as nightly@2026-11-20T03:00Z: a tick that is run twice starts one workflow.
Takes effect at commit; pg_cron notices within a minute. Does not block.
Warns if pg_cron could not run it: the current user may not log in, or pg_cron, without cron.use_background_workers, would be asked for a password.
Errors: 22023 bad argument or schedule; 42883, 0A000 the body is none; 42501 no right to use pg_cron; 55000 pg_cron is missing, or lives in another database: the hint holds the statement to run there.';

-- traces
ALTER TABLE durable_wf.message ADD COLUMN traceparent text;
COMMENT ON COLUMN durable_wf.message.traceparent IS 'the trace context of the sender; null: none';
ALTER TABLE durable_wf.workflow ADD COLUMN traceparent text;
COMMENT ON COLUMN durable_wf.workflow.traceparent IS 'the trace context that it was started with; null: none';
ALTER TABLE durable_wf.dead_letter ADD COLUMN traceparent text;
COMMENT ON COLUMN durable_wf.dead_letter.traceparent IS 'the trace context of the sender; null: none';
CREATE OR REPLACE VIEW @extschema@.wf_workflows WITH (security_invoker = true) AS
SELECT w.workflow_id,
       r.rolname AS owner,
       w.status, w.body, w.input, w.output,
       CASE WHEN w.body IS NOT NULL AND w.status IN ('PENDING', 'RUNNING')
                 AND w.due_at OPERATOR(pg_catalog.<=) pg_catalog.clock_timestamp()
            THEN durable_wf.waits_for(w.workflow_id) COLLATE pg_catalog."default"
            ELSE w.error END AS error,
       w.attempts,
       w.created_at, w.updated_at, w.finished_at, w.error_state, w.error_context,
       w.queue, a.attributes, w.parent_id, w.due_at, w.timeout_at, w.traceparent
  FROM durable_wf.workflow w
  LEFT JOIN pg_catalog.pg_roles r ON r.oid OPERATOR(pg_catalog.=) w.owner::pg_catalog.oid
  LEFT JOIN durable_wf.attributes a ON a.workflow_id OPERATOR(pg_catalog.=) w.workflow_id;
COMMENT ON COLUMN @extschema@.wf_workflows.traceparent IS
'the trace context (W3C traceparent) that it was started with; NULL: none';
CREATE OR REPLACE VIEW @extschema@.wf_dead_letters WITH (security_invoker = true) AS
SELECT l.message_id,
       l.workflow_id,
       CASE l.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
       CASE WHEN l.door OPERATOR(pg_catalog.<>) 'd' THEN l.key END AS key,
       l.payload,
       l.deliveries,
       l.created_at AS sent_at,
       l.died_at,
       l.traceparent
  FROM durable_wf.dead_letter l;
COMMENT ON COLUMN @extschema@.wf_dead_letters.traceparent IS
'the trace context of the sender; NULL: none';
CREATE FUNCTION @extschema@.wf_received_traceparent(message_id bigint DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_received_traceparent' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_received_traceparent(bigint) IS
'The trace context (W3C traceparent) that the sender had of what this session has received last, by a message, a notification or a hook; null if none. A step''s command in between forgets it. A replay gives the same.
message_id: of a message of wf_recv_many(); null means the last that was received.
Errors: 42501 on behalf of another role.';

-- monitoring: what members of pg_monitor see
COMMENT ON VIEW @extschema@.wf_stat IS
'counters of this database since the server has started, per door: committed sends (events published; for result, starts, ends and changes of owner) and receives, waits and how many timed out, waiters woken, woken for nothing, and wakes handed on by a waiter that left; notifications to listeners. The row without a door has what concerns all: resyncs (listeners told to look at everything), reconciles (all waiters of a database woken to look, after COMMIT or ROLLBACK PREPARED), and how many wf_listen() are in force now, in all databases';
CREATE FUNCTION durable_wf.stat_workflows(
    OUT owner name, OUT body text, OUT queue text, OUT status text, OUT workflows bigint,
    OUT overdue bigint, OUT oldest_at timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, w.body, w.queue, w.status, count(*),
       count(*) FILTER (WHERE w.status = 'PENDING' AND w.due_at <= clock_timestamp()
                          AND (w.body IS NOT NULL OR w.queue IS NOT NULL)),
       min(coalesce(w.finished_at, w.created_at))
  FROM durable_wf.workflow w LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 GROUP BY r.rolname, w.body, w.queue, w.status
$$;
COMMENT ON FUNCTION durable_wf.stat_workflows() IS 'the rows of the view wf_stat_workflows';
REVOKE ALL ON FUNCTION durable_wf.stat_workflows() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_workflows() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_workflows WITH (security_invoker = true) AS
SELECT owner, body, queue, status, workflows, overdue, oldest_at
  FROM durable_wf.stat_workflows();
COMMENT ON VIEW @extschema@.wf_stat_workflows IS
'for members of pg_monitor: how many workflows there are, of all owners, by what executes them and status; how many of these are due and not begun; when the oldest was started, or has ended';
GRANT SELECT ON @extschema@.wf_stat_workflows TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_workflows.owner IS
'the role that they belong to; NULL: one that was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.body IS
'the procedure that executors run; NULL: clients execute them';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.queue IS
'the queue that clients take them from; NULL: none';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.status IS
'PENDING, RUNNING, WAITING, SUCCESS, ERROR or CANCELLED';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.workflows IS
'how many';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.overdue IS
'how many of them are PENDING although they are due: nothing has taken them yet';
COMMENT ON COLUMN @extschema@.wf_stat_workflows.oldest_at IS
'when the first of them was started; of those that have ended, when the first has ended';

CREATE FUNCTION durable_wf.stat_waits(
    OUT owner name, OUT door text, OUT sessions bigint, OUT suspended bigint, OUT oldest_since timestamptz)
    RETURNS SETOF record
    LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, a.door, count(*) FILTER (WHERE NOT a.suspended),
       count(*) FILTER (WHERE a.suspended), min(a.waiting_since)
  FROM @extschema@.wf_waiters a
  LEFT JOIN durable_wf.workflow w USING (workflow_id)
  LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 GROUP BY r.rolname, a.door
$$;
COMMENT ON FUNCTION durable_wf.stat_waits() IS 'the rows of the view wf_stat_waits';
REVOKE ALL ON FUNCTION durable_wf.stat_waits() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_waits() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_waits WITH (security_invoker = true) AS
SELECT owner, door, sessions, suspended, oldest_since FROM durable_wf.stat_waits();
COMMENT ON VIEW @extschema@.wf_stat_waits IS
'for members of pg_monitor: how many wait now, for workflows of all owners, by door: the rows of wf_waiters, counted';
GRANT SELECT ON @extschema@.wf_stat_waits TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_waits.owner IS
'the role of the workflow that waits, or is waited for; NULL: there is none, as for wf_attach_next, or the role was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_waits.door IS
'as in wf_waiters';
COMMENT ON COLUMN @extschema@.wf_stat_waits.sessions IS
'waits of sessions, and of bodies that have an executor';
COMMENT ON COLUMN @extschema@.wf_stat_waits.suspended IS
'waits of workflows that are suspended';
COMMENT ON COLUMN @extschema@.wf_stat_waits.oldest_since IS
'since when the one that has waited longest waits';

CREATE FUNCTION durable_wf.stat_mailboxes(
    OUT owner name, OUT door text, OUT items bigint, OUT dead_letters bigint, OUT oldest_at timestamptz)
    RETURNS SETOF record
    LANGUAGE sql STABLE PARALLEL UNSAFE SECURITY DEFINER ROWS 100
    SET search_path = pg_catalog, pg_temp AS
$$
SELECT r.rolname, i.door, count(*) FILTER (WHERE NOT i.is_dead), count(*) FILTER (WHERE i.is_dead),
       min(i.created_at) FILTER (WHERE NOT i.is_dead)
  FROM (SELECT m.workflow_id, CASE m.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END AS door,
               false AS is_dead, m.created_at FROM durable_wf.message m
         UNION ALL
        SELECT l.workflow_id, CASE l.door WHEN 'n' THEN 'notify' WHEN 'h' THEN 'hook' ELSE 'message' END,
               true, l.created_at FROM durable_wf.dead_letter l) i
  JOIN durable_wf.workflow w USING (workflow_id)
  LEFT JOIN pg_roles r ON r.oid = w.owner::oid
 WHERE w.finished_at IS NULL
 GROUP BY r.rolname, i.door
$$;
COMMENT ON FUNCTION durable_wf.stat_mailboxes() IS 'the rows of the view wf_stat_mailboxes';
REVOKE ALL ON FUNCTION durable_wf.stat_mailboxes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION durable_wf.stat_mailboxes() TO pg_monitor;

CREATE VIEW @extschema@.wf_stat_mailboxes WITH (security_invoker = true) AS
SELECT owner, door, items, dead_letters, oldest_at FROM durable_wf.stat_mailboxes();
COMMENT ON VIEW @extschema@.wf_stat_mailboxes IS
'for members of pg_monitor: how much lies in the mailboxes of workflows that have not ended, of all owners, by door';
GRANT SELECT ON @extschema@.wf_stat_mailboxes TO PUBLIC;
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.owner IS
'the role that the workflows belong to; NULL: one that was dropped';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.items IS
'how many were not taken yet';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.dead_letters IS
'how many have left their queues, since receivers gave them back too often';
COMMENT ON COLUMN @extschema@.wf_stat_mailboxes.oldest_at IS
'when the oldest that was not taken yet was sent';

-- ----- clients: start what this session executes

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

-- ----- cluster: the same workflows on the nodes of a Citus cluster

CREATE TABLE durable_wf.custody (
    shard_start integer NOT NULL,
    CONSTRAINT custody_pkey PRIMARY KEY (shard_start)
);
COMMENT ON TABLE durable_wf.custody IS
'on a cluster: the shards of durable_wf.shard whose workflows have their rows on this node';
COMMENT ON COLUMN durable_wf.custody.shard_start IS 'the lowest hash that belongs to the shard';
SELECT pg_catalog.pg_extension_config_dump('durable_wf.custody', '');

CREATE FUNCTION durable_wf.run_here(workflow_id text, function text, arguments text[])
    RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_run_here' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.run_here(text, text, text[]) IS
'on a cluster: makes a call that another node has handed to the node of this workflow, with the privileges of the caller; returns how it went and its result as texts';

CREATE FUNCTION durable_wf.has_released(workflow_id text, token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'dwf_has_released' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.has_released(text, text) IS
'on a cluster: whether a workflow of this node has ended and released its hook of this token, which another may claim then';

CREATE FUNCTION durable_wf.named_tokens(workflow_id text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_named_tokens' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.named_tokens(text) IS
'on a cluster: the tokens of the hooks of a workflow of this node and of the caller''s, released ones too';

CREATE FUNCTION durable_wf.cancel_family(parent_ids text[], error text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_cancel_family' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.cancel_family(text[], text) IS
'on a cluster: cancels what workflows of any nodes have started on this one, as far as the caller may; returns how many live that it may not, and the ids of the others';

CREATE FUNCTION durable_wf.token_route(token text) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_token_route' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.token_route(text) IS
'on a cluster, for the gateways of other nodes: what the URL of a webhook or a stream of this node begins with, and whether requests can be taken for it; empty if there is none';

CREATE TYPE @extschema@.wf_place AS (host text, port integer, is_here boolean);
COMMENT ON TYPE @extschema@.wf_place IS
'which node of a cluster has a workflow';

CREATE FUNCTION @extschema@.wf_node(workflow_id text) RETURNS @extschema@.wf_place
    AS 'MODULE_PATHNAME', 'wf_node' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_node(text) IS
'On a cluster: which node has the workflow of this id, or would have it. A session connected to that node waits there without a connection between nodes, and can attach. Without a cluster: host and port are null, is_here is true.
Errors: 22023 bad argument.';

CREATE FUNCTION durable_wf.list_steps_there(workflow_id text)
    RETURNS TABLE (step_no integer, name text, output jsonb, error text,
                   started_at timestamptz, completed_at timestamptz)
    AS 'MODULE_PATHNAME', 'dwf_list_steps_there' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.list_steps_there(text) IS
'on a cluster: what wf_list_steps() returns for a workflow of another node';

-- What keeps a node from having workflows of a cluster; '' if nothing does.
CREATE FUNCTION durable_wf.node_fault() RETURNS text
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    IF current_setting('max_prepared_transactions')::integer = 0 THEN
        RETURN 'max_prepared_transactions is 0';
    ELSIF current_setting('shared_preload_libraries') !~ '\mdurable_wf\M' THEN
        RETURN 'durable_wf is not in shared_preload_libraries';
    ELSIF EXISTS (SELECT FROM durable_wf.workflow) THEN
        RETURN 'it has workflows already';
    END IF;
    RETURN '';
END $$;
COMMENT ON FUNCTION durable_wf.node_fault() IS
'what keeps this node from having workflows of a cluster; empty if nothing does';

CREATE FUNCTION @extschema@.wf_distribute(shard_count integer DEFAULT 32) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    tables_owner name := (SELECT relowner::regrole FROM pg_class
                           WHERE oid = 'durable_wf.workflow'::regclass);
    node record;
    shards text;
BEGIN
    -- on the coordinator of a cluster, once
    IF shard_count IS NULL OR shard_count NOT BETWEEN 1 AND 64000 THEN
        RAISE 'shard_count must be between 1 and 64000' USING ERRCODE = '22023';
    ELSIF to_regclass('pg_catalog.pg_dist_node') IS NULL THEN
        RAISE 'this database does not belong to a Citus cluster'
            USING ERRCODE = '55000', HINT = 'Create the extension citus in it, and add its nodes.';
    ELSIF to_regclass('durable_wf.shard') IS NOT NULL THEN
        RAISE 'workflows are distributed already' USING ERRCODE = '55000';
    ELSIF (SELECT groupid FROM pg_dist_local_group) <> 0 THEN
        RAISE 'wf_distribute() has to be called on the coordinator' USING ERRCODE = '55000';
    ELSIF NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0) THEN
        RAISE 'the coordinator is not known to the other nodes'
            USING ERRCODE = '55000', HINT = 'Call citus_set_coordinator_host().';
    END IF;

    -- each node is fit for it
    FOR node IN
        SELECT n.nodename, n.nodeport, r.success, r.result
          FROM run_command_on_all_nodes('SELECT durable_wf.node_fault()') r
          JOIN pg_dist_node n ON n.nodeid = r.nodeid
    LOOP
        IF NOT node.success OR node.result <> '' THEN
            RAISE 'node %:% cannot have workflows', node.nodename, node.nodeport
                USING ERRCODE = '55000', DETAIL = format('It says: %s.', node.result);
        END IF;
    END LOOP;

    -- the anchor, and the names of hooks
    CREATE TABLE durable_wf.shard (workflow_id text COLLATE "C" PRIMARY KEY);
    COMMENT ON TABLE durable_wf.shard IS
    'always empty: which node has its shard has the workflows whose ids fall into it';
    CREATE TABLE durable_wf.token (
        token       text COLLATE "C" PRIMARY KEY,
        workflow_id text COLLATE "C" NOT NULL
    );
    COMMENT ON TABLE durable_wf.token IS
    'which workflow has claimed a hook''s token last, of tokens that have names';
    EXECUTE format('ALTER TABLE durable_wf.shard OWNER TO %I', tables_owner);
    EXECUTE format('ALTER TABLE durable_wf.token OWNER TO %I', tables_owner);
    PERFORM create_distributed_table('durable_wf.shard', 'workflow_id', colocate_with => 'none',
                                     shard_count => wf_distribute.shard_count);
    PERFORM create_distributed_table('durable_wf.token', 'token', colocate_with => 'none',
                                     shard_count => wf_distribute.shard_count);
    PERFORM create_distributed_function('durable_wf.run_here(text, text, text[])', 'workflow_id',
                                        colocate_with => 'durable_wf.shard', force_delegation => true);

    -- each node notes which shards it has
    SELECT string_agg(format('(%s, %s)', s.shardminvalue, p.groupid), ', ') INTO shards
      FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
     WHERE s.logicalrelid = 'durable_wf.shard'::regclass;
    FOR node IN
        SELECT n.nodename, n.nodeport, r.success, r.result
          FROM run_command_on_all_nodes(format(
                   'WITH gone AS (DELETE FROM durable_wf.custody c WHERE NOT EXISTS'
                   ' (SELECT FROM (VALUES %1$s) v(shard, node) JOIN pg_dist_local_group l ON l.groupid = v.node'
                   '   WHERE v.shard = c.shard_start))'
                   ' INSERT INTO durable_wf.custody SELECT v.shard FROM (VALUES %1$s) v(shard, node)'
                   ' JOIN pg_dist_local_group l ON l.groupid = v.node ON CONFLICT DO NOTHING',
                   shards)) r
          JOIN pg_dist_node n ON n.nodeid = r.nodeid
    LOOP
        IF NOT node.success THEN
            RAISE 'node %:% could not note its shards', node.nodename, node.nodeport
                USING ERRCODE = '55000', DETAIL = format('It says: %s.', node.result);
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION @extschema@.wf_distribute(integer) IS
'On the coordinator of a Citus cluster: from now on each workflow belongs to the node that has its shard of durable_wf.shard, and the functions can be called on all nodes. For a cluster without workflows; needs a superuser.
Errors: 22023 bad argument; 55000 not a cluster, not the coordinator, a node is not fit for it, or it was done already.';
REVOKE ALL ON FUNCTION @extschema@.wf_distribute(integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION durable_wf.node_fault() FROM PUBLIC;

CREATE FUNCTION durable_wf.wake(workflow_id text) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_wake' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.wake(text) IS
'on a cluster: lets a suspended workflow of this node go on, since what it waits for on another node has come';
REVOKE ALL ON FUNCTION durable_wf.wake(text) FROM PUBLIC;
CREATE OR REPLACE FUNCTION @extschema@.wf_list_steps(workflow_id text)
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

GRANT SELECT ON durable_wf.custody TO PUBLIC;

CREATE FUNCTION durable_wf.give_rows(first_hash integer, last_hash integer) RETURNS text[]
    AS 'MODULE_PATHNAME', 'dwf_give_rows' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.give_rows(integer, integer) IS
'on a cluster: takes the rows of a shard away from this node; waits for transactions that act on its workflows';
REVOKE ALL ON FUNCTION durable_wf.give_rows(integer, integer) FROM PUBLIC;

CREATE FUNCTION durable_wf.give_shard(first_hash integer, last_hash integer) RETURNS text[]
    LANGUAGE plpgsql VOLATILE STRICT PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
BEGIN
    -- who executes a workflow of it can be in a transaction for long
    PERFORM pg_terminate_backend(e.pid, 5000) FROM @extschema@.wf_executions e
      WHERE hashtext(e.workflow_id) BETWEEN first_hash AND last_hash;
    RETURN durable_wf.give_rows(first_hash, last_hash);
END $$;
COMMENT ON FUNCTION durable_wf.give_shard(integer, integer) IS
'on a cluster: ends the executions of a shard on this node, and takes its rows away';
REVOKE ALL ON FUNCTION durable_wf.give_shard(integer, integer) FROM PUBLIC;

CREATE FUNCTION durable_wf.take_rows(first_hash integer, last_hash integer, rows text[]) RETURNS void
    AS 'MODULE_PATHNAME', 'dwf_take_rows' LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.take_rows(integer, integer, text[]) IS
'on a cluster: puts the rows of a shard, as durable_wf.give_shard() has returned them, into this node';
REVOKE ALL ON FUNCTION durable_wf.take_rows(integer, integer, text[]) FROM PUBLIC;

CREATE FUNCTION @extschema@.wf_move_shard(shard bigint, "to" text) RETURNS void
    LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE
    SET search_path = pg_catalog, pg_temp AS
$$
DECLARE
    source record;
    target record;
    place text;
    rows text[];
    waiting text;
BEGIN
    IF shard IS NULL OR "to" IS NULL THEN
        RAISE 'shard and to must not be null' USING ERRCODE = '22023';
    ELSIF to_regclass('durable_wf.shard') IS NULL THEN
        RAISE 'workflows are not distributed' USING ERRCODE = '55000';
    ELSIF (SELECT groupid FROM pg_dist_local_group) <> 0 THEN
        RAISE 'wf_move_shard() has to be called on the coordinator' USING ERRCODE = '55000';
    END IF;
    SELECT s.shardminvalue::integer AS first_hash, s.shardmaxvalue::integer AS last_hash,
           p.groupid, n.nodename, n.nodeport INTO source
      FROM pg_dist_shard s JOIN pg_dist_placement p USING (shardid)
      JOIN pg_dist_node n ON n.groupid = p.groupid AND n.noderole = 'primary'
     WHERE s.shardid = wf_move_shard.shard AND s.logicalrelid = 'durable_wf.shard'::regclass;
    IF NOT FOUND THEN
        RAISE 'durable_wf.shard has no shard %', shard USING ERRCODE = '22023',
            HINT = 'SELECT get_shard_id_for_distribution_column(''durable_wf.shard'', workflow_id) tells that of a workflow.';
    END IF;
    SELECT n.nodename, n.nodeport, n.groupid INTO target FROM pg_dist_node n
     WHERE format('%s:%s', n.nodename, n.nodeport) = "to" AND n.noderole = 'primary';
    IF NOT FOUND THEN
        RAISE 'there is no node "%"', "to" USING ERRCODE = '22023', HINT = 'Write host:port, as in pg_dist_node.';
    ELSIF source.groupid = target.groupid THEN
        RETURN;
    END IF;

    -- an id that belongs to the shard leads to the node that has it
    SELECT 'shard ' || i INTO place FROM generate_series(1, 10000000) i
     WHERE hashtext('shard ' || i) BETWEEN source.first_hash AND source.last_hash LIMIT 1;
    EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''give_shard'', %L) r',
                   place, ARRAY[source.first_hash::text, source.last_hash::text]) INTO rows;
    rows := rows[2]::text[];
    PERFORM citus_move_shard_placement(shard, source.nodename, source.nodeport, target.nodename, target.nodeport,
                                       'block_writes');
    EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''take_rows'', %L) r',
                   place, ARRAY[source.first_hash::text, source.last_hash::text, rows::text]);

    -- what waits for a workflow of it looks again
    FOR waiting IN SELECT substr(r, 6) FROM unnest(rows) r WHERE r LIKE 'wake:%' LOOP
        EXECUTE format('SELECT r FROM durable_wf.run_here(%L, ''wake'', %L) r', waiting, ARRAY[waiting]);
    END LOOP;
END $$;
COMMENT ON FUNCTION @extschema@.wf_move_shard(bigint, text) IS
'On the coordinator of a cluster: move a shard of durable_wf.shard, what is colocated with it and the rows of its workflows to another node ("host:port"), in one transaction. Calls for these workflows block meanwhile; sessions that wait in them get 40001, those that execute them are ended. Needs a superuser.
Errors: 22023 no such shard or node; 55000 not the coordinator, or workflows are not distributed.';
REVOKE ALL ON FUNCTION @extschema@.wf_move_shard(bigint, text) FROM PUBLIC;

-- home: wf_adopt() has ids go on above those of items that a subscription brought

CREATE OR REPLACE FUNCTION @extschema@.wf_adopt() RETURNS boolean
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
    -- a subscription brings items, and no sequence: ids go on above theirs
    PERFORM setval('durable_wf.message_id_seq', i.last)
       FROM (SELECT max(m.message_id) AS last
               FROM (SELECT max(message_id) FROM durable_wf.message
                     UNION ALL SELECT max(message_id) FROM durable_wf.dead_letter
                     UNION ALL SELECT max(message_id) FROM durable_wf.idempotency) m (message_id)) i,
            durable_wf.message_id_seq s
      WHERE i.last > s.last_value;
    RETURN true;
END $$;
