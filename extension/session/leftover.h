/*-------------------------------------------------------------------------
 *
 * leftover.h
 *	  What the command of a step leaves in the session that could run again.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LEFTOVER_H
#define DWF_LEFTOVER_H

#include "base/durable_wf.h"

extern void dwf_leftover_note(void);
extern void dwf_leftover_drop(void);
extern void dwf_leftover_close_cursors(void);

#endif							/* DWF_LEFTOVER_H */
