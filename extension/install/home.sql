-- home: which database the workflows belong to, so that a copy does not run

CREATE FUNCTION durable_wf.here(OUT system_identifier bigint, OUT database oid)
    AS 'MODULE_PATHNAME', 'dwf_here' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.here() IS
'this database: the server''s system identifier and the database''s OID';

CREATE TABLE durable_wf.home (
    system_identifier bigint NOT NULL,
    database          oid NOT NULL,
    since             timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE durable_wf.home REPLICA IDENTITY FULL;
COMMENT ON TABLE durable_wf.home IS
'the databases that the workflows were started in. A row for another database, or none for this one, means that some came from elsewhere: SQL workflows and timers wait for wf_adopt()';
COMMENT ON COLUMN durable_wf.home.system_identifier IS 'the server''s; 0: unknown, rows were written by other means than wf_start()';
COMMENT ON COLUMN durable_wf.home.database IS 'the database''s OID in that server';
COMMENT ON COLUMN durable_wf.home.since IS 'when it was created here, adopted, or noticed';

SELECT pg_catalog.pg_extension_config_dump('durable_wf.home', '');
INSERT INTO durable_wf.home (system_identifier, database)
    SELECT h.system_identifier, h.database FROM durable_wf.here() h;
GRANT SELECT ON durable_wf.home TO PUBLIC;

-- Our worker looks again when it changes, in a restore or a subscriber too.
CREATE FUNCTION durable_wf.note_home() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_home' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_home() IS
'trigger function of durable_wf.home: our worker looks at it when this commits';
REVOKE ALL ON FUNCTION durable_wf.note_home() FROM PUBLIC;
CREATE TRIGGER note_home AFTER INSERT OR UPDATE OR DELETE ON durable_wf.home
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_home();
ALTER TABLE durable_wf.home ENABLE ALWAYS TRIGGER note_home;

CREATE FUNCTION durable_wf.is_copy() RETURNS boolean
    AS 'MODULE_PATHNAME', 'dwf_is_copy' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.is_copy() IS
'have workflows of this database come from another one, and were not adopted?';

CREATE FUNCTION @extschema@.wf_adopt() RETURNS boolean
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
REVOKE ALL ON FUNCTION @extschema@.wf_adopt() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION @extschema@.wf_adopt() TO pg_database_owner;
COMMENT ON FUNCTION @extschema@.wf_adopt() IS
'Run the workflows of this database here, although they came from another one: by a restore, pg_upgrade, CREATE DATABASE ... TEMPLATE or a subscription. Call it when the original does not run any more; else both do the same work. Returns false, and changes nothing, if none came from elsewhere.
Takes effect at commit. Blocks while a transaction is still restoring. For the owner of the database.
Errors: 42501 not the owner of the database.';
