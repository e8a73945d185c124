SELECT count(wf_send('send', '{"a": 1}', 'topic')) FROM generate_series(1, 1000);
