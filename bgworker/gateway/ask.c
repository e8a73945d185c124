/*-------------------------------------------------------------------------
 *
 * ask.c
 *	  Look for the tokens of requests whose bodies are large.
 *
 * The body of such a request is read when there is a webhook of its token, and
 * memory for it; else the client gets its 404 before it has cost anything.  If
 * it is for another node of the cluster, it is sent there without its body.
 *
 *-------------------------------------------------------------------------
 */
#include "bgworker/gateway/ask.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "base/durable_wf.h"
#include "bgworker/gateway/conn.h"
#include "bgworker/gateway/server.h"
#include "bgworker/gateway/transaction.h"
#include "hook/elsewhere.h"
#include "hook/webhook.h"

/* How many tokens one transaction looks for, and its time in ms */
#define TOKENS_MAX		64
#define ASK_TIMEOUT		2000

/* Memory for what one transaction finds; reset after it */
static MemoryContext ask_context = NULL;

/* What was found at a token */
typedef struct Found
{
	bool		is_there;
	bool		is_elsewhere;
	Oid			owner;
} Found;

/*
 * How much memory a body needs at first: what is only announced takes none, so
 * that announcements of one owner do not hold up others
 */
static Size
size_of(const DwfConn *conn)
{
	if (conn->incoming.is_chunked)
		return DWF_CONN_LARGE;
	return Min(DWF_CONN_LARGE, (Size) conn->incoming.left);
}

/*
 * Look for the tokens of connections in one transaction; returns false if it
 * has failed
 */
static bool
look(DwfConn **conns, int count, Found *found)
{
	bool volatile done = false;

	PG_TRY();
	{
		dwf_transaction_begin(ASK_TIMEOUT);
		MemoryContextSwitchTo(ask_context);
		PushActiveSnapshot(GetTransactionSnapshot());
		for (int i = 0; i < count; i++)
		{
			text	   *token = cstring_to_text(conns[i]->token);

			found[i].is_there = dwf_webhook_find(token, &found[i].owner);
			found[i].is_elsewhere = !found[i].is_there &&
				dwf_elsewhere_is(token);
		}
		PopActiveSnapshot();
		dwf_transaction_commit(false);
		done = true;
	}
	PG_CATCH();
	{
		ErrorData  *error = dwf_transaction_abort(ask_context);

		dwf_transaction_log_failure(error);
		FreeErrorData(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(TopMemoryContext);
	MemoryContextReset(ask_context);
	return done;
}

/*
 * Look for the tokens of requests that are ASKED, and let their bodies come or
 * answer them.  Those for whose bodies there is no memory wait, the oldest
 * first.  Returns whether there was anything to do.
 */
bool
dwf_ask_tokens(void)
{
	DwfConn    *conns[TOKENS_MAX];
	Found		found[TOKENS_MAX] = {0};
	int			count = dwf_conn_ready(DWF_CONN_ASKED, conns, TOKENS_MAX);
	int			served = 0;
	bool		done;

	/* for which is there memory? */
	while (served < count &&
		   dwf_conn_reserve(conns[served], size_of(conns[served])))
		served++;
	if (served == 0)
		return false;

	/* look, then answer */
	if (ask_context == NULL)
		ask_context = AllocSetContextCreate(TopMemoryContext,
											"durable_wf tokens",
											ALLOCSET_DEFAULT_SIZES);
	done = look(conns, served, found);
	for (int i = 0; i < served; i++)
	{
		if (!done)
			dwf_conn_answer_status(conns[i], 503);
		else if (found[i].is_elsewhere)
			dwf_conn_pass_on(conns[i], true);
		else if (!found[i].is_there)
			dwf_conn_answer_status(conns[i], 404);
		else
		{
			conns[i]->owner = found[i].owner;
			dwf_server_let_come(conns[i]);
		}
	}
	return true;
}
