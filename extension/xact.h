/*-------------------------------------------------------------------------
 *
 * xact.h
 *	  What the end of a transaction means to us.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_XACT_H
#define DWF_XACT_H

#include "base/durable_wf.h"

extern void dwf_xact_init(void);

#endif							/* DWF_XACT_H */
