/*-------------------------------------------------------------------------
 *
 * effect.c
 *	  Functions whose calls a replay must not repeat.
 *
 * Functions can do much in a read-only transaction: create large objects,
 * notify, write to the WAL, to files and to other servers.  So the harmless
 * functions are listed, and any other VOLATILE function counts as having an
 * effect.  Functions in SQL, PL/pgSQL and other trusted languages do not
 * count: they consist of statements, which are checked one by one (guard.c).
 *
 *-------------------------------------------------------------------------
 */
#include "session/effect.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/*
 * Volatile functions of the server without an effect that outlives the
 * session: they read, wait, lock, or set what is the session's.  (nextval and
 * setval refuse themselves in a read-only transaction, at each call.)  In the
 * order of strcmp.
 */
static const char *const harmless[] = {
	"amvalidate", "array_sample", "array_shuffle", "clock_timestamp",
	"current_query", "currtid2", "currval", "cursor_to_xml",
	"cursor_to_xmlschema", "gen_random_uuid", "lastval", "lo_close", "lo_get",
	"lo_lseek", "lo_lseek64", "lo_open", "lo_tell", "lo_tell64", "loread",
	"nextval", "pg_advisory_lock", "pg_advisory_lock_shared",
	"pg_advisory_unlock", "pg_advisory_unlock_all",
	"pg_advisory_unlock_shared", "pg_advisory_xact_lock",
	"pg_advisory_xact_lock_shared", "pg_available_wal_summaries",
	"pg_blocking_pids", "pg_cancel_backend", "pg_collation_actual_version",
	"pg_control_checkpoint", "pg_control_init", "pg_control_recovery",
	"pg_control_system", "pg_current_logfile", "pg_current_wal_flush_lsn",
	"pg_current_wal_insert_lsn", "pg_current_wal_lsn",
	"pg_database_collation_actual_version", "pg_database_size", "pg_get_aios",
	"pg_get_backend_memory_contexts", "pg_get_loaded_modules",
	"pg_get_multixact_members", "pg_get_sequence_data",
	"pg_get_shmem_allocations", "pg_get_shmem_allocations_numa",
	"pg_get_wait_events", "pg_get_wal_replay_pause_state",
	"pg_get_wal_resource_managers", "pg_get_wal_summarizer_state",
	"pg_hba_file_rules", "pg_ident_file_mappings", "pg_indexes_size",
	"pg_is_in_recovery", "pg_is_wal_replay_paused",
	"pg_isolation_test_session_is_blocked", "pg_jit_available",
	"pg_last_committed_xact", "pg_last_wal_receive_lsn",
	"pg_last_wal_replay_lsn", "pg_last_xact_replay_timestamp",
	"pg_lock_status", "pg_ls_archive_statusdir", "pg_ls_dir", "pg_ls_logdir",
	"pg_ls_logicalmapdir", "pg_ls_logicalsnapdir", "pg_ls_replslotdir",
	"pg_ls_summariesdir", "pg_ls_tmpdir", "pg_ls_waldir",
	"pg_notification_queue_usage", "pg_partition_ancestors",
	"pg_partition_tree", "pg_prepared_xact", "pg_read_binary_file",
	"pg_read_file", "pg_read_file_old", "pg_relation_size",
	"pg_replication_origin_progress", "pg_replication_origin_session_is_setup",
	"pg_replication_origin_session_progress", "pg_safe_snapshot_blocking_pids",
	"pg_sequence_last_value", "pg_show_all_file_settings",
	"pg_show_replication_origin_status", "pg_sleep", "pg_sleep_for",
	"pg_sleep_until", "pg_stat_clear_snapshot", "pg_stat_file",
	"pg_stat_force_next_flush", "pg_stat_get_backend_io",
	"pg_stat_get_backend_wal", "pg_stat_get_io",
	"pg_stat_get_recovery_prefetch", "pg_stat_get_xact_blocks_fetched",
	"pg_stat_get_xact_blocks_hit", "pg_stat_get_xact_function_calls",
	"pg_stat_get_xact_function_self_time",
	"pg_stat_get_xact_function_total_time", "pg_stat_get_xact_numscans",
	"pg_stat_get_xact_tuples_deleted", "pg_stat_get_xact_tuples_fetched",
	"pg_stat_get_xact_tuples_hot_updated", "pg_stat_get_xact_tuples_inserted",
	"pg_stat_get_xact_tuples_newpage_updated",
	"pg_stat_get_xact_tuples_returned", "pg_stat_get_xact_tuples_updated",
	"pg_stat_have_stats", "pg_table_size", "pg_tablespace_size",
	"pg_terminate_backend", "pg_total_relation_size", "pg_try_advisory_lock",
	"pg_try_advisory_lock_shared", "pg_try_advisory_xact_lock",
	"pg_try_advisory_xact_lock_shared", "pg_wal_summary_contents",
	"pg_xact_commit_timestamp", "pg_xact_commit_timestamp_origin",
	"pg_xact_status", "query_to_xml", "query_to_xml_and_xmlschema",
	"query_to_xmlschema", "random", "random_normal", "set_config", "setseed",
	"setval", "timeofday", "ts_rewrite", "ts_stat", "txid_status", "uuidv4",
	"uuidv7"
};

