/*-------------------------------------------------------------------------
 *
 * closed_settings.c
 *	  A validator's settings are its owner's, not the session's.
 *
 * A validator has, as nearly as possible, the settings that a new session of
 * the hook's owner in this database would have:
 *
 *	- A setting that the session has set, custom ones included, gets its reset
 *	  value.  If that comes from the session's role or startup packet, the
 *	  setting gets the configuration file's value, or else the built-in
 *	  default.  (A process does not keep a value that was replaced, so the file
 *	  is read again, once after each reload.)
 *	- Then come the settings of ALTER DATABASE, and those of ALTER ROLE for the
 *	  owner.
 *	- search_path is pg_catalog, pg_temp, and there is no current workflow.
 *
 * All of these are set in a nest of settings, as is what the validator sets
 * itself; the end of the nest undoes them.  Reset values are not part of a
 * nest: this file exchanges them, and puts them back.
 *
 * If nothing was set, entering costs a loop over all settings and a look at
 * the size of pg_db_role_setting.
 *
 *-------------------------------------------------------------------------
 */
#include "hook/closed_settings.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/restricted.h"

/* The reset value that a setting had, and has to get back */
typedef struct HiddenReset
{
	struct config_generic *setting;
	config_var_value value;
	GucSource	source;
} HiddenReset;

/*
 * The settings that stay as they are: they concern the session's connection,
 * its waits and its process, not the meaning of statements.
 */
static const char *const kept[] = {
	"client_encoding", "client_min_messages", "lock_timeout",
	"max_stack_depth", "temp_buffers"
};

/* The check hook that the setting "seed" had */
static GucRealCheckHook check_seed = NULL;

/* Does a setting stay as it is? */
static bool
is_kept(const char *name, int flags)
{
	if (flags & GUC_NO_RESET_ALL)	/* the role, the transaction's mode, ... */
		return true;
	for (int i = 0; i < (int) lengthof(kept); i++)
		if (pg_strcasecmp(name, kept[i]) == 0)
			return true;
	return false;
}

/*
 * Set a setting within the nest; a value of NULL is the reset value.  Returns
 * whether the value is valid; raises otherwise if "elevel" is 0.
 */
static bool
set(const char *name, const char *value, int elevel)
{
	return set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, elevel, false) > 0;
}

/*
 * The value that the configuration files give a setting, or NULL.  Reads the
 * files at the first call after a reload.
 */
static const char *
configured(const char *name)
{
	static MemoryContext context = NULL;
	static ConfigVariable *head = NULL;
	static TimestampTz read_for = 0;
	const char *value = NULL;

	/* Read the files again after a reload */
	if (context == NULL || read_for != PgReloadTime)
	{
		ConfigVariable *tail = NULL;
		MemoryContext old;

		if (context == NULL)
			context = AllocSetContextCreate(TopMemoryContext,
											"durable_wf configuration",
											ALLOCSET_SMALL_SIZES);
		MemoryContextReset(context);
		head = NULL;
		read_for = PgReloadTime;
		old = MemoryContextSwitchTo(context);
		(void) ParseConfigFile(ConfigFileName, true, NULL, 0, 0, DEBUG1,
							   &head, &tail);
		(void) ParseConfigFile(PG_AUTOCONF_FILENAME, false, NULL, 0, 0, DEBUG1,
							   &head, &tail);
		MemoryContextSwitchTo(old);
	}

	/* Find the setting: the last line counts */
	for (ConfigVariable *item = head; item; item = item->next)
		if (!item->ignore && item->name &&
			pg_strcasecmp(item->name, name) == 0)
			value = item->value;
	return value;
}

/* A setting's built-in default, as text; NULL if it has none */
static const char *
built_in_default(struct config_generic *setting)
{
	/* as text, which is what set_config_option() takes */
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return DWF_SETTING(setting, config_bool)->boot_val ? "on" : "off";
		case PGC_INT:
			return psprintf("%d", DWF_SETTING(setting, config_int)->boot_val);
		case PGC_REAL:
			return psprintf("%.17g",
							DWF_SETTING(setting, config_real)->boot_val);
		case PGC_ENUM:
			return DWF_ENUM_NAME(setting,
								 DWF_SETTING(setting, config_enum)->boot_val);
		case PGC_STRING:
			if (setting->flags & GUC_CUSTOM_PLACEHOLDER)
				return "";
			return DWF_SETTING(setting, config_string)->boot_val;
	}
	return NULL;
}

