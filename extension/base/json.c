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

/* Add a token to what is being built; returns that once it is complete */
JsonbValue *
dwf_json_add(DwfJsonState *state, JsonbIteratorToken token, JsonbValue *value)
{
	return dwf_compat_push(state, token, value);
}

/* Add a field to the object that is being built; NULL adds null */
void
dwf_json_push(DwfJsonState *state, const char *name, JsonbValue *value)
{
	JsonbValue	key = dwf_json_string(name, strlen(name));
	JsonbValue	null = {.type = jbvNull};

	dwf_json_add(state, WJB_KEY, &key);
	dwf_json_add(state, WJB_VALUE, value ? value : &null);
}

/* Add a field that is a number */
void
dwf_json_push_number(DwfJsonState *state, const char *name, int64 number)
{
	JsonbValue	value = number_value(number);

	dwf_json_push(state, name, &value);
}

/* Add a field that is a string */
void
dwf_json_push_text(DwfJsonState *state, const char *name, text *string)
{
	JsonbValue	value = dwf_json_string(VARDATA_ANY(string),
										VARSIZE_ANY_EXHDR(string));

	dwf_json_push(state, name, &value);
}

/* Add a field that is an object; NULL adds an empty one */
void
dwf_json_push_object(DwfJsonState *state, const char *name,
					 JsonbValue *object)
{
	JsonbValue	key = dwf_json_string(name, strlen(name));

	if (object)
	{
		dwf_json_push(state, name, object);
		return;
	}
	dwf_json_add(state, WJB_KEY, &key);
	dwf_json_add(state, WJB_BEGIN_OBJECT, NULL);
	dwf_json_add(state, WJB_END_OBJECT, NULL);
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
dwf_json_push_jsonb(DwfJsonState *state, const char *name, Datum datum,
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
dwf_json_finish(DwfJsonState *state)
{
	JsonbValue *object = dwf_json_add(state, WJB_END_OBJECT, NULL);

	return JsonbPGetDatum(JsonbValueToJsonb(object));
}

/* Is a value that dwf_json_find() has found an object? */
bool
dwf_json_is_object(const JsonbValue *value)
{
	return value->type == jbvBinary &&
		JsonContainerIsObject(value->val.binary.data);
}
