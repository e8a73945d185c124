SELECT wf_set_event('key 50', '{"a": 1}', 'event');
