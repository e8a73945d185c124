\echo Use "ALTER EXTENSION durable_wf UPDATE TO '0.4.0'" to load this file. \quit

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
    USING (workflow_id IN (SELECT w.workflow_id FROM durable_wf.workflow w));
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
