/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  What the catalogs say about our schema and the tables in it.
 *
 * Each of our calls asks several times for the OID of a table, or for its
 * owner.  So the session keeps the answers until they may be wrong, which it
 * learns from the invalidation messages that end the life of an entry in
 * core's own caches.
 *
 * An invalidation may arrive while an answer is looked up.  Such an answer is
 * returned, since the caller's locks and snapshot allowed for it, but is not
 * kept: "forgotten" has counted on.
 *
 *-------------------------------------------------------------------------
 */
#include "store/catalog.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "store/library.h"

#define DWF_SCHEMA	"durable_wf"

/* At most so many relations are kept; C code names fewer */
#define RELATIONS_MAX	32

/* A table, index or sequence of ours; "name" is a constant */
typedef struct OurRelation
{
	const char *name;
	Oid			relation;
	Oid			owner;
} OurRelation;

static OurRelation our_relations[RELATIONS_MAX];
static int	nour_relations = 0;
static Oid	our_schema = InvalidOid;

/* How many invalidations this session has got */
static uint64 forgotten = 0;

/* Drop all answers */
static void
forget_relations(void)
{
	nour_relations = 0;
	our_schema = InvalidOid;
	forgotten++;
}

/* Relcache callback: one relation has changed, or any if it is InvalidOid */
static void
relation_changed(Datum arg, Oid relation)
{
	(void) arg;
	for (int i = 0; i < nour_relations; i++)
		if (!OidIsValid(relation) || our_relations[i].relation == relation)
		{
			forget_relations();
			return;
		}
	forgotten++;
}

/* Syscache callback: some schema has changed */
static void
schema_changed(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	forget_relations();
}

/*
 * Syscache callback: some function has changed, or a role or membership.  No
 * answer depends on that, but what is kept by dwf_catalog_version() may.
 */
static void
catalog_changed(Datum arg, int cache, uint32 hash)
{
	(void) arg;
	(void) cache;
	(void) hash;
	forgotten++;
}

/* Register the callbacks; called before the first answer is kept */
static void
watch_catalogs(void)
{
	static bool watching = false;

	if (watching)
		return;
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	watching = true;
}

/*
 * The OID of our schema; raises 3F000 when there is none, and 55000 when what
 * is in it is of a later version than this library
 */
static Oid
schema_oid(void)
{
	uint64		before = forgotten;
	Oid			schema = our_schema;

	if (OidIsValid(schema))
		return schema;
	watch_catalogs();
	schema = get_namespace_oid(DWF_SCHEMA, false);
	dwf_library_check();
	if (forgotten == before)
		our_schema = schema;
	return schema;
}

/* Look up one of our tables, indexes or sequences; raises 42P01 */
static OurRelation
look_up_relation(const char *name)
{
	OurRelation found = {name, InvalidOid, InvalidOid};
	HeapTuple	tuple = NULL;

	found.relation = get_relname_relid(name, schema_oid());
	if (OidIsValid(found.relation))
		tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(found.relation));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation \"%s.%s\" does not exist",
						DWF_SCHEMA, name)));
	found.owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return found;
}

/*
 * Look up a relation of ours among the answers, else in the catalogs; raises
 * 42P01.  When there is no room for one more answer, all are dropped.
 */
static OurRelation
our_relation(const char *name)
{
	uint64		before;
	OurRelation found;

	for (int i = 0; i < nour_relations; i++)
		if (strcmp(our_relations[i].name, name) == 0)
			return our_relations[i];

	watch_catalogs();
	before = forgotten;
	found = look_up_relation(name);
	if (forgotten == before)
	{
		nour_relations %= RELATIONS_MAX;
		our_relations[nour_relations++] = found;
	}
	return found;
}

/* Does this database have our schema? */
bool
dwf_catalog_is_installed(void)
{
	return OidIsValid(get_namespace_oid(DWF_SCHEMA, true));
}

/* The OID of one of our tables or sequences, invalid if there is none */
Oid
dwf_catalog_find_relation(const char *name)
{
	return get_relname_relid(name, schema_oid());
}

/*
 * The OID of one of our tables, indexes or sequences; raises 42P01 if there is
 * none.  "name" must be a constant, since it is kept.
 */
Oid
dwf_catalog_relation(const char *name)
{
	return our_relation(name).relation;
}

/*
 * Is this table one of ours?  The schema says so: only the extension's owner
 * can create a table in it.
 */
bool
dwf_catalog_is_ours(Relation table)
{
	return RelationGetNamespace(table) == schema_oid();
}

/* The role that owns our tables; raises 42P01 when there are none */
Oid
dwf_catalog_owner(void)
{
	return our_relation("workflow").owner;
}

/*
 * A number that changes with each relation, function, role and membership of a
 * role that changes: what was read from the catalogs before is not to be used
 * with another number.  The caller has asked for one of our relations before.
 */
uint64
dwf_catalog_version(void)
{
	return forgotten;
}
