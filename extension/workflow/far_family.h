/*-------------------------------------------------------------------------
 *
 * far_family.h
 *	  Workflows that workflows of other nodes of the cluster have started.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FAR_FAMILY_H
#define DWF_FAR_FAMILY_H

#include "base/durable_wf.h"

extern void dwf_far_family_note_start(text *child);
extern void dwf_far_family_cancel(text *workflow_id, text *error);

#endif							/* DWF_FAR_FAMILY_H */
