-- wait_any: whichever of several things comes first

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
