SELECT wf_get_event('event', 'key 50', '0');
