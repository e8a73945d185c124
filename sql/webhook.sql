-- Webhooks, in one session: requests as JSON, responses, and their waits.
\pset null '(null)'
\set VERBOSITY terse
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('web');
SET durable_wf.workflow_id = 'web';

-- the URL has the token; where it begins is a setting
CREATE FUNCTION regress_dwf_alice.url() RETURNS text LANGUAGE sql AS $$
    SELECT replace(url, token, '<token>') FROM public.wf_create_webhook()
$$;
SELECT regress_dwf_alice.url();
SELECT token ~ '^[A-Za-z0-9_-]{32}$' AS random FROM wf_create_webhook();
RESET SESSION AUTHORIZATION;
CREATE FUNCTION test.set_and_reload(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        IF current_setting(setting) = value THEN
            RETURN value;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN 'it does not come';
END $$;
ALTER SYSTEM SET durable_wf.http_base_url = 'https://hooks.example.com/x//';
SELECT pg_reload_conf();
\c -
SELECT test.set_and_reload('durable_wf.http_base_url', 'https://hooks.example.com/x//');
SET SESSION AUTHORIZATION regress_dwf_alice;
SET durable_wf.workflow_id = 'web';
SELECT regress_dwf_alice.url();
RESET SESSION AUTHORIZATION;
ALTER SYSTEM RESET durable_wf.http_base_url;
ALTER SYSTEM SET durable_wf.http_listen_addresses = '::1, 127.0.0.1';
SELECT pg_reload_conf();
\c -
SELECT test.set_and_reload('durable_wf.http_listen_addresses', '::1, 127.0.0.1');
SET SESSION AUTHORIZATION regress_dwf_alice;
SET durable_wf.workflow_id = 'web';
SELECT regress_dwf_alice.url();
RESET SESSION AUTHORIZATION;
ALTER SYSTEM RESET durable_wf.http_listen_addresses;
SELECT pg_reload_conf();
\c -
SELECT test.set_and_reload('durable_wf.http_listen_addresses', '127.0.0.1');
DROP FUNCTION test.set_and_reload(text, text);
SELECT name, boot_val, unit, context FROM pg_settings
 WHERE name LIKE 'durable\_wf.http%' OR name = 'durable_wf.validator_timeout' ORDER BY name;
\pset null '(null)'
\set VERBOSITY terse
SET SESSION AUTHORIZATION regress_dwf_alice;
SET durable_wf.workflow_id = 'web';

-- respond_with: nothing but null, "manual", or a response
SELECT r, test.try(format('SELECT (wf_create_webhook(%L)).token IS NOT NULL', r)) AS created
  FROM unnest(ARRAY[
  NULL, '"manual"', '{}', '{"status": 204}', '{"headers": {"X-A": "b"}}', '{"body": {"a": null}}', '{"body": null}',
  '{"status": 100}', '{"status": 599}',
  'null', '"auto"', '1', '[]', 'true', '{"stat": 1}', '{"status": 99}', '{"status": 600}', '{"status": 200.5}',
  '{"status": "200"}', '{"status": null}', '{"status": 1e300}', '{"status": -200}', '{"headers": null}', '{"headers": []}', '{"headers": "x"}',
  '{"headers": {"a": 1}}', '{"headers": {"a": null}}', '{"headers": {"a": ["b"]}}', '{"headers": {"": "b"}}',
  '{"headers": {"a b": "c"}}', '{"headers": {"a:": "c"}}', '{"headers": {"a\r": "c"}}', '{"headers": {"é": "c"}}',
  '{"headers": {"a": "b\r\nc: d"}}', '{"headers": {"a": "b\n"}}', '{"headers": {"a": "é\t"}}'
  ]::text[]) r;

-- what is returned at once
CREATE FUNCTION regress_dwf_alice.respond(respond_with jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT public.wf_resume_webhook((public.wf_create_webhook(respond_with)).token, '{}')
$$;
SELECT r, regress_dwf_alice.respond(r) FROM unnest(ARRAY[NULL, '{}', '{"status": 404}', '{"headers": {"A": "b"}}', '{"body": "x"}',
  '{"body": [1, {"a": 2}]}', '{"body": null}', '{"status": 200, "headers": {"a": "b", "c": "d"}, "body": ""}']::jsonb[]) r;

-- requests: what is absent is null, header names are in lower case, and of
-- the body's two forms one is made from the other
SELECT token FROM wf_create_webhook(metadata => '{"a": "webhook"}') \gset
SELECT workflow_id, metadata, is_webhook FROM wf_get_hook(:'token');
SELECT jsonb_object_agg(key, value) - 'request_id' AS all_null, bool_and((value->>0)::bigint > 0) FILTER (WHERE key = 'request_id') AS id
  FROM (SELECT wf_resume_webhook(:'token', '{}')) r, jsonb_each(wf_await_hook(:'token', '0'));
SELECT wf_resume_webhook(:'token', $${"method": "POST", "url": "https://x/y?a=1&a=2", "path": "/y", "query": "a=1&a=2",
  "headers": {"Content-Type": "application/json; charset=utf-8", "X-Many": "1", "x-many": "2", "X-MANY": "3",
              "x-number": 1, "ÄÖ": "ä"},
  "body_base64": "eyJhIjogWzEsICLDqSJdfQ==", "received_at": "2026-01-02T03:04:05Z", "unknown": 1}$$);
SELECT key, value FROM jsonb_each(wf_await_hook(:'token', '0')) WHERE key <> 'request_id' ORDER BY key;

CREATE FUNCTION regress_dwf_alice.body(token text, request jsonb, OUT body jsonb, OUT body_base64 text, OUT bytes bytea)
LANGUAGE plpgsql AS $$
DECLARE
    got jsonb;
BEGIN
    PERFORM public.wf_resume_webhook(token, request);
    got := public.wf_await_hook(token, '0');
    body := got->'body';
    body_base64 := got->>'body_base64';
    bytes := decode(body_base64, 'base64');
END $$;
SELECT type, sent, b.*
  FROM (VALUES (0, NULL, '\x'::bytea), (1, 'text/plain', 'hello'), (2, 'text/plain', '{"a": 1}'), (3, NULL, '{"a": 1}'),
               (4, 'application/json', '{"a": 1}'), (5, 'Application/JSON;x=y', ' [1] '), (6, 'application/problem+json', '"s"'),
               (7, 'text/json', '1.50'), (8, 'application/json', 'null'), (9, 'application/json', ''), (10, 'application/json', '{"a": 1'),
               (11, 'application/json', '{"a": 1} x'), (12, 'application/json', '{"a": "\\u0000"}'), (13, 'application/json', '1e999999'),
               (14, 'application/jsonx', '1'), (15, '+json', '1'), (16, 'text/plain', '\xff00fe'), (17, 'application/json', '\xff00fe'),
               (18, 'text/plain', '\x61006200'), (19, 'application/json', '\x7b7d00'), (20, 'text/plain', '\xe282ac'),
               (21, 'text/plain', '\xc3'), (22, 'application/json', '{"a": 1, "a": 2}')) v (n, type, sent),
       regress_dwf_alice.body(:'token', jsonb_build_object('headers', jsonb_build_object('content-TYPE', type),
                                                           'body_base64', encode(sent, 'base64'))) b
 ORDER BY n;
-- a byte order mark is passed over in JSON; what is not what its type says has
-- the reason beside it; text is what its charset says
SELECT n, replace(left((p->'body')::text, 30), e'\ufeff', 'BOM ') AS body, p->>'body_error' AS body_error, p->>'body_base64' = encode(sent, 'base64') AS exact
  FROM (VALUES (1, 'application/json', '\xefbbbf7b2261223a317d'::bytea), (2, 'application/json', '\xefbbbf'), (3, 'application/json', '\xefbbbf7b'),
               (4, 'text/plain', '\xefbbbf61'), (5, 'application/json', '{"a": "\\u0000"}'), (6, 'application/json', '{"a": "\\ud83d"}'),
               (7, 'application/json', '{"a": "\\ud83d\\ude00"}'), (8, 'application/json', '{"a": 1e1000}'), (9, 'application/json', '{"a": 1e200000}'),
               (10, 'application/json', '{'), (11, 'application/json', ''), (12, 'application/json', '\x22ff22'), (13, 'application/octet-stream', '\x22ff22'),
               (14, 'application/json; charset=iso-8859-1', '\x22c3a922'), (15, 'text/plain; charset=ISO-8859-1', '\xe9'),
               (16, 'text/plain; format=flowed;Charset="windows-1252"', '\x80'), (17, 'text/plain; charset=koi8-r', '\xc1'),
               (18, 'text/plain; charset=utf-16', '\xfeff0061'), (19, 'text/plain; charset=nonsense', '\x61'), (20, 'text/plain; charset=nonsense', '\xc3a9'),
               (21, 'text/plain; charset=us-ascii', '\xc3a9'), (22, 'text/plain; charset=Shift_JIS', '\x82a0'), (23, 'text/plain; charset=', '\xc3a9'),
               (24, 'text/plain; charset=' || repeat('x', 1000), '\x61'), (25, 'text/plain; charset=SQL_ASCII', '\xe9')) v (n, type, sent),
       LATERAL (SELECT wf_resume_webhook(:'token', jsonb_build_object('headers', jsonb_build_object('content-type', type),
                                                                      'body_base64', encode(sent, 'base64'))) OFFSET 0) r,
       LATERAL (SELECT wf_await_hook(:'token', '0') WHERE r IS NOT NULL) AS a (p)
 ORDER BY n;
-- likewise the bytes of a body that is given
SELECT n, p->'body' AS body, decode(p->>'body_base64', 'base64') AS bytes, p->'body_error' AS body_error
  FROM (VALUES (1, '{"body": "é", "headers": {"content-type": "text/plain; charset=iso-8859-1"}}'::jsonb),
               (2, '{"body": "€", "headers": {"content-type": "text/plain; charset=iso-8859-1"}}'),
               (3, '{"body": "é", "headers": {"content-type": "application/json; charset=iso-8859-1"}}'),
               (4, '{"body": "é", "headers": {"content-type": "text/plain; charset=nonsense"}}'),
               (5, '{"body": "{", "body_base64": "ew==", "body_error": "no end"}')) v (n, request),
       LATERAL (SELECT wf_resume_webhook(:'token', request) OFFSET 0) r,
       LATERAL (SELECT wf_await_hook(:'token', '0') WHERE r IS NOT NULL) AS a (p)
 ORDER BY n;
-- content that is encoded is refused, by the response
SELECT coding, wf_resume_webhook(:'token', jsonb_build_object('headers', jsonb_build_object('Content-Encoding', coding)))
  FROM unnest('{gzip,x-gzip,br,identity,IDENTITY,"identity, gzip","",NULL}'::text[]) coding;
SELECT count(wf_await_hook(:'token', '0')) AS delivered FROM generate_series(1, 8);
SELECT wf_resume_webhook(:'token', '{"headers": {"content-encoding": "gzip", "idempotency-key": "encoded"}}')->'status' AS refused,
       wf_resume_webhook(:'token', '{"headers": {"idempotency-key": "encoded"}, "body": "plain"}')->'status' AS taken, wf_await_hook(:'token', '0')->'body' AS body;
SELECT test.state($$SELECT wf_resume_webhook('no such', '{"headers": {"content-encoding": "gzip"}}')$$);
-- deeper than the stack, longer than a line of base64
SELECT left(body->>0, 5) AS text, octet_length(bytes)
  FROM regress_dwf_alice.body(:'token', jsonb_build_object('headers', '{"content-type": "application/json"}'::jsonb, 'body_base64',
                                                           encode(repeat('[', 100000)::bytea, 'base64')));
SELECT octet_length(bytes), position(E'\n' in body_base64) AS line_end, length(body->>0)
  FROM regress_dwf_alice.body(:'token', jsonb_build_object('body', repeat('€', 1000)));
-- from the body; both given stay as they are
SELECT request, b.* FROM unnest(ARRAY['{"body": "é\n"}', '{"body": {"b": 1, "a": [2]}}', '{"body": 1.50}', '{"body": true}',
  '{"body": null}', '{"body": ""}', '{"body": [], "headers": {"content-type": "text/plain"}}',
  '{"body": "1", "headers": {"content-type": "application/json"}}',
  '{"body": "x", "body_base64": "eQ=="}', '{"body": null, "body_base64": "eQ=="}', '{"body": 1, "body_base64": null}',
  '{"body_base64": "e\nQ =="}', '{"headers": null, "query": {"a": [1]}}'
  ]::jsonb[]) request, regress_dwf_alice.body(:'token', request) b;
SELECT test.try(format('SELECT wf_resume_webhook(%L, %L)', :'token', request))
  FROM unnest(ARRAY[NULL, 'null', '1', '[]', '"x"', '{"headers": []}', '{"headers": "x"}', '{"method": 1}', '{"url": {}}',
  '{"path": false}', '{"received_at": 1}', '{"body_base64": 1}', '{"body_base64": "!"}', '{"body_base64": "a"}', '{"body_base64": "é"}',
  '{"headers": {"idempotency-key": 1}}', '{"headers": {"Idempotency-Key": ""}}']) request;
SELECT test.try(format('SELECT wf_resume_webhook(%L, ''{}'')', token))
  FROM unnest(ARRAY[NULL, '', 'no such', repeat('x', 512), repeat('x', 513)]) token;
SELECT wf_create_hook('a hook'), test.try($$SELECT wf_resume_webhook('a hook', '{}')$$);
-- a webhook is a hook
SELECT wf_resume_hook(:'token', '"raw"'), wf_await_hook(:'token'), test.state(format('SELECT wf_create_hook(%L)', :'token'));

-- a request that is repeated is one
SELECT wf_resume_webhook(:'token', '{"headers": {"Idempotency-Key": "k"}, "body": 1}'),
       wf_resume_webhook(:'token', '{"headers": {"idempotency-key": "k"}, "body": 2}');
SELECT wf_await_hook(:'token', '0')->'body' AS body, wf_await_hook(:'token', '0') AS none;
SELECT test.try(format('SELECT wf_resume_webhook(%L, %L)', :'token', jsonb_build_object('headers', jsonb_build_object('idempotency-key', repeat('k', n)))))
  FROM unnest('{512,513}'::int[]) n;

-- a validator sees the request as it will be delivered
CREATE FUNCTION regress_dwf_alice.signed(request jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF request->'headers'->>'x-signature' IS DISTINCT FROM encode(sha256(decode(request->>'body_base64', 'base64')), 'hex') THEN
        RAISE EXCEPTION 'wrong signature' USING ERRCODE = '28000';
    END IF;
    RETURN request->'body' || jsonb_build_object('id', (request->>'request_id')::bigint > 0);
END $$;
SELECT token AS signed FROM wf_create_webhook(validator => 'regress_dwf_alice.signed') \gset
SELECT test.try(format('SELECT wf_resume_webhook(%L, %L)', :'signed', jsonb_build_object('body', '{"a": 1}'::jsonb, 'headers',
         jsonb_build_object('X-Signature', encode(sha256(signed::bytea), 'hex')))))
  FROM unnest('{"{\"a\": 2}","{\"a\": 1}"}'::text[]) signed;
SELECT wf_await_hook(:'signed', '0'), wf_await_hook(:'signed', '0') AS none;

-- ... and can name the key by which a request is the same again
CREATE FUNCTION regress_dwf_alice.keyed(request jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT CASE WHEN request->'body' ? 'id' THEN jsonb_set(request, '{headers,idempotency-key}', request->'body'->'id')
                WHEN request->'body' ? 'as' THEN request->'body'->'as' ELSE request END
$$;
SELECT token AS keyed FROM wf_create_webhook('"manual"', validator => 'regress_dwf_alice.keyed') \gset
SELECT n, body, dense_rank() OVER (ORDER BY wf_resume_webhook(:'keyed', jsonb_build_object('body', body, 'headers',
                                            jsonb_strip_nulls(jsonb_build_object('idempotency-key', key))))->'request_id') AS request
  FROM (VALUES (1, NULL, '{"id": "evt"}'::jsonb), (2, NULL, '{"id": "evt"}'), (3, 'other', '{"id": "evt"}'), (4, NULL, '{"id": 7}'), (5, NULL, '{"id": "7"}'),
               (6, '7', '{"x": 1}'), (7, '8', '{"as": 1}'), (8, '8', '{"as": {"headers": 2}}'), (9, '8', '{"as": {"headers": {"idempotency-key": null}}}'),
               (10, NULL, '{"id": null}'), (11, NULL, '{"id": [1]}')) v (n, key, body)
 ORDER BY n;
SELECT test.try(format('SELECT wf_resume_webhook(%L, %L)', :'keyed', jsonb_build_object('headers', '{}'::jsonb, 'body', jsonb_build_object('id', id))))
  FROM unnest(ARRAY['', repeat('x', 513)]) id;
SELECT count(wf_await_hook(:'keyed', '0')) AS delivered FROM generate_series(1, 11);

-- "manual": a request is held until it is answered, once
SELECT token AS manual FROM wf_create_webhook('"manual"') \gset
SELECT wf_resume_webhook(:'manual', '{"headers": {"idempotency-key": "k"}}') AS held \gset
SELECT :'held'::jsonb->'status' AS status, :'held'::jsonb->>'request_id' AS request_id,
       (SELECT count(*) FROM jsonb_each(:'held')) AS keys,
       wf_resume_webhook(:'manual', '{"headers": {"idempotency-key": "k"}}') = :'held' AS repeated,
       wf_resume_webhook(:'manual', '{}') <> :'held' AS another \gset
SELECT :status AS status, :keys AS keys, :'repeated' AS repeated, :'another' AS another;
SELECT (wf_await_hook(:'manual')->>'request_id')::bigint = :request_id AS same;
SELECT (wf_await_hook(:'manual')->>'request_id')::bigint AS second \gset
SELECT wf_await_response(:'manual', :request_id, '1 ms') AS not_yet;
CALL wf_await_response(:'manual', :request_id, '1 ms', NULL);
SELECT wf_respond(:request_id, 418, '{"X-A": "b"}', 'a teapot, é');
CALL wf_await_response(:'manual', :request_id, NULL, NULL);
SELECT wf_await_response(:'manual', :request_id, '0') = wf_await_response(:'manual', :request_id) AS again;
SELECT wf_resume_webhook(:'manual', '{"headers": {"idempotency-key": "k"}}') = :'held' AS repeated;
SELECT test.try('SELECT wf_respond(0)') AS unknown,
       replace(test.try(format('SELECT wf_respond(%s)', :request_id)), :'request_id', '<id>') AS twice;
-- rolled back is not answered
BEGIN;
SELECT wf_respond(:second);
SELECT wf_await_response(:'manual', :second);
ROLLBACK;
SELECT wf_await_response(:'manual', :second, '0');
-- arguments; the defaults
SELECT test.try(format(call, :second)) FROM unnest(ARRAY[
  'SELECT wf_respond(NULL)', 'SELECT wf_respond(-1)', 'SELECT wf_respond(%s, NULL)', 'SELECT wf_respond(%s, 99)', 'SELECT wf_respond(%s, 600)',
  'SELECT wf_respond(%s, 200, ''[]'')', 'SELECT wf_respond(%s, 200, ''"x"'')', 'SELECT wf_respond(%s, 200, ''null'')', 'SELECT wf_respond(%s, 200, ''{"a": 1}'')',
  'SELECT wf_respond(%s, 200, ''{"a": "b\nc"}'')', 'SELECT wf_respond(%s, 200, ''{"a\n": "b"}'')',
  'SELECT wf_respond(%s, 200, ''{"a": "b\u001bc"}'')', 'SELECT wf_respond(%s, 199)',
  format('SELECT wf_respond(%%s, 200, %L)', jsonb_build_object('a', repeat('b', 8192)))
  ]) call;
BEGIN;
SELECT wf_respond(:second, headers => jsonb_build_object('a', repeat('b', 8191)));
ROLLBACK;
SELECT wf_respond(:second, headers => NULL, body => NULL), wf_await_response(:'manual', :second);
SELECT test.try(call) FROM unnest(ARRAY[
  format('SELECT wf_await_response(NULL, %s)', :second), format('SELECT wf_await_response(%L, NULL)', :'manual'),
  format('SELECT wf_await_response(%L, 0)', :'manual'),
  format('SELECT wf_await_response(%L, %s, ''-1 s'')', :'manual', :second)
  ]) call;
SELECT test.state(format('SELECT wf_await_response(%L, %s)', :'token', :second)) AS another_token;
-- for who may act as the workflow; the wait wants the token only
SELECT wf_resume_webhook(:'manual', '{}')->>'request_id' AS third \gset
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.state(format('SELECT wf_respond(%s)', :third)), wf_await_response(:'manual', :second), wf_await_response(:'manual', :third, '1 ms') AS none;
SELECT count(*) FROM durable_wf.request;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_alice;
-- the webhook is gone, what was taken can still be answered; of the
-- rest, the answer says that it is too late, and it is an answer all the same: one
SELECT wf_resume_webhook(:'manual', '{}')->>'request_id' AS fourth \gset
SELECT (wf_await_hook(:'manual')->>'request_id')::bigint = :third AS same;
SELECT wf_dispose_hook(:'manual');
SELECT wf_respond(:third, 201), wf_await_response(:'manual', :third);
SELECT wf_await_response(:'manual', :fourth) AS none;
SELECT wf_respond(:fourth) AS in_time, test.state(format('SELECT wf_respond(%s)', :fourth)) AS twice;
-- likewise what is open when the workflow ends; another's stays another's
SELECT token AS manual FROM wf_create_webhook('"manual"') \gset
SELECT wf_resume_webhook(:'manual', '{}')->>'request_id' AS fifth \gset
SELECT wf_complete();
SELECT wf_await_response(:'manual', :fifth) AS none, test.state(format('SELECT wf_resume_webhook(%L, ''{}'')', :'manual')) AS gone;
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.state(format('SELECT wf_respond(%s)', :fifth));
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_respond(:fifth) AS in_time, test.state(format('SELECT wf_respond(%s)', :fifth)) AS twice;

-- for the gateway
RESET SESSION AUTHORIZATION;
SELECT wf_start('web2');
SET durable_wf.workflow_id = 'web2';
SELECT token AS manual FROM wf_create_webhook('"manual"') \gset
SELECT durable_wf.resume_held(:'manual', '{"headers": {"idempotency-key": "k"}}')->>'request_id' AS one \gset
SELECT durable_wf.resume_held(:'manual', '{}')->>'request_id' AS two, durable_wf.resume_held(:'manual', '{}')->>'request_id' AS three,
       durable_wf.resume_held(:'manual', '{}')->>'request_id' AS four \gset
SELECT durable_wf.resume_held(token, '{}') FROM wf_create_webhook();
SELECT held_by_gateway, expires_at > clock_timestamp() AS expires, count(*) FROM durable_wf.request WHERE workflow_id = 'web2' GROUP BY 1, 2;
SELECT * FROM durable_wf.take_answers();
SELECT wf_respond(:one, body => 'one'), wf_respond(:two, body => 'two');
SELECT request_id = :one AS one, response FROM durable_wf.take_answers(1);
SELECT request_id = :two AS two, response FROM durable_wf.take_answers();
SELECT * FROM durable_wf.take_answers();
-- asked again, told again
SELECT (durable_wf.resume_held(:'manual', '{"headers": {"idempotency-key": "k"}}')->>'request_id')::bigint = :one AS one;
SELECT request_id = :one AS one, response FROM durable_wf.take_answers();
-- its time is over: nobody waits for it, however much comes meanwhile
UPDATE durable_wf.request SET expires_at = clock_timestamp() WHERE request_id = :three;
SELECT durable_wf.resume_held(:'manual', '{}') IS NOT NULL AS held;
SELECT wf_respond(:three) AS in_time, test.state(format('SELECT wf_respond(%s)', :three)) AS twice;
SELECT request_id = :three AS three, response FROM durable_wf.take_answers();
-- an answer is forgotten
UPDATE durable_wf.request SET expires_at = clock_timestamp() WHERE request_id = :three;
SELECT durable_wf.resume_held(:'manual', '{}') IS NOT NULL AS held;
SELECT count(*) FROM durable_wf.request WHERE request_id = :three;
SELECT test.state(format('SELECT wf_respond(%s)', :three)) AS forgotten;
SELECT wf_complete();
SELECT request_id = :four AS four, response FROM durable_wf.take_answers() ORDER BY request_id;
SELECT * FROM durable_wf.take_answers();
SELECT test.try('SELECT count(*) FROM durable_wf.take_answers(NULL)');
RESET durable_wf.workflow_id;

-- attached: the token and the URL are what they were, and so is all else
SELECT wf_start('web3'), wf_attach('web3');
SELECT token AS first, url AS first_url FROM wf_create_webhook('"manual"') \gset
SELECT wf_resume_webhook(:'first', '{"method": "GET"}')->>'request_id' AS request \gset
SELECT wf_await_hook(:'first')->>'method' AS method;
SELECT wf_respond(:request, 200, '{}', 'once');
SELECT wf_await_response(:'first', :request);
SELECT wf_detach();
SELECT wf_attach('web3');
SELECT token = :'first' AS token, url = :'first_url' AS url FROM wf_create_webhook('"manual"');
SELECT (wf_resume_webhook(:'first', '{"method": "GET"}')->>'request_id')::bigint = :request AS request;
SELECT wf_await_hook(:'first')->>'method' AS method;
SELECT wf_respond(:request, 200, '{}', 'once');
SELECT wf_await_response(:'first', :request);
SELECT count(*) FROM durable_wf.hook WHERE workflow_id = 'web3';
SELECT count(*) FROM durable_wf.message WHERE workflow_id = 'web3';
SELECT step_no, split_part(name, '(', 1) AS name FROM wf_list_steps('web3') ORDER BY 1;
-- recorded when it returned nothing: it had answered
SELECT wf_detach();
UPDATE durable_wf.step SET result = '{}' WHERE workflow_id = 'web3' AND function = 'wf_respond';
SELECT wf_attach('web3');
SELECT token = :'first' AS token FROM wf_create_webhook('"manual"');
SELECT (wf_resume_webhook(:'first', '{"method": "GET"}')->>'request_id')::bigint = :request AS request;
SELECT wf_await_hook(:'first')->>'method' AS method;
SELECT wf_respond(:request, 200, '{}', 'once');
SELECT wf_detach();
SELECT wf_cancel('web3');

-- forms
SELECT form, wf_form(form) FROM unnest(ARRAY['a=1&b=2', 'a=b+c%20d%2B%26%3D', 'a=1&b=&a=2&a=', 'a', '=x', '&&a=1&&', '', 'a=b=c', 'a%3Db=c',
  '%c3%A9=%E2%82%ac', 'é=€', 'a=%ff', '%ff=1', 'a=%00', 'a%00=1', 'a=%', 'a=%4', 'a=%zz%41', 'a=%c3', 'a=%c3é', 'a=%ed%a0%80', 'ab=1&a=2&b=3', 'a=1&%61=2', 'a="\n', NULL]) form;
SELECT length(wf_form(string_agg(n || '=' || n, '&'))::text) AS long, wf_form(repeat('x=1&', 1000)) = jsonb_build_object('x', array_fill('1'::text, '{1000}')) AS same
  FROM generate_series(1, 10000) n;

DROP FUNCTION regress_dwf_alice.keyed(jsonb), regress_dwf_alice.url(), regress_dwf_alice.respond(jsonb), regress_dwf_alice.body(text, jsonb), regress_dwf_alice.signed(jsonb);
DO $$
BEGIN
    FOR attempt IN 1 .. 5000 LOOP
        PERFORM wf_prune('0');
        EXIT WHEN NOT EXISTS (SELECT FROM durable_wf.workflow WHERE workflow_id LIKE 'web%');
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