/* Exchange a reset value; "member" is one of config_var_val */
#define EXCHANGE_RESET(type, member) \
	do { \
		struct config_##type *typed = DWF_SETTING(setting, config_##type); \
		config_var_value old; \
		\
		old.val.member = typed->reset_val; \
		old.extra = *DWF_RESET_EXTRA(setting, config_##type); \
		typed->reset_val = value->val.member; \
		*DWF_RESET_EXTRA(setting, config_##type) = value->extra; \
		*value = old; \
	} while (0)

/* Exchange a setting's reset value with *value.  Cannot fail. */
static void
exchange_reset(struct config_generic *setting, config_var_value *value)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			EXCHANGE_RESET(bool, boolval);
			break;
		case PGC_INT:
			EXCHANGE_RESET(int, intval);
			break;
		case PGC_REAL:
			EXCHANGE_RESET(real, realval);
			break;
		case PGC_ENUM:
			EXCHANGE_RESET(enum, enumval);
			break;
		case PGC_STRING:
			EXCHANGE_RESET(string, stringval);
			break;
	}
}

/* A setting's present value */
static config_var_value
present_value(struct config_generic *setting)
{
	config_var_value value = {.extra = setting->extra};

	/* read the variable, whose type depends on the setting's */
	switch (setting->vartype)
	{
		case PGC_BOOL:
			value.val.boolval = *DWF_SETTING(setting, config_bool)->variable;
			break;
		case PGC_INT:
			value.val.intval = *DWF_SETTING(setting, config_int)->variable;
			break;
		case PGC_REAL:
			value.val.realval = *DWF_SETTING(setting, config_real)->variable;
			break;
		case PGC_ENUM:
			value.val.enumval = *DWF_SETTING(setting, config_enum)->variable;
			break;
		case PGC_STRING:
			value.val.stringval =
				*DWF_SETTING(setting, config_string)->variable;
			break;
	}
	return value;
}

/*
 * Give a setting the server's value, and make that the reset value, unless the
 * setting cannot be changed any more.  The old reset value is kept in
 * hidden->resets, where the server does not find it to free it; it is put back
 * before the nest ends.
 */
static void
set_to_server(struct config_generic *setting, DwfHiddenSettings *hidden)
{
	const char *value = configured(setting->name);
	MemoryContext old;
	HiddenReset *reset;

	/* Set the file's value, or the built-in default */
	if (value == NULL || !set(setting->name, value, DEBUG1))
	{
		value = built_in_default(setting);
		if (value == NULL || !set(setting->name, value, DEBUG1))
			return;
	}

	/* Note the present value, to be exchanged with the reset value */
	old = MemoryContextSwitchTo(hidden->context);
	reset = palloc(sizeof(HiddenReset));
	reset->setting = setting;
	reset->value = present_value(setting);
	reset->source = setting->reset_source;
	hidden->resets = lappend(hidden->resets, reset);
	MemoryContextSwitchTo(old);

	/* From here on, hidden->resets has the old reset value */
	exchange_reset(setting, &reset->value);
	setting->reset_source = PGC_S_DEFAULT;
}

/*
 * Undo, within the nest, what the session, its role and its startup packet
 * have set.
 */
static void
undo_session(DwfHiddenSettings *hidden)
{
	int			count;
	struct config_generic **settings = dwf_compat_settings(&count);

	for (int i = 0; i < count; i++)
	{
		struct config_generic *setting = settings[i];

		if ((setting->source <= PGC_S_DATABASE &&
			 setting->reset_source <= PGC_S_DATABASE) ||
			(setting->context != PGC_USERSET &&
			 setting->context != PGC_SUSET) ||
			is_kept(setting->name, setting->flags))
			continue;
		if (setting->reset_source > PGC_S_DATABASE)
			set_to_server(setting, hidden);
		else
			(void) set(setting->name, NULL, 0);
	}
}

/* Has set_to_server() given a setting the server's value? */
static bool
has_lost_reset(const char *name, const DwfHiddenSettings *hidden)
{
	ListCell   *cell;

	foreach(cell, hidden->resets)
	{
		HiddenReset *reset = lfirst(cell);

		if (pg_strcasecmp(reset->setting->name, name) == 0)
			return true;
	}
	return false;
}

