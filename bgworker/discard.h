/*-------------------------------------------------------------------------
 *
 * discard.h
 *	  Discard what a body has left in its executor's session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_DISCARD_H
#define DWF_DISCARD_H

#include "base/durable_wf.h"

extern void dwf_discard_settings(void);
extern void dwf_discard_session(void);

#endif							/* DWF_DISCARD_H */
