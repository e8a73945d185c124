/*-------------------------------------------------------------------------
 *
 * validate.c
 *	  Resume webhooks that have validators, in processes apart.
 *
 * A validator is code of a hook's owner.  It may hang for as long as it is
 * let, and one that does not heed its time limit costs the session it runs in
 * (extension/validator.c).  So it does not run in the gateway but in a helper,
 * a background worker that is started when there is something for it and ends
 * after a while without.  A helper has one request at a time:
 *
 *	IDLE --given a request-> SENDING --all of it sent-> WAITING --answer-> IDLE
 *	any --gone-> (none); the request it had gets a 503, but if it may have been
 *	taken no answer
 *
 * They speak through two queues in a segment of shared memory, which set each
 * other's latches; before them there is the helper's transaction_is_in_doubt.
 * The gateway never waits for a helper, except at its end.
 *
 * Of one webhook's requests there is one with a helper at a time: they keep
 * their order.  Between owners it is fair (turn.c), and no owner has all
 * helpers.  So one that hangs holds up no other webhook of its owner's while
 * there are fewer such than helpers for him, and none of another owner's.
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

#define HELPERS_MAX		3
#define QUEUE_BYTES		((Size) 65536)
#define DOUBT_BYTES		MAXALIGN(sizeof(bool))
#define SEGMENT_BYTES	(DOUBT_BYTES + 2 * QUEUE_BYTES)

/* How long a helper stays with nothing to do, and until one is tried again */
#define IDLE_MAX		60000
#define RETRY_AFTER		1000

typedef struct Helper
{
	BackgroundWorkerHandle *handle; /* NULL: there is none */
	dsm_segment *segment;
	shm_mq_handle *to;
	shm_mq_handle *from;
	volatile bool *is_in_doubt; /* in the segment */
	DwfConn    *conn;			/* whose request it has, or NULL */
	char	   *message;		/* to be sent, while it is not */
	Size		length;
	TimestampTz idle_since;
} Helper;

/* What a helper is given at its start */
typedef struct HelperStart
{
	Oid			database;
	Oid			role;
} HelperStart;

/* What precedes a request's jsonb in its message ... */
typedef struct RequestHeader
{
	char		token[DWF_TOKEN_MAX + 1];
} RequestHeader;

/* ... and the response's, or what the validator has raised; see DwfTask */
typedef struct ResponseHeader
{
	int			status;
	int			fate;
	bool		is_refusal;
} ResponseHeader;

static Helper helpers[HELPERS_MAX];
static TimestampTz start_after = 0;
static bool warned_no_slot = false;

/* ----- in the gateway ----- */

/* Forget a helper; it ends when it finds that */
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

/* Make the queues; the helper takes the other ends.  False: no room for them. */
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

/* Start a helper; false when there is no slot for it */
static bool
start_helper(Helper *helper)
{
	BackgroundWorker worker;
	HelperStart start = {MyDatabaseId, GetUserId()};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	if (!make_queues(helper))
	{
		MemoryContextSwitchTo(old);
		return false;
	}
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

/* A helper could not be started, or did not live */
static void
postpone(void)
{
	start_after = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											  RETRY_AFTER);
}

/* A new helper; NULL if there is none to be had */
static Helper *
find_new_helper(void)
{
	Helper	   *place = NULL;

	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].handle == NULL)
			place = &helpers[i];
	if (place == NULL || GetCurrentTimestamp() < start_after)
		return NULL;
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

/* How many helpers there are */
static int
count_helpers(void)
{
	int			count = 0;

	for (int i = 0; i < HELPERS_MAX; i++)
		count += helpers[i].handle != NULL;
	return count;
}

/* How many of them have a request to a webhook of this owner's */
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
 * A helper that is idle, or a new one, for a request of this owner; NULL if
 * there is none to be had.  If the owner has one already there must be another
 * one for others; should there be one process only, all owners take turns.
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

/* Has a helper a request of the same webhook? */
static bool
is_with_helper(const DwfConn *conn)
{
	for (int i = 0; i < HELPERS_MAX; i++)
		if (helpers[i].conn && strcmp(helpers[i].conn->token, conn->token) == 0)
			return true;
	return false;
}

/* Give a request to a helper */
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
	*helper->is_in_doubt = false;	/* that was the last one's */
	dwf_conn_set_state(conn, DWF_CONN_CHECKED);
}

