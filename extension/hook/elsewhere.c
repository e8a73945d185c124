/*-------------------------------------------------------------------------
 *
 * elsewhere.c
 *	  Requests to webhooks and streams of other nodes, for the gateway.
 *
 * A request can come to the gateway of another node than its workflow's: the
 * workflow was moved since it got the URL, or one address leads to all nodes.
 * The token tells which node it is (token_home.c).
 *
 * What can be answered at once is taken on its node, by wf_resume_webhook() in
 * the transaction of the gateway, which answers when that has committed.  What
 * needs a connection that stays, a webhook of mode "manual" or a stream, is
 * sent there: the client gets that node's durable_wf.http_base_url.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/elsewhere.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/arrays.h"
#include "cluster/forward.h"
#include "cluster/token_home.h"
#include "hook/http_response.h"
#include "hook/stream_url.h"
#include "hook/token.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(dwf_token_route);

/* Does a token belong to another node? */
bool
dwf_elsewhere_is(text *token)
{
	text	   *place;

	return dwf_token_home_is_elsewhere(token, &place);
}

/* What a node says of a token: its base URL, and one of these */
#define TAKE	"take"
#define SEND	"send"

/*
 * durable_wf.token_route(token): where requests with a token of this node go,
 * and whether they can be taken from another node; empty: nowhere
 */
Datum
dwf_token_route(PG_FUNCTION_ARGS)
{
	text	   *token = PG_GETARG_TEXT_PP(0);
	DwfHook		hook;
	DwfStreamUrl url;
	const char *how = SEND;
	Datum		route[2];

	if (dwf_store_find_hook(token, &hook) && !hook.has_ended &&
		hook.is_webhook)
	{
		if (dwf_http_respond_mode(&hook.respond_with) != DWF_RESPOND_MANUAL)
			how = TAKE;
	}
	else if (!dwf_stream_url_find(token, &url))
		PG_RETURN_DATUM(dwf_arrays_of_text(NULL, 0));
	route[0] = CStringGetTextDatum(dwf_http_base_url());
	route[1] = CStringGetTextDatum(how);
	PG_RETURN_DATUM(dwf_arrays_of_text(route, 2));
}

/* Have another node resume its webhook; the response to give */
static Datum
take_there(const DwfWebhookRequest *request, text *place)
{
	Datum		arguments[2];
	Datum	   *result;
	char	   *json = JsonbToCString(NULL, &request->request->root,
									  VARSIZE(request->request));

	/* what fails, even at the commit, was not delivered: C1 in forward.c */
	(void) GetTopTransactionId();
	arguments[0] = PointerGetDatum(request->token);
	arguments[1] = CStringGetTextDatum(json);
	(void) dwf_arrays_read_texts(dwf_forward_texts("wf_resume_webhook", place,
												   arguments, NULL, 2),
								 &result, NULL);
	json = TextDatumGetCString(result[0]);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/*
 * Have the node of a token take a request, or tell where to send it, and set
 * its fate; with no request but only a token it is sent.  Raises what
 * wf_resume_webhook() raises, and what keeps the node from being reached.
 */
void
dwf_elsewhere_take(DwfWebhookRequest *request)
{
	Datum		argument = PointerGetDatum(request->token);
	Datum	   *route;
	text	   *place;

	request->fate = DWF_FATE_UNKNOWN;
	if (!dwf_token_home_is_elsewhere(request->token, &place))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the workflow of a token was moved to this node")));
	if (dwf_arrays_read_texts(dwf_forward_array("token_route", place,
												&argument, 1),
							  &route, NULL) != 2)
		return;
	if (request->request &&
		strcmp(TextDatumGetCString(route[1]), TAKE) == 0)
	{
		request->response = take_there(request, place);
		request->fate = DWF_FATE_RESPONSE;
	}
	else
	{
		request->response = route[0];
		request->fate = DWF_FATE_PLACE;
	}
}
