/*-------------------------------------------------------------------------
 *
 * library.c
 *	  The version of this library, and that of the objects in the database.
 *
 * A library works with the objects of each earlier version: the server is
 * restarted first, ALTER EXTENSION UPDATE comes later.  An earlier library
 * does not know what later objects are for, and would leave undone what they
 * rely on.  So the first look at our schema in a session, which is kept
 * (catalog.c), compares the versions.  So do the scripts of our extension:
 * they begin with a call of durable_wf.library_version(), which the libraries
 * before 1.0.0 do not have.  (The server enters the new version in its catalog
 * before it runs a script.)
 *
 *-------------------------------------------------------------------------
 */
#include "store/library.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_extension.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(dwf_library_version);

/* The version of the objects, NULL if they belong to no extension */
static char *
extension_version(void)
{
	Relation	extensions = table_open(ExtensionRelationId, AccessShareLock);
	char	   *version = NULL;
	bool		isnull = true;
	Datum		datum = (Datum) 0;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum("durable_wf"));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL,
							  1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		datum = heap_getattr(tuple, Anum_pg_extension_extversion,
							 RelationGetDescr(extensions), &isnull);
	if (!isnull)
		version = TextDatumGetCString(datum);
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return version;
}

/* Is version "a" later than "b"?  Numbers with dots; the rest is ignored. */
static bool
is_later(const char *a, const char *b)
{
	for (;;)
	{
		char	   *end_of_a;
		char	   *end_of_b;
		long		number_of_a = strtol(a, &end_of_a, 10);
		long		number_of_b = strtol(b, &end_of_b, 10);

		if (number_of_a != number_of_b)
			return number_of_a > number_of_b;
		if (*end_of_a != '.' || *end_of_b != '.')
			return *end_of_a == '.';
		a = end_of_a + 1;
		b = end_of_b + 1;
	}
}

/*
 * Raise 55000 if the objects in this database are of a later version than this
 * library
 */
void
dwf_library_check(void)
{
	char	   *version = extension_version();

	if (version && is_later(version, DWF_VERSION))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the objects of durable_wf in this database are of version %s, the library that is loaded is of version %s",
						version, DWF_VERSION),
				 errhint("Install the library of version %s or later, and restart the server.",
						 version)));
	if (version)
		pfree(version);
}

/* Say in the log that the objects in this database wait for their update */
void
dwf_library_say_later(void)
{
	char	   *version = extension_version();

	if (version && is_later(DWF_VERSION, version))
		ereport(LOG,
				(errmsg("the objects of durable_wf in database \"%s\" are of version %s, the library is of version %s",
						get_database_name(MyDatabaseId), version, DWF_VERSION),
				 errhint("Use ALTER EXTENSION durable_wf UPDATE.")));
	if (version)
		pfree(version);
}

/*
 * durable_wf.library_version() → the version of this library; raises 55000
 * if that of the objects is later
 */
Datum
dwf_library_version(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	dwf_library_check();
	PG_RETURN_TEXT_P(cstring_to_text(DWF_VERSION));
}
