/*-------------------------------------------------------------------------
 *
 * expected.h
 *	  At which addresses suspended workflows may wait.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_EXPECTED_H
#define DWF_EXPECTED_H

#include "base/durable_wf.h"


extern Size dwf_expected_size(void);
extern void dwf_expected_init_shared(void);
extern void dwf_expected_add(uint64 hash);
extern void dwf_expected_add_role(uint64 hash, Oid role);
extern void dwf_expected_forget_role(uint64 hash);
extern uint64 dwf_expected_work(uint64 hash);
extern bool dwf_expected_has(uint64 hash);
extern bool dwf_expected_any(void);

#endif							/* DWF_EXPECTED_H */
