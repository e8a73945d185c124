/*-------------------------------------------------------------------------
 *
 * durable_wf.h
 *	  Names that all files of durable_wf share: SQLSTATEs, limits and doors.
 *
 * A mailbox item has an *address*: a workflow, a door and a key.  The same
 * triple, with a few more doors, names what a session can wait for; see
 * address.h.
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
#define DWF_ERRCODE_SUSPENDED		MAKE_SQLSTATE('W','F','0','1','0')
#define DWF_ERRCODE_OTHER_NODE		MAKE_SQLSTATE('W','F','0','1','1')

/* Limits of names, in bytes */
#define DWF_WORKFLOW_ID_MAX	256
#define DWF_KEY_MAX			512

/*
 * Doors.  The first group are doors of mailbox items and are stored in
 * durable_wf.message.door.  The others exist only in the registry of waiters
 * and in durable_wf.wait.  What is signalled at a door of the first two groups
 * is taken by one receiver, so it wakes one waiter; a signal at a door of the
 * third group concerns all waiters, so it wakes all.
 *
 * 'No topic' is a door of its own, so that a key is never null.
 */
#define DWF_DOOR_TOPIC		'm' /* a message with a topic */
#define DWF_DOOR_NO_TOPIC	'd' /* a message without a topic; key '' */
#define DWF_DOOR_NOTIFY		'n' /* a notification; key is the event id */
#define DWF_DOOR_HOOK		'h' /* a hook's payload; key is the token */

#define DWF_DOOR_QUEUE		'q' /* a workflow to execute; workflow '', key is
								 * the queue */
#define DWF_DOOR_WORK		'x' /* a body to run; workflow '', key is the OID
								 * of the owner */

#define DWF_DOOR_EVENT		'e' /* a published event; key is its key */
#define DWF_DOOR_STREAM		's' /* an item of a stream, or its end; key is its
								 * name */
#define DWF_DOOR_TURN		'u' /* a writer of a stream has gone without
								 * having written; key is the stream's name */
#define DWF_DOOR_LIFE		'w' /* start, end, change of owner; key '' */
#define DWF_DOOR_RESPONSE	'r' /* the answer to a webhook's request; key is
								 * the request's id */
#define DWF_DOOR_GATEWAY	'g' /* answers to requests that the gateway holds;
								 * workflow '', key '' */
#define DWF_DOOR_TIMER		't' /* none, only time ends the wait; key '' */
#define DWF_DOOR_BROADCAST	'b' /* an event id, to list its waiters; key is
								 * the id, workflow '' */

/* Is a signal at this door the arrival of a mailbox item? */
static inline bool
dwf_door_is_queue(char door)
{
	return door == DWF_DOOR_TOPIC || door == DWF_DOOR_NO_TOPIC ||
		door == DWF_DOOR_NOTIFY || door == DWF_DOOR_HOOK;
}

/* Does one signal at this door serve one waiter? */
static inline bool
dwf_door_serves_one(char door)
{
	return dwf_door_is_queue(door) || door == DWF_DOOR_QUEUE ||
		door == DWF_DOOR_WORK;
}

#endif							/* DURABLE_WF_H */
