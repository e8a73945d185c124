/*-------------------------------------------------------------------------
 *
 * closed_portals.h
 *	  Keep the session's cursors from a validator.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_CLOSED_PORTALS_H
#define DWF_CLOSED_PORTALS_H

#include "base/durable_wf.h"

typedef struct DwfHiddenPortals DwfHiddenPortals;

extern DwfHiddenPortals *dwf_closed_portals_find(void);
extern void dwf_closed_portals_hide(DwfHiddenPortals *hidden);
extern void dwf_closed_portals_show(DwfHiddenPortals *hidden);
extern void dwf_closed_portals_drop(void);

#endif							/* DWF_CLOSED_PORTALS_H */
