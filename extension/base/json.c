/*-------------------------------------------------------------------------
 *
 * json.c
 *	  Build jsonb objects, and read fields of them.
 *
 *-------------------------------------------------------------------------
 */
#include "base/json.h"

#include "utils/numeric.h"

/* The value of a field of an object; NULL if there is none, or it is null */
JsonbValue *
dwf_json_find(Jsonb *object, const char *name)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&object->root, name,
													 strlen(name), NULL);

	return value && value->type != jbvNull ? value : NULL;
}

/* A string as a value; the bytes are not copied */
JsonbValue
dwf_json_string(const char *bytes, int length)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = unconstify(char *, bytes);
	value.val.string.len = length;
	return value;
}

/* A number as a value */
static JsonbValue
number_value(int64 number)
{
	JsonbValue	value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	return value;
}

/* Add a field to the object that is being built; NULL adds null */
void
dwf_json_push(JsonbParseState **state, const char *name, JsonbValue *value)
{
	JsonbValue	key = dwf_json_string(name, strlen(name));
	JsonbValue	null = {.type = jbvNull};

	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_VALUE, value ? value : &null);
}

/* Add a field that is a number */
void
dwf_json_push_number(JsonbParseState **state, const char *name, int64 number)
{
	JsonbValue	value = number_value(number);

	dwf_json_push(state, name, &value);
}

/* Add a field that is a string */
void
dwf_json_push_text(JsonbParseState **state, const char *name, text *string)
{
	JsonbValue	value = dwf_json_string(VARDATA_ANY(string),
										VARSIZE_ANY_EXHDR(string));

	dwf_json_push(state, name, &value);
}

/* Add a field that is an object; NULL adds an empty one */
void
dwf_json_push_object(JsonbParseState **state, const char *name,
					 JsonbValue *object)
{
	JsonbValue	key = dwf_json_string(name, strlen(name));

	if (object)
	{
		dwf_json_push(state, name, object);
		return;
	}
	pushJsonbValue(state, WJB_KEY, &key);
	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	pushJsonbValue(state, WJB_END_OBJECT, NULL);
}

/* A whole jsonb as a value, to be a field of another one; it is not copied */
JsonbValue
dwf_json_container(Jsonb *jsonb)
{
	JsonbValue	value;

	value.type = jbvBinary;
	value.val.binary.data = &jsonb->root;
	value.val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
	return value;
}

/* Add a field that is a whole jsonb, a scalar or not; or null */
void
dwf_json_push_jsonb(JsonbParseState **state, const char *name, Datum datum,
					bool isnull)
{
	Jsonb	   *jsonb;
	JsonbValue	value;

	if (isnull)
	{
		dwf_json_push(state, name, NULL);
		return;
	}

	/* a scalar is stored as an array of one, which is taken off */
	jsonb = DatumGetJsonbP(datum);
	if (!JsonbExtractScalar(&jsonb->root, &value))
		value = dwf_json_container(jsonb);
	dwf_json_push(state, name, &value);
}

/* End the object that is being built, and return it as jsonb */
Datum
dwf_json_finish(JsonbParseState **state)
{
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(state,
														   WJB_END_OBJECT,
														   NULL)));
}

/* Is a value that dwf_json_find() has found an object? */
bool
dwf_json_is_object(const JsonbValue *value)
{
	return value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data);
}
