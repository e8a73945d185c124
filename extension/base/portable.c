/*-------------------------------------------------------------------------
 *
 * portable.c
 *	  Text of values, names and moments that does not depend on the session.
 *
 * Text that is kept, compared or sent must not depend on the settings of the
 * session that writes it: a row must name the same workflow in each session,
 * and a record is read in another session than the one that wrote it.  So
 * values are written as by a server with default settings, moments in UTC, and
 * a day has 24 hours.
 *
 * A setting is changed only for a type whose text depends on it, and only if
 * it has another value: for most rows none is.
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

/* A setting, the value that it must have, and the types that it concerns */
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

/*
 * What the text of a composite value depends on, by the types of its columns
 */
static DwfDependence
composite_type(Oid type)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(type, -1);
	DwfDependence dependence = dwf_portable_row(desc);

	ReleaseTupleDesc(desc);
	return dependence;
}

/*
 * What the text of a value depends on, if its type is none of those that
 * dwf_portable_type() lists
 */
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

/* What the text of a value of this type depends on */
DwfDependence
dwf_portable_type(Oid type)
{
	check_stack_depth();
	type = getBaseType(type);

	/* the types that most values have, then those that depend on the path */
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
		case RECORDOID:			/* only the value knows its columns */
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

/* What the text of a row depends on */
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
 * Set the settings of this kind to the values that they must have.  Returns
 * what dwf_portable_end() needs to set them back; so does the abort of the
 * transaction or subtransaction after an error.
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

/* Set the settings back that dwf_portable_begin() has changed */
void
dwf_portable_end(int nest_level)
{
	if (nest_level > 0)
		AtEOXact_GUC(true, nest_level);
}

/* ----- names and moments ----- */

/* A qualified name, quoted only where it must be */
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
 * The moment that is so long after another one, computed in UTC, where each
 * day has 24 hours
 */
TimestampTz
dwf_portable_after(TimestampTz moment, const Interval *span)
{
	return DatumGetTimestamp(DirectFunctionCall2(timestamp_pl_interval,
												 TimestampGetDatum(moment),
												 IntervalPGetDatum(span)));
}
