/*-------------------------------------------------------------------------
 *
 * home.h
 *	  Whether the workflows of this database were started in it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HOME_H
#define DWF_HOME_H

#include "base/durable_wf.h"

#include "utils/snapshot.h"

extern void dwf_home_note_foreign_row(void);
extern bool dwf_home_is_copy_in(Snapshot snapshot);
extern bool dwf_home_is_copy(void);
extern bool dwf_home_runs_nothing(void);
extern bool dwf_home_prepare_start(void);

#endif							/* DWF_HOME_H */
