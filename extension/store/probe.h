/*-------------------------------------------------------------------------
 *
 * probe.h
 *	  May this role act on this workflow?  The question of every send and
 *	  every receive.  Floor 1.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PROBE_H
#define DWF_PROBE_H

#include "base/durable_wf.h"

extern bool dwf_probe_accepts(text *workflow_id, Oid role);

#endif							/* DWF_PROBE_H */
