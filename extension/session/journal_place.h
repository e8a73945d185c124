/*-------------------------------------------------------------------------
 *
 * journal_place.h
 *	  What the journal has at a number, and replays that leave its path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_PLACE_H
#define DWF_JOURNAL_PLACE_H

#include "base/durable_wf.h"

#include "store/store.h"

/* What the journal has at a number, for a call */
typedef enum DwfPlace
{
	DWF_PLACE_IS_FREE,			/* nothing yet: the call can happen */
	DWF_PLACE_HAS_CALL,			/* this call, complete or not */
	DWF_PLACE_HAS_OTHER			/* another call; or the replay has diverged
								 * before */
} DwfPlace;

extern void dwf_journal_place_begin(int last_step);
extern DwfPlace dwf_journal_place(int step_no, const char *function,
								  text *name, DwfRecord *recorded);
extern bool dwf_journal_is_recorded(int step_no);
extern bool dwf_journal_has_diverged(void);
extern void dwf_journal_note_divergence(int step_no,
										const DwfRecord *recorded,
										const char *function, text *name);
DWF_NORETURN extern void dwf_journal_report_divergence(void);

#endif							/* DWF_JOURNAL_PLACE_H */
