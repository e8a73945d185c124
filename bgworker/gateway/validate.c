/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Resume webhooks that have validators, in helpers.
 *
 * A validator is code of a hook's owner.  It may hang, and one that ignores
 * its time limit ends the session that it runs in (validator.c).  So it does
 * not run in the gateway but in a helper, a background worker that is started
 * when there is a request for it and ends after a while without.  A helper has
 * one request at a time:
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
#include "bgworker/gateway/prepare.h"
#include "bgworker/gateway/refusal.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/transaction.h"
#include "bgworker/gateway/turn.h"

/* How many helpers there are at most, and the size of what they share */
#define HELPERS_MAX		3
#define QUEUE_BYTES		((Size) 65536)
#define DOUBT_BYTES		MAXALIGN(sizeof(bool))
#define SEGMENT_BYTES	(DOUBT_BYTES + 2 * QUEUE_BYTES)

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
	char	   *message;		/* to be sent to it, or NULL */
	Size		length;
	TimestampTz idle_since;
} Helper;

/* The arguments of a helper's main function beside the segment */
typedef struct HelperStart
{
	Oid			database;
	Oid			role;
} HelperStart;

/* What precedes the request's jsonb in a message to a helper ... */
typedef struct RequestHeader
{
	char		token[DWF_TOKEN_MAX + 1];
} RequestHeader;

/*
 * ... and what precedes the response, or the refusal, in its answer (DwfTask)
 */
typedef struct ResponseHeader
{
	int			status;
	int			fate;
	bool		is_refusal;
} ResponseHeader;

static Helper helpers[HELPERS_MAX];

/* No helper is started before this, after one has failed */
static TimestampTz start_after = 0;

/* The log says that there is no slot */
static bool warned_no_slot = false;

/* ----- in the gateway ----- */

/* Answer a helper's request, and detach from it; it ends when it finds that */
static void
drop_helper(Helper *helper)
{
	if (helper->conn && *helper->is_in_doubt)
		dwf_conn_hang_up(helper->conn);
	else if (helper->conn)
		dwf_conn_answer_status(helper->conn, 503);
	if (helper->message)
		pfree(helper->message);
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

	helper->segment = dsm_create(SEGMENT_BYTES,
								 DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (helper->segment == NULL)
		return false;
	address = dsm_segment_address(helper->segment);
	helper->is_in_doubt = (volatile bool *) address;
	*helper->is_in_doubt = false;
	address += DOUBT_BYTES;
	to = shm_mq_create(address, QUEUE_BYTES);
	from = shm_mq_create(address + QUEUE_BYTES, QUEUE_BYTES);
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
	HelperStart start = {MyDatabaseId, GetUserId()};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	/* make the queues */
	if (!make_queues(helper))
	{
		MemoryContextSwitchTo(old);
		return false;
	}

	/* start it; if there is no slot, free the queues again */
	dwf_process_describe(&worker, "durable_wf_gateway", "dwf_validate_main",
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

/* Make the message of a request for a helper; a bad request gets a 400 */
static void
give(Helper *helper, DwfConn *conn)
{
	DwfWebhookRequest request = {0};
	RequestHeader header = {{0}};
	Size		size;

	if (!dwf_prepare_request(&request, conn))
	{
		dwf_conn_answer_status(conn, 400);
		return;
	}
	size = VARSIZE(request.request);
	strlcpy(header.token, conn->token, sizeof(header.token));
	helper->length = MAXALIGN(sizeof(header)) + size;
	helper->message = MemoryContextAllocZero(TopMemoryContext, helper->length);
	memcpy(helper->message, &header, sizeof(header));
	memcpy(helper->message + MAXALIGN(sizeof(header)), request.request, size);
	helper->conn = conn;
	*helper->is_in_doubt = false;	/* it was of its last request */
	dwf_conn_enter(conn, DWF_CONN_CHECKED);
}

/* Answer all requests that wait for a helper, since none can be started */
static void
refuse_all(void)
{
	DwfConn    *conn;

	while (dwf_conn_ready(DWF_CONN_ASIDE, &conn, 1) > 0)
		dwf_conn_answer_status(conn, 503);
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
	ResponseHeader header;

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
	if (helper->message)
	{
		result = shm_mq_send(helper->to, helper->length, helper->message, true,
							 true);
		if (result == SHM_MQ_DETACHED)
			return false;
		if (result == SHM_MQ_SUCCESS)
		{
			pfree(helper->message);
			helper->message = NULL;
		}
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
		if (helpers[i].handle && helpers[i].message)
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

/* ----- in a helper ----- */

/*
 * Resume a webhook with the request of a message, and send what became of it
 */
static shm_mq_result
answer(shm_mq_handle *to, const char *message, Size length)
{
	ResponseHeader header = {0};
	DwfWebhookRequest request = {0};
	DwfTask		task = {.request = &request};
	Size		size = length - MAXALIGN(sizeof(RequestHeader));
	char		padding[MAXALIGN(sizeof(ResponseHeader))] = {0};
	StringInfoData response;

	/* read the message, resume */
	request.token = cstring_to_text(((const RequestHeader *) message)->token);
	request.request = palloc(size);
	memcpy(request.request, message + MAXALIGN(sizeof(RequestHeader)), size);
	dwf_resume_alone(&task);

	/* the header, then a refusal or the response */
	header.status = task.status;
	header.fate = request.fate;
	header.is_refusal = task.refusal != NULL;
	memcpy(padding, &header, sizeof(header));
	initStringInfo(&response);
	appendBinaryStringInfo(&response, padding, sizeof(padding));
	if (task.refusal)
		dwf_refusal_write(task.refusal, &response);
	else if (task.status == 0)
		appendBinaryStringInfo(&response,
							   DatumGetPointer(request.response),
							   VARSIZE(DatumGetPointer(request.response)));
	return shm_mq_send(to, response.len, response.data, false, true);
}

/* A helper's main function; its argument is the segment of the queues */
void
dwf_validate_main(Datum arg)
{
	HelperStart start;
	dsm_segment *segment;
	shm_mq	   *queue;
	shm_mq_handle *from;
	shm_mq_handle *to;
	MemoryContext context;
	Size		length;
	void	   *message;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	dwf_process_handle_signals();

	/* attach to the queues, the other way round than make_queues() */
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		proc_exit(0);			/* the gateway has ended */
	dsm_pin_mapping(segment);
	dwf_transaction_is_in_doubt = dsm_segment_address(segment);
	queue = (shm_mq *) ((char *) dsm_segment_address(segment) + DOUBT_BYTES);
	shm_mq_set_receiver(queue, MyProc);
	from = shm_mq_attach(queue, segment, NULL);
	queue = (shm_mq *) ((char *) queue + QUEUE_BYTES);
	shm_mq_set_sender(queue, MyProc);
	to = shm_mq_attach(queue, segment, NULL);

	/* connect as the gateway has */
	BackgroundWorkerInitializeConnectionByOid(start.database, start.role, 0);
	dwf_process_settings_begin(false);
	if (!dwf_resume_begin())
		proc_exit(0);
	context = AllocSetContextCreate(TopMemoryContext, "durable_wf request",
									ALLOCSET_DEFAULT_SIZES);

	/* resume, until the gateway detaches */
	while (shm_mq_receive(from, &length, &message, false) == SHM_MQ_SUCCESS)
	{
		(void) dwf_process_reload();
		MemoryContextSwitchTo(context);
		pgstat_report_activity(STATE_RUNNING, "running a validator");
		if (answer(to, message, length) != SHM_MQ_SUCCESS)
			break;
		MemoryContextReset(context);
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	proc_exit(0);
}
