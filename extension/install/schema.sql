-- schema: where the tables live, and the type of their owners

CREATE SCHEMA durable_wf;
COMMENT ON SCHEMA durable_wf IS
'Tables of durable_wf. Read them through the views wf_*; write them through the functions wf_*.';
GRANT USAGE ON SCHEMA durable_wf TO PUBLIC;

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

-- An owner is a role: kept by OID, so that a rename does not matter; dumped
-- by name, so that a restore does not matter; a dropped role is dumped as '',
-- nobody, and never becomes another role.
CREATE TYPE durable_wf.owner;

CREATE FUNCTION durable_wf.owner_in(cstring) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_in' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_in(cstring) IS 'I/O';

CREATE FUNCTION durable_wf.owner_out(durable_wf.owner) RETURNS cstring
    AS 'MODULE_PATHNAME', 'dwf_owner_out' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_out(durable_wf.owner) IS 'I/O';

CREATE FUNCTION durable_wf.owner_recv(internal) RETURNS durable_wf.owner
    AS 'MODULE_PATHNAME', 'dwf_owner_recv' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_recv(internal) IS 'I/O';

CREATE FUNCTION durable_wf.owner_send(durable_wf.owner) RETURNS bytea
    AS 'MODULE_PATHNAME', 'dwf_owner_send' LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION durable_wf.owner_send(durable_wf.owner) IS 'I/O';

CREATE TYPE durable_wf.owner (
    INPUT = durable_wf.owner_in,
    OUTPUT = durable_wf.owner_out,
    RECEIVE = durable_wf.owner_recv,
    SEND = durable_wf.owner_send,
    LIKE = pg_catalog.oid
);
COMMENT ON TYPE durable_wf.owner IS
'the role that a workflow belongs to: stored by OID, printed by name, '''' when that role was dropped';

CREATE CAST (durable_wf.owner AS pg_catalog.oid) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.oid AS durable_wf.owner) WITHOUT FUNCTION AS ASSIGNMENT;

-- Notes, at each row that is written, whom the commit must wake.
CREATE FUNCTION durable_wf.note_arrival() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_note_arrival' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.note_arrival() IS
'trigger function of the tables of durable_wf: whoever waits for this row is woken when it commits';
REVOKE ALL ON FUNCTION durable_wf.note_arrival() FROM PUBLIC;
