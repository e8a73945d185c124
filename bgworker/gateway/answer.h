/*-------------------------------------------------------------------------
 *
 * answer.h
 *	  Tell clients what became of their requests.  Gateway, floor 4.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ANSWER_H
#define DWF_ANSWER_H

#include "postgres.h"

#include "bgworker/gateway/conn.h"
#include "hook/webhook.h"

/* A request on its way */
typedef struct DwfTask
{
	DwfConn    *conn;
	int			status;			/* of a plain answer; 0: its fate says */
	struct DwfRefusal *refusal; /* what its validator has raised, or NULL */
	DwfWebhookRequest *request;
} DwfTask;

extern void dwf_answer_settle(DwfTask *task);
extern void dwf_answer_watch(void);
extern void dwf_answer_drop_gone(void);
extern void dwf_answer_note_late(void);
extern void dwf_answer_end(void);
extern bool dwf_answer_held(long *retry_after);

#endif							/* DWF_ANSWER_H */
