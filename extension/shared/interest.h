/*-------------------------------------------------------------------------
 *
 * interest.h
 *	  What this session listens for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_INTEREST_H
#define DWF_INTEREST_H

#include "base/durable_wf.h"

#include "access/xact.h"

#include "shared/listener.h"

extern void dwf_interest_add(const DwfListenKey *key);
extern void dwf_interest_remove(const DwfListenKey *key);
extern void dwf_interest_remove_channel(const char *channel);
extern void dwf_interest_end_xact(bool commit);
extern void dwf_interest_end_subxact(SubTransactionId subid);

#endif							/* DWF_INTEREST_H */
