/*-------------------------------------------------------------------------
 *
 * released_hook_rows.c
 *	  The tables as C functions: hooks of workflows that have ended, and their
 *	  way back.
 *
 * A workflow that ends gives its tokens back, but is remembered to have had
 * these hooks, in durable_wf.released_hook: if it is made to live again it has
 * them again, as far as nobody else has claimed a token meanwhile.  Before
 * 0.4.0 there was no such table; where the objects are that old, hooks end
 * with their workflow for good, and what has come to them with them.
 *
 *-------------------------------------------------------------------------
 */
#include "store/store.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "store/store_sql.h"

#define COLUMNS \
	"token, workflow_id, metadata, validator, is_webhook, respond_with," \
	" created_at"

/* The hooks of a workflow that nobody is using: an end must not wait */
#define DELETE_UNUSED \
	"   DELETE FROM durable_wf.hook h WHERE h.ctid" EQ "ANY (ARRAY(" \
	"     SELECT q.ctid FROM durable_wf.hook q" \
	"     WHERE q.workflow_id" EQ "$1 FOR UPDATE SKIP LOCKED))"

/*
 * Its requests, left without an answer; likewise.  They stay, so that who
 * answers one later is told that nobody waits any more.
 */
#define END_REQUESTS \
	" UPDATE durable_wf.request r" \
	" SET responded_at = pg_catalog.clock_timestamp(), expires_at = NULL" \
	" WHERE r.ctid" EQ "ANY (ARRAY(" \
	"   SELECT q.ctid FROM durable_wf.request q" \
	"   WHERE q.workflow_id" EQ "$1 AND q.responded_at IS NULL" \
	"   FOR UPDATE SKIP LOCKED))"

/* Remember the hooks in "gone" */
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

/* Token's hook is a dead row */
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

/* id: what has come to the hooks, too, but for what somebody holds */
static DwfStatement release_old_query = {
	"WITH hook AS (" DELETE_UNUSED "),"
	" payload AS ("
	"   DELETE FROM durable_wf.message m WHERE m.ctid" EQ "ANY (ARRAY("
	"     SELECT q.ctid FROM durable_wf.message q"
	"     WHERE q.workflow_id" EQ "$1 AND q.door" EQ "'h'"
	"     FOR UPDATE SKIP LOCKED)))" END_REQUESTS,
	1, {TEXTOID}, NULL
};

/* id: the rows that were in use as it ended */
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

/* token: until the transaction ends nobody makes it a hook again */
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

/* Are the hooks of ended workflows remembered? */
static bool
are_kept(void)
{
	return OidIsValid(dwf_plan_find_relation("released_hook"));
}

/* A workflow has ended: release its hooks.  Does not block. */
void
dwf_store_release_hooks(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	(void) dwf_plan_count_latest(are_kept() ? &release_query :
								 &release_old_query, values);
}

/*
 * An ended workflow lives again, and so do its hooks, but for those whose
 * token another one has.  Blocks while another transaction claims one of the
 * tokens, or gives it back.
 */
void
dwf_store_restore_hooks(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};

	if (!are_kept())
	{
		(void) dwf_plan_count_latest(&forget_query, values);
		return;
	}
	(void) dwf_plan_count(&keep_dead_query, values, NULL);
	(void) dwf_plan_count(&restore_query, values, NULL);
	(void) dwf_plan_count(&drop_restored_query, values, NULL);
}

/* A token whose hook could not be restored; NULL if there is none */
static text *
find_unrestored(text *workflow_id)
{
	Datum		values[] = {PointerGetDatum(workflow_id)};
	text	   *token = NULL;
	DwfRun		r;

	if (!are_kept())
		return NULL;
	r = dwf_plan_run(&not_restored_query, values, NULL);
	if (SPI_processed > 0)
		token = DatumGetTextP(dwf_plan_copy_column(r, 0, 1).value);
	dwf_plan_done(r);
	return token;
}

/*
 * Take a token from a workflow that has ended, unless it has none, or lives
 * again.  Blocks until nobody uses the hook any more.  Raises 40001 where the
 * transaction's snapshot cannot show which of these is so.
 *
 * The row is locked first, and then looked at by what has committed: else the
 * workflow could come back in between, and lose a live hook.
 */
void
dwf_store_displace_hook(text *token)
{
	Datum		values[] = {PointerGetDatum(token)};

	if (dwf_plan_count(&lock_query, values, NULL) > 0 &&
		dwf_plan_count_latest(are_kept() ? &displace_query :
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
