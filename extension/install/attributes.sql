-- attributes: what workflows are searched by

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
