/*-------------------------------------------------------------------------
 *
 * closed_settings.h
 *	  A validator's settings are its owner's, not the session's.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOSED_SETTINGS_H
#define DWF_CLOSED_SETTINGS_H

#include "base/durable_wf.h"

#include "nodes/pg_list.h"

/* What the server's nest of settings does not put back */
typedef struct DwfHiddenSettings
{
	MemoryContext context;		/* outlives the validator */
	List	   *resets;			/* of HiddenReset */
} DwfHiddenSettings;

extern void dwf_closed_settings_enter(Oid owner, DwfHiddenSettings *hidden);
extern void dwf_closed_settings_leave(DwfHiddenSettings *hidden);
extern void dwf_closed_settings_init(void);

#endif							/* DWF_CLOSED_SETTINGS_H */
