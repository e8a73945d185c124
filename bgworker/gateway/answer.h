/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  Answer clients, when their requests were resumed with or responded to.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ANSWER_H
#define DWF_ANSWER_H

#include "postgres.h"

#include "bgworker/gateway/conn.h"
#include "hook/webhook.h"

/* A complete request, and what has become of it */
typedef struct DwfTask
{
	DwfConn    *conn;
	int			status;			/* of a plain answer; 0: request->fate says */
	struct DwfRefusal *refusal; /* the error of its validator, or NULL */
	DwfWebhookRequest *request;
} DwfTask;

extern void dwf_answer_settle(DwfTask *task);
extern void dwf_answer_watch(void);
extern void dwf_answer_drop_gone(void);
extern void dwf_answer_note_late(void);
extern void dwf_answer_end(void);
extern bool dwf_answer_held(long *retry_after);

#endif							/* DWF_ANSWER_H */
