/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Resume webhooks that have validators, or large requests, in helpers.
 *
 * A validator is code of a hook's owner.  It may hang, and one that ignores
 * its time limit ends the session that it runs in (validator.c).  So it does
 * not run in the gateway but in a helper, a background worker that is started
 * when there is a request for it and ends after a while without.  A request
 * with a large body goes to a helper, too, since all others would wait while
 * it is parsed and written; and one that is for another node (pass_on.c).  A
 * helper has one request at a time:
 *
 *	IDLE --given a request-> SENDING --all of it sent-> WAITING --answer-> IDLE
 *	any --gone-> (none); its request gets a 503, but no answer if it may have
 *	been delivered
 *
 * Gateway and helper share a segment of memory, with a queue for each
 * direction, which sets the other side's latch; before them stands the
 * helper's dwf_transaction_is_in_doubt.  The gateway never waits for a helper,
 * except when it ends.
 *
 * Of one webhook's requests one is with a helper at a time: they keep their
 * order.  Owners take turns (turn.c), and no owner gets all helpers.  So
 * validators that hang delay no webhook of another owner, and no other webhook
 * of their owner while it gets one more helper.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/validate.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/durable_wf.h"
#include "base/process.h"
#include "base/process_settings.h"
#include "bgworker/gateway/answer.h"
#include "bgworker/gateway/conn.h"
#include "bgworker/gateway/helper.h"
#include "bgworker/gateway/refusal.h"
#include "bgworker/gateway/transaction.h"
#include "bgworker/gateway/turn.h"

/* How many helpers there are at most */
#define HELPERS_MAX		3

/*
 * How long an idle helper stays, and when to try again after a failure, in ms
 */
#define IDLE_MAX		60000
#define RETRY_AFTER		1000

/* A helper, or a place for one */
typedef struct Helper
{
	BackgroundWorkerHandle *handle; /* NULL: a free place */
	dsm_segment *segment;
	shm_mq_handle *to;
	shm_mq_handle *from;
	volatile bool *is_in_doubt; /* in the segment */
	DwfConn    *conn;			/* whose request it has, or NULL */
	bool		is_sending;		/* the request, in these parts */
	int			nparts;
	shm_mq_iovec parts[3];
	DwfHelperRequest header;
	TimestampTz idle_since;
} Helper;

static Helper helpers[HELPERS_MAX];

/* No helper is started before this, after one has failed */
static TimestampTz start_after = 0;

/* The log says that there is no slot */
static bool warned_no_slot = false;

/* Answer a helper's request, and detach from it; it ends when it finds that */
static void
drop_helper(Helper *helper)
{
	if (helper->conn && *helper->is_in_doubt)
		dwf_conn_hang_up(helper->conn);
	else if (helper->conn)
		dwf_conn_answer_status(helper->conn, 503);
	shm_mq_detach(helper->to);
	shm_mq_detach(helper->from);
	dsm_detach(helper->segment);
	pfree(helper->handle);
	memset(helper, 0, sizeof(Helper));
}

/* Make a segment with two queues; returns false if there can be no segment */
static bool
make_queues(Helper *helper)
{
	char	   *address;
	shm_mq	   *to;
	shm_mq	   *from;

	helper->segment = dsm_create(DWF_HELPER_SEGMENT,
								 DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (helper->segment == NULL)
		return false;
	address = dsm_segment_address(helper->segment);
	helper->is_in_doubt = (volatile bool *) address;
	*helper->is_in_doubt = false;
	address += DWF_HELPER_DOUBT;
	to = shm_mq_create(address, DWF_HELPER_QUEUE);
	from = shm_mq_create(address + DWF_HELPER_QUEUE, DWF_HELPER_QUEUE);
	shm_mq_set_sender(to, MyProc);
	shm_mq_set_receiver(from, MyProc);
	helper->to = shm_mq_attach(to, helper->segment, NULL);
	helper->from = shm_mq_attach(from, helper->segment, NULL);
	return true;
}

/* Start a helper; returns false when there is no segment or no slot for it */
static bool
start_helper(Helper *helper)
{
	BackgroundWorker worker;
	DwfHelperStart start = {MyDatabaseId, GetUserId()};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	/* make the queues */
	if (!make_queues(helper))
	{
		MemoryContextSwitchTo(old);
		return false;
	}

	/* start it; if there is no slot, free the queues again */
	dwf_process_describe(&worker, "durable_wf_gateway", "dwf_helper_main",
						 "durable_wf validator");
	worker.bgw_main_arg =
		UInt32GetDatum(dsm_segment_handle(helper->segment));
	memcpy(worker.bgw_extra, &start, sizeof(start));
	if (!dwf_process_start(&worker, &helper->handle))
	{
		dsm_detach(helper->segment);
		pfree(helper->to);
		pfree(helper->from);
		memset(helper, 0, sizeof(Helper));
	}
	MemoryContextSwitchTo(old);
	helper->idle_since = GetCurrentTimestamp();
	return helper->handle != NULL;
}

/* A helper could not be started, or has died: wait before the next start */
static void
postpone(void)
{
	start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											  RETRY_AFTER);
}

