-- wf_wait_any: whichever of several things comes first.
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('wa'), wf_start('wa-child'), wf_start('wa-done');
SET durable_wf.workflow_id = 'wa-done';
SELECT wf_set_event('k', '"done k"'), wf_complete('{"total": 7}');
SET durable_wf.workflow_id = 'wa-child';
SELECT wf_set_event('k', '"k"');
SET durable_wf.workflow_id = 'wa';
SELECT wf_create_hook('wa-token'), wf_resume_hook('wa-token', '"hook"');
SELECT count(wf_send('wa', to_jsonb(topic), topic)) FROM unnest('{b,a,"",NULL}'::text[]) topic;
SELECT workflow_id FROM wf_notify('e', '"notified"', 'wa');

-- each source alone, as the call that it stands for
SELECT * FROM wf_wait_any('[{"topic": "a"}]');
SELECT * FROM wf_wait_any('[{"topic": ""}]', '0');
SELECT * FROM wf_wait_any('[{"topic": null}]', NULL);
SELECT * FROM wf_wait_any('[{"event_id": "e"}]');
SELECT * FROM wf_wait_any('[{"token": "wa-token"}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-child", "key": "k"}]');
SELECT * FROM wf_wait_any('[{"key": "none", "workflow_id": "wa-done"}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-done"}]');
-- taken, or still there: an event and a result are read
SELECT * FROM wf_wait_any('[{"topic": "a"}, {"topic": ""}, {"topic": null}, {"event_id": "e"}, {"token": "wa-token"}]', '0');
SELECT * FROM wf_wait_any('[{"topic": "a"}, {"workflow_id": "wa-child"}, {"workflow_id": "wa-child", "key": "none"},
                            {"workflow_id": "no such", "key": "k"}]', '10 ms');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-child", "key": "k"}]', '0');

-- the first of the list, not the oldest; exactly one is taken
SELECT wf_send('wa', '"a"', 'a') > 0, wf_resume_hook('wa-token', '"hook"');
SELECT workflow_id FROM wf_notify('e', '"notified"', 'wa');
SELECT door, key, depth FROM wf_mailbox WHERE workflow_id = 'wa' ORDER BY 1, 2;
SELECT * FROM wf_wait_any(sources => '[{"topic": "none"}, {"event_id": "e"}, {"topic": "a"}, {"topic": "b"}, {"token": "wa-token"}]',
                          timeout => '1 s', workflow_id => 'wa');
SELECT door, key, depth FROM wf_mailbox WHERE workflow_id = 'wa' ORDER BY 1, 2;
SELECT * FROM wf_wait_any('[{"token": "wa-token"}, {"event_id": "e"}, {"topic": "a"}, {"topic": "b"}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-done"}, {"topic": "a"}]');
SELECT * FROM wf_wait_any('[{"event_id": "e"}, {"token": "wa-token"}, {"topic": "a"}, {"topic": "a"}]');
SELECT * FROM wf_wait_any('[{"event_id": "e"}, {"topic": "a"}, {"topic": "b"}, {"topic": "b"}]');
SELECT door, key, depth FROM wf_mailbox WHERE workflow_id = 'wa' ORDER BY 1, 2;
-- rolled back, it is there again
SELECT wf_send('wa', '{"n": [1, null]}', 'a') > 0, wf_send('wa', 'null', 'b') > 0;
BEGIN;
SELECT * FROM wf_wait_any('[{"topic": "a"}, {"topic": "b"}]');
SELECT *, value IS NULL AS timed_out FROM wf_wait_any('[{"topic": "a"}, {"topic": "b"}]');
SELECT * FROM wf_wait_any('[{"topic": "a"}, {"topic": "b"}]', '0');
ROLLBACK;
CALL wf_wait_any('[{"topic": "b"}, {"topic": "a"}]', '1 s', NULL, NULL, NULL);
CALL wf_wait_any('[{"topic": "b"}, {"topic": "a"}]', '1 s', 'wa', NULL, NULL);
CALL wf_wait_any('[{"topic": "b"}, {"topic": "a"}]', '10 ms', NULL, NULL, NULL);

