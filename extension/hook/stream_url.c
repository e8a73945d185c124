/*-------------------------------------------------------------------------
 *
 * stream_url.c
 *	  Tokens that let their holders read a stream: wf_create_stream_url.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/stream_url.h"

#include "miscadmin.h"

#include "base/args.h"
#include "hook/http_response.h"
#include "hook/token.h"
#include "session/identity.h"
#include "session/journal.h"
#include "store/store.h"
#include "store/stream_rows.h"


/* wf_create_stream_url(stream, workflow_id) → (token, url) */
DWF_JOURNALLED(wf_create_stream_url, 0, DWF_AT_WORKFLOW(1));
static Datum
do_wf_create_stream_url(PG_FUNCTION_ARGS)
{
	text	   *stream = dwf_args_name(fcinfo, 0, "stream", DWF_KEY_MAX);
	text	   *workflow_id = dwf_identity_argument(fcinfo, 1);
	text	   *token;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	DwfLife		life;

	dwf_store_require_writable("wf_create_stream_url");
	token = dwf_token_generate(workflow_id);
	while (!dwf_store_create_stream_url(token, workflow_id, stream,
										GetUserId()))
	{
		CHECK_FOR_INTERRUPTS();
		dwf_identity_check_exists(workflow_id, &life, GetUserId());
	}

	values[0] = PointerGetDatum(token);
	values[1] = PointerGetDatum(dwf_http_stream_url(token));
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* Find the stream that a token is for; false if there is none */
bool
dwf_stream_url_find(text *token, DwfStreamUrl *url)
{
	return dwf_store_find_stream_url(token, url);
}

/*
 * Read items of a stream whose token was found: at most "limit" ones after
 * "after".  The token is the authorisation, so the owner's privileges do.
 * Neither items nor the end: there is nothing more now.
 */
void
dwf_stream_url_read(const DwfStreamUrl *url, DwfStreamRead *read)
{
	read->workflow_id = url->workflow_id;
	read->stream = url->stream;
	(void) dwf_stream_look(read, url->owner);
}
