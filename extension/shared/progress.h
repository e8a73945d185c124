/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  How far the execution of a workflow has come.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PROGRESS_H
#define DWF_PROGRESS_H

#include "base/durable_wf.h"

/* The call that a session makes in its workflow, or has made last */
typedef struct DwfProgress
{
	int			step_no;		/* 0: none yet */
	char		function[NAMEDATALEN];
	char		name[DWF_KEY_MAX + 1];	/* may be cut */
	bool		has_name;
} DwfProgress;

extern Size dwf_progress_size(void);
extern void dwf_progress_init_shared(void);
extern void dwf_progress_begin(const text *workflow_id);
extern void dwf_progress_show(int step_no, const char *function,
							  const text *name);
extern void dwf_progress_read(int slot, const text *workflow_id,
							  DwfProgress *progress);

#endif							/* DWF_PROGRESS_H */
