/*-------------------------------------------------------------------------
 *
 * log.c
 *	  What the server's log gets of our errors, and clients get of others.
 *
 * WF010 is an error since only an error leaves the code of a client.  To the
 * server it is none: a workflow is suspended as it should be, and that can be
 * many times a second.  So it goes to the client and not to the log, as the
 * suspension of a body does.
 *
 * The hints of errors about calls of ours are replaced here, since no code of
 * ours has run before them.  The server says of this hook that it supports no
 * change but whether the log gets the message; the client gets what is in the
 * error after it, and if that changes, it gets the server's hint again.
 *
 *-------------------------------------------------------------------------
 */
#include "log.h"

#include "utils/elog.h"

#include "base/call_forms.h"
#include "shared/claim.h"

static emit_log_hook_type prev_emit_log_hook = NULL;

/* The hook: a message is to be written to the log */
static void
emit_log(ErrorData *error)
{
	if (error->sqlerrcode == DWF_ERRCODE_SUSPENDED &&
		dwf_claim_is_suspending())
		error->output_to_server = false;
	dwf_call_forms_explain(error);
	if (prev_emit_log_hook)
		prev_emit_log_hook(error);
}

/* Install the hook */
void
dwf_log_init(void)
{
	prev_emit_log_hook = emit_log_hook;
	emit_log_hook = emit_log;
}
