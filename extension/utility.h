/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  What we do before and after utility statements.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_UTILITY_H
#define DWF_UTILITY_H

#include "base/durable_wf.h"

extern void dwf_utility_init(void);

#endif							/* DWF_UTILITY_H */
