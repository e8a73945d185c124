INSERT INTO plain_event VALUES ('event', 'key 50', '{"a": 1}') ON CONFLICT (workflow_id, key) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at;