-- the outcomes of workflows
SELECT wf_start('wa-fails'), wf_start('wa-gone');
SET durable_wf.workflow_id = 'wa-fails';
SELECT wf_fail('no "way"');
SET durable_wf.workflow_id = 'wa';
SELECT wf_cancel('wa-gone');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-fails"}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa"}, {"workflow_id": "wa-gone"}]');
-- streams: the next item, or the end; read, not taken
SELECT wf_start('wa-stream');
SELECT wf_write_stream('s', to_jsonb(v), 'wa-stream') FROM unnest('{one,two}'::text[]) v;
SELECT * FROM wf_wait_any('[{"topic": "a"}, {"workflow_id": "wa-stream", "stream": "s", "after": 0}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-stream", "stream": "s"}]', '0');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-stream", "stream": "s", "after": 1}, {"workflow_id": "wa-done"}]');
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-stream", "stream": "s", "after": 2}]', '10 ms');
SELECT wf_write_stream('s', NULL, 'wa-stream'), wf_close_stream('s', 'wa-stream');
CALL wf_wait_any('[{"workflow_id": "wa-stream", "stream": "s", "after": 2}]', '1 s', NULL, NULL, NULL);
CALL wf_wait_any('[{"workflow_id": "wa-stream", "stream": "s", "after": 3}]', '1 s', NULL, NULL, NULL);
SELECT count(*) FROM wf_read_stream('wa-stream', 's', timeout => '0');
-- without a current workflow, where none is needed
RESET durable_wf.workflow_id;
SELECT * FROM wf_wait_any('[{"workflow_id": "wa-child", "key": "k"}]');
SELECT * FROM wf_wait_any('[{"token": "wa-token"}, {"workflow_id": "wa-child"}]', '10 ms');

-- 128 sources, as long as can be
SELECT wf_send('wa', '"last"', repeat('x', 512)) > 0;
SELECT source, value FROM wf_wait_any((SELECT jsonb_agg(jsonb_build_object('topic', rpad(g::text || '.', 512, 'x'))) FROM generate_series(1, 127) g)
  || jsonb_build_array(jsonb_build_object('topic', repeat('x', 512))), '10 ms', 'wa');
SELECT source, value FROM wf_wait_any((SELECT jsonb_agg(jsonb_build_object('event_id', rpad(g::text || '.', 512, 'x'))) FROM generate_series(1, 128) g), '10 ms', 'wa');
SELECT source, value FROM wf_wait_any((SELECT jsonb_agg(jsonb_build_object('workflow_id', 'wa ' || g, 'stream', rpad(g::text || '.', 512, 'x'))) FROM generate_series(1, 128) g), '10 ms');
SELECT source, value FROM wf_wait_any((SELECT jsonb_agg(jsonb_build_object('workflow_id', 'wa ' || g, 'key', rpad(g::text || '.', 512, 'x'))) FROM generate_series(1, 128) g), '10 ms');

\a \t
-- bad arguments
SELECT test.try($$SELECT wf_wait_any(NULL)$$);
SELECT test.try(format('SELECT wf_wait_any(%L, ''0'', ''wa'')', s))
  FROM unnest(ARRAY['null', '7', '"a"', '{}', '{"topic": "a"}', '[]', '[[]]', '["a"]', '[{}]', '[null]',
       '[{"topic": "a"}, {"tropic": "a"}]', '[{"topic": "a"}, {"topic": "a", "event_id": "e"}]',
       '[{"topic": "a"}, {"topic": "a", "x": null}]', '[{"key": "k"}]', '[{"workflow_id": "w", "key": "k", "token": "t"}]',
       '[{"workflow_id": "w", "after": 1}]', '[{"stream": "s"}]', '[{"workflow_id": "w", "key": "k", "stream": "s"}]', '[{"topic": "a", "after": 1}]',
       '[{"workflow_id": "w", "stream": null}]', '[{"workflow_id": "w", "stream": ""}]', '[{"workflow_id": "w", "stream": "s", "after": -1}]',
       '[{"workflow_id": "w", "stream": "s", "after": 1.5}]', '[{"workflow_id": "w", "stream": "s", "after": "1"}]',
       '[{"workflow_id": "w", "stream": "s", "after": null}]', '[{"workflow_id": "w", "stream": "s", "after": 1e30}]', '[{"topic": 1}]', '[{"topic": ["a"]}]', '[{"topic": {"a": 1}}]', '[{"event_id": null}]', '[{"event_id": ""}]',
       '[{"token": null}]', '[{"token": ""}]', '[{"topic": "a"}, {"workflow_id": null}]', '[{"workflow_id": ""}]',
       '[{"workflow_id": "w", "key": null}]', '[{"workflow_id": null, "key": "k"}]', '[{"workflow_id": "w", "key": ""}]']) s;
