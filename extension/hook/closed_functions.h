/*-------------------------------------------------------------------------
 *
 * closed_functions.h
 *	  Which functions a validator may call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOSED_FUNCTIONS_H
#define DWF_CLOSED_FUNCTIONS_H

#include "base/durable_wf.h"

extern void dwf_closed_functions_check(Oid function);
extern void dwf_closed_functions_init(void);

#endif							/* DWF_CLOSED_FUNCTIONS_H */
