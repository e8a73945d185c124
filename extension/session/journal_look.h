/*-------------------------------------------------------------------------
 *
 * journal_look.h
 *	  Look ahead in the journal: for patches, and for work of the client.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JOURNAL_LOOK_H
#define DWF_JOURNAL_LOOK_H

#include "base/durable_wf.h"

extern void dwf_journal_look_begin(void);

/* for wf_patched */
extern bool dwf_journal_patch(text *change, bool *value);
extern void dwf_journal_keep_patch(text *change, bool value);
extern bool dwf_journal_is_fresh(void);
extern bool dwf_journal_peek(const char *function, text *name);

/* for wf_get_step and wf_save_step */
extern bool dwf_journal_look(const char *function, text *name,
							 const char *caller);
extern void dwf_journal_note_begun(int step_no, text *name, bool done);
extern void dwf_journal_note_done(text *name);
extern bool dwf_journal_is_done_again(const char *function, text *name);

#endif							/* DWF_JOURNAL_LOOK_H */
