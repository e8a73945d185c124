/*-------------------------------------------------------------------------
 *
 * resume.c
 *	  Resume webhooks with complete requests, in transactions.
 *
 * Each request resumes its webhook as a call of wf_resume_webhook() would, and
 * is answered after the commit:
 *
 *	together	all complete requests in one transaction, by few statements
 *	apart		if that has failed: again in one transaction, each request in a
 *				subtransaction, so that only those that fail get an error
 *	alone		a request whose hook has a validator, which is code of the
 *				hook's owner, in a helper (validate.c) and a transaction of its
 *				own
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/resume.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "base/compat.h"
#include "base/durable_wf.h"
#include "base/process.h"
#include "base/settings.h"
#include "base/texts.h"
#include "bgworker/gateway/prepare.h"
#include "bgworker/gateway/refusal.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/transaction.h"
#include "hook/webhook.h"

/*
 * How many requests one transaction takes, and about how many bytes of bodies:
 * what is read and written in some ten milliseconds
 */
#define TOGETHER_MAX	256
#define TOGETHER_BYTES	(512 * 1024)

/* The time for one call in ms, without its validator's */
#define CALL_TIMEOUT	2000

/* ... and more for a large body: a slow disk takes that many bytes in a ms */
#define BYTES_PER_MS	2000

/* After so many requests in a row without a lock a table seems to be locked */
#define LOCKED_MAX		3

/* wf_resume_webhook(), on which the gateway's role needs EXECUTE */
static Oid	function;

/* Memory for a round of requests; reset after it */
static MemoryContext round_context = NULL;

/* ----- errors ----- */

/* Is an SQLSTATE of a class? */
static inline bool
in_class(int sqlstate, const char *class)
{
	return ERRCODE_TO_CATEGORY(sqlstate) ==
		MAKE_SQLSTATE(class[0], class[1], '0', '0', '0');
}

/*
 * The status that a client gets for an error: 400 for a bad request, 404 if
 * there is no such webhook, else 503.  Not for errors of validators
 * (refusal.c).
 */
int
dwf_resume_status(int sqlstate)
{
	if (sqlstate == DWF_ERRCODE_NO_HOOK || sqlstate == DWF_ERRCODE_FINISHED ||
		sqlstate == DWF_ERRCODE_CANCELLED ||
		sqlstate == DWF_ERRCODE_NO_WORKFLOW)
		return 404;
	return in_class(sqlstate, "22") ? 400 : 503;
}

/* ----- transactions ----- */

/* Resume webhooks inside a transaction; raises what that raises */
static void
resume(DwfWebhookRequest *requests, int count)
{
	MemoryContext old = MemoryContextSwitchTo(round_context);

	PushActiveSnapshot(GetTransactionSnapshot());
	dwf_webhook_resume_many(requests, count);
	PopActiveSnapshot();
	CommandCounterIncrement();
	MemoryContextSwitchTo(old);
}

