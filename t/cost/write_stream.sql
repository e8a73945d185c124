SELECT wf_write_stream('stream', '{"a": 1}', 'send');