/*
 * Apply the array "name=value" that ALTER ROLE or ALTER DATABASE has written;
 * with "only_lost", only for settings that set_to_server() has changed.
 */
static void
apply_array(ArrayType *array, const DwfHiddenSettings *only_lost)
{
	Datum	   *elements;
	int			count;

	/* Take the array apart */
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  NULL, &count);

	/* Apply each element */
	for (int i = 0; i < count; i++)
	{
		char	   *name = TextDatumGetCString(elements[i]);
		char	   *value = strchr(name, '=');

		if (value == NULL)
			continue;
		*value++ = '\0';
		if (is_kept(name, GetConfigOptionFlags(name, true)) ||
			(only_lost && !has_lost_reset(name, only_lost)))
			continue;
		/* Ignore a value that is not valid any more */
		(void) set(name, value, DEBUG1);
	}
}

/*
 * Apply the stored settings of a role in a database; an invalid OID stands for
 * those of all roles, or in all databases.
 */
static void
apply_stored(Relation relation, Oid database, Oid role,
			 const DwfHiddenSettings *only_lost)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	/* Find the row: there is one at most */
	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true,
							  NULL, 2, keys);

	/* Apply what it has */
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;
		Datum		array = heap_getattr(tuple,
										 Anum_pg_db_role_setting_setconfig,
										 RelationGetDescr(relation), &isnull);

		if (!isnull)
			apply_array(DatumGetArrayTypeP(array), only_lost);
	}
	systable_endscan(scan);
}

/*
 * Apply the stored settings that a new session of the owner would get, the
 * most specific last.  The session has those for all roles already, but for
 * the settings that set_to_server() has changed.
 */
static void
apply_all_stored(Oid owner, DwfHiddenSettings *hidden)
{
	Relation	relation = table_open(DbRoleSettingRelationId,
									  AccessShareLock);

	/* In most clusters no settings are stored */
	if (RelationGetNumberOfBlocks(relation) > 0)
	{
		if (hidden->resets)
		{
			apply_stored(relation, InvalidOid, InvalidOid, hidden);
			apply_stored(relation, MyDatabaseId, InvalidOid, hidden);
		}
		apply_stored(relation, InvalidOid, owner, NULL);
		apply_stored(relation, MyDatabaseId, owner, NULL);
	}
	table_close(relation, AccessShareLock);
}

/*
 * Give a validator of this owner its settings, in the current nest of
 * settings.  The caller calls dwf_closed_settings_leave() on every way out,
 * before it ends the nest.
 */
void
dwf_closed_settings_enter(Oid owner, DwfHiddenSettings *hidden)
{
	undo_session(hidden);
	apply_all_stored(owner, hidden);
	(void) set("search_path", "pg_catalog, pg_temp", 0);
	(void) set("durable_wf.workflow_id", "", 0);
}

/* Give the settings their reset values back.  Cannot fail. */
void
dwf_closed_settings_leave(DwfHiddenSettings *hidden)
{
	ListCell   *cell;

	foreach(cell, hidden->resets)
	{
		HiddenReset *reset = lfirst(cell);

		exchange_reset(reset->setting, &reset->value);
		reset->setting->reset_source = reset->source;
	}
	hidden->resets = NIL;
}

/*
 * Check hook of the setting "seed": refuse it in a validator, also from a SET
 * clause of a function.  The end of a nest restores the setting, but not the
 * state of random().
 */
static bool
refuse_seed(double *value, void **extra, GucSource source)
{
	if (dwf_restricted_is_validator() && source >= PGC_S_INTERACTIVE)
	{
		GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
		GUC_check_errmsg("cannot set parameter \"seed\" in a hook's validator");
		return false;
	}
	return check_seed == NULL || check_seed(value, extra, source);
}

/* Install the check hook of "seed" */
void
dwf_closed_settings_init(void)
{
	int			count;
	struct config_generic **settings = dwf_compat_settings(&count);

	for (int i = 0; i < count; i++)
		if (strcmp(settings[i]->name, "seed") == 0)
		{
			struct config_real *seed = DWF_SETTING(settings[i], config_real);

			check_seed = seed->check_hook;
			seed->check_hook = refuse_seed;
		}
}
