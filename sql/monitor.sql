-- Members of pg_monitor see how many there are of everything, of all owners, and
-- nothing of what is in it.
CREATE ROLE regress_dwf_monitor IN ROLE pg_monitor;
CREATE ROLE regress_dwf_owner;
SET ROLE regress_dwf_owner;
SELECT wf_start('mo-alice', input => '"mo-secret"', attributes => '{"mo-secret": 1}');
SELECT wf_send('mo-alice', '"mo-secret"', 'mo-secret') > 0 AS sent;
SELECT (wf_notify('mo-secret', '"mo-secret"', 'mo-alice')).message_id > 0 AS notified;
SELECT wf_create_hook('mo-secret', workflow_id => 'mo-alice');
SELECT wf_resume_hook('mo-secret', '"mo-secret"');
SELECT wf_start('mo-failed', queue => 'mo-queue'), wf_fail('mo-secret', 'mo-failed');
SELECT wf_start('mo-due', queue => 'mo-queue');
RESET ROLE;
INSERT INTO durable_wf.dead_letter VALUES ('mo-alice', 'h', 'mo-secret', 0, '"mo-secret"', 9, now());
INSERT INTO durable_wf.wait (workflow_id, position, step_no, door, target_id, key)
VALUES ('mo-alice', 0, 1, 'm', 'mo-alice', 'mo-secret');

SET ROLE regress_dwf_monitor;
SELECT owner, body, queue, status, workflows, overdue, oldest_at IS NOT NULL AS since
  FROM wf_stat_workflows WHERE owner = 'regress_dwf_owner' AND (queue = 'mo-queue' OR queue IS NULL AND status = 'PENDING')
 ORDER BY queue, status COLLATE "C";
SELECT owner, door, items, dead_letters, oldest_at IS NOT NULL AS since
  FROM wf_stat_mailboxes WHERE owner = 'regress_dwf_owner' ORDER BY door COLLATE "C";
SELECT owner, door, sessions, suspended, oldest_since IS NOT NULL AS since
  FROM wf_stat_waits WHERE owner = 'regress_dwf_owner' ORDER BY door COLLATE "C";
SELECT count(*) > 5 AS counters FROM wf_stat;
-- not a row of these, though, and nothing of theirs
SELECT count(*) FROM wf_workflows;
SELECT count(*) FROM wf_mailbox;
SELECT count(*) FROM wf_waiters;
SELECT count(*) FROM wf_dead_letters;
SELECT count(*) FROM durable_wf.message;
SELECT test.state($$SELECT wf_recv('mo-secret', '0', 'mo-alice')$$);
SELECT count(*) FROM (SELECT to_jsonb(w)::text FROM wf_stat_workflows w UNION ALL SELECT to_jsonb(m)::text FROM wf_stat_mailboxes m
                      UNION ALL SELECT to_jsonb(a)::text FROM wf_stat_waits a) t (row) WHERE row LIKE '%mo-secret%';
RESET ROLE;
-- others do not
SET ROLE regress_dwf_owner;
SELECT count(*) FROM wf_stat_workflows;
SELECT count(*) FROM wf_stat_mailboxes;
SELECT count(*) FROM wf_stat_waits;
SELECT count(*) FROM durable_wf.stat_workflows();
RESET ROLE;
DELETE FROM durable_wf.workflow WHERE workflow_id LIKE 'mo-%';
DROP ROLE regress_dwf_monitor;
DROP ROLE regress_dwf_owner;
