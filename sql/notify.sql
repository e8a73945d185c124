-- Wait for event and notify, as far as one session can: wf_wait_for_event,
-- wf_notify, wf_event_waiters.  (Broadcasts need a second one: see specs/.)
\pset null '(null)'
SET SESSION AUTHORIZATION regress_dwf_alice;
SELECT wf_start('note'), wf_start('note-2');

-- addressed to a workflow it is kept until that workflow waits; one row
SELECT workflow_id, message_id IS NOT NULL AS sent, waiting_since, deadline
  FROM wf_notify('e', '{"n": 1}', 'note');
SELECT workflow_id, message_id IS NOT NULL AS sent
  FROM wf_notify(event_id => 'e', event_data => '{"n": 2}', workflow_id => 'note');
SELECT * FROM wf_wait_for_event('e', '0', 'note-2');
SELECT * FROM wf_wait_for_event('other', '0', 'note');
SELECT * FROM wf_wait_for_event('e', '0', 'note');
SET durable_wf.workflow_id = 'note';
SELECT * FROM wf_wait_for_event(event_id => 'e');
-- one row always
SELECT * FROM wf_wait_for_event('e', '0');
SELECT * FROM wf_wait_for_event(event_id => 'e', timeout => '10 ms',
                                workflow_id => 'note');
SELECT wf_wait_for_event('e', '10 ms');

-- null, by default and given, is JSON null
SELECT count(*) FROM wf_notify('e', workflow_id => 'note');
SELECT count(*) FROM wf_notify('e', NULL, 'note');
SELECT count(*) FROM wf_notify('e', 'null', 'note');
SELECT wf_wait_for_event('e', '0') FROM generate_series(1, 4);

-- to nobody: no rows, and nothing is kept
SELECT * FROM wf_notify('e', '1');
SELECT * FROM wf_notify('e');
SELECT * FROM wf_notify('e', NULL, NULL);
SELECT * FROM wf_wait_for_event('e', '0');
SELECT * FROM wf_event_waiters(event_id => 'e');

-- an event id is not a topic, not a key of an event, and nothing but itself
SELECT wf_send('note', '"message"', 'e') IS NOT NULL AS sent;
SELECT wf_set_event('e', '"event"');
SELECT count(*) FROM wf_notify('E', '"upper case"', 'note');
SELECT * FROM wf_wait_for_event('e', '0');
SELECT count(*) FROM wf_notify('e', '"notification"', 'note');
SELECT wf_recv('e', '0'), wf_get_event('note', 'e', '0');
SELECT * FROM wf_wait_for_event('e', '0');
SELECT * FROM wf_wait_for_event('E', '0');

-- with the transaction
BEGIN;
SELECT count(*) FROM wf_notify('e', '"rolled back"', 'note');
ROLLBACK;
SELECT * FROM wf_wait_for_event('e', '0');
SELECT count(*) FROM wf_notify('e', '"back again"', 'note');
BEGIN;
SELECT * FROM wf_wait_for_event('e', '0');
ROLLBACK;
SELECT * FROM wf_wait_for_event('e', '0');

\a \t
-- the workflow is unknown, cancelled, finished
SELECT test.try($$SELECT wf_notify('e', '1', 'note-no')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', workflow_id => 'note-no')$$);
SELECT count(*) FROM wf_notify('e', '1', 'note');
SELECT wf_complete();
SELECT wf_cancel('note-2');
SELECT test.try($$SELECT wf_notify('e', '1', 'note')$$);
SELECT test.try($$SELECT wf_notify('e', '1', 'note-2')$$);
SELECT test.try($$SELECT wf_wait_for_event('e')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', '0')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', workflow_id => 'note-2')$$);

-- bad arguments
SELECT test.try($$SELECT wf_notify(NULL)$$);
SELECT test.try($$SELECT wf_notify('')$$);
SELECT test.try($$SELECT wf_notify('e', '1', '')$$);
SELECT test.state($$SELECT wf_notify('e', '{')$$);
SELECT test.try($$SELECT wf_wait_for_event(NULL)$$);
SELECT test.try($$SELECT wf_wait_for_event('')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', '-1 s')$$);
SELECT test.try($$SELECT wf_wait_for_event('e', '0', '')$$);
SELECT test.try($$SELECT wf_event_waiters(NULL)$$);
SELECT test.try($$SELECT wf_event_waiters('')$$);
SELECT count(*) FROM wf_waiters;
