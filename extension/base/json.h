/*-------------------------------------------------------------------------
 *
 * json.h
 *	  Build jsonb objects, and read fields of them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_JSON_H
#define DWF_JSON_H

#include "base/durable_wf.h"

#include "utils/jsonb.h"

extern JsonbValue *dwf_json_find(Jsonb *object, const char *name);
extern JsonbValue dwf_json_string(const char *bytes, int length);
extern void dwf_json_push(JsonbParseState **state, const char *name,
						  JsonbValue *value);
extern void dwf_json_push_number(JsonbParseState **state, const char *name,
								 int64 number);
extern void dwf_json_push_text(JsonbParseState **state, const char *name,
							   text *string);
extern void dwf_json_push_object(JsonbParseState **state, const char *name,
								 JsonbValue *object);
extern void dwf_json_push_jsonb(JsonbParseState **state, const char *name,
								Datum datum, bool isnull);
extern JsonbValue dwf_json_container(Jsonb *jsonb);
extern Datum dwf_json_finish(JsonbParseState **state);
extern bool dwf_json_is_object(const JsonbValue *value);

#endif							/* DWF_JSON_H */
