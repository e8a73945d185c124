/*-------------------------------------------------------------------------
 *
 * handed.h
 *	  News that a session hands to an executor instead of the worker.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_HANDED_H
#define DWF_HANDED_H

#include "base/durable_wf.h"

#include "shared/news.h"

extern Size dwf_handed_size(void);
extern void dwf_handed_init_shared(void);
extern bool dwf_handed_put(uint64 work_hash, char door, const char *texts,
						   uint16 workflow_length, uint16 key_length);
extern bool dwf_handed_take(uint64 work_hash, DwfNews *news);

#endif							/* DWF_HANDED_H */
