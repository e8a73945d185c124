/*-------------------------------------------------------------------------
 *
 * delivery.h
 *	  Count how often messages are given back; move some to the dead letters.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_DELIVERY_H
#define DWF_DELIVERY_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"

extern void dwf_delivery_look(void);
extern bool dwf_delivery_is_due(void);
extern void dwf_delivery_count(void);
extern TimestampTz dwf_delivery_next(void);

#endif							/* DWF_DELIVERY_H */
