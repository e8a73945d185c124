\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit

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
COMMENT ON FUNCTION @extschema@.wf_save_step(text, jsonb) IS
'Record the output of work done outside of the database, for wf_get_step(); SQL null is recorded as JSON null. A replay records nothing, nor does a save of what wf_get_step() has just said to be done.
Errors: 22023 bad argument; WF004 the workflow was executed differently before; WF008 this session is not attached.';
