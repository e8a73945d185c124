-- A database that is not UTF8: what comes over HTTP is in the encoding that it
-- says, JSON always in UTF-8.
SET client_min_messages = warning;
CREATE DATABASE regress_dwf_latin1 ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0;
\c regress_dwf_latin1
\pset null '(null)'
SET client_encoding = 'UTF8';
CREATE EXTENSION durable_wf;
SELECT wf_start('w');
SELECT token FROM wf_create_webhook(workflow_id => 'w') \gset
SELECT n, p->'body' AS body, length(coalesce(p->'body'->>'a', p->>'body')) AS length, regexp_replace(p->>'body_error', '^(character with|unsupported Unicode).*', 'the server''s words') AS body_error, p->>'body_base64' = encode(sent, 'base64') AS exact
  FROM (VALUES (1, 'application/json', '\x7b2261223a22c3a9227d'::bytea), (2, 'application/json', '\x7b2261223a22e9227d'), (3, 'application/json', '\xefbbbf7b2261223a22c3a9227d'),
               (4, 'application/json', '\x7b2261223a22e282ac227d'), (5, 'application/json', '{"a": "\\u00e9"}'), (6, 'application/json', '{"a": "\\u20ac"}'),
               (7, 'application/json; charset=iso-8859-1', '\x7b2261223a22c3a9227d'), (8, 'text/plain', '\xc3a9'), (9, NULL, '\xc3a9'),
               (10, 'text/plain', '\xe9'), (11, 'text/plain; charset=iso-8859-1', '\xe9'), (12, 'text/plain; charset=windows-1252', '\xe9'),
               (13, 'text/plain; charset=windows-1252', '\x80'), (14, 'text/plain', '\xe282ac'), (15, 'text/plain; charset=nonsense', '\xe9'),
               (16, 'text/plain', '\x61')) v (n, type, sent),
       LATERAL (SELECT wf_resume_webhook(:'token', jsonb_build_object('headers', jsonb_build_object('content-type', type),
                                                                      'body_base64', encode(sent, 'base64'))) OFFSET 0) r,
       LATERAL (SELECT wf_await_hook(:'token', '0') WHERE r IS NOT NULL) AS a (p)
 ORDER BY n;
-- the bytes of a body that is given are those that a sender would have signed
SELECT n, p->'body' AS body, decode(p->>'body_base64', 'base64') AS bytes
  FROM (VALUES (1, '{"body": {"a": "é"}}'::jsonb), (2, '{"body": "é"}'), (3, '{"body": "é", "headers": {"content-type": "text/plain; charset=iso-8859-1"}}'),
               (4, '{"body": {"é": 1}, "headers": {"content-type": "application/json; charset=iso-8859-1"}}')) v (n, request),
       LATERAL (SELECT wf_resume_webhook(:'token', request) OFFSET 0) r,
       LATERAL (SELECT wf_await_hook(:'token', '0') WHERE r IS NOT NULL) AS a (p)
 ORDER BY n;
-- forms
SELECT form, wf_form(form) FROM unnest('{a=%C3%A9,a=é,é=%c3%a9,a=%E2%82%AC,%e2%82%ac=1,é%e2%82%ac=1,a=%e9}'::text[]) form;
\c postgres
SET client_min_messages = warning;
DROP DATABASE regress_dwf_latin1;
