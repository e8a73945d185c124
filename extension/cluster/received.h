/*-------------------------------------------------------------------------
 *
 * received.h
 *	  Make a call that another node of the cluster has handed to this one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_RECEIVED_H
#define DWF_RECEIVED_H

#include "base/durable_wf.h"

extern bool dwf_received_is_active(void);
extern text *dwf_received_parent(void);

#endif							/* DWF_RECEIVED_H */