/* Raise 42501 unless the gateway's role may call wf_resume_webhook() */
void
dwf_resume_check_privilege(void)
{
	if (!dwf_compat_can_execute(function, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for function wf_resume_webhook")));
}

/* An error has failed all these requests: set their status, log a 503 */
static void
fail_all(DwfTask *tasks, int count, const ErrorData *error)
{
	int			status = dwf_resume_status(error->sqlerrcode);

	if (status == 503)
	{
		dwf_transaction_log_failure(error);
		if (!in_class(error->sqlerrcode, "55"))
			dwf_server_note_failure();
	}
	for (int i = 0; i < count; i++)
		tasks[i].status = status;
}

/* ----- together ----- */

/* Has any of these requests been delivered? */
static bool
is_any_taken(const DwfWebhookRequest *requests, int count)
{
	for (int i = 0; i < count; i++)
		if (requests[i].fate == DWF_FATE_ACCEPTED ||
			requests[i].fate == DWF_FATE_RESPONSE)
			return true;
	return false;
}

/* Resume webhooks in one transaction; returns false if that has failed */
static bool
resume_together(DwfWebhookRequest *requests, int count)
{
	bool volatile done = false;

	PG_TRY();
	{
		dwf_transaction_begin(CALL_TIMEOUT);
		dwf_resume_check_privilege();
		resume(requests, count);
		dwf_transaction_commit(is_any_taken(requests, count));
		dwf_transaction_is_locked = false;
		done = true;
	}
	PG_CATCH();
	{
		FreeErrorData(dwf_transaction_abort(round_context));
	}
	PG_END_TRY();
	return done;
}

/* ----- apart ----- */

/* Is a token in the list of those whose lock was not to be had? */
static bool
is_known_locked(List *locked, const text *token)
{
	ListCell   *cell;

	foreach(cell, locked)
	{
		if (dwf_texts_equal(lfirst(cell), token))
			return true;
	}
	return false;
}

/*
 * Resume one webhook in a subtransaction; returns 0, or the SQLSTATE of its
 * error, which also sets the status
 */
static int
resume_in_subtransaction(DwfTask *task)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int volatile sqlstate = 0;

	/* resume it */
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		enable_timeout_after(STATEMENT_TIMEOUT, CALL_TIMEOUT);
		resume(task->request, 1);
		disable_timeout(STATEMENT_TIMEOUT, false);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		/* roll back, keep the error, set the status */
		HOLD_INTERRUPTS();
		disable_all_timeouts(false);
		QueryCancelPending = false;
		error = dwf_transaction_take_error(round_context);
		RollbackAndReleaseCurrentSubTransaction();
		RESUME_INTERRUPTS();
		sqlstate = error->sqlerrcode;
		task->status = dwf_resume_status(sqlstate);
		if (task->status == 503)
			dwf_transaction_log_failure(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return sqlstate;
}

/*
 * Resume each webhook in a subtransaction; raises only errors that fail all.
 * Requests for a hook whose lock was not to be had get a 503 without a try,
 * and so do all others after LOCKED_MAX in a row.
 */
static void
resume_each(DwfTask *tasks, int count)
{
	List	   *locked = NIL;
	int			in_a_row = 0;

	for (int i = 0; i < count; i++)
	{
		/* a 503 without a try, or a try; note a lock that was not to be had */
		if (in_a_row >= LOCKED_MAX ||
			is_known_locked(locked, tasks[i].request->token))
			tasks[i].status = 503;
		else if (resume_in_subtransaction(&tasks[i]) ==
				 ERRCODE_LOCK_NOT_AVAILABLE)
		{
			MemoryContext old = MemoryContextSwitchTo(round_context);

			locked = lappend(locked, tasks[i].request->token);
			in_a_row++;
			MemoryContextSwitchTo(old);
		}
		else
			in_a_row = 0;
	}
	dwf_transaction_is_locked = in_a_row >= LOCKED_MAX;
}

/* Resume webhooks in one transaction, in which each request fails alone */
static void
resume_apart(DwfTask *tasks, int count)
{
	dwf_transaction_is_locked = true;	/* wait shortly; resume_each() says */
	PG_TRY();
	{
		dwf_transaction_begin(0);	/* each request has a time of its own */
		dwf_resume_check_privilege();
		resume_each(tasks, count);
		dwf_transaction_commit(true);
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(round_context);

		fail_all(tasks, count, error);
		FreeErrorData(error);
	}
	PG_END_TRY();
}

/* ----- alone ----- */

/*
 * Resume one webhook inside a transaction, as wf_resume_webhook() does.  A
 * large request is tried as one of many first, which copies it less often; it
 * is left alone there if the hook has a validator.
 */
static void
resume_one(DwfWebhookRequest *request, bool is_large, DwfWebhookTrace *trace)
{
	if (is_large)
	{
		dwf_webhook_resume_many(request, 1);
		if (request->fate != DWF_FATE_ASIDE)
			return;
	}
	request->response = dwf_webhook_resume(request->token,
										   JsonbPGetDatum(request->request),
										   true, trace);
	request->fate = DWF_FATE_RESPONSE;
}

/*
 * Resume one webhook that has a validator, or with a large request, of so many
 * bytes, in a transaction of its own; called in helpers.  An error sets the
 * task's status, a validator's the refusal too.
 */
void
dwf_resume_alone(DwfTask *task, Size bytes)
{
	MemoryContext context = CurrentMemoryContext;
	DwfWebhookTrace trace = {0};

	/* resume it in a transaction of its own */
	PG_TRY();
	{
		dwf_transaction_begin(CALL_TIMEOUT + dwf_setting_validator_timeout +
							  (int) (bytes / BYTES_PER_MS));
		dwf_resume_check_privilege();
		MemoryContextSwitchTo(context);
		PushActiveSnapshot(GetTransactionSnapshot());
		resume_one(task->request, bytes > DWF_CONN_LARGE, &trace);
		PopActiveSnapshot();
		dwf_transaction_commit(true);
		dwf_transaction_is_locked = false;
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(context);

		/* has its validator raised the error? */
		if (trace.is_validating)
		{
			task->status = dwf_refusal_status(error);
			task->refusal = dwf_refusal_make(error, &trace);
		}
		else
		{
			task->status = dwf_resume_status(error->sqlerrcode);
			if (task->status == 503)
				dwf_transaction_log_failure(error);
		}
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

/* ----- rounds ----- */

/* The extension's schema, InvalidOid if it is not there; in a transaction */
static Oid
extension_schema(void)
{
	Oid			extension = get_extension_oid("durable_wf", true);
	Relation	table;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	Oid			schema = InvalidOid;

	table = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_extension_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(extension));
	scan = systable_beginscan(table, ExtensionOidIndexId, true, NULL, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		schema = ((Form_pg_extension) GETSTRUCT(row))->extnamespace;
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return schema;
}

/*
 * Look up wf_resume_webhook(), in a transaction; returns false if the
 * extension is not there, or has no webhooks since its objects are older.
 * Called at the start and after changes of extensions.
 */
bool
dwf_resume_begin(void)
{
	Oid			types[] = {TEXTOID, JSONBOID};
	Oid			schema;

	if (round_context == NULL)
		round_context = AllocSetContextCreate(TopMemoryContext,
											  "durable_wf requests",
											  ALLOCSET_DEFAULT_SIZES);
	dwf_process_begin();
	schema = extension_schema();
	function = OidIsValid(schema) ?
		LookupFuncName(list_make2(makeString(get_namespace_name(schema)),
								  makeString("wf_resume_webhook")),
					   2, types, true) : InvalidOid;
	dwf_process_commit();
	return OidIsValid(function);
}

/* Answer the requests of a round, and free its memory */
static void
end_round(DwfTask *tasks, int count)
{
	MemoryContextSwitchTo(round_context);	/* a commit has switched away */
	for (int i = 0; i < count; i++)
		dwf_answer_settle(&tasks[i]);
	*dwf_transaction_is_in_doubt = false;
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(round_context);
}

/*
 * Resume webhooks with the complete requests; those whose hooks have
 * validators become ASIDE.  Returns whether there were any.
 */
bool
dwf_resume_ready(void)
{
	DwfConn    *conns[TOGETHER_MAX];
	DwfTask		tasks[TOGETHER_MAX];
	DwfWebhookRequest *requests;
	int			nconns = dwf_conn_ready(DWF_CONN_READY, conns, TOGETHER_MAX);
	size_t		bytes = 0;
	int			count = 0;

	if (nconns == 0)
		return false;
	/* prepare them, up to a number of bytes; a bad one is answered at once */
	MemoryContextSwitchTo(round_context);
	requests = palloc0(nconns * sizeof(DwfWebhookRequest));
	for (int i = 0; i < nconns && bytes < TOGETHER_BYTES; i++)
	{
		bytes += conns[i]->incoming.body_length;
		tasks[count].conn = conns[i];
		tasks[count].status = 0;
		tasks[count].request = &requests[count];
		if (dwf_prepare_request(&requests[count], conns[i]->token,
								&conns[i]->incoming))
			count++;
		else
			dwf_conn_answer_status(conns[i], 400);
	}

	/* resume, then answer */
	if (count > 0 && !resume_together(requests, count))
		resume_apart(tasks, count);
	end_round(tasks, count);
	return true;
}
