/*-------------------------------------------------------------------------
 *
 * released_hook_rows.c
 *	  The tables as C functions: release the hooks of a workflow that ends, and
 *	  restore those of one that lives again.
 *
 * A workflow that ends releases its tokens.  Its hooks are kept in
 * durable_wf.released_hook: if the workflow is made to live again it gets back
 * each hook whose token no other workflow has claimed meanwhile.  Objects from
 * before 1.0.0 have no such table; with them, hooks and their payloads end
 * with their workflow for good.
 *
 * The end of a workflow must not wait for a transaction that delivers to one
 * of its hooks.  So it skips hooks that are locked: their rows stay as *dead
 * rows* until the workflow lives again, or another one claims the token.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "store/catalog.h"
#include "store/probe.h"
#include "store/store_sql.h"

#define COLUMNS \
	"token, workflow_id, metadata, validator, is_webhook, respond_with," \
	" created_at"

/* Delete the hooks of a workflow, $1, that no other transaction has locked */
#define DELETE_UNUSED \
	"   DELETE FROM durable_wf.hook h WHERE h.ctid" EQ "ANY (ARRAY(" \
	"     SELECT q.ctid FROM durable_wf.hook q" \
	"     WHERE q.workflow_id" EQ "$1 FOR UPDATE SKIP LOCKED))"

/*
 * End the requests of a workflow, $1, without an answer; locked ones are
 * skipped.  Their rows stay, so that a late answer to a request can be told
 * from one to no request.
 */
#define END_REQUESTS \
	" UPDATE durable_wf.request r" \
	" SET responded_at = pg_catalog.clock_timestamp(), expires_at = NULL" \
	" WHERE r.ctid" EQ "ANY (ARRAY(" \
	"   SELECT q.ctid FROM durable_wf.request q" \
	"   WHERE q.workflow_id" EQ "$1 AND q.responded_at IS NULL" \
	"   FOR UPDATE SKIP LOCKED))"

/* Keep the hooks in "gone", if their workflow still exists */
#define KEEP_GONE \
	" INSERT INTO durable_wf.released_hook AS r (" COLUMNS ")" \
	" SELECT g.* FROM gone g WHERE EXISTS (" \
	"   SELECT FROM durable_wf.workflow w" \
	"   WHERE w.workflow_id" EQ "g.workflow_id)" \
	" ON CONFLICT (workflow_id, token) DO UPDATE" \
	" SET metadata = EXCLUDED.metadata, validator = EXCLUDED.validator," \
	" is_webhook = EXCLUDED.is_webhook," \
	" respond_with = EXCLUDED.respond_with," \
	" created_at = EXCLUDED.created_at"

/* The hook of a token, $1, is a dead row */
#define IS_DEAD \
	"h.token" EQ "$1 AND NOT EXISTS (" \
	"   SELECT FROM durable_wf.workflow w" \
	"   WHERE w.workflow_id" EQ "h.workflow_id AND w.finished_at IS NULL)"

/* id */
static DwfStatement release_query = {
	"WITH gone AS (" DELETE_UNUSED " RETURNING " COLUMNS "),"
	" kept AS (" KEEP_GONE ")" END_REQUESTS,
	1, {TEXTOID}, NULL
};

/* id; deletes the payloads of the hooks, too, but skips locked ones */
static DwfStatement release_old_query = {
	"WITH hook AS (" DELETE_UNUSED "),"
	" payload AS ("
	"   DELETE FROM durable_wf.message m WHERE m.ctid" EQ "ANY (ARRAY("
	"     SELECT q.ctid FROM durable_wf.message q"
	"     WHERE q.workflow_id" EQ "$1 AND q.door" EQ "'h'"
	"     FOR UPDATE SKIP LOCKED)))" END_REQUESTS,
	1, {TEXTOID}, NULL
};

