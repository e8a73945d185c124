/*-------------------------------------------------------------------------
 *
 * settings.c
 *	  Define the settings durable_wf.*, and check their values.
 *
 *-------------------------------------------------------------------------
 */
#include "base/settings.h"

#include <limits.h>

#include "utils/guc.h"

#include "base/traceparent.h"

char	   *dwf_setting_workflow_id;
char	   *dwf_setting_traceparent;
bool		dwf_setting_may_trace;
const char *(*dwf_setting_show_traceparent) (void);
int			dwf_setting_notify_min_gap;
bool		dwf_setting_paused;
int			dwf_setting_max_executors;
int			dwf_setting_suspend_after;
int			dwf_setting_executor_idle_timeout;
int			dwf_setting_careful_time;
int			dwf_setting_look_ahead_time;
int			dwf_setting_max_attempts;
int			dwf_setting_step_timeout;
int			dwf_setting_attach_keepalive;
int			dwf_setting_client_suspend_after;
bool		dwf_setting_wait_in_transaction;
int			dwf_setting_max_deliveries;
int			dwf_setting_max_forwarded_waits;
int			dwf_setting_validator_timeout;
bool		dwf_setting_debug_direct;
int			dwf_setting_http_port;
char	   *dwf_setting_http_listen_addresses;
char	   *dwf_setting_http_database;
char	   *dwf_setting_http_role;
char	   *dwf_setting_http_base_url;
int			dwf_setting_http_max_body;
int			dwf_setting_http_max_connections;
int			dwf_setting_http_request_timeout;
int			dwf_setting_http_response_timeout;
char	   *dwf_setting_http_allowed_origins;
int			dwf_setting_http_stream_heartbeat;

/* Check hook: a workflow id is within its limit; '' is none */
static bool
check_workflow_id(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (strlen(*value) <= DWF_WORKFLOW_ID_MAX)
		return true;
	GUC_check_errdetail("A workflow id has at most %d bytes.",
						DWF_WORKFLOW_ID_MAX);
	return false;
}

/* Check hook: a trace context is one; '' is none */
static bool
check_traceparent(char **value, void **extra, GucSource source)
{
	(void) extra;
	(void) source;
	if (**value == '\0' || dwf_traceparent_is_valid(*value, strlen(*value)))
		return true;
	GUC_check_errdetail("It is of the form 00-<trace id>-<parent id>-<flags>, with 32, 16 and 2 hexadecimal digits in lower case.");
	return false;
}

/* Assign hook: there may be a trace context now, which a send looks up */
static void
assign_traceparent(const char *value, void *extra)
{
	(void) value;
	(void) extra;
	dwf_setting_may_trace = true;
}

/* Show hook: what a send would take along, see trace.c */
static const char *
show_traceparent(void)
{
	if (dwf_setting_show_traceparent && dwf_setting_may_trace)
		return dwf_setting_show_traceparent();
	return dwf_setting_traceparent;
}

