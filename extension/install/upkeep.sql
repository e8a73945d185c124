-- upkeep: removing what has ended

CREATE INDEX workflow_finished_at_idx ON durable_wf.workflow (finished_at)
    WHERE finished_at IS NOT NULL;

CREATE FUNCTION @extschema@.wf_prune(
    older_than interval DEFAULT '7 d', batch integer DEFAULT 1000)
    RETURNS bigint
    AS 'MODULE_PATHNAME', 'wf_prune' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_prune(interval, integer) IS
'Remove workflows that ended longer ago than older_than, with their messages, events, streams and idempotency keys: at most batch (at least 1) of those whose owner''s privileges the caller has, the oldest first. Returns how many; call it again, each time in a transaction of its own, until it returns less than batch.
A workflow whose end some open transaction may not have seen yet is left for a later call. Can run beside everything else; does not wait.
Errors: 22023 bad argument; 25001 in REPEATABLE READ or SERIALIZABLE.';

CREATE FUNCTION @extschema@.wf_delete(workflow_id text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_delete' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_delete(text) IS
'Remove a workflow that has ended, with all that belongs to it: messages, events, streams, steps, hooks, idempotency keys. Its id can be used again. False when there is no such workflow.
Blocks while a transaction is open that may not have seen its end, and could still send to it: one that has written something, or whose snapshot is older.
Errors: 22023 bad argument; 55000 it has not ended: wf_cancel() ends it; 55006 it has ended in this transaction; 42501 it belongs to another role; 25001 in REPEATABLE READ or SERIALIZABLE.';
