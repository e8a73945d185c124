/*-------------------------------------------------------------------------
 *
 * attach.h
 *	  Sessions that execute workflows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ATTACH_H
#define DWF_ATTACH_H

#include "base/durable_wf.h"

#include "store/store.h"

extern void dwf_attach_check(const char *function);
extern int	dwf_attach_try(text *workflow_id, Oid role, bool *ended);
extern bool dwf_attach_pass(text *workflow_id, Oid role, bool *held);
extern bool dwf_attach_body(text *workflow_id, Oid role, bool is_waiting,
							DwfClaimed *claimed, bool *held);

#endif							/* DWF_ATTACH_H */
