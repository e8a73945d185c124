-- listen: for clients that LISTEN

CREATE FUNCTION @extschema@.wf_listen(workflow_id text DEFAULT NULL) RETURNS text
    AS 'MODULE_PATHNAME', 'wf_listen' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_listen(text) IS
'LISTEN for news of a workflow or, with null, of all workflows that the current user owns; returns the channel. One connection can follow thousands.
From its commit on this session gets a NOTIFY for each commit that sends to, publishes in, writes to a stream of, notifies, starts, ends or hands over such a workflow, as long as the role that called has the privileges of its owner: the payload is JSON with workflow_id, kind (message, event, stream, notify, hook, result) and key, or kind resync: look at everything, something was lost. News come at once when it was quiet, else at most every durable_wf.notify_min_gap; a background worker sends them, the senders do not.
Ends with wf_unlisten(), UNLISTEN, DISCARD ALL, a rollback of the transaction that began it, and the session. It wants a server session of its own: behind a proxy that pools transactions, the news go to whichever client has that session then, or to nobody.
Errors: WF001 no such workflow; 42501 it belongs to another role; 53400 the role listens for too many; 55000 the library is not preloaded.';

CREATE FUNCTION @extschema@.wf_unlisten(workflow_id text DEFAULT NULL) RETURNS void
    AS 'MODULE_PATHNAME', 'wf_unlisten' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION @extschema@.wf_unlisten(text) IS
'End what wf_listen() with the same argument began, that for a workflow whichever role it began as; does nothing if it did not. Takes effect at commit.';
