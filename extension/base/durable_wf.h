/*-------------------------------------------------------------------------
 *
 * durable_wf.h
 *	  Names that every file of durable_wf shares: error codes, limits, doors
 *	  and settings.  Floor 0: includes nothing of ours but compat.h.
 *
 * A mailbox item has an *address*: a workflow, a door and a key.  The same
 * triple, with a few doors more, names what a session can wait for; see
 * waiter.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DURABLE_WF_H
#define DURABLE_WF_H

#include "postgres.h"

#include "fmgr.h"
#include "utils/errcodes.h"

#include "base/compat.h"

/* Private SQLSTATEs, class WF: clients match on them, so they never change */
#define DWF_ERRCODE_NO_WORKFLOW		MAKE_SQLSTATE('W','F','0','0','1')
#define DWF_ERRCODE_CANCELLED		MAKE_SQLSTATE('W','F','0','0','2')
#define DWF_ERRCODE_FINISHED		MAKE_SQLSTATE('W','F','0','0','3')
#define DWF_ERRCODE_REPLAY_MISMATCH MAKE_SQLSTATE('W','F','0','0','4')
#define DWF_ERRCODE_TOKEN_IN_USE	MAKE_SQLSTATE('W','F','0','0','5')
#define DWF_ERRCODE_NO_HOOK			MAKE_SQLSTATE('W','F','0','0','6')
#define DWF_ERRCODE_ELSEWHERE		MAKE_SQLSTATE('W','F','0','0','7')
#define DWF_ERRCODE_NO_CURRENT		MAKE_SQLSTATE('W','F','0','0','8')
#define DWF_ERRCODE_NOT_IN_BODY		MAKE_SQLSTATE('W','F','0','0','9')

/* Limits of names, in bytes */
#define DWF_WORKFLOW_ID_MAX	256
#define DWF_KEY_MAX			512

/*
 * Doors.  The first group are doors of mailbox items and are stored in
 * durable_wf.message.door; an item is taken by one receiver, so its arrival
 * wakes one waiter.  The second group exist only in the registry of waiters;
 * what they announce is for everybody, so they wake all.
 *
 * 'No topic' is a door of its own, so that a key is never null.
 */
#define DWF_DOOR_TOPIC		'm' /* a message with a topic */
#define DWF_DOOR_NO_TOPIC	'd' /* a message without one; key '' */
#define DWF_DOOR_NOTIFY		'n' /* a notification; key is the event id */
#define DWF_DOOR_HOOK		'h' /* a hook's payload; key is the token */

#define DWF_DOOR_QUEUE		'q' /* a workflow to execute; workflow '', key is
								 * the queue: for one waiter, too */

#define DWF_DOOR_WORK		'x' /* a body to run; workflow '', key is the OID
								 * of the owner: for one executor */

#define DWF_DOOR_EVENT		'e' /* a published event; key is its key */
#define DWF_DOOR_STREAM		's' /* an item of a stream, or its end; key is its
								 * name */
#define DWF_DOOR_TURN		'u' /* a writer of a stream has gone without
								 * having written; key is the stream's name */
#define DWF_DOOR_LIFE		'w' /* start, end, change of owner; key '' */
#define DWF_DOOR_RESPONSE	'r' /* the answer to a webhook's request; key is
								 * the request's id */
#define DWF_DOOR_GATEWAY	'g' /* answers for whoever holds HTTP requests;
								 * workflow '', key '' */
#define DWF_DOOR_TIMER		't' /* nothing: only time ends the wait; key '' */
#define DWF_DOOR_BROADCAST	'b' /* whoever waits for an event id, by that id;
								 * workflow '' */

/* True if what lies at this door is an item of a mailbox */
static inline bool
dwf_door_is_queue(char door)
{
	return door == DWF_DOOR_TOPIC || door == DWF_DOOR_NO_TOPIC ||
		door == DWF_DOOR_NOTIFY || door == DWF_DOOR_HOOK;
}

/* True if one arrival at this door serves one waiter */
static inline bool
dwf_door_serves_one(char door)
{
	return dwf_door_is_queue(door) || door == DWF_DOOR_QUEUE ||
		door == DWF_DOOR_WORK;
}

/* Setting durable_wf.workflow_id; '' when there is none */
extern char *dwf_setting_workflow_id;

/* Setting durable_wf.notify_min_gap, in milliseconds */
extern int	dwf_setting_notify_min_gap;

/* Settings about SQL workflows; times in milliseconds */
extern int	dwf_setting_max_executors;
extern int	dwf_setting_suspend_after;
extern int	dwf_setting_executor_idle_timeout;
extern int	dwf_setting_max_attempts;
extern int	dwf_setting_step_timeout;
extern int	dwf_setting_attach_keepalive;

/* Setting durable_wf.validator_timeout, in milliseconds */
extern PGDLLEXPORT int dwf_setting_validator_timeout;

/* Settings about HTTP; times in milliseconds, sizes in bytes */
extern PGDLLEXPORT int dwf_setting_http_port;
extern PGDLLEXPORT char *dwf_setting_http_listen_addresses;
extern PGDLLEXPORT char *dwf_setting_http_database;
extern PGDLLEXPORT char *dwf_setting_http_role;
extern PGDLLEXPORT char *dwf_setting_http_base_url;
extern PGDLLEXPORT int dwf_setting_http_max_body;
extern PGDLLEXPORT int dwf_setting_http_max_connections;
extern PGDLLEXPORT int dwf_setting_http_request_timeout;
extern PGDLLEXPORT int dwf_setting_http_response_timeout;

/* Setting durable_wf.paused */
extern bool dwf_setting_paused;

#endif							/* DURABLE_WF_H */
