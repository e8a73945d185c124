\if :client_id
SELECT wf_recv('topic', '60 s', 'ping');
SELECT wf_send('pong', '{"a": 1}', 'topic');
\else
SELECT wf_send('ping', '{"a": 1}', 'topic');
SELECT wf_recv('topic', '60 s', 'pong');
\endif