/* Extensions whose C functions compute, or set what is the session's */
static const char *const harmless_extensions[] = {
	"isn", "pg_trgm", "pgcrypto", "sslinfo", "tablefunc", "uuid-ossp"
};

/* Is this function of the server harmless? */
static bool
is_harmless(const char *name)
{
	return bsearch(&name, harmless, lengthof(harmless), sizeof(char *),
				   pg_qsort_strcmp) != NULL;
}

/* Is a C function one of ours?  Ours check by themselves where they are. */
static bool
is_ours(HeapTuple row)
{
	bool		isnull;
	Datum		value = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_probin,
										&isnull);
	char	   *library;
	char	   *name;

	if (isnull)
		return false;
	library = TextDatumGetCString(value);
	name = strrchr(library, '/');
	return strcmp(name ? name + 1 : library, "durable_wf") == 0;
}

/* Does a function belong to one of the harmless extensions? */
static bool
is_of_harmless_extension(Oid function)
{
	Oid			extension;
	char	   *name;

	extension = getExtensionOfObject(ProcedureRelationId, function);
	name = OidIsValid(extension) ? get_extension_name(extension) : NULL;

	for (int i = 0; name && i < (int) lengthof(harmless_extensions); i++)
		if (strcmp(name, harmless_extensions[i]) == 0)
			return true;
	return false;
}

/* Is this language a trusted one, whose code can only run statements? */
static bool
is_trusted(Oid language)
{
	HeapTuple	row = SearchSysCache1(LANGOID, ObjectIdGetDatum(language));
	bool		trusted = HeapTupleIsValid(row) &&
	((Form_pg_language) GETSTRUCT(row))->lanpltrusted;

	if (HeapTupleIsValid(row))
		ReleaseSysCache(row);
	return trusted;
}

/* Can a call of an internal function have an effect, by whichever name? */
static bool
is_possible_of_internal(Oid function, HeapTuple row)
{
	Form_pg_proc form = (Form_pg_proc) GETSTRUCT(row);
	bool		isnull;
	Datum		source;

	if (function < FirstNormalObjectId)
		return !is_harmless(NameStr(form->proname));
	source = SysCacheGetAttr(PROCOID, row, Anum_pg_proc_prosrc, &isnull);
	function = isnull ? InvalidOid :
		fmgr_internal_function(TextDatumGetCString(source));
	return !OidIsValid(function) || dwf_effect_is_possible(function);
}

/*
 * Can a call of this function have an effect that is not that of a statement,
 * which is checked by itself?
 */
bool
dwf_effect_is_possible(Oid function)
{
	HeapTuple	row = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		possible;

	if (!HeapTupleIsValid(row))
		return false;			/* the server raises an error */
	form = (Form_pg_proc) GETSTRUCT(row);
	if (form->provolatile != PROVOLATILE_VOLATILE)
		possible = false;
	else if (form->prolang == INTERNALlanguageId)
		possible = is_possible_of_internal(function, row);
	else if (form->prolang == ClanguageId)
		possible = !is_ours(row) && !is_of_harmless_extension(function);
	else
		possible = form->prolang != SQLlanguageId &&
			!is_trusted(form->prolang);
	ReleaseSysCache(row);
	return possible;
}
