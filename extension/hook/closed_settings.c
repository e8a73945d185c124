/*-------------------------------------------------------------------------
 *
 * closed_settings.c
 *	  A validator's settings are its owner's, not the session's.
 *
 * It finds those that a new session of its owner's in this database would
 * have, as nearly as they can be had:
 *
 *	- what the session has set goes back to what it began with, custom settings
 *	  included; if that comes from its role or its startup packet, to what the
 *	  configuration file says, or the server's built-in default (a process does
 *	  not keep what has been replaced, so the file is read, once after a reload);
 *	- then come the settings of ALTER DATABASE and of ALTER ROLE for the owner;
 *	- search_path is pg_catalog, pg_temp, and there is no current workflow.
 *
 * All of it is in a nest of settings, as what the validator sets is, and goes
 * with that.  What a RESET would bring back is replaced beside it, and put
 * back by hand.
 *
 * Where nothing was set this is a walk over the settings and a look at
 * pg_db_role_setting.
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

#include "base/restricted.h"

/* What a RESET would bring back */
typedef struct HiddenReset
{
	struct config_generic *setting;
	config_var_value value;
	GucSource	source;
} HiddenReset;

/*
 * What stays: it is about the session's connection, its patience and its
 * process, not about what statements mean.
 */
static const char *const kept[] = {
	"client_encoding", "client_min_messages", "lock_timeout",
	"max_stack_depth", "temp_buffers"
};

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

/* Set one, within the nest; whether it is valid, if elevel lets it not be */
static bool
set(const char *name, const char *value, int elevel)
{
	return set_config_option(name, value, PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, elevel, false) > 0;
}

/* What the configuration files say, the last that counts; NULL: nothing */
static const char *
configured(const char *name)
{
	static MemoryContext context = NULL;
	static ConfigVariable *head = NULL;
	static TimestampTz read_for = 0;
	const char *value = NULL;

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
	for (ConfigVariable *item = head; item; item = item->next)
		if (!item->ignore && item->name &&
			pg_strcasecmp(item->name, name) == 0)
			value = item->value;
	return value;
}

/* A setting's built-in default as it would be written; NULL if it has none */
static const char *
built_in_default(struct config_generic *setting)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return ((struct config_bool *) setting)->boot_val ? "on" : "off";
		case PGC_INT:
			return psprintf("%d", ((struct config_int *) setting)->boot_val);
		case PGC_REAL:
			return psprintf("%.17g",
							((struct config_real *) setting)->boot_val);
		case PGC_ENUM:
			return config_enum_lookup_by_value((struct config_enum *) setting,
											   ((struct config_enum *) setting)->boot_val);
		case PGC_STRING:
			if (setting->flags & GUC_CUSTOM_PLACEHOLDER)
				return "";
			return ((struct config_string *) setting)->boot_val;
	}
	return NULL;
}

/* Exchange what a RESET would bring back; member of config_var_val */
#define EXCHANGE_RESET(type, member) \
	do { \
		struct config_##type *typed = (struct config_##type *) setting; \
		config_var_value old; \
		\
		old.val.member = typed->reset_val; \
		old.extra = typed->reset_extra; \
		typed->reset_val = value->val.member; \
		typed->reset_extra = value->extra; \
		*value = old; \
	} while (0)

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

	switch (setting->vartype)
	{
		case PGC_BOOL:
			value.val.boolval = *((struct config_bool *) setting)->variable;
			break;
		case PGC_INT:
			value.val.intval = *((struct config_int *) setting)->variable;
			break;
		case PGC_REAL:
			value.val.realval = *((struct config_real *) setting)->variable;
			break;
		case PGC_ENUM:
			value.val.enumval = *((struct config_enum *) setting)->variable;
			break;
		case PGC_STRING:
			value.val.stringval =
				*((struct config_string *) setting)->variable;
			break;
	}
	return value;
}

/*
 * Give a setting the server's value, also for RESET, unless it cannot be
 * changed any more.  What it began with stays allocated, as nothing refers to
 * it that could be freed: it comes back before the nest ends.
 */
static void
set_to_server(struct config_generic *setting, DwfHiddenSettings *hidden)
{
	const char *value = configured(setting->name);
	MemoryContext old;
	HiddenReset *reset;

	if (value == NULL || !set(setting->name, value, DEBUG1))
	{
		value = built_in_default(setting);
		if (value == NULL || !set(setting->name, value, DEBUG1))
			return;
	}

	old = MemoryContextSwitchTo(hidden->context);
	reset = palloc(sizeof(HiddenReset));
	reset->setting = setting;
	reset->value = present_value(setting);
	reset->source = setting->reset_source;
	hidden->resets = lappend(hidden->resets, reset);
	MemoryContextSwitchTo(old);

	exchange_reset(setting, &reset->value);
	setting->reset_source = PGC_S_DEFAULT;
}

/* Undo what the session, its role and its startup packet have set */
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

/* Was a setting given the server's value? */
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

/* Apply what ALTER ROLE or ALTER DATABASE has written: name=value */
static void
apply_array(ArrayType *array, const DwfHiddenSettings *only_lost)
{
	Datum	   *elements;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  NULL, &count);
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
		/* it may not be valid any more */
		(void) set(name, value, DEBUG1);
	}
}

/* Apply the settings of a role in a database; either may be invalid: of all */
static void
apply_stored(Relation relation, Oid database, Oid role,
			 const DwfHiddenSettings *only_lost)
{
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_db_role_setting_setdatabase,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(database));
	ScanKeyInit(&keys[1], Anum_pg_db_role_setting_setrole,
				BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(relation, DbRoleSettingDatidRolidIndexId, true,
							  NULL, 2, keys);
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
 * Apply all that a new session of the owner's would get, the most special
 * last; of what is the same for all roles, only what set_to_server() has
 * covered
 */
static void
apply_all_stored(Oid owner, DwfHiddenSettings *hidden)
{
	Relation	relation = table_open(DbRoleSettingRelationId,
									  AccessShareLock);

	/* in most clusters nobody has stored anything */
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
 * Let a validator of this owner's, which has a nest of settings, find nothing
 * of the session's.  *hidden is to be left, on every way out, before the nest.
 */
void
dwf_closed_settings_enter(Oid owner, DwfHiddenSettings *hidden)
{
	undo_session(hidden);
	apply_all_stored(owner, hidden);
	(void) set("search_path", "pg_catalog, pg_temp", 0);
	(void) set("durable_wf.workflow_id", "", 0);
}

/* Put back what a RESET brings.  Cannot fail. */
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
 * The seed of random() is not undone with the setting of that name: a
 * validator cannot set it, by a SET clause of its own or of a trigger function
 * either.
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

/* Watch over that setting */
void
dwf_closed_settings_init(void)
{
	int			count;
	struct config_generic **settings = dwf_compat_settings(&count);

	for (int i = 0; i < count; i++)
		if (strcmp(settings[i]->name, "seed") == 0)
		{
			struct config_real *seed = (struct config_real *) settings[i];

			check_seed = seed->check_hook;
			seed->check_hook = refuse_seed;
		}
}
