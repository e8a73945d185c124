/*-------------------------------------------------------------------------
 *
 * hook.h
 *	  Hooks: the trigger function that releases them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HOOK_H
#define DWF_HOOK_H

#include "base/durable_wf.h"

#include "fmgr.h"

extern Datum dwf_release_hooks(PG_FUNCTION_ARGS);

#endif							/* DWF_HOOK_H */
