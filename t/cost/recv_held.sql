SELECT wf_recv('topic', '0', 'held');
