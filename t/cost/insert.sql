INSERT INTO plain_message (workflow_id, door, key, payload) VALUES ('send', 'm', 'topic', '{"a": 1}');
