-- hook: tokens by which the outside world reaches workflows

CREATE TABLE durable_wf.hook (
    token        text COLLATE "C" NOT NULL,
    workflow_id  text COLLATE "C" NOT NULL,
    metadata     jsonb,
    validator    text,
    is_webhook   boolean NOT NULL DEFAULT false,
    respond_with jsonb,
    created_at   timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT hook_pkey PRIMARY KEY (token)
);
COMMENT ON TABLE durable_wf.hook IS
'one row per hook. The token is unique among all workflows; the row of a workflow that has ended is no hook any more';
COMMENT ON COLUMN durable_wf.hook.token IS 'what one has to know to resume it, 1 to 512 bytes';
COMMENT ON COLUMN durable_wf.hook.workflow_id IS 'whose mailbox its payloads go to';
COMMENT ON COLUMN durable_wf.hook.metadata IS 'what its creator says of it, for wf_get_hook()';
COMMENT ON COLUMN durable_wf.hook.validator IS 'the function (jsonb) that each payload goes through, by its qualified name; null: none';
COMMENT ON COLUMN durable_wf.hook.is_webhook IS 'it has a URL';
COMMENT ON COLUMN durable_wf.hook.respond_with IS 'of a webhook: null, a response, or "manual"';
COMMENT ON COLUMN durable_wf.hook.created_at IS 'when the transaction that created it began';
CREATE INDEX hook_workflow_id_idx ON durable_wf.hook (workflow_id);

SELECT pg_catalog.pg_extension_config_dump('durable_wf.hook', '');
ALTER TABLE durable_wf.hook ENABLE ROW LEVEL SECURITY;
CREATE POLICY hook_owner ON durable_wf.hook
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) hook.workflow_id));
COMMENT ON POLICY hook_owner ON durable_wf.hook IS
'the hooks of the workflows that one may see';
GRANT SELECT ON durable_wf.hook TO PUBLIC;

-- Whoever waits for a hook that is deleted has to know.
CREATE TRIGGER note_end BEFORE DELETE ON durable_wf.hook
    FOR EACH ROW EXECUTE FUNCTION durable_wf.note_arrival('hook');
ALTER TABLE durable_wf.hook ENABLE ALWAYS TRIGGER note_end;

-- What a workflow had when it ended, for wf_retry().
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

CREATE TABLE durable_wf.request (
    workflow_id     text COLLATE "C" NOT NULL,
    request_id      bigint NOT NULL,
    token           text COLLATE "C" NOT NULL,
    held_by_gateway boolean NOT NULL DEFAULT false,
    response        jsonb,
    received_at     timestamptz NOT NULL DEFAULT pg_catalog.now(),
    responded_at    timestamptz,
    expires_at      timestamptz,
    CONSTRAINT request_pkey PRIMARY KEY (workflow_id, request_id)
);
COMMENT ON TABLE durable_wf.request IS
'one row per request to a webhook of mode "manual": of those that were answered, the latest';
COMMENT ON COLUMN durable_wf.request.workflow_id IS 'who is to respond';
COMMENT ON COLUMN durable_wf.request.request_id IS 'its id, which is that of the mailbox item';
COMMENT ON COLUMN durable_wf.request.token IS 'the webhook''s';
COMMENT ON COLUMN durable_wf.request.held_by_gateway IS 'the gateway has not fetched the response yet; false: wf_await_response() waits for it';
COMMENT ON COLUMN durable_wf.request.response IS 'what wf_respond() was given: {"status", "headers", "body"}';
COMMENT ON COLUMN durable_wf.request.received_at IS 'when the transaction that brought it began';
COMMENT ON COLUMN durable_wf.request.responded_at IS 'when it was answered, or, without a response, when it was clear that it would not be';
COMMENT ON COLUMN durable_wf.request.expires_at IS 'when it is too late for a response, or when the response is forgotten; null: not by time';
CREATE INDEX request_request_id_idx ON durable_wf.request (request_id);
CREATE INDEX request_expires_at_idx ON durable_wf.request (workflow_id, expires_at)
    WHERE expires_at IS NOT NULL AND responded_at IS NOT NULL;
CREATE INDEX request_held_idx ON durable_wf.request (request_id)
    WHERE held_by_gateway AND responded_at IS NOT NULL;

SELECT pg_catalog.pg_extension_config_dump('durable_wf.request', '');
ALTER TABLE durable_wf.request ENABLE ROW LEVEL SECURITY;
CREATE POLICY request_owner ON durable_wf.request
    USING (EXISTS (SELECT FROM durable_wf.workflow w
                    WHERE w.workflow_id OPERATOR(pg_catalog.=) request.workflow_id));
COMMENT ON POLICY request_owner ON durable_wf.request IS
'the requests to the workflows that one may see';
GRANT SELECT ON durable_wf.request TO PUBLIC;