/* Start a helper in a free place; NULL if that is not possible now */
static Helper *
find_new_helper(void)
{
	Helper	   *place = NULL;

	/* is there a free place, and is the delay over? */
	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].handle == NULL)
			place = &helpers[i];
	if (place == NULL || GetCurrentTimestamp() < start_after)
		return NULL;

	/* start it; if there is no slot, log that once */
	if (start_helper(place))
	{
		warned_no_slot = false;
		return place;
	}
	postpone();
	if (!warned_no_slot)
		ereport(WARNING,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("no slot for a durable_wf validator"),
				 errdetail("Requests to webhooks with validators wait for another one, or get a 503."),
				 errhint("Increase max_worker_processes.")));
	warned_no_slot = true;
	return NULL;
}

/* The number of helpers */
static int
count_helpers(void)
{
	int			count = 0;

	for (int i = 0; i < HELPERS_MAX; i++)
		count += helpers[i].handle != NULL;
	return count;
}

/* The number of helpers with a request to a webhook of this owner */
static int
count_helpers_of(Oid owner)
{
	int			count = 0;

	for (int i = 0; i < HELPERS_MAX; i++)
		count += helpers[i].conn && helpers[i].conn->owner == owner;
	return count;
}

/* A helper that is idle; NULL if there is none */
static Helper *
find_idle_helper(void)
{
	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].handle && helpers[i].conn == NULL)
			return &helpers[i];
	return NULL;
}

/*
 * An idle helper, or a new one, for a request of this owner; NULL if there is
 * none.  An owner that has a helper gets another one only if one more is left
 * for other owners; if one process is all there can be, the owners take turns.
 */
static Helper *
find_helper(Oid owner)
{
	int			of_owner = count_helpers_of(owner);
	Helper	   *helper = find_idle_helper();

	if (of_owner == 0)
		return helper ? helper : find_new_helper();
	if (of_owner >= HELPERS_MAX - 1)
		return NULL;
	while (count_helpers() - of_owner < 2)
		if (find_new_helper() == NULL)
			return NULL;
	return find_idle_helper();
}

/* Has a helper another request of this webhook? */
static bool
is_with_helper(const DwfConn *conn)
{
	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].conn &&
			strcmp(helpers[i].conn->token, conn->token) == 0)
			return true;
	return false;
}

/*
 * Give a request to a helper, as it came: to make a jsonb of a large one takes
 * time.  Its parts are sent from where they are.
 */
static void
give(Helper *helper, DwfConn *conn)
{
	const DwfIncoming *incoming = &conn->incoming;
	DwfHelperRequest *header = &helper->header;

	memset(header, 0, sizeof(DwfHelperRequest));
	strlcpy(header->token, conn->token, sizeof(header->token));
	header->nheaders = incoming->nheaders;
	header->head_length = incoming->head_length;
	header->body_length = incoming->body_length;
	header->is_elsewhere = conn->is_elsewhere;
	header->wants_place = conn->wants_place;
	helper->parts[0].data = (char *) header;
	helper->parts[0].len = sizeof(DwfHelperRequest);
	helper->parts[1].data = incoming->head;
	helper->parts[1].len = incoming->head_length;
	helper->parts[2].data = incoming->body;
	helper->parts[2].len = incoming->body_length;
	helper->nparts = incoming->body_length > 0 ? 3 : 2;
	helper->is_sending = true;
	helper->conn = conn;
	*helper->is_in_doubt = false;	/* it was of its last request */
	dwf_conn_enter(conn, DWF_CONN_CHECKED);
}

/*
 * Answer all requests that wait for a helper, since none can be started.  A
 * large one is taken without a helper, if its webhook has no validator.
 */
static void
refuse_all(void)
{
	DwfConn    *conn;

	while (dwf_conn_ready(DWF_CONN_ASIDE, &conn, 1) > 0)
	{
		if (conn->is_large && !conn->is_elsewhere)
			dwf_conn_enter(conn, DWF_CONN_READY);
		else
			dwf_conn_answer_status(conn, 503);
		conn->is_large = false;
	}
}