SELECT test.try(format('SELECT wf_wait_any(%L, ''0'', ''wa'')', jsonb_build_array(s)))
  FROM (VALUES (jsonb_build_object('topic', repeat('x', 513))), (jsonb_build_object('event_id', repeat('x', 513))),
               (jsonb_build_object('token', repeat('x', 513))), (jsonb_build_object('workflow_id', repeat('x', 257)))) v (s);
SELECT test.try($$SELECT wf_wait_any((SELECT jsonb_agg('{"topic": "a"}'::jsonb) FROM generate_series(1, 129)), '0', 'wa')$$);
SELECT test.try($$SELECT wf_wait_any('[{"topic": "a"}]', '-1 s', 'wa')$$);
-- what the single calls refuse
SELECT test.try($$SELECT wf_wait_any('[{"topic": "a"}]')$$);
SELECT test.try($$SELECT wf_wait_any('[{"event_id": "e"}]')$$);
SELECT test.try($$SELECT wf_wait_any('[{"topic": "a"}]', '0', 'no such')$$);
SELECT test.try($$SELECT wf_wait_any('[{"topic": "a"}]', '0', 'wa-gone')$$);
SELECT test.try($$SELECT wf_wait_any('[{"event_id": "a"}]', '0', 'wa-done')$$);
SELECT test.try($$SELECT wf_wait_any('[{"workflow_id": "no such"}]', '0')$$);
SELECT test.try($$SELECT wf_wait_any('[{"token": "no such"}]', '0')$$);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION regress_dwf_bob;
SELECT test.try($$SELECT wf_wait_any('[{"topic": "a"}]', '0', 'wa')$$);
SELECT test.try($$SELECT wf_wait_any('[{"event_id": "a"}]', '0', 'wa')$$);
SELECT test.try($$SELECT wf_wait_any('[{"token": "wa-token"}]', '0')$$);
SELECT test.try($$SELECT wf_wait_any('[{"workflow_id": "wa-done"}]', '0')$$);
SELECT test.try($$SELECT wf_wait_any('[{"workflow_id": "wa-done", "key": "k"}]', '0')$$);
RESET SESSION AUTHORIZATION;

-- as a step it is recorded with what it took, and named by its sources
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('wa-step'), wf_send('wa-step', '"a"', 'a') > 0, wf_send('wa-step', '"b"', 'b') > 0;
SELECT wf_attach('wa-step');
SELECT wf_wait_any('[{"topic": "x"}, {"topic": "b"}, {"topic": "a"}]');
SELECT wf_wait_any('[{"topic": "b"}]', '0');
CALL wf_wait_any('[{"workflow_id": "wa-done"}, {"topic": "a"}]', '1 s', NULL, NULL, NULL);
SELECT wf_detach();
SELECT wf_send('wa-step', '"later"', 'b') > 0;
SELECT wf_attach('wa-step');
SELECT wf_wait_any('[{"topic": "x"}, {"topic": "b"}, {"topic": "a"}]');
SELECT wf_wait_any('[{"topic": "b"}]', '0');
CALL wf_wait_any('[{"workflow_id": "wa-done"}, {"topic": "a"}]', '1 s', NULL, NULL, NULL);
SELECT wf_wait_any('[{"topic": "a"}, {"topic": "b"}]');
SELECT wf_wait_any('[{"topic": "b"}]');
SELECT wf_detach();
SELECT step_no, name, output FROM wf_list_steps('wa-step');
SELECT wf_attach('wa-step');
SELECT test.try($$SELECT wf_wait_any('[{"topic": "b"}, {"topic": "x"}, {"topic": "a"}]')$$);
SELECT wf_detach();
RESET SESSION AUTHORIZATION;
\a \t
\pset null ''
