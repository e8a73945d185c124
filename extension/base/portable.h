/*-------------------------------------------------------------------------
 *
 * portable.h
 *	  Text of values, names and moments that does not depend on the session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_PORTABLE_H
#define DWF_PORTABLE_H

#include "base/durable_wf.h"

#include "access/tupdesc.h"

/* What the text of a value depends on; a set */
typedef int DwfDependence;

#define DWF_DEPENDS_NOT			0
#define DWF_DEPENDS_ON_STYLE	1	/* how moments and numbers are written */
#define DWF_DEPENDS_ON_PATH		2	/* which names are qualified */

extern DwfDependence dwf_portable_type(Oid type);
extern DwfDependence dwf_portable_row(TupleDesc desc);
extern int	dwf_portable_begin(DwfDependence dependence);
extern void dwf_portable_end(int nest_level);
extern text *dwf_portable_name(Oid schema, const char *name);
extern TimestampTz dwf_portable_after(TimestampTz moment,
									  const Interval *span);

#endif							/* DWF_PORTABLE_H */