-- Whoever waits for the response has to know of it, or that there is none.
CREATE TRIGGER note_answer BEFORE UPDATE ON durable_wf.request
    FOR EACH ROW WHEN (NEW.responded_at IS NOT NULL
                       AND (OLD.responded_at IS NULL
                            OR NEW.held_by_gateway AND NOT OLD.held_by_gateway))
    EXECUTE FUNCTION durable_wf.note_arrival('request');
CREATE TRIGGER note_end BEFORE DELETE ON durable_wf.request
    FOR EACH ROW WHEN (OLD.responded_at IS NULL)
    EXECUTE FUNCTION durable_wf.note_arrival('request');
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_answer;
ALTER TABLE durable_wf.request ENABLE ALWAYS TRIGGER note_end;

-- A workflow's hooks end with it, by whatever road, in the same transaction.
CREATE FUNCTION durable_wf.release_hooks() RETURNS trigger
    AS 'MODULE_PATHNAME', 'dwf_release_hooks' LANGUAGE C;
COMMENT ON FUNCTION durable_wf.release_hooks() IS
'trigger function of durable_wf.workflow: a workflow that ends has no hooks any more, and one that lives again has them again';
REVOKE ALL ON FUNCTION durable_wf.release_hooks() FROM PUBLIC;
CREATE TRIGGER release_hooks AFTER UPDATE OF finished_at ON durable_wf.workflow
    FOR EACH ROW EXECUTE FUNCTION durable_wf.release_hooks();

