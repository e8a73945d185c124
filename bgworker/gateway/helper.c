/*-------------------------------------------------------------------------
 *
 * helper.c
 *	  What runs in a helper of the gateway: it resumes one webhook at a time
 *	  with requests that the gateway gives it (validate.c).
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/helper.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shm_mq.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "base/durable_wf.h"
#include "base/process.h"
#include "base/process_settings.h"
#include "bgworker/gateway/answer.h"
#include "bgworker/gateway/pass_on.h"
#include "bgworker/gateway/prepare.h"
#include "bgworker/gateway/refusal.h"
#include "bgworker/gateway/resume.h"
#include "bgworker/gateway/transaction.h"

/*
 * Resume a webhook with the request of a message, and send what became of it
 */
static shm_mq_result
answer(shm_mq_handle *to, char *message)
{
	DwfHelperRequest request_header;
	DwfIncoming incoming = {0};
	DwfHelperResponse header = {0};
	DwfWebhookRequest request = {0};
	DwfTask		task = {.request = &request};
	char		padding[MAXALIGN(sizeof(DwfHelperResponse))] = {0};
	StringInfoData response;

	/* read the message, resume */
	memcpy(&request_header, message, sizeof(request_header));
	incoming.head = message + sizeof(request_header);
	incoming.nheaders = request_header.nheaders;
	incoming.body = incoming.head + request_header.head_length;
	incoming.body_length = request_header.body_length;
	if (request_header.wants_place)
		request.token = cstring_to_text(request_header.token);
	else if (!dwf_prepare_request(&request, request_header.token, &incoming))
		task.status = 400;
	if (task.status == 0 && request_header.is_elsewhere)
		dwf_pass_on_request(&task);
	else if (task.status == 0)
		dwf_resume_alone(&task, request_header.body_length);

	/* the header, then a refusal or the response */
	header.status = task.status;
	header.fate = request.fate;
	header.is_refusal = task.refusal != NULL;
	memcpy(padding, &header, sizeof(header));
	initStringInfo(&response);
	appendBinaryStringInfo(&response, padding, sizeof(padding));
	if (task.refusal)
		dwf_refusal_write(task.refusal, &response);
	else if (task.status == 0 && (request.fate == DWF_FATE_RESPONSE ||
								  request.fate == DWF_FATE_PLACE))
		appendBinaryStringInfo(&response,
							   DatumGetPointer(request.response),
							   VARSIZE(DatumGetPointer(request.response)));
	return shm_mq_send(to, response.len, response.data, false, true);
}

/* A helper's main function; its argument is the segment of the queues */
void
dwf_helper_main(Datum arg)
{
	DwfHelperStart start;
	dsm_segment *segment;
	shm_mq	   *queue;
	shm_mq_handle *from;
	shm_mq_handle *to;
	MemoryContext context;
	Size		length;
	void	   *message;

	memcpy(&start, MyBgworkerEntry->bgw_extra, sizeof(start));
	dwf_process_handle_signals();

	/* attach to the queues, the other way round than validate.c */
	segment = dsm_attach(DatumGetUInt32(arg));
	if (segment == NULL)
		proc_exit(0);			/* the gateway has ended */
	dsm_pin_mapping(segment);
	dwf_transaction_is_in_doubt = dsm_segment_address(segment);
	queue = (shm_mq *) ((char *) dsm_segment_address(segment) +
						DWF_HELPER_DOUBT);
	shm_mq_set_receiver(queue, MyProc);
	from = shm_mq_attach(queue, segment, NULL);
	queue = (shm_mq *) ((char *) queue + DWF_HELPER_QUEUE);
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
		if (answer(to, message) != SHM_MQ_SUCCESS)
			break;
		MemoryContextReset(context);
		pgstat_report_stat(false);
		pgstat_report_activity(STATE_IDLE, NULL);
	}
	proc_exit(0);
}
