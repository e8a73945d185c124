/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  The type durable_wf.owner, and the rule which role may act on a workflow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_OWNER_H
#define DWF_OWNER_H

#include "base/durable_wf.h"

extern bool dwf_owner_allows(Oid owner, Oid role);
extern Oid	dwf_owner_role(const char *name);

#endif							/* DWF_OWNER_H */
