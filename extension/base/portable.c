/*-------------------------------------------------------------------------
 *
 * portable.c
 *	  Text of values, names and moments that do not depend on the session.
 *
 * What is kept, compared or sent to somebody else must not follow the settings
 * of the session that happens to make it: the same row names the same workflow
 * in each session, and a record is read back in another one.  So values are
 * written as by a server without any settings, moments in UTC; and a day is 24
 * hours.
 *
 * Settings are changed only for a type whose text depends on them, and only if
 * they are not as they have to be: most rows cost nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "base/portable.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

/* A setting, and what it has to be */
typedef struct Setting
{
	const char *name;
	const char *value;
	DwfDependence concerns;
} Setting;

static const Setting settings[] = {
	{"DateStyle", "ISO, MDY", DWF_DEPENDS_ON_STYLE},
	{"IntervalStyle", "postgres", DWF_DEPENDS_ON_STYLE},
	{"TimeZone", "UTC", DWF_DEPENDS_ON_STYLE},
	{"extra_float_digits", "1", DWF_DEPENDS_ON_STYLE},
	{"bytea_output", "hex", DWF_DEPENDS_ON_STYLE},
	{"lc_monetary", "C", DWF_DEPENDS_ON_STYLE},
	{"quote_all_identifiers", "off", DWF_DEPENDS_ON_PATH},
	{"search_path", "pg_catalog", DWF_DEPENDS_ON_PATH}
};

/* ----- what depends on settings ----- */

/* What the text of a composite value depends on: that of its columns */
static DwfDependence
composite_type(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	DwfDependence dependence = dwf_portable_row(desc);

	ReleaseTupleDesc(desc);
	return dependence;
}

/* The same for types that are made of others, or are somebody's own */
static DwfDependence
made_type(Oid type)
{
	Oid			element = get_element_type(type);

	if (OidIsValid(element))
		return dwf_portable_type(element);
	switch (get_typtype(type))
	{
		case TYPTYPE_ENUM:
			return DWF_DEPENDS_NOT;
		case TYPTYPE_COMPOSITE:
			return composite_type(type);
		case TYPTYPE_RANGE:
			return dwf_portable_type(get_range_subtype(type));
		case TYPTYPE_MULTIRANGE:
			return dwf_portable_type(get_multirange_range(type));
		default:
			return DWF_DEPENDS_ON_STYLE;
	}
}

/* What does the text of a value of this type depend on? */
DwfDependence
dwf_portable_type(Oid type)
{
	check_stack_depth();
	type = getBaseType(type);
	switch (type)
	{
		case BOOLOID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case NUMERICOID:
		case OIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
		case CHAROID:
		case UUIDOID:
		case JSONOID:
		case JSONBOID:
			return DWF_DEPENDS_NOT;
		case RECORDOID:			/* of columns that only the value knows */
		case RECORDARRAYOID:
			return DWF_DEPENDS_ON_STYLE | DWF_DEPENDS_ON_PATH;
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return DWF_DEPENDS_ON_PATH;
		default:
			return made_type(type);
	}
}

/* What does that of a row depend on? */
DwfDependence
dwf_portable_row(TupleDesc desc)
{
	DwfDependence dependence = DWF_DEPENDS_NOT;

	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			dependence |= dwf_portable_type(TupleDescAttr(desc, i)->atttypid);
	return dependence;
}

/* ----- settings ----- */

/*
 * From now on, what depends on this is written in one way.  Returns what
 * dwf_portable_end() needs; an error, which aborts a transaction or a
 * subtransaction, ends it as well.
 */
int
dwf_portable_begin(DwfDependence dependence)
{
	int			nest_level;

	if (dependence == DWF_DEPENDS_NOT)
		return 0;
	nest_level = NewGUCNestLevel();
	for (size_t i = 0; i < lengthof(settings); i++)
	{
		const Setting *setting = &settings[i];

		if ((setting->concerns & dependence) &&
			strcmp(GetConfigOption(setting->name, false, false),
				   setting->value) != 0)
			(void) set_config_option(setting->name, setting->value,
									 PGC_USERSET, PGC_S_SESSION,
									 GUC_ACTION_SAVE, true, 0, false);
	}
	return nest_level;
}

/* Settings are again as they were */
void
dwf_portable_end(int nest_level)
{
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
}

/* ----- names and moments ----- */

/* A qualified name to be kept, quoted where it has to be and nowhere else */
text *
dwf_portable_name(Oid schema, const char *name)
{
	bool		quotes_all = quote_all_identifiers;
	char	   *schema_name = get_namespace_name(schema);
	char	   *qualified;

	quote_all_identifiers = false;	/* what follows does not raise */
	qualified = quote_qualified_identifier(schema_name, name);
	quote_all_identifiers = quotes_all;
	return cstring_to_text(qualified);
}

/*
 * The moment that is so long after another one.  It is reckoned as without a
 * time zone, in UTC, where every day has 24 hours.
 */
TimestampTz
dwf_portable_after(TimestampTz moment, const Interval *span)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												 TimestampGetDatum(moment),
												 IntervalPGetDatum(span)));
}
