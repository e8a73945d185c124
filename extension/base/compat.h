/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  What differs between PostgreSQL 15, 16, 17, 18 and 19.  The only file
 *	  that names server versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef DWF_COMPAT_H
#define DWF_COMPAT_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "nodes/plannodes.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/jsonb.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "durable_wf needs PostgreSQL 15 or newer"
#endif

/* The macros of varlenas, which have their own header from 16 on */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* Where get_database_name() is */
#if PG_VERSION_NUM >= 190000
#include "utils/lsyscache.h"
#else
#include "commands/dbcommands.h"
#endif

/*
 * Setting lc_monetary.  Its header in core includes one of ICU, which the
 * packages of PostgreSQL do not bring.
 */
extern PGDLLIMPORT char *locale_monetary;

/* For functions that always raise, in front of the declaration */
#if PG_VERSION_NUM >= 180000
#define DWF_NORETURN	pg_noreturn
#else
#define DWF_NORETURN	pg_attribute_noreturn()
#endif

/*
 * Does a NOTIFY wake only the sessions that listen to its channel?  Else it
 * wakes all that listen in the database.
 */
#if PG_VERSION_NUM >= 190000
#define DWF_NOTIFY_IS_TARGETED	true
#else
#define DWF_NOTIFY_IS_TARGETED	false
#endif

/* The number of this process among ProcGlobal->allProcs */
#if PG_VERSION_NUM >= 170000
#define DWF_MY_PROC_NUMBER	MyProcNumber
#else
#define DWF_MY_PROC_NUMBER	(MyProc->pgprocno)
#endif

/*
 * Wait event for a waiting function.  Extensions can name their wait events
 * from 17 on; before, all of them show as "Extension".
 */
static inline uint32
dwf_compat_wait_event(const char *name)
{
#if PG_VERSION_NUM >= 170000
	return WaitEventExtensionNew(name);
#else
	(void) name;
	return PG_WAIT_EXTENSION;
#endif
}

/* Which file a table is in; another one after TRUNCATE and its like */
#if PG_VERSION_NUM >= 160000
#define DWF_FILE_OF(relation)	((Oid) (relation)->rd_locator.relNumber)
#else
#define DWF_FILE_OF(relation)	((relation)->rd_node.relNode)
#endif

/* Intervals can be infinite from 17 on; '-infinity' is caught as negative */
static inline bool
dwf_compat_interval_is_infinite(const Interval *span)
{
#if PG_VERSION_NUM >= 170000
	return INTERVAL_IS_NOEND(span);
#else
	(void) span;
	return false;
#endif
}

/* What an interrupted DROP DATABASE leaves as its limit; named from 15.4 on */
#ifndef DATCONNLIMIT_INVALID_DB
#define DATCONNLIMIT_INVALID_DB	(-2)
#endif

/* Does this role own this extension? */
static inline bool
dwf_compat_owns_extension(Oid extension, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(ExtensionRelationId, extension, role);
#else
	return pg_extension_ownercheck(extension, role);
#endif
}

/* Does this role own this database? */
static inline bool
dwf_compat_owns_database(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, database, role);
#else
	return pg_database_ownercheck(database, role);
#endif
}

