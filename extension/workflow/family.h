/*-------------------------------------------------------------------------
 *
 * family.h
 *	  Workflows that workflows have started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FAMILY_H
#define DWF_FAMILY_H

#include "base/durable_wf.h"

extern text *dwf_family_parent(void);
extern void dwf_family_note_start(text *parent);
extern void dwf_family_cancel(text *workflow_id, text *error);
extern void dwf_family_check_commit(void);
extern void dwf_family_end_xact(void);

#endif							/* DWF_FAMILY_H */
