/*-------------------------------------------------------------------------
 *
 * result.c
 *	  What a call has returned or raised, as it is kept in the journal.
 *
 * A result is an array of texts: row after row, each column as its type's
 * output function writes it, under settings that let any session read it
 * (portable.c).  An error is an array of SQLSTATE, message, detail and hint.
 * The errors of the attempts at a step are one array: the last error, as
 * above; how many attempts have failed; SQLSTATE and message of the errors
 * before, the newest first.
 *
 *-------------------------------------------------------------------------
 */
#include "session/result.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/tuplestore.h"

#include "base/arrays.h"
#include "base/portable.h"

/* Texts for an error; and for how many attempts before the last, at most */
#define ERROR_PARTS		4
#define ATTEMPTS_KEPT	20

/* Append the columns of a row to an array that is being built */
static ArrayBuildState *
append_row(ArrayBuildState *result, TupleDesc desc, Datum *values, bool *nulls)
{
	int			nest_level = dwf_portable_begin(dwf_portable_row(desc));

	for (int i = 0; i < desc->natts; i++)
	{
		Oid			output;
		bool		is_varlena;
		Datum		value = (Datum) 0;

		getTypeOutputInfo(TupleDescAttr(desc, i)->atttypid, &output,
						  &is_varlena);
		if (!nulls[i])
			value = CStringGetTextDatum(OidOutputFunctionCall(output,
															  values[i]));
		result = accumArrayResult(result, value, nulls[i], TEXTOID,
								  CurrentMemoryContext);
	}
	dwf_portable_end(nest_level);
	return result;
}

/* A descriptor for a single column */
static TupleDesc
scalar_desc(Oid type)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);

	TupleDescInitEntry(desc, 1, "value", type, -1, 0);
	return desc;
}

/*
 * Append the rows that a function has put into its tuplestore, and rewind the
 * tuplestore
 */
static ArrayBuildState *
append_set(ArrayBuildState *result, ReturnSetInfo *set)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(set->setDesc,
													&TTSOpsMinimalTuple);

	while (tuplestore_gettupleslot(set->setResult, true, false, slot))
	{
		slot_getallattrs(slot);
		result = append_row(result, set->setDesc, slot->tts_values,
							slot->tts_isnull);
	}
	tuplestore_rescan(set->setResult);
	ExecDropSingleTupleTableSlot(slot);
	return result;
}

/* What a function has returned, as an array of texts */
Datum
dwf_result_encode(FunctionCallInfo fcinfo, Datum result)
{
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext,
											 false);
	ReturnSetInfo *set = fcinfo->flinfo->fn_retset ?
	(ReturnSetInfo *) fcinfo->resultinfo : NULL;
	TupleDesc	desc;
	Oid			type;

	/* a set, a row, a value or nothing */
	if (set)
		texts = append_set(texts, set);
	else if (get_call_result_type(fcinfo, &type, &desc) == TYPEFUNC_COMPOSITE)
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(result);
		HeapTupleData tuple = {0};
		Datum	   *values = palloc(desc->natts * sizeof(Datum));
		bool	   *nulls = palloc(desc->natts * sizeof(bool));

		tuple.t_len = HeapTupleHeaderGetDatumLength(header);
		tuple.t_data = header;
		heap_deform_tuple(&tuple, desc, values, nulls);
		texts = append_row(texts, desc, values, nulls);
	}
	else if (type != VOIDOID)
		texts = append_row(texts, scalar_desc(type), &result,
						   &fcinfo->isnull);

	return makeArrayResult(texts, CurrentMemoryContext);
}

/* A jsonb argument, as an array of one text */
Datum
dwf_result_encode_argument(FunctionCallInfo fcinfo, int n)
{
	Datum		json = PG_ARGISNULL(n) ? CStringGetDatum("null") :
	DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(n));
	Datum		value = CStringGetTextDatum(DatumGetCString(json));

	return dwf_arrays_of_text(&value, 1);
}

/* A result that is one jsonb value */
Datum
dwf_result_decode_json(Datum result)
{
	Datum	   *texts;
	char	   *json;

	(void) dwf_arrays_read_texts(result, &texts, NULL);
	json = TextDatumGetCString(texts[0]);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json));
}

/*
 * Read the columns of a row back, starting at texts[*at], which moves on.
 * Raises WF004 if there are not enough.
 */
static void
decode_row(TupleDesc desc, Datum *texts, bool *text_nulls, int count, int *at,
		   Datum *values, bool *nulls)
{
	for (int i = 0; i < desc->natts; i++, (*at)++)
	{
		Oid			input;
		Oid			io_param;

		if (*at >= count)
			ereport(ERROR,
					(errcode(DWF_ERRCODE_REPLAY_MISMATCH),
					 errmsg("a recorded result has not enough columns")));
		nulls[i] = text_nulls[*at];
		values[i] = (Datum) 0;
		if (nulls[i])
			continue;
		getTypeInputInfo(TupleDescAttr(desc, i)->atttypid, &input, &io_param);
		values[i] = OidInputFunctionCall(input,
										 TextDatumGetCString(texts[*at]),
										 io_param, -1);
	}
}

/* Append rows, as they are recorded, to the set that a function returns */
void
dwf_result_append(FunctionCallInfo fcinfo, Datum result)
{
	ReturnSetInfo *set = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum	   *texts;
	bool	   *text_nulls;
	int			count = dwf_arrays_read_texts(result, &texts, &text_nulls);
	Datum	   *values = palloc(set->setDesc->natts * sizeof(Datum));
	bool	   *nulls = palloc(set->setDesc->natts * sizeof(bool));

	for (int at = 0; at < count;)
	{
		decode_row(set->setDesc, texts, text_nulls, count, &at, values, nulls);
		tuplestore_putvalues(set->setResult, set->setDesc, values, nulls);
	}
}

