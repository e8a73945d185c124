/*-------------------------------------------------------------------------
 *
 * identity.h
 *	  Which workflow a call acts as, and whether it may.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_IDENTITY_H
#define DWF_IDENTITY_H

#include "base/durable_wf.h"

#include "store/store.h"

extern text *dwf_identity_current(void);
extern text *dwf_identity_argument(FunctionCallInfo fcinfo, int n);
extern void dwf_identity_check_owner(text *workflow_id, const DwfLife *life,
									 Oid role);
extern void dwf_identity_check_exists(text *workflow_id, DwfLife *life,
									  Oid role);
extern void dwf_identity_check_live(text *workflow_id, Oid role);
extern bool dwf_identity_outcome(text *workflow_id, DwfOutcome *outcome,
								 Oid role);
extern text *dwf_identity_hook_workflow(text *token, Oid role);
DWF_NORETURN extern void dwf_identity_report_no_hook(void);
DWF_NORETURN extern void dwf_identity_report_token(const DwfHook *holder);
DWF_NORETURN extern void dwf_identity_report_end(text *workflow_id,
												 const DwfLife *life);

#endif							/* DWF_IDENTITY_H */