CREATE FUNCTION @extschema@.wf_create_hook(
    token text DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    validator text DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_create_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_hook(text, jsonb, text, text) IS
'Create a hook of a workflow and return its token: whoever knows it can send payloads with wf_resume_hook().
token: 1 to 512 bytes; null: 192 random bits, fit for a URL. While the hook lives no other workflow can have the token; the same workflow creates it as often as it likes. metadata: any JSON, for wf_get_hook(). workflow_id: null means the current workflow.
validator: a function (jsonb) that returns jsonb, found with the caller''s search_path. Each payload goes through it before it is delivered, as the workflow''s owner, with search_path pg_catalog, pg_temp unless it sets its own, for at most durable_wf.validator_timeout: what it returns is delivered, what it raises is the sender''s error.
The hook ends with wf_dispose_hook() or the workflow. Blocks while another transaction claims the token or gives it back.
Errors: 22023 bad argument; WF005 another workflow has the token; 42710 the hook exists with other metadata or another validator; 42883, 42809, 42501 about the validator; WF008 no current workflow; WF001 no such workflow; WF002 cancelled; WF003 finished; 42501 it belongs to another role.';

CREATE FUNCTION @extschema@.wf_resume_hook(
    token text, payload jsonb, idempotency_key text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_resume_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_hook(text, jsonb, text) IS
'Send a payload to a hook and return the id of its workflow. The token is the authorisation: no privilege but EXECUTE is needed. At commit one who awaits the hook wakes; after a rollback nothing was sent.
payload: any JSON; SQL null is sent as JSON null. idempotency_key: 1 to 512 bytes, scoped to workflow and token: the same key again, even after consumption, adds nothing.
Blocks while another transaction disposes of the hook or uses the same key.
Errors: 22023 bad argument; WF006 there is no such hook (never was, disposed of, or its workflow has ended); what the validator raises; 57014 it took too long.';

CREATE FUNCTION @extschema@.wf_await_hook(token text, timeout interval DEFAULT NULL) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_hook(text, interval) IS
'Wait for the next payload of a hook, take it out of the mailbox and return it; SQL null only on timeout. Payloads that came before the wait are kept; call it in a loop to get one after the other. If the transaction rolls back, the payload is back in its place.
timeout: null waits for ever, ''0'' never waits. A session that is attached to a workflow awaits that one''s hooks. Holds a snapshot while it waits; CALL wf_await_hook(...) does not.
Errors: 22023 bad argument; WF006 there is no such hook (also while waiting); WF002 its workflow was cancelled while waiting; WF003 it has finished meanwhile; 42501 it belongs to another role; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_await_hook(
    IN token text, IN timeout interval, INOUT payload jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_hook' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_hook(text, interval, jsonb) IS
'wf_await_hook() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_get_hook(token text)
    RETURNS TABLE (workflow_id text, metadata jsonb, is_webhook boolean, created_at timestamptz)
    AS 'MODULE_PATHNAME', 'wf_get_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 1;
COMMENT ON FUNCTION @extschema@.wf_get_hook(text) IS
'What there is to know of a hook, for whoever knows its token; no row when there is none. Does not wait.
Errors: 22023 bad argument.';

CREATE FUNCTION @extschema@.wf_dispose_hook(token text) RETURNS boolean
    AS 'MODULE_PATHNAME', 'wf_dispose_hook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_dispose_hook(text) IS
'End a hook: at commit its token is free, what was not taken is gone, and whoever awaits it gets WF006. Or take back the token of a stream, also after the end of its workflow. Returns false when there is neither. Blocks while another transaction resumes the hook, or has received from it.
Errors: 22023 bad argument; 42501 its workflow belongs to another role.';

CREATE TYPE @extschema@.wf_webhook AS (token text, url text);
COMMENT ON TYPE @extschema@.wf_webhook IS 'a webhook, or a stream to read: its token, and the URL that has it';

CREATE FUNCTION @extschema@.wf_create_webhook(
    respond_with jsonb DEFAULT NULL,
    metadata jsonb DEFAULT NULL,
    validator text DEFAULT NULL,
    workflow_id text DEFAULT NULL
) RETURNS @extschema@.wf_webhook
    AS 'MODULE_PATHNAME', 'wf_create_webhook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_create_webhook(jsonb, jsonb, text, text) IS
'Create a hook with a random token and return that and its URL: each HTTP request to it is a payload, for wf_await_hook().
respond_with: what the client gets. null: 202, empty. An object {"status", "headers", "body"}, each of them optional: that, for every request. "manual": the client is held until wf_respond().
metadata, validator, workflow_id: as for wf_create_hook(). The URL begins with durable_wf.http_base_url.
Errors: 22023 bad argument; otherwise as for wf_create_hook().';

CREATE FUNCTION @extschema@.wf_resume_webhook(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_resume_webhook' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_resume_webhook(text, jsonb) IS
'Deliver an HTTP request to a webhook and return the response to give, {"status", "headers", "body"}: the same door as the URL, for who takes the request by other means. The token is the authorisation.
request: {"method", "url", "path", "query", "headers", "body", "body_base64", "received_at"}, each of them optional. Of "body" and "body_base64" one is made from the other. Its header idempotency-key, if there is one, makes a repeated request the same as the first; a validator can name another one there. One with a header content-encoding gets the response 415, and is not delivered.
For a webhook of mode "manual" it returns {"status": 202, "request_id"} at once: the response is for wf_await_response().
Errors: 22023 bad argument; WF006 there is no such webhook; what the validator raises; 57014 it took too long.';

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

CREATE FUNCTION @extschema@.wf_await_response(
    token text, request_id bigint, timeout interval DEFAULT '60 s') RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_await_response(text, bigint, interval) IS
'Wait for the response to a request that wf_resume_webhook() has delivered, and return it: {"status", "headers", "body"}. SQL null on timeout, and at once when there will be none: the workflow has ended, or the webhook was disposed of before the request was taken. A response is kept for ten minutes.
token: the webhook''s, which is the authorisation. timeout: null waits for ever, ''0'' never waits. Holds a snapshot while it waits; CALL wf_await_response(...) does not.
Errors: 22023 bad argument; 55000 there is no such request; 25001 would have to wait in REPEATABLE READ or SERIALIZABLE.';

CREATE PROCEDURE @extschema@.wf_await_response(
    IN token text, IN request_id bigint, IN timeout interval, INOUT response jsonb)
    AS 'MODULE_PATHNAME', 'wf_await_response' LANGUAGE C;
COMMENT ON PROCEDURE @extschema@.wf_await_response(text, bigint, interval, jsonb) IS
'wf_await_response() that commits what came before and then waits holding no snapshot and no lock. Inside a transaction block it waits like the function, with a notice. Pass null for the last argument.';

CREATE FUNCTION @extschema@.wf_form(body text) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'wf_form' LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION @extschema@.wf_form(text) IS
'The body of a form (application/x-www-form-urlencoded), such as a webhook gets it, as an object of strings; the values of a name that comes more than once are an array.
"+" is a space, %XX a byte of UTF-8, and what is no escape stands for itself. A value that is not text is null, a name that is none stays as it was sent. Raises no error.';

-- For the gateway, which answers many requests from one session.
CREATE FUNCTION durable_wf.resume_held(token text, request jsonb) RETURNS jsonb
    AS 'MODULE_PATHNAME', 'dwf_resume_held' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION durable_wf.resume_held(text, jsonb) IS
'wf_resume_webhook() for the gateway: the response is for durable_wf.take_answers(), and comes within durable_wf.http_response_timeout or never';
REVOKE ALL ON FUNCTION durable_wf.resume_held(text, jsonb) FROM PUBLIC;

CREATE FUNCTION durable_wf.take_answers(max_answers integer DEFAULT 1000)
    RETURNS TABLE (request_id bigint, response jsonb)
    AS 'MODULE_PATHNAME', 'dwf_take_answers' LANGUAGE C VOLATILE PARALLEL UNSAFE ROWS 100;
COMMENT ON FUNCTION durable_wf.take_answers(integer) IS
'the responses to requests that the gateway holds, each once; a null response says that there will be none';
REVOKE ALL ON FUNCTION durable_wf.take_answers(integer) FROM PUBLIC;
