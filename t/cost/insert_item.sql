INSERT INTO plain_item (workflow_id, stream, value) VALUES ('send', 'stream', '{"a": 1}');
