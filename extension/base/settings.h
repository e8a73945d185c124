/*-------------------------------------------------------------------------
 *
 * settings.h
 *	  The values of the settings durable_wf.*.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SETTINGS_H
#define DWF_SETTINGS_H

#include "base/durable_wf.h"

/* The workflow that the session acts as; '' when there is none */
extern char *dwf_setting_workflow_id;

/* The least time between two batches of notifications, in milliseconds */
extern int	dwf_setting_notify_min_gap;

/*
 * The trace context of the session; empty is none.  While "may_trace" is
 * false, nothing that is sent has one (trace.c, which shows the setting).
 */
extern char *dwf_setting_traceparent;
extern bool dwf_setting_may_trace;
extern const char *(*dwf_setting_show_traceparent) (void);

/* Neither SQL workflows nor timers run in this cluster */
extern bool dwf_setting_paused;

/* Executors, and the bodies that they run; times in milliseconds */
extern int	dwf_setting_max_executors;
extern int	dwf_setting_suspend_after;
extern int	dwf_setting_executor_idle_timeout;
extern int	dwf_setting_careful_time;
extern int	dwf_setting_look_ahead_time;
extern int	dwf_setting_max_attempts;
extern int	dwf_setting_step_timeout;

/* The longest run of a hook's validator, in milliseconds */
extern PGDLLEXPORT int dwf_setting_validator_timeout;

/* How soon the vanished host of an attached client is noticed, in seconds */
extern int	dwf_setting_attach_keepalive;
extern int	dwf_setting_client_suspend_after;

/* May a call wait inside a transaction block? */
extern bool dwf_setting_wait_in_transaction;

/* How often a message may be given back by its receivers; 0: always */
extern int	dwf_setting_max_deliveries;

/* How many sessions may wait on other nodes of the cluster at a time */
extern int	dwf_setting_max_forwarded_waits;

/* For developers: rows are accessed without statements where that can be */
extern bool dwf_setting_debug_direct;

/* The gateway; times in milliseconds, sizes in bytes */
extern PGDLLEXPORT int dwf_setting_http_port;
extern PGDLLEXPORT char *dwf_setting_http_listen_addresses;
extern PGDLLEXPORT char *dwf_setting_http_database;
extern PGDLLEXPORT char *dwf_setting_http_role;
extern PGDLLEXPORT char *dwf_setting_http_base_url;
extern PGDLLEXPORT int dwf_setting_http_max_body;
extern PGDLLEXPORT int dwf_setting_http_max_connections;
extern PGDLLEXPORT int dwf_setting_http_request_timeout;
extern PGDLLEXPORT int dwf_setting_http_response_timeout;
extern PGDLLEXPORT char *dwf_setting_http_allowed_origins;
extern PGDLLEXPORT int dwf_setting_http_stream_heartbeat;

extern void dwf_settings_define(void);

#endif							/* DWF_SETTINGS_H */
