-- Dead letters, without a receiver that gives anything back: the tests of
-- counts are in t/036_dead_letters.pl.
SET client_min_messages = warning;
SELECT wf_start('dead'), wf_start('dead-ended'), wf_start('dead-other');
SHOW durable_wf.max_deliveries;
SELECT test.try($$SET durable_wf.max_deliveries = 1$$);
INSERT INTO durable_wf.dead_letter (workflow_id, door, key, message_id, payload, deliveries, created_at)
SELECT id, door, key, nextval('durable_wf.message_id_seq'), to_jsonb(concat(id, door, key)), 3, now()
  FROM unnest('{dead,dead-ended,dead-other}'::text[]) id,
       (VALUES ('m'::"char", 'a'), ('m', 'b'), ('d', ''), ('n', 'e'), ('h', 'no hook')) d (door, key);
SELECT workflow_id, door, key, payload, deliveries, sent_at = died_at AS now FROM wf_dead_letters
 WHERE workflow_id = 'dead' ORDER BY message_id;
-- arguments
SELECT sql, test.try(sql) FROM unnest(ARRAY[
  $$SELECT wf_redrive(NULL)$$,
  $$SELECT wf_redrive('')$$,
  $$SELECT wf_redrive('dead', repeat('x', 513))$$,
  $$SELECT wf_redrive('no such')$$,
  $$SELECT wf_redrive('dead', NULL) FROM set_config('transaction_read_only', 'on', true)$$
]) sql;
-- by topic, then all that can be; what has no hook stays
SELECT wf_redrive('dead', 'a') AS a, wf_redrive('dead', 'a') AS again, wf_redrive('dead', 'no such') AS none;
SELECT wf_redrive('dead', topic => NULL) AS rest, wf_redrive('dead') AS again;
SELECT door, key, depth, deliveries FROM wf_mailbox WHERE workflow_id = 'dead' ORDER BY 1, 2;
SELECT key FROM wf_dead_letters WHERE workflow_id = 'dead';
SELECT wf_create_hook('no hook', workflow_id => 'dead-other');
SELECT wf_redrive('dead') AS not_its_hook, wf_redrive('dead-other') AS all_of_it;
SELECT wf_await_hook('no hook', '0');
-- in front of what was sent later
SELECT wf_send('dead', '"later"', 'a') > 0 AS sent;
SELECT test.peek('dead', 'a');
SELECT wf_recv('a', '0', 'dead'), wf_recv('a', '0', 'dead');
-- the oldest's deliveries are shown
INSERT INTO durable_wf.delivery SELECT workflow_id, door, key, message_id, 2 FROM durable_wf.message WHERE workflow_id = 'dead' AND key = 'b';
SELECT wf_send('dead', '1', 'b') > 0 AS sent;
SELECT key, depth, deliveries FROM wf_mailbox WHERE workflow_id = 'dead' AND door = 'message' ORDER BY 1;
-- a workflow that has ended
SELECT wf_cancel('dead-ended');
SELECT test.try($$SELECT wf_redrive('dead-ended')$$);
SELECT count(*) FROM wf_dead_letters WHERE workflow_id = 'dead-ended';
-- who may see and who may redrive
SELECT wf_start('dead-alice');
SELECT wf_set_owner('dead-alice', 'regress_dwf_alice');
INSERT INTO durable_wf.dead_letter (workflow_id, door, key, message_id, payload, deliveries, created_at)
VALUES ('dead-alice', 'm', 'a', nextval('durable_wf.message_id_seq'), '1', 3, now());
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT workflow_id, key FROM wf_dead_letters;
SELECT count(*) FROM durable_wf.delivery;
SELECT test.state($$SELECT wf_redrive('dead')$$), test.state($$DELETE FROM durable_wf.dead_letter$$), test.state($$DELETE FROM durable_wf.delivery$$);
SELECT wf_redrive('dead-alice'), wf_recv('a', '0', 'dead-alice');
RESET SESSION AUTHORIZATION;
-- a redrive is a step of an attached session
SELECT wf_attach('dead-other');
SELECT wf_redrive('dead');
SELECT wf_detach();
SELECT name, output FROM wf_list_steps('dead-other');
SELECT wf_cancel(id) FROM unnest('{dead,dead-alice,dead-other}'::text[]) id;
