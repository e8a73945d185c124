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
extern void dwf_expected_add_work(uint64 hash, uint64 work_hash);
extern void dwf_expected_forget_work(uint64 hash);
extern uint64 dwf_expected_work(uint64 hash);
extern bool dwf_expected_has(uint64 hash);
extern bool dwf_expected_any(void);

#endif							/* DWF_EXPECTED_H */
