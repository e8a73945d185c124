/*-------------------------------------------------------------------------
 *
 * first_row.h
 *	  A receiver of rows that keeps the first value of the first.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_FIRST_ROW_H
#define DWF_FIRST_ROW_H

#include "base/durable_wf.h"

#include "tcop/dest.h"

typedef struct DwfFirstRow
{
	DestReceiver receiver;		/* must be first */
	MemoryContext context;		/* where the value is */
	int			nrows;			/* 0, or 1 for any number of them */
	Oid			type;			/* InvalidOid if the row has no column */
	bool		isnull;
	Datum		value;
} DwfFirstRow;

extern DwfFirstRow *dwf_first_row_create(void);
extern void dwf_first_row_begin_statement(DestReceiver *receiver);

#endif							/* DWF_FIRST_ROW_H */
