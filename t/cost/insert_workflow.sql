INSERT INTO plain_workflow (workflow_id, owner, queue, input) VALUES (gen_random_uuid()::text, 10::oid, 'queue', '1');