/* Return what is recorded as the function would */
Datum
dwf_result_decode(FunctionCallInfo fcinfo, Datum result)
{
	ReturnSetInfo *set = fcinfo->flinfo->fn_retset ?
	(ReturnSetInfo *) fcinfo->resultinfo : NULL;
	Datum	   *texts;
	bool	   *text_nulls;
	Datum	   *values;
	bool	   *nulls;
	TupleDesc	desc;
	Oid			type = InvalidOid;
	int			count;
	int			at = 0;

	count = dwf_arrays_read_texts(result, &texts, &text_nulls);
	if (set)
	{
		InitMaterializedSRF(fcinfo, 0);
		dwf_result_append(fcinfo, result);
		return (Datum) 0;
	}
	if (get_call_result_type(fcinfo, &type, &desc) != TYPEFUNC_COMPOSITE)
	{
		if (type == VOIDOID)
			PG_RETURN_VOID();
		desc = scalar_desc(type);
	}
	/* recorded by a version whose function returned void: it was done */
	if (count == 0 && type == BOOLOID)
		PG_RETURN_BOOL(true);
	values = palloc(desc->natts * sizeof(Datum));
	nulls = palloc(desc->natts * sizeof(bool));

	decode_row(desc, texts, text_nulls, count, &at, values, nulls);
	if (get_call_result_type(fcinfo, NULL, NULL) == TYPEFUNC_COMPOSITE)
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
														  values, nulls)));
	fcinfo->isnull = nulls[0];
	return values[0];
}

/* An error as an array of texts: SQLSTATE, message, detail, hint */
Datum
dwf_result_encode_error(const ErrorData *error)
{
	const char *parts[ERROR_PARTS];
	Datum		values[ERROR_PARTS];
	bool		nulls[ERROR_PARTS];
	int			dims[1] = {ERROR_PARTS};
	int			lower[1] = {1};

	parts[0] = unpack_sql_state(error->sqlerrcode);
	parts[1] = error->message ? error->message : "";
	parts[2] = error->detail;
	parts[3] = error->hint;
	for (int i = 0; i < ERROR_PARTS; i++)
	{
		nulls[i] = parts[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(parts[i]);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower,
											  TEXTOID, -1, false,
											  TYPALIGN_INT));
}

/* Take a recorded error, with or without attempts, apart; returns how many */
static int
deconstruct_error(Datum array, Datum **parts, bool **nulls)
{
	int			count = dwf_arrays_read_texts(array, parts, nulls);

	Assert(count >= ERROR_PARTS);
	return count;
}

/* The message of a recorded error, a text */
Datum
dwf_result_error_message(Datum array)
{
	Datum	   *parts;
	bool	   *nulls;

	(void) deconstruct_error(array, &parts, &nulls);
	return parts[1];
}

/* How many attempts at a step have failed, according to their errors */
int
dwf_result_count_attempts(Datum array)
{
	Datum	   *parts;
	bool	   *nulls;

	if (deconstruct_error(array, &parts, &nulls) == ERROR_PARTS)
		return 1;
	return pg_strtoint32(TextDatumGetCString(parts[ERROR_PARTS]));
}

/*
 * The errors of the attempts at a step, after one more has failed; "earlier"
 * has those before, 0 if there were none
 */
Datum
dwf_result_encode_attempt(const ErrorData *error, Datum earlier)
{
	ArrayBuildState *texts = NULL;
	Datum	   *parts;
	bool	   *nulls;
	int			count = 0;
	int			attempts = 1;

	if (earlier != (Datum) 0)
		attempts += dwf_result_count_attempts(earlier);
	(void) deconstruct_error(dwf_result_encode_error(error), &parts, &nulls);
	for (int i = 0; i < ERROR_PARTS; i++)
		texts = accumArrayResult(texts, parts[i], nulls[i], TEXTOID,
								 CurrentMemoryContext);
	texts = accumArrayResult(texts,
							 CStringGetTextDatum(psprintf("%d", attempts)),
							 false, TEXTOID, CurrentMemoryContext);
	if (earlier != (Datum) 0)
		count = deconstruct_error(earlier, &parts, &nulls);
	for (int i = ERROR_PARTS; i < Min(count, ERROR_PARTS + ATTEMPTS_KEPT); i++)
	{
		Datum		line = parts[i];

		/* in place of their number, the error that was the last one */
		if (i == ERROR_PARTS)
		{
			char	   *state = TextDatumGetCString(parts[0]);
			char	   *message = TextDatumGetCString(parts[1]);

			line = CStringGetTextDatum(psprintf("%s %s", state, message));
		}
		texts = accumArrayResult(texts, line, false, TEXTOID,
								 CurrentMemoryContext);
	}
	return makeArrayResult(texts, CurrentMemoryContext);
}

/* Raise a recorded error */
void
dwf_result_raise(Datum array)
{
	ErrorData  *error = palloc0(sizeof(ErrorData));
	Datum	   *parts;
	bool	   *nulls;
	char	   *state;

	(void) deconstruct_error(array, &parts, &nulls);
	state = TextDatumGetCString(parts[0]);
	error->elevel = ERROR;
	error->sqlerrcode = MAKE_SQLSTATE(state[0], state[1], state[2], state[3],
									  state[4]);
	error->message = TextDatumGetCString(parts[1]);
	if (!nulls[2])
		error->detail = TextDatumGetCString(parts[2]);
	if (!nulls[3])
		error->hint = TextDatumGetCString(parts[3]);
	error->context = pstrdup("replayed from the journal");
	error->assoc_context = CurrentMemoryContext;
	ThrowErrorData(error);
}
