/*-------------------------------------------------------------------------
 *
 * owned.h
 *	  Roles that are dropped, or whose objects are reassigned, while they have
 *	  workflows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_OWNED_H
#define DWF_OWNED_H

#include "base/durable_wf.h"

#include "nodes/nodes.h"
#include "nodes/pg_list.h"

extern List *dwf_owned_owners(Node *statement);
extern void dwf_owned_tell(List *owners);

#endif							/* DWF_OWNED_H */
