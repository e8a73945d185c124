/*-------------------------------------------------------------------------
 *
 * refusal.h
 *	  What a validator's error means, for the client and for the log.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_REFUSAL_H
#define DWF_REFUSAL_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "hook/webhook.h"

/* An error of a validator, as a helper tells it to the gateway */
typedef struct DwfRefusal
{
	int			sqlstate;
	const char *message;
	const char *detail;			/* '' if there is none; also the next */
	const char *context;
	const char *workflow_id;
	const char *validator;
} DwfRefusal;

extern int	dwf_refusal_status(const ErrorData *error);
extern DwfRefusal *dwf_refusal_make(const ErrorData *error,
									const DwfWebhookTrace *trace);
extern void dwf_refusal_write(const DwfRefusal *refusal, StringInfo message);
extern bool dwf_refusal_read(DwfRefusal *refusal, const char *message,
							 Size length);
extern void dwf_refusal_log(const DwfRefusal *refusal, const char *token,
							int status);

#endif							/* DWF_REFUSAL_H */
