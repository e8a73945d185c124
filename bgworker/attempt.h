/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Do a piece of the worker's work so that its failure stops no other piece.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ATTEMPT_H
#define DWF_ATTEMPT_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

/* A kind of work, and how its last pieces have ended */
typedef struct DwfAttempt
{
	const char *purpose;		/* "durable_wf worker could not ..." */
	const char *hint;			/* or NULL */
	int			lock_timeout;	/* in ms, 0: none */
	bool		is_silent;		/* its errors are logged elsewhere */
	bool		is_of_many;		/* a success says nothing of the others */
	bool		begins_itself;	/* the work begins its transactions itself */
	int			failures;		/* in a row */
	int			said;			/* the SQLSTATE that was last logged, or 0 */
	TimestampTz again_at;		/* after a failure: not before this time */
} DwfAttempt;

extern bool dwf_attempt(DwfAttempt *attempt, void (*work) (void *argument),
						void *argument, text *workflow_id);
extern void dwf_attempt_fail(DwfAttempt *attempt);
extern bool dwf_attempt_may(const DwfAttempt *attempt);

#endif							/* DWF_ATTEMPT_H */