/* Define the settings of the gateway, which takes requests over HTTP */
static void
define_http_settings(void)
{
	/* where the gateway listens, and for which database */
	DefineCustomIntVariable("durable_wf.http_port",
							"The port on which the gateway takes requests to webhooks; 0: there is none.",
							NULL,
							&dwf_setting_http_port, 0, 0, 65535,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("durable_wf.http_listen_addresses",
							   "The addresses on which the gateway takes requests, separated by commas.",
							   NULL,
							   &dwf_setting_http_listen_addresses, "127.0.0.1",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("durable_wf.http_database",
							   "The database whose webhooks the gateway serves.",
							   NULL,
							   &dwf_setting_http_database, "postgres",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("durable_wf.http_role",
							   "The role as which the gateway connects; empty: the extension's owner.",
							   NULL,
							   &dwf_setting_http_role, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("durable_wf.http_base_url",
							   "What the URLs of webhooks begin with; empty: made from address and port.",
							   "Set it to what the world calls this server, for example https://hooks.example.com.",
							   &dwf_setting_http_base_url, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.http_max_body",
							"The longest body of a request that the gateway takes.",
							NULL,
							&dwf_setting_http_max_body, 1024 * 1024,
							0, 100 * 1024 * 1024,
							PGC_SIGHUP, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.http_max_connections",
							"How many connections the gateway has at a time.",
							NULL,
							&dwf_setting_http_max_connections, 1000, 1, 100000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.http_request_timeout",
							"How long a client may take to send its request.",
							NULL,
							&dwf_setting_http_request_timeout, 10000, 1,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.http_response_timeout",
							"How long a request to a webhook of mode \"manual\" is held for its answer.",
							NULL,
							&dwf_setting_http_response_timeout, 30000, 1,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);

	/* for readers of streams */
	DefineCustomStringVariable("durable_wf.http_allowed_origins",
							   "Whose web pages may read streams: origins such as https://shop.example.com, separated by commas; *: all.",
							   NULL,
							   &dwf_setting_http_allowed_origins, "",
							   PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.http_stream_heartbeat",
							"How long an open stream is silent before its readers get an empty comment; 0: for ever.",
							NULL,
							&dwf_setting_http_stream_heartbeat, 15000, 0,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
}

/* Define the settings of executors and of the bodies that they run */
static void
define_body_settings(void)
{
	/* how bodies get processes, and for how long */
	DefineCustomIntVariable("durable_wf.max_executors",
							"How many processes run SQL workflows, in each database.",
							"A role that has none gets one beyond this number, so that others cannot keep it from running.",
							&dwf_setting_max_executors, 4, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.careful_time",
							"How long after a crash or a start each claim of a body waits for the disk.",
							"For tests: light_commit.c says what it is for.",
							&dwf_setting_careful_time, 60000, 0, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_MS | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.look_ahead_time",
							"How long executors claim from what one of them has found in a search; 0: each searches for each body.",
							"For tests: ahead.c says what it is for.",
							&dwf_setting_look_ahead_time, 50, 0, INT_MAX,
							PGC_SIGHUP,
							GUC_UNIT_MS | GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.suspend_after",
							"How long a body that waits keeps its executor.",
							NULL,
							&dwf_setting_suspend_after, 200, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.executor_idle_timeout",
							"How long an executor that has nothing to do stays.",
							NULL,
							&dwf_setting_executor_idle_timeout, 10000, 0,
							INT_MAX, PGC_SIGHUP, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.max_attempts",
							"How often a workflow that crashes without getting further is executed in a row.",
							NULL,
							&dwf_setting_max_attempts, 3, 1, 1000,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.step_timeout",
							"How long a step of a SQL workflow may take; 0: as long as it wants.",
							NULL,
							&dwf_setting_step_timeout, 0, 0, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Define all settings; called once, when the library is loaded */
void
dwf_settings_define(void)
{
	/* settings of sessions and of the worker */
	DefineCustomStringVariable("durable_wf.workflow_id",
							   "The workflow that calls act as when they name none.",
							   "Set it for a session, or with SET LOCAL for a transaction; empty means none.",
							   &dwf_setting_workflow_id, "", PGC_USERSET, 0,
							   check_workflow_id, NULL, NULL);
	DefineCustomStringVariable("durable_wf.traceparent",
							   "The trace context that sends, notifications and starts take along.",
							   "A W3C traceparent; where it is empty, a body or an attached session has that of its workflow.",
							   &dwf_setting_traceparent, "", PGC_USERSET, 0,
							   check_traceparent, assign_traceparent,
							   show_traceparent);
	DefineCustomIntVariable("durable_wf.notify_min_gap",
							"The least time between two batches of notifications to listeners.",
							"News come at once when it was quiet; 0 means always at once.",
							&dwf_setting_notify_min_gap, 50, 0, 60000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("durable_wf.paused",
							 "Lets no SQL workflow and no timer run in this cluster.",
							 "For physical copies: a staging clone, the exercise of a recovery.",
							 &dwf_setting_paused, false, PGC_SIGHUP, 0,
							 NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.validator_timeout",
							"How long a hook's validator may take.",
							NULL,
							&dwf_setting_validator_timeout, 1000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.attach_keepalive",
							"How long it takes to notice that the host of an attached client has vanished; 0: as long as the tcp_keepalives settings say.",
							"Read when a session attaches, or waits for a workflow, over TCP.",
							&dwf_setting_attach_keepalive, 60, 0, 32767,
							PGC_USERSET, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.client_suspend_after",
							"How long a CALLed wait keeps the session of a client that has taken its workflow from a queue; -1: to its end.",
							"After that the workflow is suspended, the session is detached, and the call raises WF010.",
							&dwf_setting_client_suspend_after, -1, -1,
							INT_MAX, PGC_USERSET, GUC_UNIT_MS,
							NULL, NULL, NULL);
	DefineCustomBoolVariable("durable_wf.wait_in_transaction",
							 "Lets calls wait inside a transaction block.",
							 "Such a wait keeps its snapshot and locks; when this is off it is an error.",
							 &dwf_setting_wait_in_transaction, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.max_deliveries",
							"How often receivers may give back a message before it becomes a dead letter; 0: as often as they want.",
							NULL,
							&dwf_setting_max_deliveries, 0, 0, INT_MAX,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("durable_wf.max_forwarded_waits",
							"How many sessions of this node of a cluster wait on other nodes at a time.",
							"Each holds a connection there. A session beyond that gets an error, if it would have to wait.",
							&dwf_setting_max_forwarded_waits, 32, 0,
							100000, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("durable_wf.debug_direct",
							 "Lets rows of mailboxes and events be written and read without statements.",
							 "For developers: off makes each access run its statement, as it does where a table was changed.",
							 &dwf_setting_debug_direct, true, PGC_SUSET,
							 GUC_NOT_IN_SAMPLE, NULL, NULL, NULL);
	define_body_settings();
	define_http_settings();
	MarkGUCPrefixReserved("durable_wf");
}