/* May this role execute this function or procedure? */
static inline bool
dwf_compat_can_execute(Oid function, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(ProcedureRelationId, function, role,
						   ACL_EXECUTE) == ACLCHECK_OK;
#else
	return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

/* May this role use this schema? */
static inline bool
dwf_compat_can_use_schema(Oid schema, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(NamespaceRelationId, schema, role,
						   ACL_USAGE) == ACLCHECK_OK;
#else
	return pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK;
#endif
}

/* May this role connect to this database? */
static inline bool
dwf_compat_can_connect(Oid database, Oid role)
{
#if PG_VERSION_NUM >= 160000
	return object_aclcheck(DatabaseRelationId, database, role,
						   ACL_CONNECT) == ACLCHECK_OK;
#else
	return pg_database_aclcheck(database, role, ACL_CONNECT) == ACLCHECK_OK;
#endif
}

/* The OIDs of functions that return random values; each version adds some */
#if PG_VERSION_NUM >= 180000
#define DWF_RANDOM_FUNCTIONS \
	F_RANDOM_, F_RANDOM_INT4_INT4, F_RANDOM_INT8_INT8, \
	F_RANDOM_NUMERIC_NUMERIC, F_RANDOM_NORMAL, F_UUIDV4, F_UUIDV7_, \
	F_UUIDV7_INTERVAL
#elif PG_VERSION_NUM >= 170000
#define DWF_RANDOM_FUNCTIONS \
	F_RANDOM_, F_RANDOM_INT4_INT4, F_RANDOM_INT8_INT8, \
	F_RANDOM_NUMERIC_NUMERIC, F_RANDOM_NORMAL
#elif PG_VERSION_NUM >= 160000
#define DWF_RANDOM_FUNCTIONS	F_RANDOM, F_RANDOM_NORMAL
#else
#define DWF_RANDOM_FUNCTIONS	F_RANDOM
#endif

/* The local id of this process's transaction */
#if PG_VERSION_NUM >= 170000
#define DWF_MY_LXID	(MyProc->vxid.lxid)
#else
#define DWF_MY_LXID	(MyProc->lxid)
#endif

/* All settings of this process */
static inline struct config_generic **
dwf_compat_settings(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

/*
 * A setting as one of its type; the "extra" of its reset value; the name of a
 * value of an enum.  From 19 on the types are members of the general struct.
 */
#if PG_VERSION_NUM >= 190000
#define DWF_SETTING(setting, type)		((struct type *) &(setting)->_int)
#define DWF_RESET_EXTRA(setting, type)	(&(setting)->reset_extra)
#define DWF_ENUM_NAME(setting, value) \
	config_enum_lookup_by_value(setting, value)
#else
#define DWF_SETTING(setting, type)		((struct type *) (setting))
#define DWF_RESET_EXTRA(setting, type) \
	(&DWF_SETTING(setting, type)->reset_extra)
#define DWF_ENUM_NAME(setting, value) \
	config_enum_lookup_by_value(DWF_SETTING(setting, config_enum), value)
#endif

/* Setting standard_conforming_strings, which 19 has only switched on */
#if PG_VERSION_NUM >= 190000
#define DWF_STANDARD_STRINGS	true
#else
#define DWF_STANDARD_STRINGS	standard_conforming_strings
#endif

/* An encoding that cannot be converted, and is gone in 19 */
#if PG_VERSION_NUM >= 190000
#define DWF_MULE_INTERNAL	PG_UNUSED_1
#else
#define DWF_MULE_INTERNAL	PG_MULE_INTERNAL
#endif

/* A set of events to wait for that lives as long as the process */
#if PG_VERSION_NUM >= 170000
#define DWF_CREATE_WAIT_EVENT_SET(n)	CreateWaitEventSet(NULL, n)
#else
#define DWF_CREATE_WAIT_EVENT_SET(n)	CreateWaitEventSet(TopMemoryContext, n)
#endif

/*
 * Which indexes the update of a row has to write; needs the header of table
 * access methods
 */
#if PG_VERSION_NUM >= 160000
#define DwfUpdateIndexes	TU_UpdateIndexes
#define DWF_UPDATES_INDEXES(indexes)	((indexes) != TU_None)
#else
#define DwfUpdateIndexes	bool
#define DWF_UPDATES_INDEXES(indexes)	(indexes)
#endif

/*
 * Update or delete a row, with errors told; an update waits for a transaction
 * that is at the row.  These need the header of table access methods.
 */
#if PG_VERSION_NUM >= 190000
#define DWF_TUPLE_UPDATE(table, tid, slot, snapshot, failure, mode, indexes) \
	table_tuple_update(table, tid, slot, GetCurrentCommandId(true), 0, \
					   snapshot, InvalidSnapshot, true, failure, mode, \
					   indexes)
#define DWF_TUPLE_DELETE(table, tid, snapshot, wait, failure) \
	table_tuple_delete(table, tid, GetCurrentCommandId(true), 0, snapshot, \
					   InvalidSnapshot, wait, failure)
#else
#define DWF_TUPLE_UPDATE(table, tid, slot, snapshot, failure, mode, indexes) \
	table_tuple_update(table, tid, slot, GetCurrentCommandId(true), \
					   snapshot, InvalidSnapshot, true, failure, mode, \
					   indexes)
#define DWF_TUPLE_DELETE(table, tid, snapshot, wait, failure) \
	table_tuple_delete(table, tid, GetCurrentCommandId(true), snapshot, \
					   InvalidSnapshot, wait, failure, false)
#endif

/* Begin to scan a whole table; needs the header of table access methods */
#if PG_VERSION_NUM >= 190000
#define DWF_TABLE_BEGINSCAN(table, snapshot) \
	table_beginscan(table, snapshot, 0, NULL, 0)
#else
#define DWF_TABLE_BEGINSCAN(table, snapshot) \
	table_beginscan(table, snapshot, 0, NULL)
#endif

/* Begin to scan an index; needs the header of general access methods */
#if PG_VERSION_NUM >= 190000
#define DWF_INDEX_BEGINSCAN(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0, 0)
#elif PG_VERSION_NUM >= 180000
#define DWF_INDEX_BEGINSCAN(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, NULL, nkeys, 0)
#else
#define DWF_INDEX_BEGINSCAN(table, index, snapshot, nkeys) \
	index_beginscan(table, index, snapshot, nkeys, 0)
#endif

/* Bytes to be encoded, as pg_b64_encode() takes them */
#if PG_VERSION_NUM >= 180000
#define DWF_BASE64_BYTES(bytes)	((uint8 *) (bytes))
#else
#define DWF_BASE64_BYTES(bytes)	((char *) (bytes))
#endif

/* Run a portal to its end, at top level */
#if PG_VERSION_NUM >= 180000
#define DWF_PORTAL_RUN(portal, dest, completion) \
	PortalRun(portal, FETCH_ALL, true, dest, dest, completion)
#else
#define DWF_PORTAL_RUN(portal, dest, completion) \
	PortalRun(portal, FETCH_ALL, true, true, dest, dest, completion)
#endif

/* Take a lock once more that this process holds; needs the header of locks */
#if PG_VERSION_NUM >= 180000
#define DWF_LOCK_ACQUIRE_LOCAL(tag, mode, local) \
	LockAcquireExtended(tag, mode, false, true, false, local, false)
#else
#define DWF_LOCK_ACQUIRE_LOCAL(tag, mode, local) \
	LockAcquireExtended(tag, mode, false, true, false, local)
#endif

/*
 * The oldest xid that is at work in any database; needs the header of the
 * array of processes
 */
#if PG_VERSION_NUM >= 190000
#define DWF_OLDEST_ACTIVE_XID()	GetOldestActiveTransactionId(false, true)
#else
#define DWF_OLDEST_ACTIVE_XID()	GetOldestActiveTransactionId()
#endif

/* A hash table in shared memory, of a fixed size */
#if PG_VERSION_NUM >= 190000
#define DWF_SHMEM_HASH(name, size, control, flags) \
	ShmemInitHash(name, size, control, flags)
#else
#define DWF_SHMEM_HASH(name, size, control, flags) \
	ShmemInitHash(name, size, size, control, flags)
#endif

/*
 * The next relation that a plan writes to, by its number in the range table; 0
 * or less when there is none.  The caller sets *at to 0 before the first.
 */
static inline int
dwf_compat_next_target(const PlannedStmt *plan, int *at)
{
#if PG_VERSION_NUM >= 190000
	return *at = bms_next_member(plan->resultRelationRelids, *at);
#else
	return *at < list_length(plan->resultRelations) ?
		list_nth_int(plan->resultRelations, (*at)++) : 0;
#endif
}

/* A jsonb that is being built; all zeros at first */
#if PG_VERSION_NUM >= 190000
typedef JsonbInState DwfJsonState;
#else
typedef JsonbParseState *DwfJsonState;
#endif

/* Add a token to it; returns the value once that is complete */
static inline JsonbValue *
dwf_compat_push(DwfJsonState *state, JsonbIteratorToken token,
				JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(state, token, value);
	return state->result;
#else
	return pushJsonbValue(state, token, value);
#endif
}

#endif							/* DWF_COMPAT_H */
