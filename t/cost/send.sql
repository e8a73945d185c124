SELECT wf_send('send', '{"a": 1}', 'topic');
