SELECT wf_start(NULL, NULL, '1', 'queue');
