/*-------------------------------------------------------------------------
 *
 * query.h
 *	  What we do before a query is run, or one of its functions called.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_QUERY_H
#define DWF_QUERY_H

#include "base/durable_wf.h"

extern void dwf_query_init(void);

#endif							/* DWF_QUERY_H */
