/*-------------------------------------------------------------------------
 *
 * row_check.h
 *	  Check rows of durable_wf.workflow, as constraints would.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ROW_CHECK_H
#define DWF_ROW_CHECK_H

#include "base/durable_wf.h"

#include "access/htup.h"
#include "utils/relcache.h"

extern void dwf_row_check_workflow(HeapTuple row, Relation table);

#endif							/* DWF_ROW_CHECK_H */
