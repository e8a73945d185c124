/*-------------------------------------------------------------------------
 *
 * client_step.c
 *	  Steps whose work the client does, outside of the database:
 *	  wf_begin_step, wf_save_step, wf_fail_step; wf_get_step.
 *
 *	wf_begin_step	takes a number, and says whether its step is recorded; if
 *					not, the step is open (journal_open.c)
 *	wf_save_step,	record the open step of that name; when there is none,
 *	wf_fail_step	they take the next number
 *	wf_get_step		looks at the next number, and takes it only if a step is
 *					recorded there (journal_look.c)
 *
 *-------------------------------------------------------------------------
 */
#include "base/durable_wf.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "base/args.h"
#include "base/arrays.h"
#include "session/journal.h"
#include "session/journal_look.h"
#include "session/journal_open.h"
#include "session/result.h"
#include "store/store.h"

PG_FUNCTION_INFO_V1(wf_begin_step);
PG_FUNCTION_INFO_V1(wf_get_step);
PG_FUNCTION_INFO_V1(wf_save_step);
PG_FUNCTION_INFO_V1(wf_fail_step);

/* What wf_save_step does: nothing, but its argument "output" is recorded */
static Datum
save_step_body(PG_FUNCTION_ARGS)
{
	(void) dwf_args_name(fcinfo, 0, "name", DWF_KEY_MAX);
	dwf_store_require_writable("wf_save_step");
	PG_RETURN_VOID();
}

static const DwfCall save_step = {
	DWF_CLIENT_STEP, 0, InvalidOid, save_step_body, 1, false, DWF_AT_HERE,
	NULL, NULL
};

/* Do many drivers show it as they show SQL NULL? */
static bool
is_json_null(Jsonb *json)
{
	JsonbValue	value;

	return JB_ROOT_IS_SCALAR(json) &&
		JsonbExtractScalar(&json->root, &value) && value.type == jbvNull;
}

/* Raise WF009 within another call: a step's command, a trigger */
static void
refuse_nested(const char *function)
{
	if (dwf_journal_is_nested())
		ereport(ERROR,
				(errcode(DWF_ERRCODE_NOT_IN_BODY),
				 errmsg("cannot call %s() inside another step", function)));
}

/* wf_begin_step(name) → (step_no, done, output, error) */
Datum
wf_begin_step(PG_FUNCTION_ARGS)
{
	text	   *name = dwf_args_name(fcinfo, 0, "name", DWF_KEY_MAX);
	DwfRecord	recorded = {0};
	Datum		values[4] = {0};
	bool		nulls[4] = {false, false, true, true};
	bool		done;

	dwf_journal_require("wf_begin_step");
	dwf_store_require_writable("wf_begin_step");
	refuse_nested("wf_begin_step");
	done = dwf_journal_open_step(name, "wf_begin_step", &recorded);
	values[0] = Int32GetDatum(dwf_journal_step());
	values[1] = BoolGetDatum(done);
	if (done && !recorded.error.isnull)
	{
		nulls[3] = false;
		values[3] = dwf_result_error_message(recorded.error.value);
	}
	else if (done)
	{
		nulls[2] = false;
		values[2] = dwf_result_decode_json(recorded.result.value);
	}
	return dwf_args_return_row(fcinfo, values, nulls);
}

/* wf_get_step(name) → jsonb; what wf_save_step has recorded here, or null */
Datum
wf_get_step(PG_FUNCTION_ARGS)
{
	text	   *name = dwf_args_name(fcinfo, 0, "name", DWF_KEY_MAX);
	Datum		output;

	dwf_journal_require("wf_get_step");
	if (dwf_journal_in_command() ||
		!dwf_journal_look(save_step.function, name, "wf_get_step"))
		PG_RETURN_NULL();
	output = dwf_journal_call(&save_step, fcinfo);
	if (is_json_null(DatumGetJsonbP(output)))
		dwf_journal_note_done(name);
	return output;
}

/* wf_save_step(name, output) → void */
Datum
wf_save_step(PG_FUNCTION_ARGS)
{
	DwfValue	none = {.isnull = true};

	dwf_journal_require("wf_save_step");
	if (dwf_journal_is_nested() || PG_ARGISNULL(0))
		return dwf_journal_call(&save_step, fcinfo);
	if (dwf_journal_open_has(PG_GETARG_TEXT_PP(0)))
	{
		DwfValue	output = {.value = dwf_result_encode_argument(fcinfo, 1)};

		dwf_store_require_writable("wf_save_step");
		dwf_journal_open_save(PG_GETARG_TEXT_PP(0), output, none);
		PG_RETURN_VOID();
	}
	if (dwf_journal_is_done_again(save_step.function, PG_GETARG_TEXT_PP(0)))
		PG_RETURN_VOID();
	return dwf_journal_call(&save_step, fcinfo);
}

/* wf_fail_step(name, error) → void */
Datum
wf_fail_step(PG_FUNCTION_ARGS)
{
	text	   *name = dwf_args_name(fcinfo, 0, "name", DWF_KEY_MAX);
	DwfValue	none = {.isnull = true};
	DwfValue	recorded = {.isnull = false};
	DwfRecord	earlier = {0};
	ErrorData	error = {.sqlerrcode = ERRCODE_EXTERNAL_ROUTINE_EXCEPTION};

	dwf_args_require(fcinfo, 1, "error");
	error.message = text_to_cstring(PG_GETARG_TEXT_PP(1));
	recorded.value = dwf_result_encode_error(&error);
	dwf_journal_require("wf_fail_step");
	dwf_store_require_writable("wf_fail_step");
	refuse_nested("wf_fail_step");

	/* without an open step it is one by itself, which a replay has done */
	if (!dwf_journal_open_has(name) &&
		(dwf_journal_is_done_again(save_step.function, name) ||
		 dwf_journal_open_step(name, "wf_fail_step", &earlier)))
		PG_RETURN_VOID();
	dwf_journal_open_save(name, none, recorded);
	PG_RETURN_VOID();
}
