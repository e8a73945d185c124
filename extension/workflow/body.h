/*-------------------------------------------------------------------------
 *
 * body.h
 *	  The procedures that are bodies of SQL workflows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_BODY_H
#define DWF_BODY_H

#include "base/durable_wf.h"

extern text *dwf_body_resolve(text *name, Oid role);
extern const char *dwf_body_refusal(Oid role, bool *is_gone);
extern Oid	dwf_body_check(text *body);
extern void dwf_body_check_owner(text *body, Oid role);

#endif							/* DWF_BODY_H */
