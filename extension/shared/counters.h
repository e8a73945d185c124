/*-------------------------------------------------------------------------
 *
 * counters.h
 *	  What wf_stat shows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_COUNTERS_H
#define DWF_COUNTERS_H

#include "base/durable_wf.h"

/* The subjects that wf_stat counts by */
typedef enum DwfSubject
{
	DWF_SUBJECT_MESSAGE,
	DWF_SUBJECT_EVENT,
	DWF_SUBJECT_NOTIFY,
	DWF_SUBJECT_HOOK,
	DWF_SUBJECT_RESULT,
	DWF_SUBJECT_QUEUE,
	DWF_SUBJECT_TIMER,
	DWF_SUBJECT_STREAM,
	DWF_SUBJECT_ALL,			/* what concerns all of them at once */
	DWF_SUBJECT_COUNT
} DwfSubject;

/* What is counted for each subject, in the order of the view's columns */
typedef enum DwfCounter
{
	DWF_COUNT_SENDS,			/* committed sends, events, ends */
	DWF_COUNT_RECEIVES,			/* committed receives */
	DWF_COUNT_WAITS,			/* calls that had to wait */
	DWF_COUNT_TIMEOUTS,			/* waits that ended by their timeout */
	DWF_COUNT_WAKES,			/* waiters that were woken */
	DWF_COUNT_SPURIOUS,			/* looks after a signal that found nothing */
	DWF_COUNT_PASSED_ON,		/* signals that a leaving waiter passed on */
	DWF_COUNT_NOTIFICATIONS,	/* NOTIFYs to listeners */
	DWF_COUNT_RESYNCS,			/* times that listeners were told to look */
	DWF_COUNT_RECONCILES,		/* times that all waiters of a database were */
	DWF_COUNT_COUNT
} DwfCounter;

extern Size dwf_counters_size(void);
extern void dwf_counters_init_shared(void);
extern DwfSubject dwf_counters_subject(char door);
extern const char *dwf_counters_subject_name(DwfSubject subject);
extern void dwf_counters_add(DwfSubject subject, DwfCounter counter, uint64 n);
extern uint64 dwf_counters_sum(DwfSubject subject, DwfCounter counter);

#endif							/* DWF_COUNTERS_H */
