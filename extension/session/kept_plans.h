/*-------------------------------------------------------------------------
 *
 * kept_plans.h
 *	  Plans that stay in an executor's session from one body to the next.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_KEPT_PLANS_H
#define DWF_KEPT_PLANS_H

#include "base/durable_wf.h"

#include "nodes/nodes.h"

extern void dwf_kept_plans_note_command(Node *command);
extern void dwf_kept_plans_note_function(Oid function);
extern void dwf_kept_plans_note_set(void);
extern void dwf_kept_plans_end_run(void);
extern void dwf_kept_plans_reset(void);

#endif							/* DWF_KEPT_PLANS_H */
