INSERT INTO plain_message (workflow_id, door, key, payload) SELECT 'send', 'm', 'topic', '{"a": 1}' FROM generate_series(1, 1000);
