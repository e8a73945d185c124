/*-------------------------------------------------------------------------
 *
 * attempt.h
 *	  Do a piece of the worker's work so that its failure is no other's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ATTEMPT_H
#define DWF_ATTEMPT_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

/* A kind of work, and how it has gone lately */
typedef struct DwfAttempt
{
	const char *purpose;		/* "durable_wf worker could not ..." */
	const char *hint;			/* or NULL */
	int			lock_timeout;	/* in ms, 0: none */
	bool		is_silent;		/* what it fails by is said elsewhere */
	bool		is_of_many;		/* one that works says nothing of the others */
	bool		begins_itself;	/* it has transactions of its own */
	int			failures;		/* in a row */
	int			said;			/* the SQLSTATE that was last logged */
	TimestampTz again_at;		/* after a failure, not before that */
} DwfAttempt;

extern bool dwf_attempt(DwfAttempt *attempt, void (*work) (void *argument),
						void *argument, text *workflow_id);
extern void dwf_attempt_fail(DwfAttempt *attempt);
extern bool dwf_attempt_may(const DwfAttempt *attempt);

#endif							/* DWF_ATTEMPT_H */
