/*-------------------------------------------------------------------------
 *
 * light_commit.h
 *	  Claims of executors that need not wait for the disk.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_LIGHT_COMMIT_H
#define DWF_LIGHT_COMMIT_H

#include "base/durable_wf.h"

extern void dwf_light_commit_note_claim(void);
extern void dwf_light_commit_before(void);
extern void dwf_light_commit_end_xact(void);

#endif							/* DWF_LIGHT_COMMIT_H */
