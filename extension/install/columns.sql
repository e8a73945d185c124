-- What the columns of views and results mean, for \d+

COMMENT ON COLUMN @extschema@.wf_outcome.status IS
'as in wf_status';
COMMENT ON COLUMN @extschema@.wf_outcome.output IS
'what wf_complete was given';
COMMENT ON COLUMN @extschema@.wf_outcome.error IS
'what wf_fail was given, or what its body has raised; NULL of a cancelled one: see wf_workflows';
COMMENT ON COLUMN @extschema@.wf_received.topic IS
'the topic that the message came by; NULL: none';
COMMENT ON COLUMN @extschema@.wf_received.message IS
'the message; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.event_data IS
'the data of the notification; SQL NULL on timeout only';
COMMENT ON COLUMN @extschema@.wf_event_wait.timed_out IS
'true on timeout';
COMMENT ON COLUMN @extschema@.wf_webhook.token IS
'the token of the hook, or of the stream';
COMMENT ON COLUMN @extschema@.wf_webhook.url IS
'durable_wf.http_base_url and /.well-known/workflow/v1/webhook/<token>, or stream/<token>';
COMMENT ON COLUMN @extschema@.wf_attached.workflow_id IS
'the workflow that this session executes now; NULL on timeout';
COMMENT ON COLUMN @extschema@.wf_attached.queue IS
'the queue that it was taken from';
COMMENT ON COLUMN @extschema@.wf_attached.input IS
'what wf_start, or wf_continue_as_new, was given';
COMMENT ON COLUMN @extschema@.wf_attached.attempt IS
'1, and one more for each session that has died in it since it last got further';
COMMENT ON COLUMN @extschema@.wf_begun_step.step_no IS
'its place in the journal';
COMMENT ON COLUMN @extschema@.wf_begun_step.done IS
'the journal has it: do not do the work again';
COMMENT ON COLUMN @extschema@.wf_begun_step.output IS
'of a step that is done, what wf_save_step was given; SQL NULL else';
COMMENT ON COLUMN @extschema@.wf_begun_step.error IS
'of a step that has failed, what wf_fail_step was given; NULL else';
COMMENT ON COLUMN @extschema@.wf_workflows.workflow_id IS
'the workflow';
COMMENT ON COLUMN @extschema@.wf_workflows.owner IS
'the role it belongs to; NULL if that was dropped';
COMMENT ON COLUMN @extschema@.wf_workflows.status IS
'PENDING, RUNNING, WAITING, SUCCESS, ERROR, CANCELLED';
COMMENT ON COLUMN @extschema@.wf_workflows.body IS
'its procedure; NULL: a client executes it';
COMMENT ON COLUMN @extschema@.wf_workflows.input IS
'what wf_start was given';
COMMENT ON COLUMN @extschema@.wf_workflows.output IS
'what wf_complete was given';
COMMENT ON COLUMN @extschema@.wf_workflows.error IS
'what wf_fail was given, or what its body has raised; of a cancelled one, who has cancelled it, and why; of a body that is due and cannot be run, what it waits for';
COMMENT ON COLUMN @extschema@.wf_workflows.attempts IS
'0 before it was executed, then 1 and the times that its body or its session has crashed, or its body was undone by the server, since it last got further';
COMMENT ON COLUMN @extschema@.wf_workflows.created_at IS
'start of the transaction that started it';
COMMENT ON COLUMN @extschema@.wf_workflows.updated_at IS
'start of the transaction that last changed its status or owner';
COMMENT ON COLUMN @extschema@.wf_workflows.finished_at IS
'start of the transaction that ended it; NULL while it has not ended';
COMMENT ON COLUMN @extschema@.wf_workflows.error_state IS
'the SQLSTATE of what its body has raised';
COMMENT ON COLUMN @extschema@.wf_workflows.error_context IS
'its detail, its hint (for WF009, the line as it should be) and where it was';
COMMENT ON COLUMN @extschema@.wf_workflows.queue IS
'the queue whose client processes execute it';
COMMENT ON COLUMN @extschema@.wf_workflows.attributes IS
'what it can be searched by; NULL if it was never given any';
COMMENT ON COLUMN @extschema@.wf_workflows.parent_id IS
'the workflow whose body, or attached session, has started it';
COMMENT ON COLUMN @extschema@.wf_workflows.due_at IS
'when it may begin to be executed';
COMMENT ON COLUMN @extschema@.wf_workflows.timeout_at IS
'when it is cancelled if it has not ended; NULL: never';
COMMENT ON COLUMN @extschema@.wf_workflows.traceparent IS
'the trace context (W3C traceparent) that it was started with; NULL: none';
COMMENT ON COLUMN @extschema@.wf_waiters.workflow_id IS
'who waits; with the doors event, stream and result, and for wf_await_response, the workflow that is waited for';
COMMENT ON COLUMN @extschema@.wf_waiters.door IS
'message (wf_recv, wf_recv_any, wf_recv_many), event (wf_get_event), stream (wf_read_stream), notify (wf_wait_for_event), hook (wf_await_hook, wf_await_response), result (wf_result), queue (wf_attach_next, wf_attach_any; no workflow yet), timer (wf_sleep, pauses of wf_step)';
COMMENT ON COLUMN @extschema@.wf_waiters.key IS
'the topic (NULL: none), key, stream, event id, token or, for wf_await_response, number of the request; NULL with the door result';
COMMENT ON COLUMN @extschema@.wf_waiters.pid IS
'the server process, as in pg_stat_activity; NULL when suspended';
COMMENT ON COLUMN @extschema@.wf_waiters.suspended IS
'a workflow that waits without a process';
COMMENT ON COLUMN @extschema@.wf_waiters.waiting_since IS
'when it began to wait';
COMMENT ON COLUMN @extschema@.wf_waiters.deadline IS
'when it will time out; NULL: never';
COMMENT ON COLUMN @extschema@.wf_mailbox.workflow_id IS
'whose mailbox';
COMMENT ON COLUMN @extschema@.wf_mailbox.door IS
'message, hook, or notify for addressed notifications';
COMMENT ON COLUMN @extschema@.wf_mailbox.key IS
'the topic (NULL: none), token or event id';
COMMENT ON COLUMN @extschema@.wf_mailbox.depth IS
'how many';
COMMENT ON COLUMN @extschema@.wf_mailbox.oldest_at IS
'start of the transaction that sent the oldest of them';
COMMENT ON COLUMN @extschema@.wf_mailbox.deliveries IS
'how often receivers have given back the oldest of them, while durable_wf.max_deliveries is set';
COMMENT ON COLUMN @extschema@.wf_stat.door IS
'message, event, notify, hook, result, queue, timer, stream; NULL for what concerns all of them';
COMMENT ON COLUMN @extschema@.wf_stat.sends IS
'committed: messages; published values; items of streams, and their ends; notifications, one per workflow; starts, ends and changes of owner';
COMMENT ON COLUMN @extschema@.wf_stat.receives IS
'committed: messages and notifications that were received';
COMMENT ON COLUMN @extschema@.wf_stat.waits IS
'calls that had to wait';
COMMENT ON COLUMN @extschema@.wf_stat.timeouts IS
'those that ended at their timeout';
COMMENT ON COLUMN @extschema@.wf_stat.wakes IS
'waiters woken, by a commit or by the rollback of a receiver';
COMMENT ON COLUMN @extschema@.wf_stat.spurious_wakes IS
'of these, those that found nothing to take and slept on: another receiver was faster';
COMMENT ON COLUMN @extschema@.wf_stat.passed_on IS
'wakes that a waiter handed on to the next one as it left';
COMMENT ON COLUMN @extschema@.wf_stat.notifications IS
'NOTIFYs that were sent to sessions that wf_listen';
COMMENT ON COLUMN @extschema@.wf_stat.resyncs IS
'without a door: times that these were told to look at everything';
COMMENT ON COLUMN @extschema@.wf_stat.reconciles IS
'without a door: times that all who wait in a database were woken to look, after COMMIT or ROLLBACK PREPARED';
COMMENT ON COLUMN @extschema@.wf_stat.listens IS
'without a door: how many wf_listen of all sessions are in force now';
COMMENT ON COLUMN @extschema@.wf_executions.workflow_id IS
'the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.pid IS
'the server process, as in pg_stat_activity';
COMMENT ON COLUMN @extschema@.wf_executions.kind IS
'executor: one of our processes runs its body; client: a session is attached';
COMMENT ON COLUMN @extschema@.wf_executions.application_name IS
'of that session; NULL if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.client_addr IS
'of that session; NULL for a socket of the same host, or if you may not see it';
COMMENT ON COLUMN @extschema@.wf_executions.since IS
'when it took the workflow';
COMMENT ON COLUMN @extschema@.wf_executions.step_no IS
'the number of the call that it makes, or made last, replayed ones included; NULL: none yet';
COMMENT ON COLUMN @extschema@.wf_executions.step_name IS
'its name, as in wf_list_steps';
