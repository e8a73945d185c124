/*-------------------------------------------------------------------------
 *
 * args.h
 *	  Check and convert the arguments of SQL functions, and return their
 *	  results.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_ARGS_H
#define DWF_ARGS_H

#include "base/durable_wf.h"

#include "datatype/timestamp.h"
#include "utils/array.h"

/* Deadlines: a point in time, or one of these */
#define DWF_WAIT_FOREVER	DT_NOEND
#define DWF_WAIT_NEVER		DT_NOBEGIN

extern void dwf_args_require(FunctionCallInfo fcinfo, int n, const char *name);
extern void dwf_args_check_name(text *value, const char *name, int max,
								bool may_be_empty);
extern text *dwf_args_name(FunctionCallInfo fcinfo, int n, const char *name,
						   int max);
extern text *dwf_args_optional_name(FunctionCallInfo fcinfo, int n,
									const char *name, int max);
extern text *dwf_args_topic(FunctionCallInfo fcinfo, int n);
extern Datum dwf_args_payload(FunctionCallInfo fcinfo, int n);
extern Datum dwf_args_json_null(void);
extern TimestampTz dwf_args_deadline(FunctionCallInfo fcinfo, int n,
									 const char *name);
extern bool dwf_args_is_positive(Interval *span, const char *name);
extern int	dwf_args_array(FunctionCallInfo fcinfo, int n, const char *name,
						   Oid type, Datum **values, bool **nulls);
extern Datum dwf_args_return_row(FunctionCallInfo fcinfo, Datum *values,
								 bool *nulls);
extern Datum dwf_args_return_value(FunctionCallInfo fcinfo, Datum value,
								   bool isnull);

#endif							/* DWF_ARGS_H */
