/*-------------------------------------------------------------------------
 *
 * pass_on.h
 *	  Pass requests on to the nodes of the cluster that they are for.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PASS_ON_H
#define DWF_PASS_ON_H

#include "bgworker/gateway/answer.h"

extern void dwf_pass_on_request(DwfTask *task);

#endif							/* DWF_PASS_ON_H */
