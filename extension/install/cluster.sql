-- cluster: the same workflows on the nodes of a Citus cluster

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