/* Give the requests that wait to helpers, by turns */
static void
give_away(void)
{
	int			count = dwf_conn_count(DWF_CONN_ASIDE);
	DwfConn   **waiting = palloc(count * sizeof(DwfConn *));
	int			next;

	/* leave out those whose webhook has a request with a helper */
	(void) dwf_conn_ready(DWF_CONN_ASIDE, waiting, count);
	for (int i = 0; i < count; i++)
		if (is_with_helper(waiting[i]))
			waiting[i] = NULL;

	/* give */
	while ((next = dwf_turn_choose(waiting, count, count_helpers_of)) >= 0)
	{
		DwfConn    *conn = waiting[next];
		Oid			owner = conn->owner;
		Helper	   *helper = find_helper(owner);

		if (helper == NULL && count_helpers_of(owner) == 0)
			break;				/* there is none for any owner */
		if (helper == NULL)
		{
			dwf_turn_pass_by(waiting, count, owner, NULL);
			continue;
		}
		dwf_turn_take(owner);
		dwf_turn_pass_by(waiting, count, owner, conn->token);
		give(helper, conn);
	}
	if (warned_no_slot && count_helpers() == 0)
		refuse_all();
	pfree(waiting);
}

/* Take a helper's answer to its request, and answer the client */
static void
take_response(Helper *helper, const char *message, Size length)
{
	DwfWebhookRequest request = {0};
	DwfTask		task = {.request = &request};
	DwfHelperResponse header;

	memcpy(&header, message, sizeof(header));
	message += MAXALIGN(sizeof(header));
	length -= MAXALIGN(sizeof(header));

	/* a refusal is logged, a response is sent */
	task.conn = helper->conn;
	task.status = header.status;
	request.fate = header.fate;
	if (header.is_refusal)
	{
		DwfRefusal	refusal;

		if (dwf_refusal_read(&refusal, message, length))
			dwf_refusal_log(&refusal, task.conn->token, task.status);
	}
	else if (length > 0)
	{
		char	   *copy = palloc(length);

		memcpy(copy, message, length);
		request.response = PointerGetDatum(copy);
	}

	/* the helper is idle, the client gets its answer */
	helper->conn = NULL;
	helper->idle_since = GetCurrentTimestamp();
	dwf_answer_settle(&task);
}

/*
 * Send to a helper and receive from it, without waiting; returns false if it
 * has ended.  "busy" is set if it has answered.
 */
static bool
serve(Helper *helper, bool *busy)
{
	shm_mq_result result;
	pid_t		pid;
	Size		length;
	void	   *message;

	/* send what is left of its request */
	if (helper->is_sending)
	{
		result = shm_mq_sendv(helper->to, helper->parts, helper->nparts, true,
							  true);
		if (result == SHM_MQ_DETACHED)
			return false;
		helper->is_sending = result != SHM_MQ_SUCCESS;
	}

	/* has it answered, or ended? */
	result = shm_mq_receive(helper->from, &length, &message, true);
	if (result == SHM_MQ_SUCCESS && helper->conn)
	{
		take_response(helper, message, length);
		*busy = true;
	}
	return result != SHM_MQ_DETACHED &&
		GetBackgroundWorkerPid(helper->handle, &pid) != BGWH_STOPPED;
}

/*
 * Send to helpers and receive from them, and give them requests that wait.
 * Returns whether one has answered; "timeout" takes for how many milliseconds
 * there is nothing to do, -1 for ever.  Does not block.
 */
bool
dwf_validate_tend(long *timeout)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		busy = false;

	/* serve each, drop those that have ended or were idle for too long */
	*timeout = -1;
	for (int i = 0; i < HELPERS_MAX; i++)
	{
		Helper	   *helper = &helpers[i];
		long		left;

		if (helper->handle == NULL)
			continue;
		if (!serve(helper, &busy))
		{
			drop_helper(helper);
			postpone();
			continue;
		}
		if (helper->conn)
			continue;
		left = TimestampDifferenceMilliseconds(helper->idle_since, now);
		left = IDLE_MAX - left;
		if (left <= 0)
			drop_helper(helper);
		else
			*timeout = dwf_process_shorter(*timeout, left);
	}

	/* give away what waits, and begin to send it */
	if (dwf_conn_count(DWF_CONN_ASIDE) > 0)
	{
		give_away();
		if (now < start_after && dwf_conn_count(DWF_CONN_ASIDE) > 0)
			*timeout = RETRY_AFTER;
	}
	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].handle && helpers[i].is_sending)
			(void) serve(&helpers[i], &busy);
	return busy;
}

/*
 * End all helpers, and wait until they are gone; blocks for that time.  A
 * request that was not delivered becomes ASIDE again.
 */
void
dwf_validate_end(void)
{
	for (int i = 0; i < HELPERS_MAX; i++)
	{
		if (helpers[i].handle == NULL)
			continue;
		if (helpers[i].conn)
			TerminateBackgroundWorker(helpers[i].handle);
		else
			dsm_detach(helpers[i].segment); /* it ends by itself */
	}
	for (int i = 0; i < HELPERS_MAX; i++)
	{
		if (helpers[i].handle == NULL)
			continue;
		(void) WaitForBackgroundWorkerShutdown(helpers[i].handle);
		if (helpers[i].conn && !*helpers[i].is_in_doubt)
			dwf_conn_enter(helpers[i].conn, DWF_CONN_ASIDE);
	}
}
