/*-------------------------------------------------------------------------
 *
 * call_hint.h
 *	  Write the hints that show how a call belongs in the body of a SQL
 *	  workflow.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CALL_HINT_H
#define DWF_CALL_HINT_H

#include "base/durable_wf.h"

extern char *dwf_call_hint(FunctionCallInfo fcinfo, const char *function);
extern char *dwf_call_hint_select(const char *function);
extern char *dwf_call_hint_step(const char *statement);

#endif							/* DWF_CALL_HINT_H */