/* id; locks the dead rows against displacement */
static DwfStatement keep_dead_query = {
	"SELECT FROM durable_wf.hook h WHERE h.workflow_id" EQ "$1"
	" FOR KEY SHARE",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement forget_query = {
	"DELETE FROM durable_wf.hook h WHERE h.workflow_id" EQ "$1",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement restore_query = {
	"INSERT INTO durable_wf.hook (" COLUMNS ")"
	" SELECT " COLUMNS " FROM durable_wf.released_hook r"
	" WHERE r.workflow_id" EQ "$1 ORDER BY r.token"
	" ON CONFLICT (token) DO NOTHING",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement drop_restored_query = {
	"DELETE FROM durable_wf.released_hook r"
	" USING durable_wf.hook h"
	" WHERE r.workflow_id" EQ "$1 AND h.token" EQ "r.token"
	" AND h.workflow_id" EQ "r.workflow_id",
	1, {TEXTOID}, NULL
};

/* id */
static DwfStatement not_restored_query = {
	"SELECT r.token FROM durable_wf.released_hook r"
	" WHERE r.workflow_id" EQ "$1 ORDER BY r.token LIMIT 1",
	1, {TEXTOID}, NULL
};

/* token; locks the row, also against a workflow that comes back for it */
static DwfStatement lock_query = {
	"SELECT FROM durable_wf.hook h WHERE h.token" EQ "$1 FOR UPDATE",
	1, {TEXTOID}, NULL
};

/* token */
static DwfStatement displace_query = {
	"WITH gone AS ("
	"   DELETE FROM durable_wf.hook h WHERE " IS_DEAD
	"   RETURNING " COLUMNS "),"
	" kept AS (" KEEP_GONE ")"
	" SELECT FROM gone",
	1, {TEXTOID}, NULL
};

/* token */
static DwfStatement displace_old_query = {
	"DELETE FROM durable_wf.hook h WHERE " IS_DEAD,
	1, {TEXTOID}, NULL
};

/* Is there a table that keeps the hooks of ended workflows? */
static bool
are_kept(void)
{
	return OidIsValid(dwf_catalog_find_relation("released_hook"));
}

/*
 * Release the hooks of a workflow that has just ended.  Does not block.  Most
 * have had none; then a look at two indexes is all.
 */
void
dwf_store_release_hooks(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	if (are_kept() &&
		!dwf_probe_has_row("hook", "hook_workflow_id_idx",
						   DWF_HOOK_WORKFLOW_ID, workflow_id) &&
		!dwf_probe_has_row("request", "request_pkey",
						   DWF_REQUEST_WORKFLOW_ID, workflow_id))
		return;
	(void) dwf_statement_count_latest(are_kept() ? &release_query :
									  &release_old_query, values);
}

/*
 * Restore the hooks of an ended workflow that lives again, except those whose
 * token another workflow has.  Blocks while another transaction claims or
 * releases one of the tokens.
 */
void
dwf_store_restore_hooks(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	if (!are_kept())
	{
		(void) dwf_statement_count_latest(&forget_query, values);
		return;
	}
	(void) dwf_statement_count(&keep_dead_query, values, NULL);
	(void) dwf_statement_count(&restore_query, values, NULL);
	(void) dwf_statement_count(&drop_restored_query, values, NULL);
}

/* Find a token whose hook could not be restored; NULL if there is none */
static text *
find_unrestored(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	return are_kept() ? dwf_statement_text(&not_restored_query, values) : NULL;
}

/*
 * Take a token from a workflow that has ended, unless it has none, or lives
 * again.  Blocks until nobody uses the hook any more.  Raises 40001 where the
 * transaction's snapshot cannot show which of these is so.
 *
 * The row is locked first.  Then a new snapshot shows whether the workflow
 * lives: else it could come back in between, and lose a live hook.
 */
void
dwf_store_displace_hook(text *token)
{
	Datum		values[] = {PointerGetDatum(token)};

	if (dwf_statement_count(&lock_query, values, NULL) > 0 &&
		dwf_statement_count_latest(are_kept() ? &displace_query :
								   &displace_old_query, values) > 0)
		return;
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not see who has token \"%s\"",
						text_to_cstring(token))));
}

/*
 * Restore the hooks that dwf_store_restore_hooks() has left, because other
 * rows have their tokens: dead rows are displaced.  Returns false if a live
 * workflow has one of the tokens; *holder is its hook.  Blocks while another
 * transaction claims one of the tokens, or gives it back.
 */
bool
dwf_store_restore_taken_hooks(text *workflow_id, DwfHook *holder)
{
	text	   *token;

	while ((token = find_unrestored(workflow_id)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (dwf_store_find_hook(token, holder))
		{
			if (!holder->has_ended)
				return false;
			dwf_store_displace_hook(token);
		}
		dwf_store_restore_hooks(workflow_id);
	}
	return true;
}
