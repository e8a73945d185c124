/*-------------------------------------------------------------------------
 *
 * result.h
 *	  What a call has returned or raised, as it is kept in the journal.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_RESULT_H
#define DWF_RESULT_H

#include "base/durable_wf.h"

extern Datum dwf_result_encode(FunctionCallInfo fcinfo, Datum result);
extern Datum dwf_result_encode_argument(FunctionCallInfo fcinfo, int n);
extern Datum dwf_result_decode(FunctionCallInfo fcinfo, Datum result);
extern void dwf_result_append(FunctionCallInfo fcinfo, Datum result);
extern Datum dwf_result_decode_json(Datum result);
extern Datum dwf_result_encode_error(const ErrorData *error);
extern Datum dwf_result_encode_attempt(const ErrorData *error, Datum earlier);
extern Datum dwf_result_error_message(Datum array);
extern int	dwf_result_count_attempts(Datum array);
extern void dwf_result_raise(Datum array);

#endif							/* DWF_RESULT_H */
