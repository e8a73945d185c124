/*-------------------------------------------------------------------------
 *
 * aside.h
 *	  Workflows that the worker could not serve and tries again later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ASIDE_H
#define DWF_ASIDE_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "nodes/pg_list.h"

extern void dwf_aside_keep(List **list, text *id);
extern bool dwf_aside_add(text *id);
extern Datum dwf_aside_ids(void);
extern List *dwf_aside_take(void);
extern TimestampTz dwf_aside_at(void);

#endif							/* DWF_ASIDE_H */
