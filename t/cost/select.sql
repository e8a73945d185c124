SELECT value FROM plain_event WHERE workflow_id = 'event' AND key = 'key 50';
