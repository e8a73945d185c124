/*-------------------------------------------------------------------------
 *
 * validator.h
 *	  Validators: functions of users that check what comes to a hook.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_VALIDATOR_H
#define DWF_VALIDATOR_H

#include "base/durable_wf.h"

extern text *dwf_validator_qualify(text *name);
extern text *dwf_validator_resolve(text *name, Oid owner);
extern Datum dwf_validator_run(text *name, Oid owner, Datum payload);

#endif							/* DWF_VALIDATOR_H */
