/*-------------------------------------------------------------------------
 *
 * args.c
 *	  Check and convert the arguments of SQL functions, and return their
 *	  results.
 *
 * All functions here raise 22023 for a bad argument, before the SQL function
 * has changed anything, and name the argument as the SQL function does.
 *
 *-------------------------------------------------------------------------
 */
#include "base/args.h"

#include <math.h>

#include "access/htup_details.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "base/portable.h"

/* Beyond this many days no timestamp can be reached from now */
#define DWF_INTERVAL_DAYS_MAX	(100000.0 * DAYS_PER_YEAR)

/* Raise if argument n is null */
void
dwf_args_require(FunctionCallInfo fcinfo, int n, const char *name)
{
	if (PG_ARGISNULL(n))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be null", name)));
}

/* Raise unless "value" has at most "max" bytes, and one at least */
void
dwf_args_check_name(text *value, const char *name, int max, bool may_be_empty)
{
	int			length = VARSIZE_ANY_EXHDR(value);

	if (length == 0 && !may_be_empty)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be empty", name)));
	if (length > max)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 errdetail("It has %d bytes, the limit is %d.",
						   length, max)));
}

/* A required name: not null, not empty, at most "max" bytes */
text *
dwf_args_name(FunctionCallInfo fcinfo, int n, const char *name, int max)
{
	text	   *value;

	dwf_args_require(fcinfo, n, name);
	value = PG_GETARG_TEXT_PP(n);
	dwf_args_check_name(value, name, max, false);
	return value;
}

/* A name as dwf_args_name() takes it, or NULL if the argument is null */
text *
dwf_args_optional_name(FunctionCallInfo fcinfo, int n, const char *name,
					   int max)
{
	return PG_ARGISNULL(n) ? NULL : dwf_args_name(fcinfo, n, name, max);
}

/* A topic, which may be empty, or NULL for 'no topic' */
text *
dwf_args_topic(FunctionCallInfo fcinfo, int n)
{
	text	   *topic;

	if (PG_ARGISNULL(n))
		return NULL;
	topic = PG_GETARG_TEXT_PP(n);
	dwf_args_check_name(topic, "topic", DWF_KEY_MAX, true);
	return topic;
}

/* The jsonb value null */
Datum
dwf_args_json_null(void)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum("null"));
}

/* A jsonb argument; SQL NULL becomes JSON null */
Datum
dwf_args_payload(FunctionCallInfo fcinfo, int n)
{
	return PG_ARGISNULL(n) ? dwf_args_json_null() : PG_GETARG_DATUM(n);
}

/*
 * Raise if an interval is negative or beyond all timestamps; false if it is
 * zero
 */
bool
dwf_args_is_positive(Interval *span, const char *name)
{
	double		months = (double) span->month * DAYS_PER_MONTH;
	double		days = months + span->day +
	(double) span->time / USECS_PER_DAY;

	if (days < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative", name),
				 strcmp(name, "older_than") == 0 ? 0 :
				 errhint("For a moment that may be over, pass wf_until(moment).")));
	if (days > DWF_INTERVAL_DAYS_MAX || fabs(months) > DWF_INTERVAL_DAYS_MAX ||
		fabs((double) span->day) > DWF_INTERVAL_DAYS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s is too long", name),
				 strcmp(name, "timeout") != 0 ? 0 :
				 errhint("To wait for ever, pass null.")));
	return days > 0;
}

/*
 * The deadline that a timeout argument means: NULL waits for ever, zero never
 * waits, any other waits so long from now, by this server's clock
 */
TimestampTz
dwf_args_deadline(FunctionCallInfo fcinfo, int n, const char *name)
{
	Interval   *span;

	if (PG_ARGISNULL(n))
		return DWF_WAIT_FOREVER;
	span = PG_GETARG_INTERVAL_P(n);
	if (dwf_compat_interval_is_infinite(span))
		return DWF_WAIT_FOREVER;
	if (!dwf_args_is_positive(span, name))
		return DWF_WAIT_NEVER;

	return dwf_portable_after(GetCurrentTimestamp(), span);
}

/*
 * Take a required array of "type" apart, which has one dimension.  Returns the
 * number of its elements, which may be null.
 */
int
dwf_args_array(FunctionCallInfo fcinfo, int n, const char *name, Oid type,
			   Datum **values, bool **nulls)
{
	ArrayType  *array;
	int16		length;
	bool		by_value;
	char		align;
	int			count;

	dwf_args_require(fcinfo, n, name);
	array = PG_GETARG_ARRAYTYPE_P(n);
	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a one-dimensional array", name)));

	get_typlenbyvalalign(type, &length, &by_value, &align);
	deconstruct_array(array, type, length, by_value, align,
					  values, nulls, &count);
	return count;
}

/*
 * The result of a function that returns a composite type, or of a procedure
 * with INOUT arguments: values and nulls hold one entry per result column.
 */
Datum
dwf_args_return_row(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc	desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	desc = BlessTupleDesc(desc);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/*
 * The result of a waiting function: a value, or NULL; but if the function is
 * CALLed, a row of that, the one INOUT argument of the procedure
 */
Datum
dwf_args_return_value(FunctionCallInfo fcinfo, Datum value, bool isnull)
{
	if (fcinfo->context && IsA(fcinfo->context, CallContext))
		return dwf_args_return_row(fcinfo, &value, &isnull);
	if (isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(value);
}
