/*-------------------------------------------------------------------------
 *
 * shmem.h
 *	  Reserve and lay out our shared memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SHMEM_H
#define DWF_SHMEM_H

#include "base/durable_wf.h"

extern void dwf_shmem_init(void);

#endif							/* DWF_SHMEM_H */
