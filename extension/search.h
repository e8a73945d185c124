/*-------------------------------------------------------------------------
 *
 * search.h
 *	  Searches for attributes use their index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_SEARCH_H
#define DWF_SEARCH_H

#include "base/durable_wf.h"

extern void dwf_search_init(void);

#endif							/* DWF_SEARCH_H */