/* There is no helper, and there will be none: nothing is to be waited for */
static void
refuse_all(void)
{
	DwfConn    *conn;

	while (dwf_conn_ready(DWF_CONN_ASIDE, &conn, 1) > 0)
		dwf_conn_answer_status(conn, 503);
}

/* Give away what can be */
static void
give_away(void)
{
	int			count = dwf_conn_count(DWF_CONN_ASIDE);
	DwfConn   **waiting = palloc(count * sizeof(DwfConn *));
	int			next;

	(void) dwf_conn_ready(DWF_CONN_ASIDE, waiting, count);
	for (int i = 0; i < count; i++)
		if (is_with_helper(waiting[i]))
			waiting[i] = NULL;

	while ((next = dwf_turn_choose(waiting, count, count_helpers_of)) >= 0)
	{
		DwfConn    *conn = waiting[next];
		Oid			owner = conn->owner;
		Helper	   *helper = find_helper(owner);

		if (helper == NULL && count_helpers_of(owner) == 0)
			break;				/* there is none for anybody */
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

/* Take what a helper says of its request */
static void
take_response(Helper *helper, const char *message, Size length)
{
	DwfWebhookRequest request = {0};
	DwfTask		task = {.request = &request};
	ResponseHeader header;

	memcpy(&header, message, sizeof(header));
	message += MAXALIGN(sizeof(header));
	length -= MAXALIGN(sizeof(header));
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
	helper->conn = NULL;
	helper->idle_since = GetCurrentTimestamp();
	dwf_answer_settle(&task);
}

/* Go on with a helper; false if it is gone */
static bool
serve(Helper *helper, bool *busy)
{
	shm_mq_result result;
	pid_t		pid;
	Size		length;
	void	   *message;

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
 * Go on with what helpers do, and give them what waits for them; false if
 * nothing has happened.  "timeout" is for how long nothing will be to do, in
 * milliseconds, -1 for ever.
 */
bool
dwf_validate_tend(long *timeout)
{
	TimestampTz now = GetCurrentTimestamp();
	bool		busy = false;

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
		left = IDLE_MAX - (long) TimestampDifferenceMilliseconds(helper->idle_since,
																 now);
		if (left <= 0)
			drop_helper(helper);
		else
			*timeout = dwf_process_shorter(*timeout, left);
	}
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

/* End all helpers, and wait until they are gone */
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
			dsm_detach(helpers[i].segment); /* it ends when it finds that */
	}
	for (int i = 0; i < HELPERS_MAX; i++)
	{
		if (helpers[i].handle == NULL)
			continue;
		(void) WaitForBackgroundWorkerShutdown(helpers[i].handle);
		if (helpers[i].conn && !*helpers[i].is_in_doubt)
			dwf_conn_set_state(helpers[i].conn, DWF_CONN_ASIDE);
	}
}

/* ----- in a helper ----- */

/* Resume with one request, and say what became of it */
static shm_mq_result
answer(shm_mq_handle *to, const char *message, Size length)
{
	ResponseHeader header = {0};
	DwfWebhookRequest request = {0};
	DwfTask		task = {.request = &request};
	Size		size = length - MAXALIGN(sizeof(RequestHeader));
	char		padding[MAXALIGN(sizeof(ResponseHeader))] = {0};
	StringInfoData response;

	request.token = cstring_to_text(((const RequestHeader *) message)->token);
	request.request = palloc(size);
	memcpy(request.request, message + MAXALIGN(sizeof(RequestHeader)), size);
	dwf_resume_alone(&task);

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

	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		proc_exit(0);			/* the gateway is not there any more */
	dsm_pin_mapping(segment);
	dwf_transaction_is_in_doubt = dsm_segment_address(segment);
	queue = (shm_mq *) ((char *) dsm_segment_address(segment) + DOUBT_BYTES);
	shm_mq_set_receiver(queue, MyProc);
	from = shm_mq_attach(queue, segment, NULL);
	queue = (shm_mq *) ((char *) queue + QUEUE_BYTES);
	shm_mq_set_sender(queue, MyProc);
	to = shm_mq_attach(queue, segment, NULL);

	BackgroundWorkerInitializeConnectionByOid(start.database, start.role, 0);
	dwf_process_settings_begin(false);
	if (!dwf_resume_begin())
		proc_exit(0);
	context = AllocSetContextCreate(TopMemoryContext, "durable_wf request",
									ALLOCSET_DEFAULT_SIZES);

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
