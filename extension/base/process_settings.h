/*-------------------------------------------------------------------------
 *
 * process_settings.h
 *	  The settings that the sessions of our processes begin with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PROCESS_SETTINGS_H
#define DWF_PROCESS_SETTINGS_H

#include "base/durable_wf.h"

extern PGDLLEXPORT void dwf_process_settings_begin(bool runs_bodies);

#endif							/* DWF_PROCESS_SETTINGS_H */
