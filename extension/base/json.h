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
extern JsonbValue *dwf_json_add(DwfJsonState *state, JsonbIteratorToken token,
								JsonbValue *value);
extern void dwf_json_push(DwfJsonState *state, const char *name,
						  JsonbValue *value);
extern void dwf_json_push_number(DwfJsonState *state, const char *name,
								 int64 number);
extern void dwf_json_push_text(DwfJsonState *state, const char *name,
							   text *string);
extern void dwf_json_push_object(DwfJsonState *state, const char *name,
								 JsonbValue *object);
extern void dwf_json_push_jsonb(DwfJsonState *state, const char *name,
								Datum datum, bool isnull);
extern JsonbValue dwf_json_container(Jsonb *jsonb);
extern Datum dwf_json_finish(DwfJsonState *state);
extern bool dwf_json_is_object(const JsonbValue *value);

#endif							/* DWF_JSON_H */
