/*-------------------------------------------------------------------------
 *
 * call_forms.h
 *	  How our functions and procedures are called, for who has called one in
 *	  another way.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CALL_FORMS_H
#define DWF_CALL_FORMS_H

#include "base/durable_wf.h"

#include "utils/elog.h"

extern void dwf_call_forms_explain(ErrorData *error);

#endif							/* DWF_CALL_FORMS_H */
