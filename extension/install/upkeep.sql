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
